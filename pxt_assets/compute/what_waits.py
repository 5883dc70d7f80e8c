"""What of a run's partitions waits when it ends, as what comes after it has to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pxt_assets.compute.asking.later_partition import CellsWait, PartitionTally
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.run_partitions import Partition, Waiting


def what_waits(
    partitions: Sequence[Partition],
    waits: Mapping[Partition, CellsWait],
    tallies: Mapping[Partition, PartitionTally],
    records: Sequence[BatchRecord],
    now: float,
) -> dict[Partition, Waiting]:
    """What waits of those partitions that `waits` has, with the batches on record at `now`, in seconds since 1970."""
    waiting: dict[Partition, Waiting] = {}
    for key in partitions:
        if key not in waits:
            continue
        wait, tally = waits[key], tallies[key]
        mine = [record for record in records if key in record.waiting_partitions]
        has_no_room = any(record.state == "waiting" for record in mine)
        waiting[key] = Waiting(
            wait.rows,
            [record.view(now) for record in mine if record.is_on_its_way],
            wait.cells.expected_usd,
            wait.cells.wanted if has_no_room else 0,
            wait.cells.without_budget,
            tally.computed,
            tally.meter,
            set_aside_usd=wait.cells.set_aside_usd,
            comes=bool(wait.cells.on_its_way or wait.cells.wanted),
        )
    return waiting
