"""A dry run of a step: what computing its partitions would take, in the log and as observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.api.server_name import AskedServer
from pxt_assets.assets.page.estimate_page import estimate_line, estimate_metadata
from pxt_assets.compute.dry_run import dry_run
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.run_partitions import Partition
from pxt_assets.errors import PartitionError


def log_estimates(
    context: dg.AssetExecutionContext,
    partitions: Sequence[Partition],
    open_column: Callable[[Partition], Column],
    server: AskedServer | None,
    observe: Callable[[Partition, Mapping[str, Any]], None],
) -> dict[Partition, PartitionError]:
    """Records what computing each partition would take, and returns why some could not be estimated. Raises RunError."""
    failures: dict[Partition, PartitionError] = {}
    for partition in partitions:
        try:
            column = open_column(partition)
            estimate = dry_run(column, server)
        except PartitionError as e:
            failures[partition] = e
            continue
        context.log.info(f"{column.label}: {estimate_line(estimate)}")
        observe(partition, estimate_metadata(estimate))
    return failures
