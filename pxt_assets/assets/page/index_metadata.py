"""What the asset page shows of an embedding index: figures, the kind of index and its recall, example searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.preview import escape_markdown
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.search import Search, nearest
from pxt_assets.index.spec import ROW, VECTOR, IndexSpec
from pxt_assets.index.stored import StoredIndex
from pxt_assets.index.vector_index import KIND, NEAREST, VectorIndex
from pxt_assets.index.write import Written
from pxt_assets.values.types import schema_entries

_MAX_EXAMPLES = 3
_MAX_NEIGHBOURS = 3
_MAX_CHARACTERS = 80


@dataclass(frozen=True)
class IndexPage:
    """What is said of the whole index, whichever of its partitions were written."""

    rows: int
    vector_index: VectorIndex | None
    example_searches: str
    older_tables: Sequence[str]
    """Tables of earlier functions or metrics that hold partitions which this one does not."""

    @property
    def kind(self) -> str:
        """How it is searched."""
        return "exact" if self.vector_index is None else KIND


def index_page(stored: StoredIndex, built: VectorIndex | None, older: Sequence[str]) -> IndexPage:
    """Looks at the index as it is now."""
    rows = stored.count()
    return IndexPage(rows, built, example_searches(stored, rows), older)


def index_metadata(
    spec: IndexSpec,
    stored: StoredIndex,
    written: Written,
    page: IndexPage,
    kept: Sequence[ColumnRef],
    *,
    seconds: float,
    partitioned: bool,
) -> dict[str, Any]:
    """The metadata of one partition's materialization."""
    scanned = written.scanned
    count = "dagster/partition_row_count" if partitioned else "dagster/row_count"
    said: dict[str, Any] = {
        "pxt/preview": dg.MetadataValue.md(page.example_searches),
        count: len(scanned.indexed),
        "dagster/uri": stored.uri,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in schema_entries(stored.schema)]
        ),
        "dagster/column_lineage": _column_lineage(spec, kept),
        "pxt/index_type": page.kind,
        "pxt/metric": spec.metric,
        "pxt/rows_indexed": page.rows,
        "pxt/rows_written": written.written,
        "pxt/rows_unchanged": written.unchanged,
        "pxt/rows_removed": written.removed,
        "pxt/rows_null": scanned.null - scanned.failed,
        "pxt/rows_failed": scanned.failed,
        "pxt/rows_zero": scanned.zeros,
        "pxt/seconds": seconds,
    }
    if stored.dim is not None:
        said["pxt/dimensions"] = stored.dim
        said["pxt/recall_at_10"] = 1.0 if page.vector_index is None else page.vector_index.recall
    if page.vector_index is not None:
        said["pxt/recall_measured"] = (
            f"{page.vector_index.sample} searches for the {NEAREST} nearest rows against exact ones, when the vector index was built "
            f"of {page.vector_index.rows:,} rows; {page.vector_index.probes} clusters are looked into"
        )
    if page.older_tables:
        said["pxt/older_generations"] = (
            f"{', '.join(page.older_tables)}: made with another function, metric or key, of partitions that are not here yet; "
            "materialize these, and it is dropped"
        )
    return said


def _column_lineage(spec: IndexSpec, kept: Sequence[ColumnRef]) -> dg.TableColumnLineage:
    """Where each column comes from."""
    sources = {name: [dg.TableColumnDep(spec.table, name)] for name in spec.row_key}
    sources |= {ref._column: [dg.TableColumnDep(ref._asset, ref._column)] for ref in kept}
    return dg.TableColumnLineage(
        {**sources, VECTOR: [dg.TableColumnDep(spec.vectors._asset, spec.vectors._column)]}
    )


def write_summary(written: Written, page: IndexPage, label: str) -> str:
    """What was done, as a line for a log."""
    scanned = written.scanned
    left_out = scanned.null + scanned.zeros
    return (
        f"{label}: {scanned.count} rows, {written.written} written, {written.unchanged} unchanged, {written.removed} removed, "
        f"{left_out} without a vector to find them by; the index holds {page.rows:,} rows, {page.kind} search"
    )


def example_searches(stored: StoredIndex, rows: int) -> str:
    """A few of its so many rows with those that are nearest to each, as a Markdown table."""
    if not rows:
        return "*no rows*"
    spec = stored.spec
    searched = spec.column._column
    shown = [searched] if searched in stored.columns else []
    offsets = sorted({rows * i // _MAX_EXAMPLES for i in range(min(_MAX_EXAMPLES, rows))})
    taken = stored.table.take_offsets(offsets).select([*spec.key_columns, *shown, VECTOR, ROW]).to_arrow()
    taken = taken.filter(taken[VECTOR].is_valid())
    vectors = [row.values.to_numpy() for row in taken[VECTOR]]
    found = nearest(stored, vectors, Search(k=_MAX_NEIGHBOURS + 1, columns=tuple(shown))).to_pylist()
    lines = ["| looked for | nearest | score |", "| --- | --- | --- |"]
    for query, row in enumerate(taken.drop_columns([VECTOR, ROW]).to_pylist()):
        others = [one for one in found if one["query"] == query and not _is_same_row(one, row, spec)]
        for one in others[:_MAX_NEIGHBOURS]:
            score = escape_markdown(f"{one['score']:.3f}")
            lines.append(f"| {_row_text(row, spec, shown)} | {_row_text(one, spec, shown)} | {score} |")
    return "\n".join(lines)


def _is_same_row(one: dict[str, Any], row: dict[str, Any], spec: IndexSpec) -> bool:
    return all(one[name] == row[name] for name in spec.key_columns)


def _row_text(row: dict[str, Any], spec: IndexSpec, columns: Sequence[str]) -> str:
    key = ", ".join(f"{name}={row[name]}" for name in spec.key_columns)
    text = " ".join(str(row[name]) for name in columns if row[name] is not None)
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
    return f"**{escape_markdown(key)}** {escape_markdown(text)}".strip()
