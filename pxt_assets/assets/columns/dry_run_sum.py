"""What all columns of a dry run would take: steps may run in processes of their own, so they read the run's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from pxt_assets.assets.page.estimate_page import TOTAL, Duration, read_estimate
from pxt_assets.assets.step.invocation import is_direct
from pxt_assets.compute.dry_run import Estimate, total_estimate


@dataclass(frozen=True)
class SumOfColumns:
    """What several columns would take together."""

    estimate: Estimate
    duration: Duration
    columns: Sequence[str]
    left_out: Sequence[str]
    """Columns of the run whose inputs are not computed in a dry run."""


def sum_of_run(context: dg.AssetExecutionContext, key: dg.AssetKey) -> SumOfColumns | None:
    """The sum of the run's columns, for the step that recorded the last of them; None for all others.

    Each step records its own first and then looks: that of the last record sees all, and the others see that it is the
    last. None for a run of one column, too, and where one could not be estimated.
    """
    if is_direct(context):
        return None
    columns = _dry_columns(context)
    if len(columns) < 2 or key not in columns:
        return None
    graph = context.job_def.asset_layer.asset_graph
    left_out = [one for one in columns if _ancestors(graph, one) & columns.keys()]
    wanted = columns.keys() - set(left_out)
    recorded = _recorded_totals(context)
    if len(wanted) < 2 or not wanted <= recorded.keys() or key != list(recorded)[-1]:
        return None
    read = [read_estimate(recorded[one]) for one in recorded if one in wanted]
    return SumOfColumns(
        total_estimate([estimate for estimate, _ in read]),
        Duration.sum(duration for _, duration in read),
        [one.to_user_string() for one in columns if one in wanted],
        [one.to_user_string() for one in left_out],
    )


def _dry_columns(context: dg.AssetExecutionContext) -> dict[dg.AssetKey, None]:
    """The assets of the run whose config asks for a dry run."""
    layer = context.job_def.asset_layer
    run_config: Mapping[str, Any] = context.run.run_config
    ops: Mapping[str, Any] = run_config.get("ops") or {}
    found: dict[dg.AssetKey, None] = {}
    for key in sorted(layer.asset_graph.executable_asset_keys & _selected(context)):
        computation = layer.asset_graph.get(key).assets_def.computation
        given = None if computation is None else ops.get(computation.node_def.name)
        if given and (given.get("config") or {}).get("dry_run"):
            found[key] = None
    return found


def _selected(context: dg.AssetExecutionContext) -> set[dg.AssetKey]:
    selected = context.run.asset_selection
    return {*(selected or context.job_def.asset_layer.executable_asset_keys)}


def _ancestors(graph: AssetGraph, key: dg.AssetKey) -> set[dg.AssetKey]:
    """All assets upstream of an asset."""
    found: set[dg.AssetKey] = set()
    queue = [key]
    while queue:
        for parent in graph.get(queue.pop()).parent_keys:
            if parent not in found:
                found.add(parent)
                queue.append(parent)
    return found


def _recorded_totals(
    context: dg.AssetExecutionContext,
) -> dict[dg.AssetKey, Mapping[str, dg.MetadataValue[Any]]]:
    """The metadata of the columns' totals that this run recorded so far, by asset, in the order of their records."""
    records = context.instance.get_records_for_run(
        context.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    ).records
    totals: dict[dg.AssetKey, Mapping[str, dg.MetadataValue[Any]]] = {}
    for record in records:
        observed = record.event_log_entry.asset_observation
        if observed is not None and TOTAL in observed.metadata:
            totals.pop(observed.asset_key, None)  # the last one counts, as of a step that is retried
            totals[observed.asset_key] = observed.metadata
    return totals
