"""What the asset page shows of an embedding index: counts, the kind of index and its recall, example searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.preview import escape_markdown
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.search import Search, nearest_rows
from pxt_assets.index.spec import ROW, VECTOR, IndexSpec
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_index import INDEX_TYPE, RECALL_NEIGHBOURS, VectorIndex
from pxt_assets.index.write import PartitionUpdate
from pxt_assets.values.types import schema_entries

_MAX_EXAMPLES = 3
_MAX_NEIGHBOURS = 3
_MAX_CHARACTERS = 80
_SIMULATED = "*Simulated vectors: which rows are near to which means nothing.*"


@dataclass(frozen=True)
class IndexPage:
    """What the page shows of the whole index, whichever partitions were written."""

    rows: int
    vector_index: VectorIndex | None
    example_searches: str
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
        "pxt/preview": dg.MetadataValue.md(page.example_searches),
        "pxt/simulated": stored.simulated,
        count: len(scanned.indexed),
        "dagster/uri": stored.uri,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in schema_entries(stored.schema)]
        ),
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
        "pxt/seconds": seconds,
    }
    if stored.dim is not None:
        metadata["pxt/dimensions"] = stored.dim
        metadata["pxt/recall_at_10"] = 1.0 if page.vector_index is None else page.vector_index.recall
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


def example_searches(stored: StoredIndex, rows: int) -> str:
    """A few of the index's `rows` rows, with the nearest ones to each, as a Markdown table; marked if simulated."""
    if not rows:
        return "*no rows*"
    spec = stored.spec
    searched = spec.column._column
    text_columns = [searched] if searched in stored.columns else []
    offsets = sorted({rows * i // _MAX_EXAMPLES for i in range(min(_MAX_EXAMPLES, rows))})
    sample = (
        stored.table.take_offsets(offsets).select([*spec.key_columns, *text_columns, VECTOR, ROW]).to_arrow()
    )
    sample = sample.filter(sample[VECTOR].is_valid())
    vectors = [row.values.to_numpy() for row in sample[VECTOR]]
    found = nearest_rows(
        stored, vectors, Search(k=_MAX_NEIGHBOURS + 1, columns=tuple(text_columns))
    ).to_pylist()
    lines = [_SIMULATED, ""] if stored.simulated else []
    lines += ["| looked for | nearest | score |", "| --- | --- | --- |"]
    for query, row in enumerate(sample.drop_columns([VECTOR, ROW]).to_pylist()):
        others = [other for other in found if other["query"] == query and not _is_same_row(other, row, spec)]
        for other in others[:_MAX_NEIGHBOURS]:
            score = escape_markdown(f"{other['score']:.3f}")
            lines.append(
                f"| {_row_text(row, spec, text_columns)} | {_row_text(other, spec, text_columns)} | {score} |"
            )
    return "\n".join(lines)


def _is_same_row(other: dict[str, Any], row: dict[str, Any], spec: IndexSpec) -> bool:
    return all(other[name] == row[name] for name in spec.key_columns)


def _row_text(row: dict[str, Any], spec: IndexSpec, columns: Sequence[str]) -> str:
    key = ", ".join(f"{name}={row[name]}" for name in spec.key_columns)
    text = " ".join(str(row[name]) for name in columns if row[name] is not None)
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
    return f"**{escape_markdown(key)}** {escape_markdown(text)}".strip()
