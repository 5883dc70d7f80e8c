"""What a check said when it was last evaluated, and checks that a step leaves without a result.

When a run begins, Dagster notes each selected check as planned, and shows that in place of its last result; if none
follows it stays so, as skipped, or as failed with the run. So a step that computes nothing to check says again what holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from pxt_assets.assets.step.invocation import is_direct


def last_result(context: dg.AssetExecutionContext, key: dg.AssetCheckKey) -> dg.AssetCheckResult | None:
    """The last result of a check, as a result of this step; None if it was never evaluated."""
    if is_direct(context):
        return None
    records = context.instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    said = records[0].evaluation if records else None
    if said is None:
        return None
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=said.passed,
        severity=said.severity,
        description=said.description,
        metadata=said.metadata,
    )


def unevaluated(
    context: dg.AssetExecutionContext, key: dg.AssetKey, names: Iterable[str]
) -> Iterator[dg.Output[Any]]:
    """The outputs of checks of the asset that have no result; Dagster would log that it misses them."""
    if is_direct(context):
        return
    for name in names:
        output = context.assets_def.get_output_name_for_asset_check_key(dg.AssetCheckKey(key, name))
        yield dg.Output(None, output_name=output)
