"""What the asset page shows of an embedding index: figures, the kind of index and its recall, example searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.preview import escaped
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.search import Search, nearest_rows
from pxt_assets.index.spec import ROW, VECTOR, IndexSpec
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_index import INDEX_TYPE, RECALL_NEIGHBOURS, VectorIndex
from pxt_assets.index.write import PartitionUpdate
from pxt_assets.values.types import schema_entries

_EXAMPLES = 3
_NEIGHBOURS = 3
_CHARACTERS = 80


@dataclass(frozen=True)
class IndexPage:
    """What is said of the whole index, whichever of its partitions were written."""

    rows: int
    built: VectorIndex | None
    examples: str
    older: Sequence[str]
    """Tables of earlier functions or metrics that hold partitions which this one does not."""

    @property
    def kind(self) -> str:
        """How it is searched."""
        return "exact" if self.built is None else INDEX_TYPE


def index_page(stored: StoredIndex, built: VectorIndex | None, older: Sequence[str]) -> IndexPage:
    """Looks at the index as it is now."""
    rows = stored.count()
    return IndexPage(rows, built, examples(stored, rows), older)


def index_metadata(
    spec: IndexSpec,
    stored: StoredIndex,
    written: PartitionUpdate,
    page: IndexPage,
    kept: Sequence[ColumnRef],
    *,
    seconds: float,
    partitioned: bool,
) -> dict[str, Any]:
    """The metadata of one partition's materialization."""
    scanned = written.scan
    count = "dagster/partition_row_count" if partitioned else "dagster/row_count"
    said: dict[str, Any] = {
        "pxt/preview": dg.MetadataValue.md(page.examples),
        count: len(scanned.indexed),
        "dagster/uri": stored.uri,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in schema_entries(stored.schema)]
        ),
        "dagster/column_lineage": _lineage(spec, kept),
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
        said["pxt/dimensions"] = stored.dim
        said["pxt/recall_at_10"] = 1.0 if page.built is None else page.built.recall
    if page.built is not None:
        said["pxt/recall_measured"] = (
            f"{page.built.sample} searches for the {RECALL_NEIGHBOURS} nearest rows against exact ones, when the vector index was built "
            f"of {page.built.rows:,} rows; {page.built.probes} clusters are looked into"
        )
    if page.older:
        said["pxt/older_generations"] = (
            f"{', '.join(page.older)}: made with another function, metric or key, of partitions that are not here yet; "
            "materialize these, and it is dropped"
        )
    return said


def _lineage(spec: IndexSpec, kept: Sequence[ColumnRef]) -> dg.TableColumnLineage:
    """Where each column comes from."""
    sources = {name: [dg.TableColumnDep(spec.table, name)] for name in spec.row_key}
    sources |= {ref._column: [dg.TableColumnDep(ref._asset, ref._column)] for ref in kept}
    return dg.TableColumnLineage(
        {**sources, VECTOR: [dg.TableColumnDep(spec.vectors._asset, spec.vectors._column)]}
    )


def written_line(written: PartitionUpdate, page: IndexPage, label: str) -> str:
    """What was done, as a line for a log."""
    scanned = written.scan
    left_out = scanned.null + scanned.zero_vectors
    return (
        f"{label}: {scanned.count} rows, {written.written} written, {written.unchanged} unchanged, {written.removed} removed, "
        f"{left_out} without a vector to find them by; the index holds {page.rows:,} rows, {page.kind} search"
    )


def examples(stored: StoredIndex, rows: int) -> str:
    """A few of its so many rows with those that are nearest to each, as a Markdown table."""
    if not rows:
        return "*no rows*"
    spec = stored.spec
    searched = spec.column._column
    shown = [searched] if searched in stored.columns else []
    offsets = sorted({rows * i // _EXAMPLES for i in range(min(_EXAMPLES, rows))})
    taken = stored.table.take_offsets(offsets).select([*spec.key_columns, *shown, VECTOR, ROW]).to_arrow()
    taken = taken.filter(taken[VECTOR].is_valid())
    vectors = [row.values.to_numpy() for row in taken[VECTOR]]
    found = nearest_rows(stored, vectors, Search(k=_NEIGHBOURS + 1, columns=tuple(shown))).to_pylist()
    lines = ["| looked for | nearest | score |", "| --- | --- | --- |"]
    for query, row in enumerate(taken.drop_columns([VECTOR, ROW]).to_pylist()):
        others = [one for one in found if one["query"] == query and not _same(one, row, spec)]
        for one in others[:_NEIGHBOURS]:
            score = escaped(f"{one['score']:.3f}")
            lines.append(f"| {_shown(row, spec, shown)} | {_shown(one, spec, shown)} | {score} |")
    return "\n".join(lines)


def _same(one: dict[str, Any], row: dict[str, Any], spec: IndexSpec) -> bool:
    return all(one[name] == row[name] for name in spec.key_columns)


def _shown(row: dict[str, Any], spec: IndexSpec, columns: Sequence[str]) -> str:
    key = ", ".join(f"{name}={row[name]}" for name in spec.key_columns)
    text = " ".join(str(row[name]) for name in columns if row[name] is not None)
    text = text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
    return f"**{escaped(key)}** {escaped(text)}".strip()
