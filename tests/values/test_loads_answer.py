"""Answers of servers as JSON that can be stored."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.values.json_text import MAX_DEPTH, dumps, loads_answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", None),
        ("[Infinity, -Infinity, 1e999, -1e999, 1.5]", [None, None, None, None, 1.5]),
        ('{"a": NaN}', {"a": None}),
        ("1" * 5_000, "1" * 5_000),
        ("[nan, -NaN, -inf, Inf, +infinity, 1]", [None, None, None, None, None, 1]),
        ('{"nan": "a nan \\" inf", "b": nan}', {"nan": 'a nan " inf', "b": None}),
        ('{"a": "b\nc\t\x01"}', {"a": "b\nc\t\x01"}),
        ('{"a": 1}\n\x00\x00 ', {"a": 1}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('"NaN"', "NaN"),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('"a\\u0000b"', "a\0b"),
        ('\ufeff{"a": 1}', {"a": 1}),
    ],
)
def test_what_json_cannot_hold_is_no_reason_to_lose_the_rest(text, value):
    """Odd numbers are null, too long ones are texts; all can be written again for any reader."""
    got = loads_answer(text.encode())
    assert got == value
    json.loads(dumps(got), parse_constant=pytest.fail)


def test_bytes_that_are_no_text_are_replaced():
    """A server may cut a character in two; the words around it are paid for."""
    assert loads_answer(b'{"a": "caf\xe9", "b": NaN}') == {"a": "caf\ufffd", "b": None}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff\xfe", b"nano", b"[1,]", b"{} {}", b"[" * 100_000]
)
def test_what_is_no_json_raises(body):
    """It is no answer."""
    with pytest.raises(ValueError):  # noqa: PT011
        loads_answer(body)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 100_000])
def test_what_is_too_deep_to_be_written_again_is_a_text(depth):
    """At any depth of Python's own stack; what is beside it is kept."""
    got = loads_answer(b'{"a": ' + b"[" * depth + b"]" * depth + b', "b": [1]}')
    assert got["b"] == [1]
    inner = got["a"]
    while isinstance(inner, list):
        (inner,) = inner
    assert inner == "[" * (depth + 1 - MAX_DEPTH) + "]" * (depth + 1 - MAX_DEPTH)
    dumps(got)


def test_many_lists_beside_each_other_are_not_deep():
    """Nor are brackets in texts."""
    value = [[1]] * 1_000 + ["[" * 1_000, '\\"[{']
    assert loads_answer(json.dumps(value).encode()) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_answer_can_be_stored(value):
    """What comes out of it is JSON in the strict sense, and the same but for its odd numbers."""
    got = loads_answer(json.dumps(value).encode())
    dumps(got)
    if not any(
        isinstance(v, float) and not math.isfinite(v) for v in (value if isinstance(value, list) else [value])
    ):
        assert type(got) is type(value)
