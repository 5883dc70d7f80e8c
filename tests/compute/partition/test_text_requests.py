"""A template's request is, to the byte, the one that is built for the row."""

import datetime
import decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pxt_assets import predicate
from pxt_assets.api.body_template import FilledBody
from pxt_assets.api.request import Request
from pxt_assets.compute.partition.plan import Plan, ReadyCall
from pxt_assets.errors import CellError
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.functions import chat_completions, decisions, embeddings, moderations, responses
from pxt_assets.values.media import Media
from tests.compute.partition.plans import TBL

TEXTS = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    [
        "",
        "%s",
        "%",
        "%%s {} \\",
        '"',
        "\x00\x1f\x7f",
        "\ud800",
        "a\udfffb",
        "\U0001f469\u200d\U0001f467",
        "\u2028",
        "é",
        "e\u0301",
    ]
)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ODD = st.sampled_from(
    [
        *(None, 0, 1.5, True, float("nan"), float("inf"), 10**30, b"bytes", [], ["a"], {}, {"text": "a"}),
        *(
            decimal.Decimal("1.10"),
            datetime.date(2027, 3, 1),
            datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC),
        ),
        *(
            np.float32(0.5),
            np.int64(3),
            np.str_("text"),
            Media(b"\x89PNG\r\n\x1a\n"),
            CellError("E", "no text"),
        ),
    ]
)
VALUES = st.integers(0, 9).flatmap(lambda n: ODD if n == 0 else TEXTS if n == 1 else PLAIN)
COLUMNS = st.sampled_from([TBL.a, TBL.b, TBL.c.inner])
LEAVES = COLUMNS | st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.just("%s %d %%")


def messages(*types: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Messages with texts in parts of these types."""
    parts = st.fixed_dictionaries(
        {"type": st.sampled_from(types), "text": LEAVES},
        optional={"a": JSON, "zz": JSON, "image_url": st.just("https://example.com/a.png")},
    )
    message = st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system"]), "content": LEAVES | st.lists(parts, max_size=3)},
        optional={"name": st.just("Ann"), "a": JSON},
    )
    return st.lists(message, min_size=1, max_size=3)


MESSAGES = messages("text", "input_text")
KWARGS = st.dictionaries(
    st.sampled_from(["temperature", "seed", "metadata", "user", "b", "n"]), JSON, max_size=3
)
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "t", "schema": {"type": "object", "properties": {"b": {}, "a": {}}}},
}
CALLS = st.one_of(
    st.builds(lambda messages, more: chat_completions(messages, model="m", **more), MESSAGES, KWARGS),
    st.builds(
        lambda m: chat_completions(m, model="m", model_kwargs={"response_format": FORMAT, "z": 1}), MESSAGES
    ),
    st.builds(lambda m: chat_completions(m, model=TBL.b), MESSAGES),
    st.builds(lambda m: chat_completions([*m, {"role": "user", "name": TBL.a}], model="m"), MESSAGES),
    st.builds(lambda messages, more: responses(messages, model="m", **more), MESSAGES, KWARGS),
    st.builds(
        lambda column, more: responses(column, model="m", instructions="Be %s.", **more), COLUMNS, KWARGS
    ),
    st.builds(lambda column: embeddings(column, model="m", dimensions=256, encoding_format="float"), COLUMNS),
    st.builds(lambda column: embeddings(column, model="m"), COLUMNS),
    st.builds(moderations, COLUMNS),
    st.builds(
        lambda given, claim, part: decisions(
            given, model="m", questions={"b": predicate(claim), "a": predicate(["%s", part])}
        ),
        COLUMNS | messages("input_text"),
        COLUMNS,
        COLUMNS,
    ),
).filter(lambda call: Plan(call, None).columns)


def resolved(value: Any, row: dict[str, Any]) -> Any:
    """The arguments with the row's values in place of the columns."""
    if isinstance(value, Expr):
        column, *path = repr(value).removeprefix("tickets.").split(".")
        got = row[column]
        if isinstance(got, CellError):
            raise got
        return (got.get("inner") if isinstance(got, dict) else None) if path else got
    if isinstance(value, dict):
        return {k: resolved(v, row) for k, v in value.items()}
    return [resolved(v, row) for v in value] if isinstance(value, list) else value


def told(request: Request) -> dict[str, Any]:
    """All that the others ask of a request."""
    return {
        "digest": request.digest,
        "payload": request.payload,
        "size": request.size,
        "text_bytes": request.text_bytes,
        "memory_bytes": request.memory_bytes,
        "model": request.model,
        "pack_key": request.pack_key,
        "encoding": request.encoding,
        "body": dict(request.body),
        "keys": list(request.body),
        "input": request.body.get("input"),
    }


@settings(max_examples=80, deadline=None)
@given(
    CALLS, st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": st.fixed_dictionaries({"inner": VALUES})})
)
@example(moderations(TBL.a), {"a": "\ud83d", "b": "", "c": {"inner": ""}})
def test_a_template_makes_the_request_that_is_built(call: Call, row: dict[str, Any]):
    """Digest, payload, size and body are equal, and so are errors, whatever the values."""
    plan = Plan(call, None)
    values = tuple(row[ref._column] for ref in plan.columns)
    try:
        arguments = resolved(call._arguments, row)
        expected: Any = call._function.cell_request(arguments)
    except CellError as e:
        expected = e
    try:
        prepared: Any = plan.prepare(values)
    except CellError as e:
        prepared = e
    if prepared is None:
        return  # for nulls in required arguments, which the plan's own tests are about
    if isinstance(expected, CellError):
        assert isinstance(prepared, CellError)
        assert (prepared.errortype, prepared.message) == (expected.errortype, expected.message)
        return
    assert isinstance(prepared, ReadyCall)
    assert isinstance(prepared.request, Request)
    assert told(prepared.request) == told(expected)


@pytest.mark.parametrize(
    "call",
    [
        chat_completions([{"role": "user", "content": TBL.a}], model="m"),
        chat_completions(
            [{"content": [{"text": TBL.a, "type": "text"}], "role": "user"}],
            model="m",
            response_format=FORMAT,
        ),
        responses(TBL.a, model="m"),
        embeddings(TBL.a, model="m"),
        moderations(TBL.a),
    ],
    ids=lambda call: repr(call)[:60],
)
def test_plain_texts_take_the_template(call):
    """Nothing is built for them: their request has a body of a template."""
    prepared = Plan(call, None).prepare(("Hello",))
    assert type(prepared.request.body) is FilledBody


@pytest.mark.parametrize("text", ["", "a\ud800", np.str_("a")])
def test_other_values_are_built(text):
    """An empty text may be refused, a lone surrogate is replaced, a text of another class may be anything."""
    prepared = Plan(moderations(TBL.a), None).prepare((text,))
    assert type(prepared.request.body) is dict


def test_a_row_cannot_guess_a_mark():
    """A text that holds the mark of a template is a text like any other: marks are looked for in constants alone."""
    plan = Plan(
        chat_completions([{"role": "user", "content": TBL.a}, {"role": "user", "content": TBL.b}], model="m"),
        None,
    )
    first = plan.prepare(("x", "y")).request
    mark = first.body._template._marks[1]
    assert plan.prepare((mark, "%s")).request.body == {
        "messages": [{"role": "user", "content": mark}, {"role": "user", "content": "%s"}],
        "model": "m",
    }
    assert mark.encode() in plan.prepare((mark, "y")).request.payload
