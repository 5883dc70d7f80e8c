"""What earlier runs told of a column's partitions that wait, as Dagster keeps their observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.waiting import BATCHES, BUDGET_LEFT, FINISHED, ROWS_WAITING, SKIPPED

_MAX_OBSERVATIONS = 5_000
"""The newest ones that are looked at: a run of several partitions has one for each that waits."""
_CLOCKS_SECONDS = 600.0
"""By how much the clocks of hosts may differ."""

_NOTHING_USD = 1e-9
"""A budget in which nothing has room; 0 would be none."""

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
    run_id: str = ""
    """The run that told it."""
    left_usd: float | None = None
    """What it had left of its budget."""


def told_waiting(instance: dg.DagsterInstance, column: dg.AssetKey, since: float) -> list[ToldWaiting]:
    """What was told of a column since then, in seconds since 1970, the newest first."""
    asked = dg.AssetRecordsFilter(asset_key=column, after_timestamp=since - _CLOCKS_SECONDS)
    told = []
    for record in instance.fetch_observations(asked, limit=_MAX_OBSERVATIONS).records:
        seen = record.asset_observation
        if seen is not None and ROWS_WAITING in seen.metadata:
            told.append(_told(seen.partition, seen.metadata, record.run_id))
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


def options_by_partition(
    instance: dg.DagsterInstance,
    told: Iterable[ToldWaiting],
    partitions: Iterable[Partition],
    ops: Mapping[str, dg.AssetKey],
    column: dg.AssetKey,
) -> dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]]:
    """Of each partition the options that columns had in the newest run of it: what was said of that run holds on.

    `ops` are the columns by the names of their ops, `column` is the one that told: of its budget there is what was left.
    """
    wanted = {*partitions}
    of_run: dict[str, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    options: dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    for one in told:
        for partition in ({one.partition, *one.finished} & wanted) - options.keys():
            if one.run_id not in of_run:
                of_run[one.run_id] = _options_of_run(instance, one.run_id, ops)
            options[partition] = dict(of_run[one.run_id])
            if one.left_usd is not None:
                config: Mapping[str, Any] = options[partition].get(column, {})
                options[partition][column] = {**config, "max_cost_usd": max(one.left_usd, _NOTHING_USD)}
    return options


def _options_of_run(
    instance: dg.DagsterInstance, run_id: str, ops: Mapping[str, dg.AssetKey]
) -> dict[dg.AssetKey, Mapping[str, Any]]:
    run = instance.get_run_by_id(run_id)
    run_config: Mapping[str, Any] = {} if run is None else run.run_config
    given: Mapping[str, Any] = run_config.get("ops") or {}
    found = {ops[name]: (entry or {}).get("config") for name, entry in given.items() if name in ops}
    return {key: config for key, config in found.items() if config}


def _told(partition: Partition, metadata: Mapping[str, Any], run_id: str) -> ToldWaiting:
    batches = metadata.get(BATCHES)
    return ToldWaiting(
        partition,
        frozenset(_names(batches)),
        frozenset(dg.AssetKey.from_user_string(key) for key in _value(metadata.get(SKIPPED))),
        tuple(_value(metadata.get(FINISHED))),
        run_id,
        getattr(metadata.get(BUDGET_LEFT), "value", None),
    )


def _names(table: Any) -> Iterator[str]:
    if isinstance(table, dg.TableMetadataValue):
        yield from (str(record.data.get("name")) for record in table.records)


def _value(entry: Any) -> list[str]:
    value = getattr(entry, "value", entry)
    return [str(one) for one in value] if isinstance(value, list) else []
