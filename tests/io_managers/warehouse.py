"""Tables in a warehouse: one table holds the rows of all partitions, told apart by a column."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, Table
from tests.io_managers.installed import installed
from tests.runs import stored

dagster_deltalake = installed("dagster_deltalake")
dagster_deltalake_pandas = installed("dagster_deltalake_pandas")
dagster_deltalake_polars = installed("dagster_deltalake_polars")
dagster_duckdb = installed("dagster_duckdb")
dagster_duckdb_pandas = installed("dagster_duckdb_pandas")
dagster_duckdb_polars = installed("dagster_duckdb_polars")
dagster_polars = installed("dagster_polars")
polars = installed("polars")

DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-16")
WEEKS = dg.WeeklyPartitionsDefinition("2026-03-01", end_date="2026-03-15")
LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])


def duckdb_pandas(folder: Path) -> Any:
    return dagster_duckdb_pandas.DuckDBPandasIOManager(database=str(folder / "db.duckdb"))


def duckdb_polars(folder: Path) -> Any:
    return dagster_duckdb_polars.DuckDBPolarsIOManager(database=str(folder / "db.duckdb"))


def duckdb_both(folder: Path) -> Any:
    """One that has handlers of two types, and says not which of them it likes."""

    class Both(dagster_duckdb.DuckDBIOManager):  # type: ignore[misc]
        @staticmethod
        def type_handlers() -> Sequence[Any]:
            return [
                dagster_duckdb_pandas.DuckDBPandasTypeHandler(),
                dagster_duckdb_polars.DuckDBPolarsTypeHandler(),
            ]

    return Both(database=str(folder / "db.duckdb"))


def delta(folder: Path, io_manager: Any) -> Any:
    return io_manager(root_uri=str(folder / "delta"), storage_options=dagster_deltalake.LocalConfig())


def delta_pyarrow(folder: Path) -> Any:
    return delta(folder, dagster_deltalake.DeltaLakePyarrowIOManager)


def delta_pandas(folder: Path) -> Any:
    return delta(folder, dagster_deltalake_pandas.DeltaLakePandasIOManager)


def delta_polars(folder: Path) -> Any:
    return delta(folder, dagster_deltalake_polars.DeltaLakePolarsIOManager)


def polars_parquet(folder: Path) -> Any:
    return dagster_polars.PolarsParquetIOManager(base_dir=str(folder / "parquet"))


MANAGERS = {
    made.__name__: made
    for made in (
        duckdb_pandas,
        duckdb_polars,
        duckdb_both,
        delta_pyarrow,
        delta_pandas,
        delta_polars,
        polars_parquet,
    )
}
"""IO managers by name, made in a folder."""


def in_form(kind: str, rows: Mapping[str, Sequence[Any]]) -> Any:
    """Rows in the form that the IO manager called `kind` stores."""
    table = pa.table(rows)
    if kind.endswith("pandas"):
        return table.to_pandas()
    return table if kind.endswith("pyarrow") else polars.from_arrow(table)


def rows_of_keys(keys: Sequence[str]) -> dict[str, list[Any]]:
    """Two rows of each partition: an id, the partition as `part`, and a body that tells both."""
    parts = [key for key in keys for _ in range(2)]
    bodies = [f"{key} {i}" for key in keys for i in range(2)]
    return {"id": bodies, "body": bodies, "part": parts}


def warehouse_asset(
    kind: str,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    partition_expr: Any = "part",
    **options: Any,
) -> dg.AssetsDefinition:
    """A table `tickets` in the warehouse, with two rows of each partition of a run, of days with the date as `day`."""

    @dg.asset(
        partitions_def=partitions_def,
        metadata={"partition_expr": partition_expr},
        io_manager_key="warehouse",
        backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
        **options,
    )
    def tickets(context: dg.AssetExecutionContext) -> Any:
        rows = rows_of_keys(context.partition_keys if partitions_def else ["all"])
        if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
            rows["day"] = [date.fromisoformat(part) for part in rows["part"]]
        if isinstance(partitions_def, dg.MultiPartitionsDefinition):
            for dimension, i in (("color", 0), ("size", 1)):
                rows[dimension] = [part.split("|")[i] for part in rows["part"]]
        return in_form(kind, rows)

    return tickets


def bodies(store: ColumnStore, partition: str | None = None, asset: str = "tickets/copy") -> list[Any]:
    """What a partition of the column was computed from."""
    return [text[len('{"text":"') : -2] for text in stored(store, asset, partition)["copy"].to_pylist()]


def copied(upstream: dg.AssetsDefinition, partition_mapping: Any = None, **options: Any) -> Table:
    """A table over `upstream` with a column that copies its texts."""
    table = Table(upstream, key="id", **options)
    table.add_computed_column(copy={"text": table.body}, partition_mapping=partition_mapping)
    return table
