"""A Dagster step that brings partitions of an embedding index up to date, and reports their results to Dagster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.api.event_loop import run_to_end
from pxt_assets.assets.indexes.index_asset_spec import IndexAssetSpec
from pxt_assets.assets.indexes.index_check import index_check_results, results_of_unfinished
from pxt_assets.assets.page.index_metadata import IndexPage, index_metadata, index_page, write_summary
from pxt_assets.assets.step.events import already_logged_result, log_materialization
from pxt_assets.assets.step.failed_partitions import PartitionsFailedError
from pxt_assets.assets.step.invocation import is_direct, run_id
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.assets.step.upstream_rows import UpstreamRows, step_partitions
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.errors import PartitionError, RunError
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.embedding_indexes import EmbeddingIndexes, remember_last_used
from pxt_assets.index.kept_columns import is_plain_type
from pxt_assets.index.lance import lance_error_message, lance_errors_as
from pxt_assets.index.partition_rows import IndexRows, PartitionScan
from pxt_assets.index.spec import is_free_name
from pxt_assets.index.vector_index import VectorIndex, maintain_vector_index, vector_index
from pxt_assets.index.write import PartitionUpdate, write_partition
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.store import ColumnStore

if TYPE_CHECKING:
    from pxt_assets.index.stored_index import StoredIndex
    from pxt_assets.storage.rows import Rows

Result = dg.MaterializeResult[Any] | dg.AssetCheckResult | dg.AssetCheckEvaluation


@dataclass(frozen=True)
class _WrittenPartition:
    """A partition that this step wrote to the index."""

    written: PartitionUpdate
    kept_columns: Sequence[ColumnRef]
    seconds: float


class IndexMaterialization:
    """One step of an index; `input_values` are given by whoever calls it directly, as tests do."""

    def __init__(
        self,
        spec: IndexAssetSpec,
        context: dg.AssetExecutionContext,
        input_values: Mapping[str, Any],
        store: ColumnStore,
    ) -> None:
        self._spec = spec
        self._index = spec.index
        self._context = context
        self._store = store
        self._indexes = used_resource(
            context.resources, spec.resources.indexes, EmbeddingIndexes, spec.index.label
        )
        self._partition_keys = step_partitions(context)
        self._upstream = UpstreamRows(context, spec.inputs, self._partition_keys, input_values)
        self._written: dict[str | None, _WrittenPartition] = {}
        self._failures: dict[str | None, PartitionError] = {}
        self._stored: StoredIndex | None = None

    def results(self) -> Iterator[Result]:
        """The results that the step yields. Raises dg.Failure."""
        declared = self._spec.declared or self._spec
        remember_last_used(declared.index, self._index, self._indexes)
        scans: dict[str | None, PartitionScan] = {}  # of partitions that are recorded
        try:
            error: RunError | None = None
            try:
                self._upstream.check()
                run_to_end(self._write())
            except RunError as e:  # record what was written before; after an interrupt the next run does
                error = e
            recorded = self._record_all()
            scans = self._scans
            error = error or self._partitions_error()
            if error is not None:
                raise error
        except BaseException as e:
            yield from results_of_unfinished(self._context, self._spec, scans)
            if not isinstance(e, RunError):
                raise
            e.locate(self._index.label)
            raise dg.Failure(str(e)) from e
        assert recorded is not None
        yield recorded
        yield from index_check_results(self._context, self._spec, scans)

    async def _write(self) -> None:
        with lance_errors_as(self._indexes.base_path, RunError):
            database = await run_in_thread(self._indexes.database, self._index)
        for partition in self._partition_keys:
            started = time.monotonic()
            label = self._label(partition)
            try:
                rows, inputs, kept = await run_in_thread(self._open_rows, partition, label)
                file = self._store.file(self._index.key, partition)
                async with hold_claim(file, run_id(self._context)):
                    with inputs.hold_snapshot():
                        await run_in_thread(inputs.check, scratch_folder(file))
                        with lance_errors_as(database.uri, RunError):
                            self._stored, written = await run_in_thread(
                                write_partition, database, self._index, rows, partition
                            )
            except PartitionError as e:
                e.locate(label)
                self._failures[partition] = e
                continue
            self._written[partition] = _WrittenPartition(written, kept, time.monotonic() - started)

    def _open_rows(self, partition: str | None, label: str) -> tuple[IndexRows, Inputs, Sequence[ColumnRef]]:
        """The partition's rows, its inputs, and the columns that the index keeps."""
        index = self._index
        rows = self._upstream.of(partition)
        kept = self._kept_columns(rows)
        vectors = index.vectors
        errors = f"{vectors._column}_errortype"
        has_errors = errors in rows[vectors._asset].schema.names
        error_columns = [ColumnRef(index.table, vectors._asset, errors)] if has_errors else []
        inputs = Inputs(rows, index.row_key, [vectors, *error_columns, *kept])
        return IndexRows(index, inputs, [ref._column for ref in kept], partition, label), inputs, kept

    def _kept_columns(self, rows: Mapping[dg.AssetKey, Rows]) -> list[ColumnRef]:
        """The columns that the index keeps: those that were given, or all plain ones of the upstream rows."""
        index = self._index
        if index.columns is not None:
            return [ref for ref in index.columns if ref._column not in index.row_key]
        schema = rows[index.table].schema
        left_out = {*index.key_columns, index.vectors._column}
        return [
            ColumnRef(index.table, index.table, field.name)
            for field in schema
            if is_plain_type(field.type) and is_free_name(field.name) and field.name not in left_out
        ]

    def _record_all(self) -> Result | None:
        """Compacts the index, records the written partitions, and returns the result that ends the step."""
        if self._stored is None or not self._written:
            return None
        stored = self._stored
        with lance_errors_as(stored.uri, RunError):
            built = self._maintain(stored)
            page = index_page(stored, built, stored.drop_older_tables())
        several = len(self._partition_keys) > 1
        result: Result = already_logged_result(self._index.key)
        for partition, written_partition in self._written.items():
            self._context.log.info(write_summary(written_partition.written, page, self._label(partition)))
            metadata = self._metadata(partition, written_partition, page)
            version = written_partition.written.scan.version
            if several:
                log_materialization(
                    self._context,
                    self._index.key,
                    partition,
                    metadata,
                    data_version=version,
                    code_version=self._spec.code_version,
                )
            else:
                result = dg.MaterializeResult(asset_key=self._index.key, data_version=dg.DataVersion(version))
                if is_direct(self._context):
                    result = result._replace(metadata=metadata)
                else:
                    self._context.add_asset_metadata(
                        metadata, asset_key=self._index.key, partition_key=partition
                    )
        return result

    def _maintain(self, stored: StoredIndex) -> VectorIndex | None:
        """Brings the vector index up to date and returns it; returns it as it was if another run writes to it."""
        try:
            return maintain_vector_index(stored, self._indexes.vector_index_rows)
        except (OSError, RuntimeError, ValueError) as e:
            self._context.log.warning(
                f"{self._index.label}: the rows are written, but files could not be compacted, nor the vector index brought up "
                f"to date ({lance_error_message(e)}); the next run tries again, and until then searches take longer"
            )
            return vector_index(stored)

    def _metadata(
        self, partition: str | None, written_partition: _WrittenPartition, page: IndexPage
    ) -> dict[str, Any]:
        assert self._stored is not None
        return index_metadata(
            self._index,
            self._stored,
            written_partition.written,
            page,
            written_partition.kept_columns,
            seconds=written_partition.seconds,
            partitioned=partition is not None,
        )

    @property
    def _scans(self) -> dict[str | None, PartitionScan]:
        return {partition: one.written.scan for partition, one in self._written.items()}

    def _partitions_error(self) -> RunError | None:
        if not self._failures:
            return None
        if len(self._partition_keys) == 1:
            return next(iter(self._failures.values()))
        return PartitionsFailedError(self._failures, stored=len(self._written), of=len(self._partition_keys))

    def _label(self, partition: str | None) -> str:
        return f"{self._index.label}{f'[{partition}]' if partition else ''}"
