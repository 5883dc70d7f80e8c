"""When computed columns run by themselves: on changes, and by schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, get_args

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._utils.warnings import disable_dagster_warnings

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.step.loaded_assets import LoadedAssets
from pxt_assets.errors import DefinitionError, options_checked

PartitionChoice = Literal["latest", "all"]
"""The partitions that a tick of a schedule materializes."""


def on_changed_inputs() -> dg.AutomationCondition[Any]:
    """A condition that is true when something that a column is made of has changed, and at no other time.

    That is: it is missing (a column or a partition that was added, or that was never computed), an input has a new data
    version, or it has a new code version (its prompt, model or arguments). An upstream asset that is materialized again
    with the same contents does not count, unlike with `AutomationCondition.eager()`, nor does a new description or
    throttling. Of a table partitioned by time only the latest partition counts. Inputs that are missing or being
    materialized are waited for; columns that are made of one another run together, as with `eager()`. What failed is not
    tried again before something has changed.

    Example:
        ```python
        tbl.add_computed_column(embed=embeddings(tbl.body, model=model), automation_condition=on_changed_inputs())
        ```

    Automation costs nothing until somebody switches it on: in the UI under Automation, or by an
    `AutomationConditionSensorDefinition` with `default_status=RUNNING`.
    """
    condition: Any = dg.AutomationCondition
    missing = condition.newly_missing() | (condition.missing() & condition.initial_evaluation())
    input_changed = condition.any_deps_match(
        (condition.data_version_changed() & ~condition.executed_with_root_target())
        | condition.will_be_requested()
    )
    changed = missing | input_changed | condition.code_version_changed()
    handled = condition.newly_requested() | condition.newly_updated()
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress()
    with disable_dagster_warnings():  # that `since` is beta: there is nothing for a user to decide
        fires: dg.AutomationCondition[Any] = (
            condition.in_latest_time_window() & changed.since(handled) & ready
        ).with_label("on_changed_inputs")
    return fires


class ScheduledTable(Protocol):
    """A Table, as its schedule knows it."""

    _attributes: TableAttributes

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far."""

    @property
    def _has_computed_columns(self) -> bool: ...


@options_checked("{!r}.schedule", DefinitionError)
def table_schedule(
    table: ScheduledTable,
    cron_schedule: str,
    *,
    name: str | None = None,
    partitions: PartitionChoice | None = None,
    execution_timezone: str | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that materializes all of the table's `assets`, as they are when it is made.

    Example:
        ```python
        defs = dg.Definitions(assets=tbl.assets, schedules=[tbl.schedule("0 6 * * *")], resources={...})
        ```

    Rows that did not change cost nothing, so that a schedule pays for what is new. Where the assets' policies allow it,
    adjacent partitions are one run, or as many runs as the policies' bound makes of them.

    Args:
        table: the table: `tbl.schedule(...)` gives itself.
        cron_schedule: when, as cron has it: minute, hour, day, month, weekday.
        name: of the schedule; by default `<table>_schedule`.
        partitions: "latest", the last one that is complete, of a partitioning by time; "all" of any other, those
            included that were added to a dynamic one meanwhile. That is the default, and "all" can be asked of a
            partitioning by time, too.
        execution_timezone: in which the cron schedule is meant, such as "Europe/Berlin"; UTC by default.
        default_status: whether it runs before somebody switches it on in the UI.
        tags: of its runs.
        description: of the schedule; by default what it materializes.

    Raises DefinitionError for a table without computed columns, and for partitions that it does not have.
    """
    if not table._has_computed_columns:
        msg = f"{table!r}.schedule: the table has no computed columns yet; add them first"
        raise DefinitionError(msg)
    attributes = table._attributes
    partitions_def = attributes.partitions_def
    _check_partition_choice(partitions, partitions_def)
    name = name or f"{identifier(attributes.key)}_schedule"
    assets = table.assets
    most = _partitions_a_run(assets)
    job = dg.define_asset_job(f"{name}_job", selection=LoadedAssets(tuple(assets)))

    def run_requests(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if partitions_def is None:
            yield dg.RunRequest()
            return
        at = context.scheduled_execution_time
        keys = _partition_keys(context, partitions_def, partitions)
        if not keys:
            yield dg.SkipReason(f"there is no partition to materialize at {at:%Y-%m-%d %H:%M %Z}")
        elif most != 1 and len(keys) > 1 and not isinstance(partitions_def, dg.MultiPartitionsDefinition):
            for start in range(0, len(keys), most or len(keys)):
                part = keys[start:][: most or len(keys)]
                tags = {ASSET_PARTITION_RANGE_START_TAG: part[0], ASSET_PARTITION_RANGE_END_TAG: part[-1]}
                yield dg.RunRequest(run_key=f"{at.isoformat()} {part[0]}" if most else None, tags=tags)
        else:
            for key in keys:
                yield dg.RunRequest(run_key=f"{at.isoformat()} {key}", partition_key=key)

    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_fn=run_requests,
        execution_timezone=execution_timezone,
        default_status=default_status,
        tags=tags,
        description=description or _schedule_description(table, partitions),
    )


def _schedule_description(table: ScheduledTable, partitions: PartitionChoice | None) -> str:
    """What a schedule does, in a sentence."""
    attributes = table._attributes
    what = f"Materializes the assets of the table {attributes.key.to_user_string()}"
    if attributes.partitions_def is None:
        return f"{what}."
    latest = partitions != "all" and _time_dimension(attributes.partitions_def) is not None
    return f"{what}: {'their latest partition' if latest else 'all their partitions'}."


def is_single_run(asset: dg.AssetsDefinition) -> bool:
    """Whether one run may materialize any number of the asset's partitions."""
    policy = asset.backfill_policy
    return policy is not None and policy.max_partitions_per_run is None


def _partitions_a_run(assets: Iterable[dg.AssetsDefinition]) -> int | None:
    """How many of the assets' partitions one run may materialize by their policies; None for any number."""
    policies = [asset.backfill_policy for asset in assets]
    bounds = [1 if policy is None else policy.max_partitions_per_run for policy in policies]
    return min((bound for bound in bounds if bound is not None), default=None)


def _check_partition_choice(
    partitions: PartitionChoice | None, partitions_def: dg.PartitionsDefinition[Any] | None
) -> None:
    if partitions is None:
        return
    if partitions not in get_args(PartitionChoice):
        msg = f"got partitions={partitions!r}, allowed: 'latest' or 'all'"
        raise DefinitionError(msg)
    if partitions_def is None:
        msg = f"got partitions={partitions!r} for a table without partitions; leave it out"
        raise DefinitionError(msg)
    if partitions == "latest" and _time_dimension(partitions_def) is None:
        msg = "got partitions='latest', which only a partitioning by time has; leave it out, or give partitions='all'"
        raise DefinitionError(msg)


def _time_dimension(partitions_def: dg.PartitionsDefinition[Any]) -> str | None:
    """The name of the dimension that is time: "" where there are no dimensions, None where none of them is time."""
    if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        return ""
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        for dimension in partitions_def.partitions_defs:
            if isinstance(dimension.partitions_def, dg.TimeWindowPartitionsDefinition):
                return dimension.name
    return None


def _partition_keys(
    context: dg.ScheduleEvaluationContext,
    partitions_def: dg.PartitionsDefinition[Any],
    partitions: PartitionChoice | None,
) -> list[str]:
    """The keys of the partitions to materialize at the scheduled time, in their order."""
    dimension = _time_dimension(partitions_def)
    with partition_loading_context(context.scheduled_execution_time, context.instance):
        if partitions == "all" or dimension is None:
            return list(partitions_def.get_partition_keys())
        if isinstance(partitions_def, dg.MultiPartitionsDefinition):
            latest = partitions_def.get_partitions_def_for_dimension(dimension).get_last_partition_key()
            every = [
                partitions_def.get_partition_key_from_str(k) for k in partitions_def.get_partition_keys()
            ]
            return [key for key in every if key.keys_by_dimension[dimension] == latest]
        latest = partitions_def.get_last_partition_key()
        return [] if latest is None else [latest]
