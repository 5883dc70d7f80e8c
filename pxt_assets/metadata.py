"""What the UI shows of a computed column: figures, schema, lineage, a preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pxt_assets.compute.column import CellsFailedError, Outcome
from pxt_assets.expr import references
from pxt_assets.parquet import ParquetFile
from pxt_assets.preview import preview
from pxt_assets.types import schema_entries


def materialization_metadata(
    outcome: Outcome, file: ParquetFile, lineage: dg.TableColumnLineage, *, partitioned: bool
) -> dict[str, Any]:
    """The metadata of one partition's materialization."""
    count = "dagster/partition_row_count" if partitioned else "dagster/row_count"
    return {
        count: outcome.rows,
        "dagster/uri": file.uri,
        "dagster/size_bytes": file.size_bytes,
        "dagster/column_lineage": lineage,
        **outcome_metadata(outcome),
    }


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """What a computation did and used, whether it was stored or was a trial."""
    meter = outcome.meter
    measured: dict[str, float | None] = {
        "pxt/latency_p50_s": meter.latency(0.50),
        "pxt/latency_p95_s": meter.latency(0.95),
        "pxt/limit_utilization": meter.limit_utilization,
    }
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in schema_entries(outcome.schema)]
        ),
        "pxt/rows_computed": outcome.computed,
        "pxt/rows_reused": outcome.reused,
        "pxt/rows_failed": outcome.failed,
        "pxt/requests": meter.requests,
        "pxt/retries": meter.retries,
        "pxt/rate_limited": meter.rate_limited,
        "pxt/input_tokens": meter.usage.input_tokens,
        "pxt/output_tokens": meter.usage.output_tokens,
        "pxt/cached_tokens": meter.usage.cached_tokens,
        "pxt/cost_usd": "unknown" if meter.cost_usd is None else meter.cost_usd,
        "pxt/seconds": outcome.seconds,
        "pxt/seconds_throttled": meter.seconds_throttled,
        **{name: value for name, value in measured.items() if value is not None},
        "pxt/simulated": outcome.simulated,
        "pxt/preview": dg.MetadataValue.md(preview(outcome.sample)),
        **({"pxt/errors": dict(outcome.errors)} if outcome.errors else {}),
    }


def column_lineage(expr: object, name: str, key: Sequence[str], base: dg.AssetKey) -> dg.TableColumnLineage:
    """The column's source columns, and where its key columns come from."""
    return dg.TableColumnLineage(
        {
            **{k: [dg.TableColumnDep(base, k)] for k in key},
            name: [dg.TableColumnDep(ref._asset, ref._column) for ref in references(expr)],
        }
    )


def failure_metadata(error: CellsFailedError) -> dict[str, Any]:
    """The failed rows as a table on the run's page."""
    records = [
        dg.TableRecord({"row": key, "error": e.errortype, "message": e.message}) for key, e in error.failures
    ]
    return {"pxt/failed_rows": dg.MetadataValue.table(records)}
