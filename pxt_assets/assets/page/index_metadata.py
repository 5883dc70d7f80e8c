"""What the asset page shows of an embedding index: counts, the kind of index and its recall, example searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.example_searches import Example, example_searches, examples_metadata
from pxt_assets.assets.page.figures import rounded_seconds, rounded_share
from pxt_assets.assets.page.sentence import code
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.spec import DIGEST, PARTITION, ROW, VECTOR, IndexSpec
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_index import INDEX_TYPE, RECALL_NEIGHBOURS, VectorIndex
from pxt_assets.index.write import PartitionUpdate
from pxt_assets.values.types import schema_entries


@dataclass(frozen=True)
class IndexPage:
    """What the page shows of the whole index, whichever partitions were written."""

    rows: int
    vector_index: VectorIndex | None
    examples: Sequence[Example]
    """A few rows, with those nearest to them."""
    simulated: bool
    """Whether a simulator invented its vectors."""
    older_tables: Sequence[str]
    """Tables made with earlier functions or metrics that hold partitions which this one does not."""

    @property
    def kind(self) -> str:
        """The kind of search: exact, or by the vector index."""
        return "exact" if self.vector_index is None else INDEX_TYPE


def index_page(
    stored: StoredIndex, vector_index: VectorIndex | None, older_tables: Sequence[str]
) -> IndexPage:
    """The page of the index as it is now."""
    rows = stored.count()
    return IndexPage(rows, vector_index, example_searches(stored, rows), stored.simulated, older_tables)


def index_metadata(
    spec: IndexSpec,
    stored: StoredIndex,
    written: PartitionUpdate,
    page: IndexPage,
    kept_columns: Sequence[ColumnRef],
    *,
    seconds: float,
    partitioned: bool,
) -> dict[str, Any]:
    """The metadata of one partition's materialization."""
    scanned = written.scan
    count = "dagster/partition_row_count" if partitioned else "dagster/row_count"
    metadata: dict[str, Any] = {
        **examples_metadata(page.examples, simulated=page.simulated),
        "pxt/simulated": stored.simulated,
        count: len(scanned.indexed),
        "dagster/uri": stored.uri,
        "dagster/column_schema": _column_schema(spec, stored, kept_columns),
        "dagster/column_lineage": _column_lineage(spec, kept_columns),
        "pxt/index_type": page.kind,
        "pxt/metric": spec.metric,
        "pxt/rows_indexed": page.rows,
        "pxt/rows_written": written.written,
        "pxt/rows_unchanged": written.unchanged,
        "pxt/rows_removed": written.removed,
        "pxt/rows_null": scanned.null - scanned.failed,
        "pxt/rows_failed": scanned.failed,
        "pxt/rows_zero": scanned.zero_vectors,
        "pxt/seconds": rounded_seconds(seconds),
    }
    if stored.dim is not None:
        metadata["pxt/dimensions"] = stored.dim
        metadata["pxt/recall_at_10"] = (
            1.0 if page.vector_index is None else rounded_share(page.vector_index.recall)
        )
    if page.vector_index is not None:
        metadata["pxt/recall_measured"] = (
            f"{page.vector_index.sample} searches for the {RECALL_NEIGHBOURS} nearest rows against exact ones, when the vector index was built "
            f"of {page.vector_index.rows:,} rows; {page.vector_index.probes} clusters are looked into"
        )
    if page.older_tables:
        metadata["pxt/older_generations"] = (
            f"{', '.join(page.older_tables)}: made with another function, metric or key, or by a simulator, of partitions that are not here yet; "
            "materialize these, and it is dropped"
        )
    return metadata


def _column_schema(spec: IndexSpec, stored: StoredIndex, kept_columns: Sequence[ColumnRef]) -> dg.TableSchema:
    """The stored columns, each with what it is."""
    told = {ref._column: f"kept of {code(repr(ref))}, for filters and results" for ref in kept_columns}
    told |= dict.fromkeys(spec.key_columns, "identifies the row")
    told |= {
        PARTITION: "the partition that the row is from",
        ROW: "names the row: a digest of its key",
        DIGEST: "changes with what the index holds of the row",
        VECTOR: f"the vector of {code(repr(spec.column))}, from {code(repr(spec.vectors))}; its nearest rows are found",
    }
    return dg.TableSchema(
        [dg.TableColumn(name, kind, told.get(name)) for name, kind in schema_entries(stored.schema)]
    )


def _column_lineage(spec: IndexSpec, kept_columns: Sequence[ColumnRef]) -> dg.TableColumnLineage:
    """The source columns of each column of the index."""
    sources = {name: [dg.TableColumnDep(spec.table, name)] for name in spec.row_key}
    sources |= {ref._column: [dg.TableColumnDep(ref._asset, ref._column)] for ref in kept_columns}
    return dg.TableColumnLineage(
        {**sources, VECTOR: [dg.TableColumnDep(spec.vectors._asset, spec.vectors._column)]}
    )


def write_summary(written: PartitionUpdate, page: IndexPage, label: str) -> str:
    """What was written, as a line for a log."""
    scanned = written.scan
    left_out = scanned.null + scanned.zero_vectors
    return (
        f"{label}: {scanned.count} rows, {written.written} written, {written.unchanged} unchanged, {written.removed} removed, "
        f"{left_out} without a vector to find them by; the index holds {page.rows:,} rows{' of simulated vectors' if page.simulated else ''}, {page.kind} search"
    )
