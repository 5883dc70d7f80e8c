"""A dry run of a step: what computing its partitions would take, in the log and as observations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dagster as dg

from pxt_assets.api.known_limits import KnownLimits, ResourceLimits
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.api.processing import Processing
from pxt_assets.api.server_name import AskedServer
from pxt_assets.assets.columns.dry_run_sum import sum_of_run
from pxt_assets.assets.page.estimate_page import (
    TOTAL,
    Duration,
    estimate_line,
    estimate_metadata,
    sum_line,
    sum_metadata,
    total_line,
)
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.on_record import OnRecord
from pxt_assets.compute.dry_run import Estimate, ModelUse, dry_run, total_estimate
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.run_partitions import Partition
from pxt_assets.errors import PartitionError

Observe = Callable[[Partition, Mapping[str, Any]], None]


def log_estimates(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    partitions: Sequence[Partition],
    open_column: Callable[[Partition], Column],
    *,
    resource: OpenAIResource | None,
    server: AskedServer | None,
    processing: Processing,
    deferral: Deferral | None,
    observe: Observe,
) -> dict[Partition, PartitionError]:
    """Records what computing each partition would take, all of them together, and all columns of the run.

    Returns why some partitions could not be estimated. Raises RunError.
    """
    limits = None if resource is None else ResourceLimits(resource)
    estimates: dict[Partition, Estimate] = {}
    failures: dict[Partition, PartitionError] = {}
    is_single = len(partitions) == 1
    with _on_record(deferral, server) as on_record:
        for partition in partitions:
            try:
                column = open_column(partition)
                estimate = dry_run(column, server, processing, on_record)
            except PartitionError as e:
                failures[partition] = e
                continue
            estimates[partition] = estimate
            duration = _duration(estimate, limits)
            context.log.info(f"{column.label}: {estimate_line(estimate, duration)}")
            metadata = estimate_metadata(estimate, duration)
            observe(partition, {**metadata, TOTAL: True} if is_single else metadata)
    if not is_single and estimates:
        total = total_estimate(estimates.values())
        duration = _duration(total, limits)
        said = total_line(total, duration, len(estimates), len(failures))
        context.log.info(f"{key.to_user_string()}: {said}")
        metadata = {**estimate_metadata(total, duration, said=said), "pxt/partitions": len(estimates)}
        observe(None, {**metadata, TOTAL: True})
    _log_sum(context, key, observe)
    return failures


def _on_record(
    deferral: Deferral | None, server: AskedServer | None
) -> AbstractContextManager[OnRecord | None]:
    if deferral is None or deferral.is_plain():
        return nullcontext()
    asks_now = deferral.within is None or deferral.is_trial
    return OnRecord(deferral.folder, server, asks_now=asks_now)


def _duration(estimate: Estimate, limits: ResourceLimits | None) -> Duration:
    return Duration.of(estimate, {} if limits is None else _limits_of(estimate.loads, limits))


def _limits_of(uses: Iterable[ModelUse], limits: ResourceLimits) -> dict[ModelUse, KnownLimits]:
    return {use: limits.of_model(use.model, sends_limits=use.sends_limits) for use in uses}


def _log_sum(context: dg.AssetExecutionContext, key: dg.AssetKey, observe: Observe) -> None:
    """Records what all columns of the run would take, if this step is the last of them."""
    found = sum_of_run(context, key)
    if found is None:
        return
    said = sum_line(found.estimate, found.duration, found.columns, found.left_out)
    context.log.info(said)
    observe(None, sum_metadata(found.estimate, found.duration, said, found.columns))
