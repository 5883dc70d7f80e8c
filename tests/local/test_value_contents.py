"""What a function closes over, or is otherwise made of, is named by its contents; what has none demands a version."""

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import json
import logging
import math
import operator
import os
import pickle
import re
import subprocess
import sys
import threading
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from pxt_assets.local.source_text import version_of


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Weight:
    grams: int


class Place(BaseModel):
    city: str


class Scorer:
    def __init__(self, weight: object) -> None:
        self.weight = weight

    def __call__(self, text: str) -> int:
        return len(text)

    def score(self, text: str) -> int:
        return len(text)

    @classmethod
    def made(cls, text: str) -> int:
        return len(text)


class Other(Scorer):
    pass


class Slotted:
    __slots__ = ("weight",)

    def __init__(self, weight: int) -> None:
        self.weight = weight


Point = collections.namedtuple("Point", "x y")


def closing_over(value: Any) -> Callable[..., Any]:
    def f(text: str) -> str:
        return f"{text}{value}"

    return f


def inner(value: Any) -> Callable[..., Any]:
    def g(text: str) -> Any:
        return value

    return g


ONE_LINE = (lambda x: x + "a", lambda x: x + "b")
CACHED = [functools.cache(inner(k)) for k in ({1}, {2})]
PAIRS = {
    "set": ({1, 2}, {1, 3}),
    "frozenset": (frozenset("ab"), frozenset("ac")),
    "nested set": ({"a": [{1}]}, {"a": [{2}]}),
    "pattern": (re.compile("a"), re.compile("b")),
    "flags": (re.compile("a"), re.compile("a", re.IGNORECASE)),
    "search of a pattern": (re.compile("a").search, re.compile("b").search),
    "function": (inner({1}), inner({2})),
    "lambda": (lambda x: x + 1, lambda x: x + 2),
    "lambdas on one line": ONE_LINE,
    "cached": tuple(CACHED),
    "builtin": (len, sum),
    "library": (math.sin, math.cos),
    "module": (json, pickle),
    "partial": (functools.partial(int, base=10), functools.partial(int, base=16)),
    "getter": (operator.itemgetter(1), operator.itemgetter(2)),
    "enum": (Color.RED, Color.BLUE),
    "dataclass": (Weight(1), Weight(2)),
    "model": (Place(city="Bonn"), Place(city="Köln")),
    "named tuple": (Point(1, {2}), Point(1, {3})),
    "object": (Scorer(1), Scorer(2)),
    "slots": (Slotted(1), Slotted(2)),
    "class": (Scorer, Other),
    "bound method": (Scorer(1).score, Scorer(2).score),
    "bound builtin": ("a".join, "b".join),
    "decimal": (decimal.Decimal("1.5"), "1.5"),
    "date": (datetime.date(2026, 1, 1), "2026-01-01"),
    "uuid": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "path": (Path("a"), Path("b")),
    "integer keys": ({1: "a"}, {"1": "a"}),
    "bytes": (b"a", b"b"),
    "NaN": (math.nan, math.inf),
    "array": (np.arange(3), np.arange(3.0)),
    "scalar": (np.float32(1), np.float64(1)),
    "array of objects": (np.array([{1}], object), np.array([{2}], object)),
    "default dict": (collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)),
    "mapping": (types.MappingProxyType({"a": 1}), types.MappingProxyType({"a": 2})),
    "timedelta": (datetime.timedelta(1), datetime.timedelta(2)),
    "range": (range(3), range(4)),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_what_a_function_closes_over_is_named_by_its_contents(one, other):
    """Equal contents give one version, others another."""
    assert version_of(closing_over(one)) == version_of(closing_over(one))
    assert version_of(closing_over(one)) != version_of(closing_over(other))


@pytest.mark.parametrize("name", ["set", "pattern", "object", "dataclass", "function", "getter", "array"])
def test_a_copy_is_the_same(name):
    """Not where a value lies in memory, but what it holds."""
    one = PAIRS[name][0]
    copied = inner({1}) if name == "function" else pickle.loads(pickle.dumps(one))
    assert version_of(closing_over(one)) == version_of(closing_over(copied))


def test_it_is_the_same_in_every_process():
    """Though sets and their texts are hashed otherwise."""
    program = (
        "import re; from pxt_assets.local.source_text import version_of\n"
        "def made(words, o):\n"
        "    def f(x: str) -> bool: return x in words or o\n"
        "    return f\n"
        "class Own:\n"
        "    k = {'p', 'q'}\n"
        "print(version_of(made({'a', 'b', ('c', 1)}, [re.compile('x'), Own(), Own, {frozenset('xyz')}])))"
    )
    versions = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(versions) == 1


def cyclic(value: Any) -> Any:
    scorer = Scorer(value)
    scorer.me = [scorer, {"again": scorer}]  # type: ignore[attr-defined]
    return scorer


def mutual(value: Any) -> Any:
    def even(n: int) -> Any:
        return value if n == 0 else odd(n - 1)

    def odd(n: int) -> Any:
        return even(n - 1)

    return even


@pytest.mark.parametrize("made", [mutual, lambda v: closing_over(cyclic(v)), lambda v: cyclic(v).score])
def test_what_holds_itself_ends(made):
    """Recursive functions, and objects that refer to themselves."""
    assert version_of(made({1})) == version_of(made({1}))
    assert version_of(made({1})) != version_of(made({2}))


def test_what_is_shared_is_looked_at_once():
    """Two lists of two lists of ..., a hundred deep, are a hundred lists."""
    value: Any = {1}
    for _ in range(100):
        value = [value, value]
    assert version_of(closing_over(value)).startswith("f:")


HARMLESS = [threading.Lock(), threading.RLock(), logging.getLogger("a"), threading.local()]


@pytest.mark.parametrize("value", HARMLESS, ids=lambda v: type(v).__name__)
def test_locks_and_loggers_change_no_result(value):
    """They are known by their types."""
    assert version_of(closing_over(value)).startswith("f:")


def test_two_lambdas_on_a_line_are_two_functions():
    """Their source is the same line; their code tells them apart."""
    one, other = (lambda x: x + "a"), (lambda x: x + "b")
    assert version_of(one) != version_of(other)
