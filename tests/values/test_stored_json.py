"""Answers as the text that is stored: read by another parser than Python's, with the same result."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pxt_assets.values import base64_text
from pxt_assets.values.conversion import to_arrow, to_python, to_store
from pxt_assets.values.json_text import dumps, loads_answer, replace_surrogates
from pxt_assets.values.stored_json import StoredJson, StoredObject, read_answer, stored_answer, stored_json
from pxt_assets.values.types import Json

TEXTS = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["Infinity", "NaN", "\ud800", "\x7f\x00\u2028", "😀"]
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**53 + 1, 2**63, 2**64, -(10**40), 1e-5, 1e16, 5e-324, -0.0])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ODD_BODIES = [
    *(b'{"a": 1, "a": 2}', b'{"a": 1e999}', b"[-1e999, 1]", b"[NaN, Infinity, -Infinity]", b"[nan, inf]"),
    *(b'{"a": "b\nc\t\x01"}', b'{"a": 1}\n\x00\x00 ', b"[" + b"9" * 5_000 + b"]", b"[" + b"1" * 400 + b".5]"),
    *(
        b'["\\ud800", "\\ud83d\\ude00"]',
        b'{"a": "caf\xe9"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": "é"}'.encode("utf-16"),
    ),
    *(
        b"[" * 150 + b"]" * 150,
        b"[" * 300 + b"]" * 300,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 250 + b"1" + b"}" * 250,
    ),
    *(
        b"[-0, -0.0, 0e99999, 1E5, 1e+5]",
        b'["\\/"]',
        b'{"": null}',
        b" [ ] ",
        b'"Infinity"',
        b"1e999",
        b"null",
    ),
]


def stored_as_before(body: bytes) -> str:
    """The text that was stored when Python's own parser read all answers."""
    return replace_surrogates(dumps(loads_answer(body)))


def assert_same(body: bytes) -> None:
    value, stored = read_answer(body)
    assert repr(value) == repr(loads_answer(body))  # -0.0 is not 0, 1 not 1.0 nor True
    text = stored.utf8.decode()
    before = stored_as_before(body)
    assert repr(json.loads(text)) == repr(json.loads(before))
    assert text == dumps(json.loads(text)) or any(number in before for number in ("e-", "e+", "0.0000"))


@settings(max_examples=200, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
@example({"a": [1e-5, 0.00012, 1e-320]}, True, None)
def test_answers_are_read_and_stored_as_python_reads_and_writes_them(
    value: Any, ascii: bool, indent: int | None
):
    """Whatever JSON a server sends, the value is the same to the type, and the text holds the same value."""
    body = json.dumps(value, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    assert_same(body)


@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: repr(body[:20]))
def test_odd_answers_too(body):
    """Keys that come twice, endless numbers, control characters, bytes that are no UTF-8, deep nesting."""
    assert_same(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[1,]", b"{} {}", b"[01]", b"[" * 100_000])
def test_what_is_no_json_raises(body):
    """As before."""
    with pytest.raises(ValueError):  # noqa: PT011
        read_answer(body)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@example([1e-5, 1.2e-7, 1e16, 1e22, 123456789012345680.0, 5e-324, 1.7976931348623157e308])
def test_a_float_is_the_same_number_however_it_is_spelled(floats):
    """`0.00001` and `1e-05` are one number: to Python, DuckDB and Polars, for the answer's text and the text before."""
    body = json.dumps({"a": floats}).encode()
    for text in (read_answer(body)[1].utf8.decode(), stored_as_before(body)):
        assert json.loads(text)["a"] == floats
        (read,) = duckdb.execute("SELECT CAST(?::JSON -> '$.a' AS DOUBLE[])", [text]).fetchone() or ()
        assert read == floats
        assert pl.Series([text]).str.json_decode(pl.Struct({"a": pl.List(pl.Float64)}))[0]["a"] == floats


def test_readers_of_the_column_find_what_the_server_said(tmp_path: Path):
    """DuckDB and Polars read the stored column as they read one that Python wrote."""
    bodies = [
        b'{"text": "caf\\u00e9 \\ud83d\\ude00 \\u0000 Infinity", "score": 2.5e-7}',
        b'{"score": 1e999, "text": "\\ud800"}',
    ]
    pq.write_table(
        pa.table({"answer": to_arrow([read_answer(body)[1] for body in bodies], Json)}),
        tmp_path / "a.parquet",
    )
    pq.write_table(
        pa.table({"answer": to_arrow([loads_answer(body) for body in bodies], Json)}), tmp_path / "b.parquet"
    )
    query = "SELECT answer ->> '$.text', CAST(answer ->> '$.score' AS DOUBLE) FROM read_parquet('{}')"
    ours, before = (
        duckdb.execute(query.format(tmp_path / name)).fetchall() for name in ("a.parquet", "b.parquet")
    )
    assert ours == before == [("café 😀 \0 Infinity", 2.5e-7), ("\ufffd", None)]
    kind = pl.Struct({"text": pl.String, "score": pl.Float64})
    ours, before = (
        pl.read_parquet(tmp_path / name)["answer"].ext.storage().str.json_decode(kind).to_list()
        for name in ("a.parquet", "b.parquet")
    )
    assert ours == before


def test_a_stored_object_is_read_when_somebody_looks_into_it():
    """It passes for the object it holds, and costs its text until then."""
    stored = StoredObject(b'{"a":[1],"b":null}')
    assert stored.nbytes == 18
    assert stored["a"] == [1]
    assert stored == {"a": [1], "b": None}
    assert {**stored, "c": 1} == {"a": [1], "b": None, "c": 1}
    assert stored != StoredObject(b"{}")
    assert stored == stored_json({"b": None, "a": [1]})
    assert stored_json(stored) is stored


@pytest.mark.parametrize("value", [[1], "a", 1.5, True, {"a": "\ud800"}])
def test_other_values_wait_as_their_text_too(value):
    """A column's Json is what `to_python` reads again."""
    waiting = to_store(value, Json)
    assert isinstance(waiting, StoredJson)
    assert to_python(to_arrow([waiting, None], Json)) == [json.loads(replace_surrogates(dumps(value))), None]
    assert to_store(None, Json) is None


def test_an_answer_that_was_changed_is_stored_as_it_is_then():
    """`responses` adds its text; a lone surrogate in it is replaced, as ever."""
    assert stored_answer({"a": 1, "text": "é"}).utf8 == '{"a":1,"text":"é"}'.encode()
    assert stored_answer({"text": "a\ud800"}).utf8 == '{"text":"a\ufffd"}'.encode()


def test_answers_hold_no_infinite_numbers():
    """They are null, also beside texts that speak of infinity."""
    value, stored = read_answer(b'{"a": 1e999, "b": "Infinity"}')
    assert value == {"a": None, "b": "Infinity"}
    assert stored.utf8 == b'{"a":null,"b":"Infinity"}'
    assert math.isfinite(read_answer(b"[1e308]")[0][0])


@given(
    st.text("AB+/=-_ \n", max_size=9) | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode())
)
@example("AAAA=")
@example("é")
def test_base64_is_decoded_as_the_standard_library_does(text):
    """The same bytes, and an error for the same texts."""
    try:
        expected = base64.b64decode(text, validate=True)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            base64_text.decode(text)
        return
    assert base64_text.decode(text) == expected
    assert base64_text.encode(memoryview(expected)) == base64.b64encode(expected)
