"""What a check said when it was last evaluated, and checks that a step leaves without a result.

When a run begins, Dagster notes each selected check as planned, and shows that in place of its last result; if none
follows it stays so, as skipped, or as failed with the run. So a step that computes nothing to check says again what holds.
The UI shows a result only while it is one about the asset's latest materialization, and Dagster takes a result of a run of
one partition for one about that partition's: so these say of themselves what they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from pxt_assets.assets.step.invocation import is_direct
from pxt_assets.assets.step.table_asset import TableAsset

CheckEvent = dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output[Any]


def about_what_is_stored(
    context: dg.AssetExecutionContext, results: Iterable[dg.AssetCheckResult]
) -> Iterator[CheckEvent]:
    """Results of a step that stored nothing, about the latest materialization of their asset, of whichever partition."""
    results = list(results)
    if is_direct(context):
        yield from results
        return
    targets = {
        key: _latest_materialization(context, key) for key in {one.asset_key for one in results} if key
    }
    for one in results:
        assert one.asset_key is not None
        assert one.check_name is not None
        check = dg.AssetCheckKey(one.asset_key, one.check_name)
        yield from unevaluated(context, one.asset_key, [one.check_name])
        yield dg.AssetCheckEvaluation(
            asset_key=one.asset_key,
            check_name=one.check_name,
            passed=one.passed,
            metadata=one.metadata,
            target_materialization_data=targets[one.asset_key],
            severity=one.severity,
            description=one.description,
            blocking=context.assets_def.get_spec_for_check_key(check).blocking,
        )


def _latest_materialization(
    context: dg.AssetExecutionContext, key: dg.AssetKey
) -> AssetCheckEvaluationTargetMaterializationData | None:
    for record in context.instance.fetch_materializations(key, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None


def last_results_below(
    context: dg.AssetExecutionContext, key: dg.AssetKey
) -> Iterator[dg.AssetCheckEvaluation]:
    """What was last said by the checks of this package's assets that the run cannot reach, as the step gives no rows.

    Those are the assets downstream of `key` that the run selects: their steps never begin, and what is stored of them stays.
    """
    if is_direct(context):
        return
    layer, events = context.job_def.asset_layer, context.instance.event_log_storage
    graph, selected, below = layer.asset_graph, layer.selected_asset_keys, [key]
    for asset in below:
        children = graph.get(asset).child_keys & selected
        below += sorted(child for child in children if child not in below)
    for asset in below[1:]:
        if not isinstance(graph.get(asset).assets_def, TableAsset):
            continue
        for check in graph.get(asset).check_keys:
            newest = events.get_asset_check_execution_history(check, limit=1)
            is_planned = bool(newest) and newest[0].run_id == context.run_id and _is_planned(newest[0])
            if is_planned and (said := _last_evaluation(context, check)) is not None:
                yield dg.AssetCheckEvaluation(
                    asset_key=check.asset_key,
                    check_name=check.name,
                    passed=said.passed,
                    metadata=said.metadata,
                    target_materialization_data=_latest_materialization(context, asset),
                    severity=said.severity,
                    description=said.description,
                    blocking=said.blocking,
                )


def _is_planned(record: AssetCheckExecutionRecord) -> bool:
    return record.status is AssetCheckExecutionRecordStatus.PLANNED


def last_result(context: dg.AssetExecutionContext, key: dg.AssetCheckKey) -> dg.AssetCheckResult | None:
    """The last result of a check, as a result of this step; None if it was never evaluated."""
    said = _last_evaluation(context, key)
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


def _last_evaluation(
    context: dg.AssetExecutionContext, key: dg.AssetCheckKey
) -> dg.AssetCheckEvaluation | None:
    if is_direct(context):
        return None
    records = context.instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    return records[0].evaluation if records else None


def unevaluated(
    context: dg.AssetExecutionContext, key: dg.AssetKey, names: Iterable[str]
) -> Iterator[dg.Output[Any]]:
    """The outputs of checks of the asset that have no result; Dagster would log that it misses them."""
    if is_direct(context):
        return
    for name in names:
        output = context.assets_def.get_output_name_for_asset_check_key(dg.AssetCheckKey(key, name))
        yield dg.Output(None, output_name=output)
