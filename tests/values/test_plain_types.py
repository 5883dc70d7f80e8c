import pyarrow as pa
import pytest

from pxt_assets.values.plain_types import as_plain, plain_type
from tests.arrow_kinds import NOT_STORABLE, STORABLE

EVERY = {**STORABLE, **NOT_STORABLE}
UNCHANGED = ("string_view", "uuid", "json", "timestamp in Berlin", "struct", "list", "a user's", "opaque")


def python(array: pa.Array) -> list[object]:
    return [str(value) for value in array.to_pylist()]


@pytest.mark.parametrize("array", EVERY.values(), ids=EVERY)
def test_values_stay_what_they_are(array: pa.Array):
    """Of every type, of slices of it, and inside lists."""
    in_lists = pa.ListArray.from_arrays(pa.array([0, 1, len(array)], pa.int32()), array)
    for given in (array, array[1:], array[1:2], array[:0], in_lists, in_lists[1:]):
        plain = as_plain(given)
        plain.validate(full=True)
        assert plain.type == plain_type(given.type)
        assert python(plain) == python(given)


@pytest.mark.parametrize("name", UNCHANGED)
def test_other_types_are_left_alone(name: str):
    """No copy is made of what can be read as it is."""
    assert as_plain(EVERY[name]) is EVERY[name]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("categories of polars", pa.dictionary(pa.int32(), pa.string())),
        ("categories in int8", pa.dictionary(pa.int32(), pa.string())),
        ("categories of dates", pa.date32()),
        ("categories of UUIDs", pa.uuid()),
        ("runs", pa.string()),
        ("bool8", pa.bool_()),
        ("list of runs", pa.list_(pa.string())),
    ],
)
def test_the_plain_type(name: str, plain: pa.DataType):
    """The nearest that Parquet and Arrow's functions take."""
    assert plain_type(EVERY[name].type) == plain


def test_nulls_in_lists_of_a_fixed_length_keep_their_place():
    """A null list has places for items, but no items."""
    items = STORABLE["categories of polars"]
    lists = pa.FixedSizeListArray.from_arrays(items, 1, mask=pa.array([True, False, False]))
    assert as_plain(lists).to_pylist() == [None, ["b"], [None]]
