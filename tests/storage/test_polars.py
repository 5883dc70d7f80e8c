"""Tables of polars and DuckDB, whose types are not those of pyarrow's own tables."""

import datetime
import decimal
import uuid
from pathlib import Path

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pxt_assets.errors import SourceError
from pxt_assets.storage.store import ColumnStore, load_as
from pxt_assets.values.conversion import to_python

KEY = dg.AssetKey("tickets")
ID = uuid.UUID(int=7)
SERIES = {
    "categorical": pl.Series(["a", "b", None], dtype=pl.Categorical),
    "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["b", "a"])),
    "list of categories": pl.Series([["a"], ["b", "a"], None], dtype=pl.List(pl.Categorical)),
    "text": pl.Series(["a", "b", None]),
    "list of texts": pl.Series([["a"], ["b", "c"], None]),
    "struct": pl.Series([{"a": "x", "b": [1]}, {"a": "y", "b": []}, {"a": None, "b": None}]),
    "array": pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int64, 2)),
    "decimal": pl.Series([decimal.Decimal("1.5"), decimal.Decimal("2.25"), None]),
    "time": pl.Series([datetime.time(8), datetime.time(9, 30), None]),
    "duration": pl.Series([datetime.timedelta(seconds=1), datetime.timedelta(days=2), None]),
    "bytes": pl.Series([b"a", b"b", None]),
    "null": pl.Series([None, None, None]),
    "objects": pl.Series([ID, uuid.UUID(int=8), None], dtype=pl.Object),
}


def store(folder: Path, *parts: object) -> dict[str, object]:
    store = ColumnStore(base_path=str(folder))
    for i, part in enumerate(parts):
        store._store(KEY, f"{i}", part)
    return {f"{i}": store.file(KEY, f"{i}") for i in range(len(parts))}


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_every_type_of_polars(tmp_path: Path, series: pl.Series):
    """Comes back as it went in, also of several partitions, and as a DataFrame of pandas."""
    frame = pl.DataFrame({"id": [1, 2, 3], "c": series})
    files = store(tmp_path, frame, frame[1:])
    assert to_python(load_as(pa.Table, files, "a")["c"]) == [*series.to_list(), *series[1:].to_list()]
    assert len(load_as(pd.DataFrame, files, "a")) == 5


def test_categories_of_other_partitions_are_others(tmp_path: Path):
    """Each frame numbers its own."""
    frames = [
        pl.DataFrame({"c": pl.Series(names, dtype=pl.Categorical)}) for names in (["a", "b"], ["c", "a"])
    ]
    files = store(tmp_path, *frames, pl.DataFrame({"c": ["d"]}))
    assert load_as(pa.Table, files, "a")["c"].to_pylist() == ["a", "b", "c", "a", "d"]


def test_objects_are_values_and_not_places_in_memory(tmp_path: Path):
    """Which is what polars gives of them; mixed ones are refused by name."""
    frame = pl.DataFrame({"c": pl.Series([1, "a"], dtype=pl.Object), "n": [1, 2]})
    with pytest.raises(SourceError, match=r"tickets\[0\]: column 'c' holds int and str"):
        store(tmp_path, frame)
    files = store(tmp_path, pl.DataFrame({"id": SERIES["objects"], "n": [1, 2, 3]}))
    assert load_as(pa.Table, files, "a").column_names == ["id", "n"]


def test_what_arrow_lacks_is_refused_by_name(tmp_path: Path):
    """Integers of 128 bits have no type in Arrow."""
    frame = pl.DataFrame({"n": [1], "big": pl.Series([1], dtype=pl.Int128)})
    with pytest.raises(SourceError, match=r"tickets\[0\]: .*: the columns 'big'; convert them upstream"):
        store(tmp_path, frame)


@pytest.mark.parametrize("lossless", [False, True])
def test_types_of_duckdb(tmp_path: Path, lossless: bool):
    """ENUMs, UUIDs, JSON and booleans, in both of the forms in which it gives them."""
    database = duckdb.connect()
    database.execute("CREATE TYPE mood AS ENUM ('bad', 'good')")
    database.execute(f"SET arrow_lossless_conversion = {lossless}")
    query = f"SELECT 'good'::mood AS mood, ['bad'::mood] AS moods, '{ID}'::UUID AS id, true AS ok, {{'a': 1}} AS s"
    files = store(tmp_path, database.sql(query))
    read = store(tmp_path / "read", database.sql(query).to_arrow_reader())
    loaded = load_as(pa.Table, {**files, "read": read["0"]}, "a")
    assert [str(value) for value in loaded["id"].to_pylist()] == [str(ID)] * 2
    assert (
        loaded.drop_columns("id").to_pylist()
        == [{"mood": "good", "moods": ["bad"], "ok": True, "s": {"a": 1}}] * 2
    )
    with pytest.raises(SourceError, match="the column 'span' is month_day_nano_interval, and Parquet has no"):
        store(tmp_path, database.sql("SELECT INTERVAL 1 DAY AS span"))


@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame], ids=["eager", "lazy"])
def test_enums_of_partitions_that_have_other_values(tmp_path: Path, kind: type):
    """Their values are kept, also in lists and objects; the type of all is an Enum only where all have the same one."""
    both = pl.Enum(["a", "b"])

    def frame(day: str) -> pl.DataFrame:
        own = pl.Series([day], dtype=pl.Enum([day, "z"]))
        inside = pl.DataFrame({"own": own})
        return inside.with_columns(
            pl.Series("both", [day], dtype=both), list=pl.concat_list("own"), struct=pl.struct("own")
        )

    loaded = load_as(kind, store(tmp_path, frame("a"), frame("b"), frame("a")), "a").lazy().collect()
    assert loaded["own"].cast(pl.String).to_list() == ["a", "b", "a"]
    assert loaded["list"].to_list() == [["a"], ["b"], ["a"]]
    assert loaded["struct"].to_list() == [{"own": "a"}, {"own": "b"}, {"own": "a"}]
    assert loaded.schema["both"] == both
    mixed = pl.DataFrame({"own": ["text"]})
    loaded = load_as(kind, store(tmp_path / "mixed", frame("a").select("own"), mixed), "a").lazy().collect()
    assert loaded["own"].cast(pl.String).to_list() == ["a", "text"]
