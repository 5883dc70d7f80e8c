"""The digest of a table's contents."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.types import Json

ROWS = st.lists(
    st.tuples(
        st.none() | st.text(max_size=5),
        st.none() | st.integers(-5, 5),
        st.none() | st.lists(st.none() | st.sampled_from([-1.5, 0.0, 0.25]), max_size=3),
        st.none()
        | st.fixed_dictionaries({"a": st.none() | st.booleans(), "b": st.none() | st.binary(max_size=3)}),
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "number": pa.int64(),
        "vector": pa.list_(pa.float32()),
        "struct": pa.struct({"a": pa.bool_(), "b": pa.binary()}),
    }
)


def table(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 4
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def of(*tables):
    contents = ContentsDigest()
    for one in tables:
        contents.add(one)
    return contents.hexdigest()


@given(ROWS, st.integers(0, 12), ROWS)
@settings(max_examples=150, derandomize=True)
def test_equal_rows_are_equal_however_they_come(rows, cut, before):
    """In one batch or two, sliced out of others, with or without room for nulls."""
    whole = table(rows)
    inside = (
        pa.concat_tables([table(before), whole, table(before)]).combine_chunks().slice(len(before), len(rows))
    )
    assert (
        of(whole)
        == of(whole.slice(0, cut), whole.slice(cut))
        == of(inside)
        == of(whole.take(pa.array(range(len(rows)), pa.int64())))
    )


@given(ROWS, ROWS)
@settings(max_examples=200, derandomize=True)
def test_other_rows_are_others(rows, others):
    """A value, a null, an order, a length: whatever differs."""
    assert (of(table(rows)) == of(table(others))) == (table(rows).to_pylist() == table(others).to_pylist())


def test_dictionaries_are_their_values():
    """Codes mean another text in each batch."""
    plain = pa.table({"a": ["x", "y", None, "x"]})
    coded = pa.table({"a": plain["a"].combine_chunks().dictionary_encode()})
    assert of(plain) != of(pa.table({"a": ["x", "y", None, "y"]}))
    assert of(coded) == of(coded.slice(0, 1), coded.slice(1))
    assert of(coded) != of(pa.table({"a": pa.array(["x", "y", None, "y"]).dictionary_encode()}))


@pytest.mark.parametrize(
    "values",
    [
        to_arrow([{"a": 1}, None], Json),
        pa.FixedSizeListArray.from_arrays(pa.array(np.arange(4, dtype=np.float32)), 2),
        pa.array([None, None]),
        pa.array([1, 2], pa.timestamp("us", tz="UTC")),
        pa.array(["a", None], pa.large_string()),
    ],
)
def test_every_type_of_a_column_has_contents(values):
    """Json, vectors of a fixed length, nulls, times, keys of any kind."""
    assert of(pa.table({"a": values})) == of(
        pa.table({"a": values.slice(0, 1)}), pa.table({"a": values.slice(1)})
    )
    assert of(pa.table({"a": values})) != of(pa.table({"a": values.slice(0, 1)}))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string_view(), ["x", None, "yz"]),
        (pa.binary_view(), [b"x", None, b"yz"]),
        (pa.struct({"b": pa.binary_view()}), [{"b": b"x"}, None, {"b": None}]),
        (pa.list_(pa.string_view()), [["x"], None, []]),
        (pa.list_(pa.binary_view(), 1), [[b"x"], None, [None]]),
        (pa.list_view(pa.string_view()), [["x"], None, []]),
        (pa.map_(pa.string(), pa.string_view()), [[("a", "b")], None, []]),
        (pa.run_end_encoded(pa.int32(), pa.int8()), [1, 1, None]),
    ],
    ids=str,
)
def test_types_that_arrow_can_do_little_with(kind, values):
    """Whatever a user's own assets write: no kernel of Arrow's takes or filters most of these."""
    array = pa.array(values, kind)
    other = pa.array([*values[:-1], values[0]], kind)
    assert of(pa.table({"c": array})) == of(pa.table({"c": array[:1]}), pa.table({"c": array[1:]}))
    assert of(pa.table({"c": array})) != of(pa.table({"c": other}))
