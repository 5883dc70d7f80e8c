"""Where a step keeps what it computes, and the value of its asset for those who ask a result for it.

A column lies in its ColumnStore, and its step hands no value to Dagster. Tests do without the store
(`materialize_to_memory`, direct invocation): then the column is computed in a folder that is removed at the end, and its
value is the step's result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
from dagster._core.execution.plan.outputs import StepOutputHandle

from pxt_assets.assets.step.invocation import is_direct
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.storage.store import ColumnStore

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from pxt_assets.storage.parquet import ParquetFile

_MAX_TABLE_BYTES = 64 * 2**20
"""Bytes in memory up to which a value of a result is a table: all results of a process are in its memory at once."""
_ROWS = 8_192


class StepStore(NamedTuple):
    """The store of a step."""

    store: ColumnStore
    is_temporary: bool
    """Whether it is removed when the step has ended."""


@contextmanager
def step_store(context: dg.AssetExecutionContext, key: dg.AssetKey, resource_key: str) -> Iterator[StepStore]:
    """The ColumnStore of a step; a temporary one where values are kept in memory. Raises dg.Failure for anything else."""
    store = getattr(context.resources, resource_key, None)
    if isinstance(store, dg.InMemoryIOManager) or (store is None and is_direct(context)):
        with TemporaryDirectory(prefix="pxt-assets-") as folder:
            yield StepStore(ColumnStore(base_path=folder), is_temporary=True)
    else:
        store = used_resource(context.resources, resource_key, ColumnStore, key.to_user_string())
        yield StepStore(store, is_temporary=False)


def stored_value(
    store: ColumnStore, key: dg.AssetKey, partitions: Sequence[str | None], *, stays: bool = True
) -> Any:
    """An asset as it is stored: a table, or a dataset, which reads when asked, if it is large and the store `stays`.

    Of several partitions a dict by partition key.
    """
    files = {partition: store.file(key, partition) for partition in partitions}
    tables = _tables(files, _MAX_TABLE_BYTES if stays else None)
    found = {partition: _dataset(file) for partition, file in files.items()} if tables is None else tables
    return next(iter(found.values())) if len(files) == 1 else found


def _tables(files: Mapping[str | None, ParquetFile], most: int | None) -> dict[str | None, pa.Table] | None:
    """The files' rows, None if they take more than `most` bytes; no more than that is read to see it."""
    import pyarrow as pa

    tables, size = {}, 0
    for partition, file in files.items():
        rows, batches = file.rows(), []
        for batch in rows.batches(rows.schema.names, _ROWS):
            size += batch.nbytes
            if most is not None and size > most:
                return None
            batches.append(batch)
        tables[partition] = pa.Table.from_batches(batches, rows.schema)
    return tables


def _dataset(file: ParquetFile) -> ds.Dataset:
    import pyarrow.dataset as ds

    return ds.dataset(file.path.path, format="parquet", filesystem=file.path.fs)


def is_value_asked(context: dg.AssetExecutionContext) -> bool:
    """Whether somebody may ask the run's result for values: of a run in this process (`dg.materialize`)."""
    return not is_direct(context) and context.get_step_execution_context().output_capture is not None


def keep_value_for_result(context: dg.AssetExecutionContext, key: dg.AssetKey, value: Any) -> None:
    """Makes `value` what the result of the run gives as the asset's value, without storing it anywhere."""
    step = context.get_step_execution_context()
    output = context.assets_def.get_output_name_for_asset_key(key)
    if step.output_capture is not None:
        step.output_capture[StepOutputHandle(step.step.key, output)] = value
