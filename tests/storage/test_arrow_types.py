"""Every type of Arrow: stored and loaded, joined, as a key and in a prompt, or refused by name."""

import json
import uuid
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets.compute.partition.keys import check_unique, have_same_keys, key_text
from pxt_assets.errors import RunError, SourceError
from pxt_assets.storage.rows import concat_rows, rows_of
from pxt_assets.storage.store import ColumnStore, load_as
from pxt_assets.values.conversion import back_to_arrow, copied_type, to_python
from pxt_assets.values.json_text import dumps
from pxt_assets.values.types import is_json
from tests.arrow_kinds import BYTES, NESTED, NOT_STORABLE, PLAIN, SPANS_OF_TIME, STORABLE

KEY = dg.AssetKey("tickets")


def texts(values: list[object]) -> list[str]:
    return [str(value) for value in values]


def table(array: pa.Array) -> pa.Table:
    return pa.table({"id": range(len(array)), "c": array})


def store(folder: Path, *parts: object) -> dict[str, object]:
    """The files of partitions that were stored."""
    store = ColumnStore(base_path=str(folder))
    for i, part in enumerate(parts):
        store._store(KEY, f"day {i}", part)
    return {f"day {i}": store.file(KEY, f"day {i}") for i in range(len(parts))}


@pytest.mark.parametrize("array", STORABLE.values(), ids=STORABLE)
def test_stored_and_loaded(tmp_path: Path, array: pa.Array):
    """The values that come back are those that went in, in whichever form they are loaded."""
    given = table(array)
    for i, value in enumerate((given, given.to_reader(), ds.dataset(given))):
        files = store(tmp_path / str(i), value)
        assert texts(to_python(load_as(pa.Table, files, "a")["c"])) == texts(to_python(array))
    assert len(load_as(pd.DataFrame, files, "a")) == 3
    assert load_as(ds.Dataset, files, "a").to_table().num_rows == 3
    rows = load_as(list, files, "a")
    assert texts([row["c"] is None for row in rows]) == texts([v is None for v in array.to_pylist()])


@pytest.mark.parametrize("array", STORABLE.values(), ids=STORABLE)
def test_partitions_are_joined(tmp_path: Path, array: pa.Array):
    """With others of the same type, with nulls, and with none of the column."""
    files = store(tmp_path, table(array), table(pa.nulls(1)), pa.table({"id": [7]}), table(array[1:]))
    expected = texts([*to_python(array), None, None, *to_python(array[1:])])
    loaded = load_as(pa.Table, files, "a")
    assert texts(to_python(loaded["c"])) == expected
    batches = concat_rows([rows_of(table(array)), rows_of(table(array[1:]))]).batches(["c"], 10)
    assert [texts(to_python(batch["c"])) for batch in batches] == [texts(to_python(array)) + expected[5:]]


@pytest.mark.parametrize("array", NOT_STORABLE.values(), ids=NOT_STORABLE)
def test_what_parquet_lacks_is_refused_by_name(tmp_path: Path, array: pa.Array):
    """The message names the asset, the column, its type, and what to do."""
    for value in (table(array), table(array).to_reader()):
        with pytest.raises(
            SourceError, match=r"tickets\[day 0\]: the column 'c' is .*, and Parquet has no .*; convert it"
        ):
            store(tmp_path, value)


@pytest.mark.parametrize("array", [*PLAIN.values(), *BYTES.values()], ids=[*PLAIN, *BYTES])
def test_keys(array: pa.Array):
    """Different values are different keys, repeated ones are told, and both are known again once they are stored."""
    (batch,) = rows_of(table(array[:2])).batches(["c"], 10)
    check_unique([batch], ["c"], "tickets")
    assert have_same_keys(batch, [batch])
    assert not have_same_keys(batch, [batch.slice(1), batch.slice(0, 1)])
    (first,) = to_python(batch["c"][:1])
    assert key_text(["c"], batch) == f"c={(str(first) if isinstance(first, uuid.UUID) else first)!r}"
    with pytest.raises(RunError, match="the key c is not unique"):
        check_unique([batch, batch], ["c"], "tickets")


@pytest.mark.parametrize(
    "array",
    [array for name, array in {**NESTED, **NOT_STORABLE}.items()],
    ids=[*NESTED, *NOT_STORABLE],
)
def test_no_keys(array: pa.Array):
    """Lists, objects and what is not compared: the message names the key and its type."""
    batches = list(rows_of(table(array[:1])).batches(["c"], 10))
    with pytest.raises(
        RunError, match=r"tickets: the key c cannot identify rows \(values of the type .*; allowed"
    ):
        check_unique(batches, ["c"], "tickets")


@pytest.mark.parametrize("array", [*PLAIN.values(), *NESTED.values()], ids=[*PLAIN, *NESTED])
def test_prompts(array: pa.Array):
    """As text: categories as what they stand for, UUIDs in their usual form."""
    (text, *_) = (dumps(value) for value in to_python(rows_of(table(array)).table(["c"])["c"]))
    (first, *_) = to_python(array)
    assert text == dumps(first)
    if isinstance(first, uuid.UUID):
        assert text == f'"{first}"'


@pytest.mark.parametrize("array", [*BYTES.values(), *SPANS_OF_TIME.values()], ids=[*BYTES, *SPANS_OF_TIME])
def test_no_prompts(array: pa.Array):
    """Of bytes and durations there is no form that all would mean; the message says what was got."""
    with pytest.raises(TypeError, match=r"got \w+ where JSON is needed"):
        dumps(to_python(array)[0])


@pytest.mark.parametrize("array", STORABLE.values(), ids=STORABLE)
def test_copies(tmp_path: Path, array: pa.Array):
    """A computed column that copies another holds its values, as Json where Arrow has no way back."""
    read = rows_of(table(array)).table(["c"])["c"]
    copy = back_to_arrow(to_python(read), copied_type(read.type))
    files = store(tmp_path, table(copy))
    loaded = to_python(load_as(pa.Table, files, "a")["c"])
    assert loaded == (json.loads(dumps(to_python(read))) if is_json(copy.type) else to_python(read))


def test_categories_numbered_in_eight_bits(tmp_path: Path):
    """Two partitions may have more categories together than either can number."""
    parts = [pa.table({"c": pa.array([f"{day}{i}" for i in range(100)]).dictionary_encode()}) for day in "ab"]
    narrow = [part.cast(pa.schema([("c", pa.dictionary(pa.int8(), pa.string()))])) for part in parts]
    files = store(tmp_path, *narrow, pa.concat_tables(narrow))
    assert (
        load_as(pa.Table, files, "a")["c"].to_pylist()
        == [*parts[0]["c"].to_pylist(), *parts[1]["c"].to_pylist()] * 2
    )
    assert str(load_as(pd.DataFrame, files, "a")["c"].dtype) == "category"


@pytest.mark.parametrize("reader", [False, True])
def test_columns_of_one_name_are_refused(tmp_path: Path, reader: bool):
    """Which one is meant would be a guess."""
    given = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "a"])
    with pytest.raises(SourceError, match=r"tickets\[day 0\]: the table has more than one column named 'a'"):
        store(tmp_path, given.to_reader() if reader else given)


def test_uuids_in_lists_and_objects_are_loaded_as_such(tmp_path: Path):
    """Arrow would give pandas their bytes."""
    frame = load_as(pd.DataFrame, store(tmp_path / "l", table(NESTED["list of UUIDs"])), "a")
    assert frame["c"].tolist()[0] == [uuid.UUID(int=1)]
    frame = load_as(pd.DataFrame, store(tmp_path / "s", table(NESTED["struct of UUIDs"])), "a")
    assert frame["c"].tolist()[0] == {"u": uuid.UUID(int=1)}
