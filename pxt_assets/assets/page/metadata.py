"""What the UI shows of a computed column: counts and costs, schema, lineage, a preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.api.meter import Meter, spent_text
from pxt_assets.api.server_name import counts_by_host
from pxt_assets.assets.page.answers_page import answers_metadata
from pxt_assets.assets.page.figures import rounded, rounded_seconds, rounded_share
from pxt_assets.assets.page.lineage import ColumnNode
from pxt_assets.assets.page.outline import made_of_metadata
from pxt_assets.assets.page.preview import preview_metadata
from pxt_assets.assets.page.summary import outcome_summary, unfinished_summary
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.partition.column import FAILURES_KEPT, CellsFailedError, Outcome
from pxt_assets.expressions.walk import references
from pxt_assets.index.lookup import lookups
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import schema_entries
from pxt_assets.values.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

_RESULT_COLUMN_DESCRIPTIONS = (
    "the class of the row's error, null where it has a result",
    "the row's error in words",
    "names the request that the value answers; joins with the record of where cells come from",
)
"""Descriptions of the columns after the value."""
_FIRST = tuple(
    f"pxt/{name}{more}" for name in ("summary", "answers", "preview", "reliability") for more in ("", "_all")
)
"""What is looked at first."""


def materialization_metadata(
    outcome: Outcome,
    file: ParquetFile,
    lineage: dg.TableColumnLineage,
    made_of: ColumnNode,
    *,
    partition: str | None,
    of: int,
) -> dict[str, Any]:
    """The metadata of the materialization of one of `of` partitions; None of an asset without."""
    count = "dagster/row_count" if partition is None else "dagster/partition_row_count"
    metadata = outcome_metadata(outcome, made_of, partition=partition, of=of)
    return {
        **{name: metadata.pop(name) for name in _FIRST if name in metadata},
        **made_of_metadata(made_of),
        count: outcome.rows,
        "dagster/uri": file.uri,
        "dagster/size_bytes": file.size_bytes,
        "dagster/column_lineage": lineage,
        **metadata,
    }


def _column_schema(schema: pa.Schema, made_of: ColumnNode) -> dg.TableSchema:
    """The stored columns with their descriptions; the keys and the value have a tag with their source columns."""
    table = made_of.name.rpartition(".")[0]
    entries = schema_entries(schema)
    sources = ", ".join(made_of.read)
    keys = [("identifies the row", f"{table}.{name}") for name, _ in entries[:-4]]
    descriptions = [
        *keys,
        (made_of.sentence, sources),
        *((what, "") for what in _RESULT_COLUMN_DESCRIPTIONS),
    ]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, kind, what, tags={"from": source} if source else None)
            for (name, kind), (what, source) in zip(entries, descriptions, strict=True)
        ]
    )


def outcome_metadata(
    outcome: Outcome, made_of: ColumnNode, *, partition: str | None, of: int
) -> dict[str, Any]:
    """The metadata of a finished computation, stored or a trial."""
    return {
        "pxt/summary": dg.MetadataValue.md(outcome_summary(outcome, partition, of=of)),
        **preview_metadata(outcome.sample, outcome.inputs, partitioned=partition is not None),
        **answers_metadata(outcome.findings.answers),
        "dagster/column_schema": _column_schema(outcome.schema, made_of),
        "pxt/rows_computed": outcome.computed,
        "pxt/rows_reused": outcome.reused,
        "pxt/rows_null": outcome.nulls,
        "pxt/rows_failed": outcome.failed,
        **(
            {"pxt/questions_refused": outcome.findings.questions_refused}
            if outcome.findings.questions
            else {}
        ),
        **_meter_metadata(outcome.meter, outcome.seconds),
        "pxt/simulated": outcome.simulated,
        **({} if outcome.answered_by is None else {"pxt/answered_by": counts_by_host(outcome.answered_by)}),
        **({"pxt/errors": dict(outcome.errors)} if outcome.errors else {}),
    }


def unfinished_metadata(progress: Progress | None, error: BaseException | None = None) -> dict[str, Any]:
    """The metadata of a computation that was not finished: why it ended, which rows failed, and what it took."""
    metadata: dict[str, Any] = {}
    if error is not None:
        metadata["pxt/summary"] = dg.MetadataValue.md(unfinished_summary(progress, error))
        metadata |= {"pxt/error": str(error)} if str(error) else {}
    if isinstance(error, CellsFailedError):
        metadata |= {
            "pxt/failed_rows": _failed_rows_table({None: error}),
            "pxt/errors": dict(error.errors),
            "pxt/rows": error.rows,
            "pxt/rows_failed": error.errors.total(),
        }
    if progress is not None:
        metadata |= {
            "pxt/rows": progress.total,
            "pxt/rows_done": progress.done - progress.failed,
            "pxt/rows_failed": progress.failed,
            **_meter_metadata(progress.meter, progress.seconds),
        }
    return metadata


def _meter_metadata(meter: Meter, seconds: float) -> dict[str, Any]:
    measured: dict[str, float | None] = {
        "pxt/latency_p50_s": meter.latency_quantile(0.50),
        "pxt/latency_p95_s": meter.latency_quantile(0.95),
        "pxt/limit_utilization": meter.limit_utilization,
    }
    unreached = meter.limit_usage.unreached
    return {
        "pxt/requests": meter.requests,
        "pxt/retries": meter.retries,
        "pxt/rate_limited": meter.rate_limited,
        "pxt/requests_unknown": meter.requests_unknown,
        "pxt/input_tokens": meter.usage.input_tokens,
        "pxt/output_tokens": meter.usage.output_tokens,
        "pxt/cached_tokens": meter.usage.cached_tokens,
        "pxt/cost_usd": "unknown" if meter.cost_usd is None else rounded(meter.cost_usd),
        "pxt/rows_unpriced": meter.rows_unpriced,
        "pxt/seconds": rounded_seconds(seconds),
        "pxt/seconds_throttled": rounded_seconds(meter.seconds_throttled),
        **{name: rounded_share(value) for name, value in measured.items() if value is not None},
        **({} if meter.limit_usage.fault is None else {"pxt/limiter_fault": meter.limit_usage.fault}),
        **({"pxt/ledger": f"not reached for some time: {'; '.join(unreached)}"} if unreached else {}),
    }


def outcome_line(outcome: Outcome) -> str:
    """What a computation did and cost, as a line for a log."""
    meter = outcome.meter
    return (
        f"{counted(outcome.rows, 'row')}: {outcome.computed:,} computed, {outcome.reused:,} reused, {outcome.nulls:,} null, "
        f"{outcome.failed:,} failed; {counted(meter.requests, 'request')}, {spent_text([meter])}, {outcome.seconds:.1f} s"
        f"{' (simulated)' if outcome.simulated else ''}{' (trial, not stored)' if outcome.trial else ''}"
    )


def column_lineage(expr: object, name: str, key: Sequence[str], base: dg.AssetKey) -> dg.TableColumnLineage:
    """The column's source columns, and where its key columns come from."""
    return dg.TableColumnLineage(
        {
            **{k: [dg.TableColumnDep(base, k)] for k in key},
            name: [
                *(dg.TableColumnDep(ref._asset, ref._column) for ref in references(expr)),
                *(dg.TableColumnDep(one.index.key, one.index.column._column) for one in lookups(expr)),
            ],
        }
    )


def failure_metadata(
    failures: Mapping[str | None, CellsFailedError], unfinished: Mapping[str | None, Progress]
) -> dict[str, Any]:
    """The metadata of a failed step: a table of the failed rows, and what unfinished partitions took."""
    metadata: dict[str, Any] = {"pxt/failed_rows": _failed_rows_table(failures)} if failures else {}
    if len(unfinished) == 1:
        (progress,) = unfinished.values()
        metadata |= unfinished_metadata(progress)
    elif unfinished:
        lines = [{"partition": str(name), "measured": p.log_line()} for name, p in unfinished.items()]
        table = [dg.TableRecord(line) for line in lines[:FAILURES_KEPT]]
        metadata["pxt/unfinished"] = dg.MetadataValue.table(table)
    return metadata


def _failed_rows_table(failures: Mapping[str | None, CellsFailedError]) -> dg.TableMetadataValue:
    """The first failed rows, by partition."""
    records = [
        {"row": key, "error": e.errortype, "message": e.message, **({"partition": name} if name else {})}
        for name, error in failures.items()
        for key, e in error.failures
    ]
    return dg.MetadataValue.table([dg.TableRecord(record) for record in records[:FAILURES_KEPT]])
