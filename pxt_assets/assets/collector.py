"""A sensor that collects answers which come later, so that no run waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import SENSOR_NAME_TAG

from pxt_assets.api.event_loop import run_to_end
from pxt_assets.assets.automation import is_single_run
from pxt_assets.assets.columns.due_runs import Asked, Due, due_runs
from pxt_assets.assets.columns.table_columns import TableColumns
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.declarations.within import can_come_later
from pxt_assets.assets.step.loaded_assets import LoadedAssets, loaded_keys
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.errors import DefinitionError, FatalApiError, PxtError
from pxt_assets.values.scrubbed_errors import scrubbed_errors
from pxt_assets.values.scrubbing import distinct_secrets, scrub

if TYPE_CHECKING:
    from pxt_assets.assets.columns.coming_answers import ComingAnswers

_AGAIN_SECONDS = 3_600.0
"""After which a run is asked for again that did not collect what it was to."""

Partition = str | None


class CollectedTable(Protocol):
    """A Table, as its collector knows it: columns may be added after the collector is made."""

    _attributes: TableAttributes
    _columns: TableColumns

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far."""


def table_collector(
    table: CollectedTable,
    *,
    name: str | None = None,
    minimum_interval_seconds: int = 60,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that collects answers of the table's columns which come later (`within`), so that no run waits for them.

    Example:
        ```python
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"), within="24h")
        defs = dg.Definitions(assets=tbl.assets, sensors=[tbl.collector()], resources={...})
        ```

    A run of a column then submits what is missing and ends, with success and without a materialization; what is
    downstream of it in that run is skipped. The sensor looks at all of the table's columns and partitions, and asks for a
    run of each partition whose answers have come: of the column, and of the table's columns downstream that were skipped.
    A tick reads what is on record, and asks about each batch once a minute at most.

    Args:
        table: the table: `tbl.collector(...)` gives itself.
        name: of the sensor; by default `<table>_collector`.
        minimum_interval_seconds: seconds between two ticks.
        default_status: whether it is switched on; it is unless you say otherwise, since runs rely on it.
        tags: of the sensor.
        description: of the sensor; by default what it does.

    Raises DefinitionError for a table without a column whose answers can come later.
    """
    attributes = table._attributes
    if not any(can_come_later(spec.expr) for spec in table._columns.specs.values()):
        msg = (
            f"{table!r}.collector: no column of the table has answers that can come later, by the Batch API or in the "
            "background; add such a column first, or leave the collector out"
        )
        raise DefinitionError(msg)
    name = name or f"{identifier(attributes.key)}_collector"
    keys = attributes.resources

    def collect(
        context: dg.SensorEvaluationContext, **_: Any
    ) -> dg.SensorResult:  # resources, of a direct call
        secrets = distinct_secrets(
            secret
            for key in (keys.openai, keys.columns)
            for secret in getattr(getattr(context.resources, key), "known_secrets", tuple)()
        )
        with scrubbed_errors(secrets):
            return _Tick(table, context, str(name), secrets).result()

    sensor = dg.SensorDefinition(
        name=name,
        job=dg.define_asset_job(f"{name}_job", selection=_ComputedAssets(table)),
        evaluation_fn=collect,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        required_resource_keys={keys.openai, keys.columns},
        tags=tags,
        description=description
        or f"Collects answers of columns of the table {attributes.key.to_user_string()} that come later.",
    )
    attributes.collector.name = name
    attributes.collector.is_on = default_status is dg.DefaultSensorStatus.RUNNING
    return sensor


@dataclass(frozen=True)
class _ComputedAssets(dg.AssetSelection):
    """The table's computed columns and indexes, as they are when the selection is looked at."""

    table: CollectedTable

    def resolve_inner(self, asset_graph: Any, allow_missing: bool) -> Any:
        """The keys in a graph. Raises DagsterInvalidSubsetError for an asset that it lacks."""
        return self._assets.resolve_inner(asset_graph, allow_missing)

    def to_selection_str(self) -> str:
        """The assets by their own keys."""
        return self._assets.to_selection_str()

    @property
    def _assets(self) -> LoadedAssets:
        return LoadedAssets(tuple(_computed(self.table)))


@dataclass
class _Tick:
    """One evaluation of the sensor."""

    table: CollectedTable
    context: dg.SensorEvaluationContext
    name: str
    secrets: tuple[str, ...]
    problems: list[str] = field(default_factory=list)
    fatal: BaseException | None = None

    def result(self) -> dg.SensorResult:
        """The runs to ask for, or why there are none. Raises what needs somebody's hand."""
        now = time.time()
        asked = Asked.of_cursor(self.context.cursor)
        coming = run_to_end(self._coming())
        due = {column: self._due(column, one) for column, one in coming.items()}
        runs = list(
            due_runs(
                due,
                self._parents,
                self._partitions if due else (),
                asked,
                now,
                again_after=float("inf") if self._has_unfinished_runs() else _AGAIN_SECONDS,
                in_ranges=self._runs_ranges,
            )
        )
        if self.fatal is not None and not runs:
            raise self.fatal
        for problem in self.problems if runs else ():
            self.context.log.warning(problem)
        reason = None if runs else "; ".join([*self.problems, *_told_of(coming, now)])
        return dg.SensorResult(run_requests=runs, skip_reason=reason, cursor=asked.cursor)

    async def _coming(self) -> dict[dg.AssetKey, ComingAnswers]:
        """What is on record of each column that has anything, after the batches that are due were asked about."""
        keys = self.table._attributes.resources
        label = f"the sensor {self.name}"
        from pxt_assets.api.openai_resource import OpenAIResource
        from pxt_assets.assets.columns.coming_answers import coming_answers
        from pxt_assets.storage.store import ColumnStore

        openai = used_resource(self.context.resources, keys.openai, OpenAIResource, label)
        store = used_resource(self.context.resources, keys.columns, ColumnStore, label)
        found: dict[dg.AssetKey, ComingAnswers] = {}
        for column in self._columns:
            one = await coming_answers(store, openai, column)
            if one.problem is not None:
                self._note(f"{column.to_user_string()}: {one.problem}", one.problem)
            if one:
                found[column] = one
        return found

    def _note(self, text: str, problem: BaseException) -> None:
        text = scrub(text.rstrip(". "), self.secrets)
        if isinstance(problem, PxtError) and not isinstance(problem, FatalApiError):
            self.problems.append(f"{text}; the next tick tries again")
        else:
            self.problems.append(text)
            self.fatal = self.fatal or problem

    def _due(self, column: dg.AssetKey, coming: ComingAnswers) -> Due:
        if not coming.ready:
            return Due({}, coming.waiting)
        from pxt_assets.assets.columns.told_waiting import skipped_by_partition, told_waiting

        below = self._below(column)
        instance = self._instance
        if instance is None:
            return Due(coming.ready, coming.waiting, dict.fromkeys(coming.ready, below))
        told = told_waiting(instance, column, coming.since)
        names = coming.ready_names
        finished: dict[Partition, str] = {
            partition: "+".join(sorted(one.batches))
            for one in told
            if one.partition is None and one.batches & names
            for partition in one.finished
            if partition not in coming.ready
        }
        skipped = skipped_by_partition(told, [*coming.ready, *finished])
        return Due(coming.ready, coming.waiting, {key: one & below for key, one in skipped.items()}, finished)

    @property
    def _instance(self) -> dg.DagsterInstance | None:
        with suppress(DagsterInvariantViolationError):  # as in a test's context without one
            return self.context.instance
        return None

    def _has_unfinished_runs(self) -> bool:
        instance = self._instance
        if instance is None:
            return False
        own = dg.RunsFilter(tags={SENSOR_NAME_TAG: self.name}, statuses=NOT_FINISHED_STATUSES)
        return bool(instance.get_run_ids(own, limit=1))

    @cached_property
    def _graph(self) -> AssetGraph:
        definitions = self.context.repository_def
        if definitions is not None:
            return definitions.asset_graph
        return AssetGraph.from_assets(_computed(self.table))

    @property
    def _columns(self) -> list[dg.AssetKey]:
        """The columns whose answers can come later, by the keys that they were loaded with."""
        graph = self._graph
        specs = self.table._columns.specs
        return [
            key
            for asset in _computed(self.table)
            for declared in asset.keys
            if declared in specs and can_come_later(specs[declared].expr)
            for key in sorted(loaded_keys(graph, asset))
        ]

    @cached_property
    def _parents(self) -> dict[dg.AssetKey, frozenset[dg.AssetKey]]:
        """Of each of the table's columns and indexes those that it is made of."""
        graph = self._graph
        own = {key for asset in _computed(self.table) for key in loaded_keys(graph, asset)}
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

    @property
    def _runs_ranges(self) -> bool:
        """Whether a run may have a range of partitions."""
        is_multi = isinstance(self.table._attributes.partitions_def, dg.MultiPartitionsDefinition)
        return not is_multi and all(is_single_run(asset) for asset in _computed(self.table))


def _computed(table: CollectedTable) -> list[dg.AssetsDefinition]:
    """The table's computed columns and indexes."""
    return [asset for asset in table.assets if isinstance(asset, TableAsset)]


def _told_of(coming: Mapping[dg.AssetKey, ComingAnswers], now: float) -> Iterable[str]:
    """Why no run is asked for."""
    if not coming:
        return ["no answers are on their way"]
    return [f"{column.to_user_string()}: {one.text(now)}" for column, one in coming.items()]
