"""What a downstream parameter may be annotated with, in a run of Dagster's, and what it is given then."""

import collections.abc
import re
import typing
from collections.abc import Callable
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets import ColumnStore
from pxt_assets.errors import SourceError
from pxt_assets.storage.loading import load_as
from tests.runs import materialize

DAYS = ("mon", "tue")
PARTITIONS = dg.StaticPartitionsDefinition([*DAYS, "wed"])
EVERY_DAY = {"partition_mapping": dg.SpecificPartitionsPartitionMapping([*DAYS])}


def loaded(store: ColumnStore, annotation: Any, value: Any = None, *, partitioned: bool = False) -> Any:
    """What an asset's parameter `x` is given that is annotated so."""
    seen: list[Any] = []

    @dg.asset(io_manager_key="columns", partitions_def=PARTITIONS if partitioned else None)
    def up(context: dg.AssetExecutionContext) -> pa.Table:
        if partitioned:
            return pa.table({"id": [DAYS.index(context.partition_key)]})
        return value if value is not None else pa.table({"id": [1, 2]})

    def down(x):  # type: ignore[no-untyped-def]
        seen.append(x)

    if annotation is not None:
        down.__annotations__["x"] = annotation
    asset = dg.asset(ins={"x": dg.AssetIn("up", **(EVERY_DAY if partitioned else {}))})(down)
    for day in DAYS if partitioned else ():
        materialize([up], store, partition=day)
    only = ["down"] if partitioned else None
    materialize([up, asset], store, only=only, resources={"io_manager": dg.mem_io_manager})
    return seen[0]


def refused(store: ColumnStore, annotation: Any, *, partitioned: bool = False) -> str:
    """What is said of an annotation."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        loaded(store, annotation, partitioned=partitioned)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, SourceError):
        error = error.__cause__
    return str(error)


IDS: dict[Any, Callable[[Any], list[int]]] = {
    pa.Table: lambda x: x["id"].to_pylist(),
    pa.RecordBatchReader: lambda x: x.read_all()["id"].to_pylist(),
    ds.Dataset: lambda x: x.to_table()["id"].to_pylist(),
    ds.FileSystemDataset: lambda x: x.to_table()["id"].to_pylist(),
    pd.DataFrame: lambda x: x["id"].tolist(),
    list: lambda x: [row["id"] for row in x],
    list[dict]: lambda x: [row["id"] for row in x],
    list[dict[str, Any]]: lambda x: [row["id"] for row in x],
}
TYPES = {str(kind): kind for kind in IDS}


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
class TestEachType:
    def test_is_what_it_says(self, store: ColumnStore, kind: Any) -> None:
        """Dagster checks it as well."""
        x = loaded(store, kind)
        assert isinstance(x, typing.get_origin(kind) or kind)
        assert IDS[kind](x) == [1, 2]

    def test_may_be_optional(self, store: ColumnStore, kind: Any) -> None:
        """In both spellings."""
        assert IDS[kind](loaded(store, kind | None)) == [1, 2]
        assert IDS[kind](loaded(store, typing.Optional[kind])) == [1, 2]  # noqa: UP045

    def test_has_all_partitions_in_order(self, store: ColumnStore, kind: Any) -> None:
        """As one table."""
        assert IDS[kind](loaded(store, kind, partitioned=True)) == [0, 1]

    @pytest.mark.parametrize("mapping", [dict, collections.abc.Mapping, typing.Dict, typing.Mapping])  # noqa: UP006
    def test_comes_by_partition_in_a_dict(self, store: ColumnStore, kind: Any, mapping: Any) -> None:
        """One of each."""
        found = loaded(store, mapping[str, kind], partitioned=True)
        assert {key: IDS[kind](x) for key, x in found.items()} == {"mon": [0], "tue": [1]}


@pytest.mark.parametrize("annotation", [None, Any, object])
def test_a_table_comes_where_nothing_else_is_asked_for(store: ColumnStore, annotation: Any) -> None:
    """It costs no conversion."""
    assert loaded(store, annotation) == pa.table({"id": [1, 2]})


def test_an_annotation_may_be_a_string(store: ColumnStore) -> None:
    """As all are with `from __future__ import annotations`."""
    assert isinstance(loaded(store, "pd.DataFrame"), pd.DataFrame)


@pytest.mark.parametrize("annotation", [dict, dict[str, Any], typing.Mapping[str, Any]])
def test_a_dict_of_anything_is_one_of_tables(store: ColumnStore, annotation: Any) -> None:
    """By partition."""
    found = loaded(store, annotation, partitioned=True)
    assert found == {"mon": pa.table({"id": [0]}), "tue": pa.table({"id": [1]})}


def test_a_dict_of_one_partition_has_one_key(store: ColumnStore) -> None:
    """How many there are is not the annotation's matter."""
    store.file(dg.AssetKey("a"), "mon").write(pa.schema([("id", pa.int64())]), [], {})
    files = {"mon": store.file(dg.AssetKey("a"), "mon")}
    assert list(load_as(dict[str, pa.Table], files, "a")) == ["mon"]  # type: ignore[arg-type, call-overload]


def test_a_dict_of_an_asset_without_partitions_is_refused(store: ColumnStore) -> None:
    """There is nothing to name its values by."""
    said = refused(store, dict[str, pd.DataFrame])
    assert "up: got the annotation dict[str, pandas" in said.replace("typing.Dict", "dict")
    assert "for an asset without partitions; allowed: pyarrow.Table" in said


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (str, "str"),
        (np.ndarray, "numpy.ndarray"),
        (pd.Series, "Series"),
        (list[int], "List[int]"),
        (pa.RecordBatch, "pyarrow.lib.RecordBatch"),
        (dict[str, int], "Dict[str, int]"),
        (set, "set"),
    ],
)
@pytest.mark.parametrize("partitioned", [False, True])
def test_another_type_is_refused(store: ColumnStore, annotation: Any, name: str, partitioned: bool) -> None:
    """Before a wrong value comes to the function: what was got, and what is allowed."""
    said = refused(store, annotation, partitioned=partitioned)
    assert re.match(r"up: got the annotation \S*", said)
    assert name in said
    assert "allowed: pyarrow.Table (also without an annotation), pyarrow.RecordBatchReader" in said


def test_types_that_a_custom_dagster_type_gives() -> None:
    """Dagster itself refuses these in an annotation."""
    store = ColumnStore(base_path="memory://loading")
    file = store.file(dg.AssetKey("a"))
    file.write(pa.schema([("id", pa.int64())]), [pa.table({"id": [1]})], {})
    for wanted in (typing.Annotated[pd.DataFrame, "x"], typing.Annotated[pd.DataFrame | None, "x"]):
        assert isinstance(load_as(wanted, {None: file}, "a"), pd.DataFrame)
    with pytest.raises(SourceError, match="allowed"):
        load_as(pd.DataFrame | pa.Table, {None: file}, "a")


def test_a_reader_reads_as_it_is_asked(store: ColumnStore) -> None:
    """Not all at once: a second batch is in memory only when it is read."""
    file = store.file(dg.AssetKey("a"))
    file.write(pa.schema([("id", pa.int64())]), [pa.table({"id": range(25_000)})], {})
    reader = load_as(pa.RecordBatchReader, {None: file}, "a")
    assert isinstance(reader, pa.RecordBatchReader)
    first = reader.read_next_batch()
    assert 0 < first.num_rows < 25_000
    assert first["id"].to_pylist() + reader.read_all()["id"].to_pylist() == list(range(25_000))
