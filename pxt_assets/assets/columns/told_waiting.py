"""What earlier runs told of a column's partitions that wait, as Dagster keeps their observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.waiting import BATCHES, FINISHED, ROWS_WAITING, SKIPPED

_MAX_OBSERVATIONS = 5_000
"""The newest ones that are looked at: a run of several partitions has one for each that waits."""
_CLOCKS_SECONDS = 600.0
"""By how much the clocks of hosts may differ."""

Partition = str | None


@dataclass(frozen=True)
class ToldWaiting:
    """What a run told of a partition, or of all of its partitions together for None."""

    partition: Partition
    batches: frozenset[str]
    """The names of the batches that it waits for."""
    skipped: frozenset[dg.AssetKey]
    """Columns and indexes downstream that the run did not come to."""
    finished: tuple[str, ...] = ()
    """Partitions that the run stored."""


def told_waiting(instance: dg.DagsterInstance, column: dg.AssetKey, since: float) -> list[ToldWaiting]:
    """What was told of a column since then, in seconds since 1970, the newest first."""
    asked = dg.AssetRecordsFilter(asset_key=column, after_timestamp=since - _CLOCKS_SECONDS)
    told = []
    for record in instance.fetch_observations(asked, limit=_MAX_OBSERVATIONS).records:
        seen = record.asset_observation
        if seen is not None and ROWS_WAITING in seen.metadata:
            told.append(_told(seen.partition, seen.metadata))
    return told


def skipped_by_partition(
    told: Iterable[ToldWaiting], partitions: Iterable[Partition]
) -> dict[Partition, frozenset[dg.AssetKey]]:
    """Of each partition, the columns downstream that any run of it did not come to."""
    wanted = {*partitions}
    skipped: dict[Partition, frozenset[dg.AssetKey]] = {}
    for one in told:
        for partition in {one.partition, *one.finished} & wanted:
            skipped[partition] = skipped.get(partition, frozenset()) | one.skipped
    return skipped


def _told(partition: Partition, metadata: Mapping[str, Any]) -> ToldWaiting:
    batches = metadata.get(BATCHES)
    return ToldWaiting(
        partition,
        frozenset(_names(batches)),
        frozenset(dg.AssetKey.from_user_string(key) for key in _value(metadata.get(SKIPPED))),
        tuple(_value(metadata.get(FINISHED))),
    )


def _names(table: Any) -> Iterator[str]:
    if isinstance(table, dg.TableMetadataValue):
        yield from (str(record.data.get("name")) for record in table.records)


def _value(entry: Any) -> list[str]:
    value = getattr(entry, "value", entry)
    return [str(one) for one in value] if isinstance(value, list) else []
