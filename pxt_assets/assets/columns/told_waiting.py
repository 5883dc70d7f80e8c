"""What earlier runs told of a column's partitions that wait, as Dagster keeps their observations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.assets.page.waiting import BATCHES, BUDGET_LEFT, FINISHED, ROWS_WAITING, SKIPPED

_MAX_OBSERVATIONS = 1_000
"""The newest ones that are looked at: a run of several partitions ends with one of all that wait."""
_MAX_PARTITIONS = 500
"""That are asked about at once."""
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
    """What it had left of its budget, or the partition's part of that."""


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
        for at in range(0, len(untold), _MAX_PARTITIONS):
            own = dg.AssetRecordsFilter(
                asset_key=column,
                after_timestamp=since - _CLOCKS_SECONDS,
                asset_partitions=untold[at : at + _MAX_PARTITIONS],
            )
            told += _all_told(instance.fetch_observations(own, limit=_MAX_OBSERVATIONS).records)
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
    runs: Mapping[Partition, str],
    ops: Mapping[str, dg.AssetKey],
    column: dg.AssetKey,
    budgets: Mapping[dg.AssetKey, float],
    size_of: Callable[[dg.DagsterRun], int],
) -> dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]]:
    """Of each partition the options that columns had in the newest run of it: what was said of that run holds on.

    A budget was that of the whole run, whose partitions are collected by several: each has a part of it.

    Args:
        instance: which knows the runs.
        told: what was told of each partition, the newest first.
        runs: those that submitted what partitions wait for, by their ids: a run that was killed has told nothing.
        ops: the columns by the names of their ops.
        column: the one that told, and of its budget the part of each partition.
        budgets: those that columns have themselves, in US dollars.
        size_of: how many partitions a run has, which have equal parts of the budgets of columns it did not come to.
    """
    of_run: dict[str, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    options: dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]] = {}
    for partition, (newest, *earlier) in told.items():
        if newest.run_id not in of_run:
            of_run[newest.run_id] = _options_of_run(instance, newest.run_id, ops, budgets, size_of)
        options[partition] = dict(of_run[newest.run_id])
        if newest.left_usd is not None:
            config: Mapping[str, Any] = options[partition].get(column, {})
            of_newest = (one for one in (newest, *earlier) if one.run_id == newest.run_id)
            part = next((one.left_usd for one in of_newest if one.partition == partition), None)
            options[partition][column] = {**config, "max_cost_usd": max(part or 0.0, _NOTHING_USD)}
    for partition in runs.keys() - told.keys():
        run_id = runs[partition]
        if run_id not in of_run:
            of_run[run_id] = _options_of_run(instance, run_id, ops, budgets, size_of)
        options[partition] = of_run[run_id]
    return options


def _options_of_run(
    instance: dg.DagsterInstance,
    run_id: str,
    ops: Mapping[str, dg.AssetKey],
    budgets: Mapping[dg.AssetKey, float],
    size_of: Callable[[dg.DagsterRun], int],
) -> dict[dg.AssetKey, Mapping[str, Any]]:
    run = instance.get_run_by_id(run_id)
    run_config: Mapping[str, Any] = {} if run is None else run.run_config
    given: Mapping[str, Any] = run_config.get("ops") or {}
    found = {ops[name]: (entry or {}).get("config") for name, entry in given.items() if name in ops}
    size = 1 if run is None else size_of(run)
    if size > 1:
        for key in ops.values():
            config = found.get(key) or {}
            budget = config.get("max_cost_usd") or budgets.get(key)
            if budget:
                found[key] = {**config, "max_cost_usd": budget / size}
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
