"""What earlier runs told of a column's partitions that wait, as Dagster keeps their observations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.waiting import BATCHES, BUDGET_LEFT, FINISHED, ROWS_WAITING, SKIPPED

_MAX_OBSERVATIONS = 1_000
"""The newest ones that are looked at: a run of several partitions ends with one of all that wait."""
_MAX_PARTITIONS = 500
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


def told_waiting(
    instance: dg.DagsterInstance, column: dg.AssetKey, since: float, partitions: Collection[Partition]
) -> list[ToldWaiting]:
    """What was told of a column since then, in seconds since 1970, the newest first.

    Where that is more than is read, also what was told of these partitions, each for itself.
    """
    asked = dg.AssetRecordsFilter(asset_key=column, after_timestamp=since - _CLOCKS_SECONDS)
    records = instance.fetch_observations(asked, limit=_MAX_OBSERVATIONS).records
    told = _all_told(records)
    if len(records) >= _MAX_OBSERVATIONS:
        known = {one.partition for one in told}
        untold = [str(one) for one in partitions if one is not None and one not in known]
        own = dg.AssetRecordsFilter(
            asset_key=column,
            after_timestamp=since - _CLOCKS_SECONDS,
            asset_partitions=untold[:_MAX_PARTITIONS],
        )
        told += _all_told(instance.fetch_observations(own, limit=_MAX_OBSERVATIONS).records) if untold else []
    return told


def _all_told(records: Iterable[Any]) -> list[ToldWaiting]:
    seen = [(record.asset_observation, record.run_id) for record in records]
    return [
        _told(one.partition, one.metadata, run_id)
        for one, run_id in seen
        if one is not None and ROWS_WAITING in one.metadata
    ]


def told_by_partition(
    told: Iterable[ToldWaiting], batches: Mapping[Partition, frozenset[str]], finished: Iterable[Partition]
) -> dict[Partition, list[ToldWaiting]]:
    """What was told of each partition, the newest first: of it alone, or of a whole run with the same batches.

    `batches` are the names of those that each partition waits for; the `finished` ones wait for none.
    """
    partitions_of: defaultdict[str, set[Partition]] = defaultdict(set)
    for partition, names in batches.items():
        for name in names:
            partitions_of[name].add(partition)
    wanted = {*batches, *finished}
    found: defaultdict[Partition, list[ToldWaiting]] = defaultdict(list)
    for one in told:
        of_run = (
            set().union(*(partitions_of[name] for name in one.batches)) if one.partition is None else set()
        )
        for partition in ({one.partition, *one.finished} | of_run) & wanted:
            found[partition].append(one)
    return dict(found)


def options_of(
    instance: dg.DagsterInstance,
    told: Mapping[Partition, Sequence[ToldWaiting]],
    ops: Mapping[str, dg.AssetKey],
    column: dg.AssetKey,
) -> dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]]:
    """Of each partition the options that columns had in the newest run of it: what was said of that run holds on.

    `ops` are the columns by the names of their ops, `column` is the one that told: of its budget there is what was left.
    """
    of_run: dict[str, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    options: dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    for partition, (newest, *_) in told.items():
        if newest.run_id not in of_run:
            of_run[newest.run_id] = _options_of_run(instance, newest.run_id, ops)
        options[partition] = dict(of_run[newest.run_id])
        if newest.left_usd is not None:
            config: Mapping[str, Any] = options[partition].get(column, {})
            options[partition][column] = {**config, "max_cost_usd": max(newest.left_usd, _NOTHING_USD)}
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
