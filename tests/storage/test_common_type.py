import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets.errors import SourceError
from pxt_assets.storage.common_type import cast_to, common_type
from pxt_assets.storage.store import ColumnStore, load_as
from pxt_assets.values.conversion import to_python
from tests.arrow_kinds import STORABLE

DAY = datetime.date(2027, 3, 1)
NIGHT = datetime.datetime(2027, 3, 1)  # noqa: DTZ001
EIGHT = datetime.datetime(2027, 3, 1, 8)  # noqa: DTZ001
EIGHT_UTC = datetime.datetime(2027, 3, 1, 8, tzinfo=datetime.UTC)
TEXTS = pa.array(["a"])
UTC, BERLIN = pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")
D = decimal.Decimal
ID = uuid.UUID(int=7)

PAIRS: dict[str, tuple[pa.Array, pa.Array, pa.DataType, list[Any]]] = {
    "a wider integer": (pa.array([1], pa.int32()), pa.array([2**40]), pa.int64(), [1, 2**40]),
    "an unsigned integer": (pa.array([200], pa.uint8()), pa.array([-1], pa.int8()), pa.int16(), [200, -1]),
    "a float": (pa.array([2**53]), pa.array([0.5]), pa.float64(), [2.0**53, 0.5]),
    "a wider float": (pa.array([1], pa.int32()), pa.array([0.5], pa.float32()), pa.float64(), [1.0, 0.5]),
    "a decimal of integers": (
        pa.array([7]),
        pa.array([D("1.5")]),
        pa.decimal128(21, 1),
        [D("7.0"), D("1.5")],
    ),
    "a longer decimal": (
        pa.array([D("99.9")]),
        pa.array([D("1.25")]),
        pa.decimal128(4, 2),
        [D("99.90"), D("1.25")],
    ),
    "a float of decimals": (pa.array([D("1.5")]), pa.array([0.25], pa.float16()), pa.float64(), [1.5, 0.25]),
    "a timestamp of dates": (pa.array([DAY]), pa.array([EIGHT]), pa.timestamp("us"), [NIGHT, EIGHT]),
    "a finer timestamp": (
        pa.array([EIGHT], pa.timestamp("ms")),
        pa.array([NIGHT], pa.timestamp("us")),
        pa.timestamp("us"),
        [EIGHT, NIGHT],
    ),
    "another time zone": (
        pa.array([EIGHT_UTC], BERLIN),
        pa.array([EIGHT_UTC], UTC),
        UTC,
        [EIGHT_UTC, EIGHT_UTC],
    ),
    "a finer duration": (
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.duration("ms")),
        pa.duration("ms"),
        [datetime.timedelta(seconds=1), datetime.timedelta(milliseconds=1)],
    ),
    "large texts": (TEXTS, TEXTS.cast(pa.large_string()), pa.large_string(), ["a", "a"]),
    "views of texts": (TEXTS.cast(pa.string_view()), TEXTS, pa.string(), ["a", "a"]),
    "categories": (TEXTS.dictionary_encode(), TEXTS, pa.string(), ["a", "a"]),
    "text of UUIDs": (pa.array([ID], pa.uuid()), TEXTS, pa.string(), [str(ID), "a"]),
    "nulls": (pa.nulls(1), pa.array([ID], pa.uuid()), pa.uuid(), [None, ID]),
    "vectors": (
        pa.array([[1.0]], pa.list_(pa.float32(), 1)),
        pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
        pa.list_(pa.float32()),
        [[1.0], [1.0, 2.0]],
    ),
    "empty lists": (
        pa.array([[]], pa.list_(pa.null())),
        pa.array([["a"]]),
        pa.list_(pa.string()),
        [[], ["a"]],
    ),
    "an added field": (
        pa.array([{"a": 1}, None]),
        pa.array([{"b": "x", "a": 0.5}]),
        pa.struct([("a", pa.float64()), ("b", pa.string())]),
        [{"a": 1.0, "b": None}, None, {"a": 0.5, "b": "x"}],
    ),
    "an added field in lists": (
        pa.array([[{"a": 1}], None]),
        pa.array([[{"b": "x"}]]),
        pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())])),
        [[{"a": 1, "b": None}], None, [{"a": None, "b": "x"}]],
    ),
    "values of a map": (
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32())),
        pa.array([[("k", 2)]], pa.map_(pa.string(), pa.int64())),
        pa.map_(pa.string(), pa.int64()),
        [[("k", 1)], [("k", 2)]],
    ),
}
JSON = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}']))


@pytest.mark.parametrize(("one", "other", "common", "expected"), PAIRS.values(), ids=PAIRS)
def test_the_common_type_holds_the_values_of_both(
    one: pa.Array, other: pa.Array, common: pa.DataType, expected: Any
):
    """Whichever comes first."""
    found = common_type([one.type, other.type])
    assert found == common
    assert [*to_python(cast_to(one, found)), *to_python(cast_to(other, found))] == expected
    swapped = common_type([other.type, one.type])
    assert to_python(cast_to(one, swapped)) == to_python(cast_to(one, found))


@pytest.mark.parametrize(("one", "other", "common", "expected"), PAIRS.values(), ids=PAIRS)
def test_datasets_give_the_same_or_refuse(
    tmp_path: Path, one: pa.Array, other: pa.Array, common: pa.DataType, expected: Any
):
    """Arrow reads files lazily with casts of its own, which take some extension types for their bytes."""
    store, key = ColumnStore(base_path=str(tmp_path)), dg.AssetKey("t")
    for day, array in (("mon", one), ("tue", other)):
        store._store(key, day, pa.table({"n": range(len(array)), "c": array}))
    dataset = load_as(ds.Dataset, {day: store.file(key, day) for day in ("mon", "tue")}, "t")
    assert dataset.to_table(columns=["n"]).num_rows == dataset.count_rows() == len(expected)
    if pa.uuid() in (one.type, other.type) and pa.types.is_string(common):
        with pytest.raises(SourceError, match=r"the column 'c' is .* in mon, .* in tue"):
            dataset.to_table()
    else:
        assert to_python(dataset.to_table()["c"]) == expected


@pytest.mark.parametrize("one", [pa.array([[1]]), pa.array([{"b": None}]), pa.array([[]]), JSON, pa.nulls(1)])
def test_lists_and_objects_beside_json_are_json(one: pa.Array):
    """As they would be in one list of dicts."""
    common = common_type([one.type, JSON.type])
    assert common == common_type([JSON.type, one.type]) == pa.json_()
    assert to_python(cast_to(one, common)) == to_python(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("int64", "string"),
        ("bool", "int64"),
        ("json", "string"),
        ("json", "int64"),
        ("timestamp[us]", "timestamp in Berlin"),
        ("date32[day]", "timestamp in Berlin"),
        ("struct", "list"),
        ("uuid", "int64"),
        ("opaque", "string"),
        ("a user's", "uuid"),
        ("list", "fixed list"),
    ],
)
def test_other_types_have_nothing_in_common(one: str, other: str):
    """Neither is taken for the other."""
    assert common_type([STORABLE[one].type, STORABLE[other].type]) is None
    assert common_type([STORABLE[other].type, STORABLE[one].type]) is None


def test_only_what_is_read_of_a_dataset_must_fit(tmp_path: Path):
    """By pyarrow, and by DuckDB, which reads it too."""
    store, key = ColumnStore(base_path=str(tmp_path)), dg.AssetKey("t")
    store._store(key, "mon", pa.table({"id": [1], "amount": [1], "usd": [1]}))
    store._store(key, "tue", pa.table({"id": [2], "amount": ["2"], "usd": [0.5], "campaign": ["spring"]}))
    dataset = load_as(ds.Dataset, {day: store.file(key, day) for day in ("mon", "tue")}, "t")
    read = dataset.filter(ds.field("id") > 0).to_table(columns=["usd", "campaign"])
    assert read.to_pydict() == {"usd": [1.0, 0.5], "campaign": [None, "spring"]}
    assert duckdb.sql("SELECT sum(usd), count(*) FROM dataset").fetchall() == [(1.5, 2)]
    for some in (dataset, dataset.filter(ds.field("id") > 0)):
        with pytest.raises(SourceError, match="the column 'amount' is int64 in mon, string in tue"):
            some.to_table()
