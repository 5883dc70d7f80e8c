"""Answers that come later, in a column's step: how long they may take, who waits, and what is told where nobody does."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType
from dagster._core.storage.tags import BACKFILL_ID_TAG

from pxt_assets.api.budget import Budget
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.api.within import Within
from pxt_assets.assets.columns.column_config import ColumnConfig
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.columns.step_events import StepEvents
from pxt_assets.assets.declarations.table_attributes import CollectorName
from pxt_assets.assets.declarations.within import can_come_later, check_within
from pxt_assets.assets.page.waiting import (
    goes_on_text,
    run_waiting_metadata,
    skipped_metadata,
    waiting_line,
    waiting_metadata,
)
from pxt_assets.assets.step.invocation import is_direct, selected_assets
from pxt_assets.assets.step.kept_values import StepStore
from pxt_assets.assets.step.partition_order import in_order
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.polling import read_records
from pxt_assets.compute.deferred.record import BatchRecord, BatchView, partition_name
from pxt_assets.compute.run_partitions import Waiting
from pxt_assets.errors import DefinitionError, PxtError
from pxt_assets.storage.layout import batches_folder

_READ_AGAIN_SECONDS = 1.0
"""After which records are read again: partitions finish by the hundred."""

Partition = str | None


def within_of_run(spec: ColumnSpec, config: ColumnConfig) -> Within | None:
    """How long the answers of a run may take, None for at once. Raises dg.Failure for what the column cannot have."""
    if not config.within:
        return spec.within
    if config.within == "now":
        return None
    within: Within = config.within  # type: ignore[assignment]  # as ColumnConfig has checked
    try:
        check_within(spec.expr, within, f"{spec.key.to_user_string()}: run config")
    except DefinitionError as e:
        raise dg.Failure(str(e), allow_retries=False) from e
    return within


def deferral_of_run(
    spec: ColumnSpec, config: ColumnConfig, resource: OpenAIResource | None, kept: StepStore, run_id: str
) -> Deferral | None:
    """How a run has to do with answers that come later; None for a column that has none."""
    within = within_of_run(spec, config)
    if resource is None or not can_come_later(spec.expr):
        return None
    waits = spec.collector.name is None if config.wait is None else config.wait
    return Deferral(
        within=within,
        wait=waits or kept.is_temporary,  # nobody would find that again
        folder=batches_folder(kept.store.file(spec.key)),
        apis=resource,
        is_trial=config.limit is not None,
        run_id=run_id,
    )


class BatchesOfRun:
    """The batches that a run's answers come from; they are on record until their partitions are settled."""

    def __init__(self, deferral: Deferral | None) -> None:
        self._folder = None if deferral is None or deferral.is_trial else deferral.folder
        self._read_at = -_READ_AGAIN_SECONDS
        self._records: Sequence[BatchRecord] = ()

    def of(self, partition: Partition) -> list[BatchView]:
        """Those that hold rows of a partition which has finished just now."""
        if self._folder is None:
            return []
        now = time.monotonic()
        if now - self._read_at >= _READ_AGAIN_SECONDS:
            self._read_at = now
            with suppress(PxtError, OSError):  # there is nothing more to say then
                self._records = read_records(self._folder)
        name = partition_name(partition)
        return [record.view() for record in self._records if name in record.partitions]


def record_waiting(
    events: StepEvents,
    waiting: Mapping[Partition, Waiting],
    partitions: Sequence[Partition],
    stored: Collection[Partition],
    budget: Budget | None,
) -> None:
    """Records which of the run's `partitions` wait, if any do; those `stored` are those that do not."""
    if not waiting:
        return
    context, spec = events.context, events.spec
    is_on = _is_on(context, spec.collector)
    goes_on = goes_on_text(spec.collector.name, is_on=is_on)
    if not is_direct(context) and BACKFILL_ID_TAG in context.run.tags:
        goes_on += "; Dagster shows the backfill as failed; nothing failed, it is not stored yet"
    left_usd = None if budget is None else budget.unspent_usd
    waiting = in_order(partitions, waiting)
    parts = {} if left_usd is None else budget_parts(left_usd, waiting)
    skipped = skipped_columns(context, spec.key)
    for partition, one in waiting.items():
        label = f"{spec.key.to_user_string()}{f'[{partition}]' if partition else ''}"
        log = context.log.info if is_on else context.log.warning
        log(f"{label}: {waiting_line(one, goes_on)}")
        metadata = waiting_metadata(
            one, partition=partition, goes_on=goes_on, skipped=skipped, left_usd=parts.get(partition)
        )
        events.observed(partition, metadata)
    for name in skipped if any(one.comes for one in waiting.values()) else ():
        told = skipped_metadata(spec.key.to_user_string(), waiting, goes_on)
        of_one = next(iter(waiting)) if len(waiting) == 1 else None
        context.log_event(
            dg.AssetObservation(dg.AssetKey.from_user_string(name), partition=of_one, metadata=told)
        )
    if len(partitions) > 1:
        metadata = run_waiting_metadata(
            waiting, list(stored), goes_on=goes_on, skipped=skipped, left_usd=left_usd
        )
        events.observed(None, metadata)


def budget_parts(left_usd: float, waiting: Mapping[Partition, Waiting]) -> dict[Partition, float]:
    """What of the rest of a budget each partition has, as others may be collected by runs of their own: all of it together.

    It is what is set aside for its rows, and of what is free a share by the number of those that will be answered.
    """
    rows = {key: one.rows - one.rows_without_budget for key, one in waiting.items()}
    of_rows, set_aside = sum(rows.values()), sum(one.set_aside_usd for one in waiting.values())
    free, held = max(left_usd - set_aside, 0.0), min(left_usd / set_aside, 1.0) if set_aside else 0.0
    return {
        key: held * one.set_aside_usd + free * (rows[key] / of_rows if of_rows else 1 / len(waiting))
        for key, one in waiting.items()
    }


def _is_on(context: dg.AssetExecutionContext, collector: CollectorName) -> bool:
    """Whether the collector is switched on, as far as the instance knows; it is where there is none."""
    if collector.name is None or is_direct(context):
        return True
    said: list[bool] = []
    with suppress(Exception):  # instances of tests, and hosted ones, need not tell a run
        states = context.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        said = [one.is_running for one in states if one.instigator_name == collector.name]
    return any(said) if said else collector.is_on


def skipped_columns(context: dg.AssetExecutionContext, key: dg.AssetKey) -> list[str]:
    """The columns and indexes of its table downstream of a column that the run selects, and does not come to."""
    if is_direct(context):
        return []
    layer = context.job_def.asset_layer
    graph, selected, below = layer.asset_graph, layer.selected_asset_keys, [key]
    for asset in below:
        children = graph.get(asset).child_keys & selected - selected_assets(context)
        below += sorted(child for child in children if child not in below)
    return [
        one.to_user_string()
        for one in below[1:]
        if one.path[:-1] == key.path[:-1] and isinstance(graph.get(one).assets_def, TableAsset)
    ]
