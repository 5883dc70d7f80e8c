"""One tick of a collector: what has come of a table's answers that come later, and the runs that collect it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    SENSOR_NAME_TAG,
)

from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.api.within import Within
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.columns.coming_answers import ComingAnswers, coming_answers, short_name
from pxt_assets.assets.columns.due_runs import Asked, Due, due_runs
from pxt_assets.assets.columns.table_columns import TableColumns
from pxt_assets.assets.columns.told_waiting import options_of, told_by_partition, told_waiting
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.declarations.within import can_come_later
from pxt_assets.assets.step.loaded_assets import executable_keys
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.errors import FatalApiError, PxtError
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.scrubbing import scrub

_AGAIN_SECONDS = 3_600.0
"""After which a run is asked for again that did not collect what it was to."""
_MAX_RUNS = 10_000
"""Runs that are looked at, which have not ended."""

Partition = str | None
Options = Mapping[dg.AssetKey, Mapping[str, Any]]
"""The run config of columns."""


class CollectedTable(Protocol):
    """A Table, as its collector knows it: columns may be added after the collector is made."""

    _attributes: TableAttributes
    _columns: TableColumns

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far."""


@dataclass
class Tick:
    """One evaluation of the sensor."""

    table: CollectedTable
    context: dg.SensorEvaluationContext
    name: str
    secrets: tuple[str, ...]
    in_ranges: bool
    """Whether a run may have a range of partitions."""
    problems: list[str] = field(default_factory=list)
    fatal: BaseException | None = None

    def result(self) -> dg.SensorResult:
        """The runs to ask for, or why there are none. Raises what needs somebody's hand."""
        now = time.time()
        asked = Asked.of_cursor(self.context.cursor)
        coming = run_to_end(self._coming(asked.heard, now))
        ids = {look.id for one in coming.values() for both in one.responses.values() for look in both[:2]}
        asked.heard = {key: said for key, said in asked.heard.items() if key in ids}
        due = {column: self._due(column, one) for column, one in coming.items()}
        busy = self._busy() if any(one.ready for one in due.values()) else set()
        runs = list(
            due_runs(
                due,
                self._parents,
                [one for one in self._partitions if one not in busy] if due else (),
                asked,
                now,
                ops=self._ops,
                again_after=_AGAIN_SECONDS,
                in_ranges=self.in_ranges,
            )
        )
        if self.fatal is not None and not runs:
            raise self.fatal
        for problem in self.problems if runs else ():
            self.context.log.warning(problem)
        reason = (
            None if runs else "; ".join([*self.problems, *_told_of(coming, now, is_whole=not self.problems)])
        )
        return dg.SensorResult(run_requests=runs, skip_reason=reason, cursor=asked.cursor)

    async def _coming(
        self, heard: dict[str, tuple[float, bool]], now: float
    ) -> dict[dg.AssetKey, ComingAnswers]:
        """What is on record of each column that has anything, after the batches that are due were asked about."""
        keys = self.table._attributes.resources
        label = f"the sensor {self.name}"
        openai = used_resource(self.context.resources, keys.openai, OpenAIResource, label)
        store = used_resource(self.context.resources, keys.columns, ColumnStore, label)
        columns = self._columns
        every = await asyncio.gather(  # a server out of reach is waited for once; by one clock ticks are a minute apart
            *(coming_answers(store, openai, one, self._partitions, heard, lambda: now) for one in columns)
        )
        for column, one in zip(columns, every, strict=True):
            if one.problem is not None:
                self._note(f"{column.to_user_string()}: {one.problem}", one)
        return {column: one for column, one in zip(columns, every, strict=True) if one}

    def _note(self, text: str, coming: ComingAnswers) -> None:
        text = scrub(text.rstrip(". "), self.secrets)
        if (
            coming.is_unreadable
            or not isinstance(coming.problem, PxtError)
            or isinstance(coming.problem, FatalApiError)
        ):
            self.problems.append(text)
            self.fatal = self.fatal or coming.problem
        else:
            self.problems.append(f"{text}; the next tick tries again")

    def _due(self, column: dg.AssetKey, coming: ComingAnswers) -> Due:
        if not coming.ready:
            return Due({}, coming.waiting)

        below = self._below(column)
        instance = self._instance
        if instance is None:
            return Due(
                coming.ready,
                coming.waiting,
                dict.fromkeys(coming.ready, below),
                self._with_time(column, coming, {}),
            )
        told = told_waiting(instance, column, coming.since, coming.ready)
        names = coming.ready_names
        finished: dict[Partition, str] = {
            partition: short_name("+".join(sorted(one.batches or names)) or "responses")
            for one in told
            if one.partition is None and (one.batches & names or (coming.responses and not one.batches))
            for partition in one.finished
            if partition not in coming.ready
        }
        of_ready = {partition: coming.batches.get(partition, frozenset()) for partition in coming.ready}
        of_partition = told_by_partition(told, of_ready, finished)
        skipped = {
            key: frozenset().union(*(one.skipped for one in said)) for key, said in of_partition.items()
        }
        ops = {name: key for key, name in self._ops.items()}
        options = options_of(
            *(instance, of_partition, coming.runs, ops, column, self._budgets),
            lambda run: len(self._partitions_of(run)),
        )
        return Due(
            coming.ready,
            coming.waiting,
            {key: one & below for key, one in skipped.items()},
            self._with_time(column, coming, options),
            finished,
        )

    def _with_time(
        self, column: dg.AssetKey, coming: ComingAnswers, options: Mapping[Partition, Options]
    ) -> Mapping[Partition, Options]:
        """The options of runs, which have the time that was given even where the column itself has none now.

        Without any, what is on its way would be cancelled, and asked for at the full price.
        """
        found: dict[Partition, dict[dg.AssetKey, Mapping[str, Any]]] = {
            partition: dict(of_columns) for partition, of_columns in options.items()
        }
        if self._withins.get(column) is None:
            for partition in coming.ready:
                of_columns = found.setdefault(partition, {})
                config = of_columns.get(column, {})
                within = coming.responses[partition].last.window if partition in coming.responses else "24h"
                of_columns[column] = {**config, "within": config.get("within") or within}
        return found

    @cached_property
    def _ops(self) -> dict[dg.AssetKey, str]:
        """The names of the ops of the table's columns and indexes."""
        graph, assets = self._graph, computed_assets(self.table)
        return {key: asset.node_def.name for asset in assets for key in executable_keys(graph, [asset])}

    @property
    def _withins(self) -> dict[dg.AssetKey, Within | None]:
        """How long the answers of columns may take, as they say themselves."""
        return {key: spec.within for key, spec in self._specs.items()}

    @property
    def _budgets(self) -> dict[dg.AssetKey, float]:
        """What a run may spend on columns, in US dollars, as they say themselves."""
        of_columns = {key: spec.max_cost_usd for key, spec in self._specs.items()}
        return {key: most for key, most in of_columns.items() if most is not None}

    @cached_property
    def _specs(self) -> dict[dg.AssetKey, ColumnSpec]:
        """The columns as they are declared, by the keys that they were loaded with."""
        graph, specs = self._graph, self.table._columns.specs
        return {
            key: specs[declared]
            for asset in computed_assets(self.table)
            for declared in asset.keys
            if declared in specs
            for key in executable_keys(graph, [asset])
        }

    @property
    def _instance(self) -> dg.DagsterInstance | None:
        with suppress(DagsterInvariantViolationError):  # as in a test's context without one
            return self.context.instance
        return None

    def _busy(self) -> set[Partition]:
        """The partitions of runs of this sensor that have not ended."""
        instance = self._instance
        if instance is None:
            return set()
        own = dg.RunsFilter(tags={SENSOR_NAME_TAG: self.name}, statuses=NOT_FINISHED_STATUSES)
        runs = instance.get_runs(own, limit=_MAX_RUNS)
        return {partition for run in runs for partition in self._partitions_of(run)}

    def _partitions_of(self, run: dg.DagsterRun) -> Sequence[Partition]:
        """The partitions of a run; none for one of partitions that are not there any more."""
        first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG, run.tags.get(PARTITION_NAME_TAG))
        last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG, first)
        if first not in self._places or last not in self._places:
            return ()
        return self._partitions[self._places[first] : self._places[last] + 1]

    @cached_property
    def _places(self) -> dict[Partition, int]:
        return {None if one is None else str(one): place for place, one in enumerate(self._partitions)}

    @cached_property
    def _graph(self) -> AssetGraph:
        definitions = self.context.repository_def
        if definitions is not None:
            return definitions.asset_graph
        return AssetGraph.from_assets(computed_assets(self.table))

    @property
    def _columns(self) -> list[dg.AssetKey]:
        """The columns whose answers can come later, by the keys that they were loaded with."""
        graph = self._graph
        specs = self.table._columns.specs
        return [
            key
            for asset in computed_assets(self.table)
            for declared in asset.keys
            if declared in specs and can_come_later(specs[declared].expr)
            for key in sorted(executable_keys(graph, [asset]))
        ]

    @cached_property
    def _parents(self) -> dict[dg.AssetKey, frozenset[dg.AssetKey]]:
        """Of each of the table's columns and indexes those that it is made of."""
        graph = self._graph
        own = executable_keys(graph, computed_assets(self.table))
        return {key: frozenset(graph.get(key).parent_keys & own) for key in own}

    def _below(self, column: dg.AssetKey) -> frozenset[dg.AssetKey]:
        parents, below = self._parents, {column}
        while more := {key for key, of in parents.items() if of & below} - below:
            below |= more
        return frozenset(below - {column})

    @cached_property
    def _partitions(self) -> Sequence[Partition]:
        partitions_def = self.table._attributes.partitions_def
        if partitions_def is None:
            return [None]
        with partition_loading_context(dynamic_partitions_store=self._instance):
            return list(partitions_def.get_partition_keys())


def computed_assets(table: CollectedTable) -> list[dg.AssetsDefinition]:
    """The table's computed columns and indexes."""
    return [asset for asset in table.assets if isinstance(asset, TableAsset)]


def _told_of(coming: Mapping[dg.AssetKey, ComingAnswers], now: float, *, is_whole: bool) -> Iterable[str]:
    """Why no run is asked for; `is_whole` says that everything could be looked at."""
    if not coming:
        return ["no answers are on their way"] if is_whole else []
    return [f"{column.to_user_string()}: {one.text(now)}" for column, one in coming.items()]
