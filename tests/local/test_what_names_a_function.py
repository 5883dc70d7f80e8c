"""What names a function beside its source: the object it is a method of, wrappers, defaults, globals, hints."""

import contextlib
import functools
import io
import json
import math
import os
import re
import sqlite3
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pxt_assets import tools, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.local.source_text import version_of
from pxt_assets.local.tools import tool
from tests.local.test_value_contents import Other, Scorer, closing_over, inner


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: Scorer(1).score, lambda: Scorer(2).score),
        (lambda: Scorer({1}).score, lambda: Scorer({2}).score),
        (lambda: Scorer.made, lambda: Other.made),
    ],
    ids=["state", "set in it", "class"],
)
def test_the_object_that_a_method_is_of_counts(one, other):
    """The same method of another object gives other results."""
    assert version_of(one()) == version_of(one())
    assert version_of(one()) != version_of(other())


def wrapped(function: Callable[..., Any], k: Any, *, adds: bool = False) -> Callable[..., Any]:
    if adds:

        @functools.wraps(function)
        def wrapper(text: str) -> Any:
            return function(text) + k
    else:

        @functools.wraps(function)
        def wrapper(text: str) -> Any:
            return function(text) * k

    return wrapper


def plain(text: str) -> int:
    return len(text)


def test_a_wrapper_counts_by_its_source_and_what_it_closes_over():
    """Though it shows the source of what it wraps."""
    assert version_of(wrapped(plain, {1})) == version_of(wrapped(plain, {1}))
    assert version_of(wrapped(plain, {1})) != version_of(wrapped(plain, {2}))
    assert version_of(wrapped(plain, 1)) != version_of(wrapped(plain, 1, adds=True))
    assert version_of(wrapped(inner({1}), 1)) != version_of(wrapped(inner({2}), 1))


def test_defaults_count_that_no_call_is_given():
    """Those that JSON holds are arguments of each call anyway."""

    def made(default: Any) -> Callable[..., Any]:
        def f(text: str, words: Any = default, *, more: Any = default) -> bool:
            return text in words

        return f

    assert version_of(made({1})) != version_of(made({2}))
    assert version_of(made(1)) == version_of(made(2))


LIMIT: Any = 1


def helper(text: str) -> Any:
    return LIMIT


def reads(text: str) -> Any:
    return LIMIT


def calls(text: str) -> Any:
    return helper(text)


def reads_inside(text: str) -> Any:
    return [LIMIT for _ in text]


@pytest.mark.parametrize("function", [reads, calls, reads_inside])
@pytest.mark.parametrize(("one", "other"), [(1, 2), ({1}, {2}), (re.compile("a"), re.compile("b"))])
def test_globals_count(function, one, other, monkeypatch):
    """Also those that a function of the module's reads in turn."""

    def version(value: object) -> str:
        monkeypatch.setattr(sys.modules[__name__], "LIMIT", value)
        return version_of(function)

    assert version(one) == version(one) != version(other)


def test_what_a_module_of_ones_own_holds_counts(monkeypatch):
    """`settings.LIMIT` is a global like any other; what else the module holds is not read."""
    settings = types.ModuleType("settings_of_mine")
    namespace: dict[str, Any] = {"settings": settings}
    exec("def f(x):\n    return settings.LIMIT", namespace)
    versions = []
    for limit, other in ((1, 1), (1, 2), (2, 2)):
        settings.LIMIT, settings.OTHER = limit, other  # type: ignore[attr-defined]
        versions.append(version_of(namespace["f"]))
    assert versions[0] == versions[1] != versions[2]


def test_libraries_are_not_looked_into():
    """A function that reads modules and functions of libraries alone has the version that it always had."""

    def f(text: str) -> str:
        return json.dumps([math.sqrt(len(text)), np.float32(1), re.sub("a", "b", text)])

    assert version_of(f) == version_of(f, "")


def test_nothing_new_leaves_the_version_as_it_was():
    """Closures over what JSON holds were seen before."""
    for value in (1, "a", [1, None, 2.5], {"a": {"b": [True]}}, (1, 2)):
        assert version_of(closing_over(value)) == version_of(closing_over(value), "")
    assert version_of(closing_over({1})) != version_of(closing_over({1}), "")


def test_classes_in_hints_count():
    """Arguments are converted by them."""

    versions = []
    for k in (1, 1, 2):
        namespace: dict[str, Any] = {"__name__": "mine"}
        exec(f"class Row:\n    k = {k}\ndef f(rows: list[Row | None]) -> int: return 1", namespace)
        versions.append(version_of(namespace["f"]))
    assert versions[0] == versions[1] != versions[2]


def unnameable(value: Any) -> str:
    with pytest.raises(DefinitionError) as raised:
        udf(closing_over(value))
    return str(raised.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sqlite3.connect(":memory:"), "a sqlite3.Connection"),
        (lambda: (x for x in "a"), "a generator"),
        (lambda: open(os.devnull), "TextIOWrapper"),  # noqa: PTH123, SIM115
        (lambda: {"deep": [io.StringIO, Scorer(sqlite3.connect(":memory:"))]}, "a sqlite3.Connection"),
        (lambda: set(range(500_001)), "more than 500,000 values"),
        (lambda: np.zeros(2**26 + 1, np.bool_).view("V1"), "more than 64 MB"),
    ],
    ids=["connection", "generator", "file", "inside", "many", "large"],
)
def test_what_has_no_contents_demands_a_version(make, says):
    """When definitions load; the message names the variable and its type, and what to do."""
    value = make()
    message = unnameable(value)
    assert "udf f depends on value" in message
    assert says in message
    assert '@udf(version="1")' in message
    assert udf(version="1")(closing_over(value)).version.startswith("f:")
    if hasattr(value, "close"):
        with contextlib.suppress(Exception):
            value.close()


def test_the_part_without_contents_is_named_as_it_is_reached():
    """By keys and attributes, as in Python."""
    assert "depends on value['deep'].weight: it is a sqlite3" in unnameable(
        {"deep": Scorer(sqlite3.connect(":memory:"))}
    )


def test_with_a_version_nothing_is_looked_at():
    """Neither what has no contents, nor what has."""

    class Refusing:
        def __reduce_ex__(self, _protocol: Any) -> Any:
            raise AssertionError

    assert version_of(closing_over(Refusing()), "1") == version_of(closing_over({1}), "1")
    assert version_of(closing_over({1}), "1") != version_of(closing_over({1}), "2")


def test_a_global_without_contents_demands_a_version(monkeypatch):
    """A connection that a function reads; not one that is read by what it calls, which is known by its type."""
    connection = sqlite3.connect(":memory:")
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", connection)
    with pytest.raises(DefinitionError, match=r"udf reads depends on LIMIT: it is a sqlite3\.Connection"):
        udf(annotated(reads))
    assert version_of(calls).startswith("calls:")
    connection.close()


def annotated(function: Any) -> Any:
    function.__annotations__["return"] = str
    return function


def test_tools_demand_a_version_alike():
    """They may be given one as well."""
    function = closing_over(x for x in "a")
    with pytest.raises(DefinitionError, match=r"tool f depends on value"):
        tools(function)
    one, other = (tools(tool(function, version=v)).version for v in ("1", "2"))
    assert one != other
    assert tools(closing_over({1})).version != tools(closing_over({2})).version


def test_what_is_defined_below_a_function_counts():
    """By the time that a column uses it."""
    namespace: dict[str, Any] = {"udf": udf}
    versions = []
    for k in (1, 2):
        exec("@udf\ndef f(x: str) -> int:\n    return later(x)\n", namespace)
        exec(f"def later(x):\n    return {k}\n", namespace)
        versions.append(namespace["f"].version)
        del namespace["later"]
    assert versions[0] != versions[1]


def test_what_a_function_does_to_it_later_changes_no_version():
    """A list of its calls, a cache."""
    seen: list[str] = []

    @udf
    def f(text: str) -> str:
        seen.append(text)
        return text

    before = f.version
    seen.append("a")
    assert f.version == before


def test_a_function_of_this_package_is_named_by_its_version():
    """As a user-defined function that another one calls."""
    one, other = (udf(version=v)(annotated(plain)) for v in ("1", "2"))
    assert version_of(closing_over(one)) != version_of(closing_over(other))
