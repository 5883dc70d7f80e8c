"""Jobs, schedules, sensors, hooks, executors, tags, config: how assets are run."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, UPSTREAM, NewProject, materialized, said
from tests.runs import QUIET

DAYS = dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-03-05")


@idiom("guides/build/jobs/asset-jobs", "a job of one asset")
def job(new: NewProject) -> object:
    project = new()
    project.materialize(selection=[UPSTREAM])
    defs = project.definitions(jobs=[dg.define_asset_job("one", selection=[project.column])])
    result = defs.resolve_job_def("one").execute_in_process(instance=project.instance, run_config=QUIET)
    return materialized(result), project.shouted


@idiom("guides/build/jobs/asset-jobs", "materialize with a selection")
def selection(new: NewProject) -> object:
    project = new()
    project.materialize(selection=[project.upstream])
    return materialized(project.materialize(selection=[project.column]))


@idiom("guides/build/jobs/job-configuration", "an executor")
def executor(new: NewProject) -> object:
    project = new()
    defs = project.definitions(executor=dg.in_process_executor)
    global_job = defs.resolve_implicit_global_asset_job_def()
    return materialized(global_job.execute_in_process(instance=project.instance, run_config=QUIET))


@idiom("guides/automate/schedules", "a schedule")
def schedule(new: NewProject) -> object:
    project = new()
    every_day = dg.ScheduleDefinition(name="daily", target=dg.AssetSelection.all(), cron_schedule="0 0 * * *")
    defs = project.definitions(schedules=[every_day])
    requests = defs.resolve_schedule_def("daily").evaluate_tick(
        dg.build_schedule_context(
            scheduled_execution_time=datetime(2026, 3, 3, tzinfo=UTC),
            repository_def=defs.get_repository_def(),
        )
    )
    return len(requests.run_requests or [])


@idiom(
    "guides/automate/schedules/constructing-schedules-for-partitioned-assets-and-jobs",
    "a schedule of partitions",
)
def schedule_of_partitions(new: NewProject) -> object:
    project = new(DAYS)
    daily = dg.define_asset_job("daily", selection=dg.AssetSelection.all(), partitions_def=DAYS)
    defs = project.definitions(jobs=[daily], schedules=[dg.build_schedule_from_partitioned_job(daily)])
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 3, 3, tzinfo=UTC), repository_def=defs.get_repository_def()
    )
    requests = defs.resolve_schedule_def("daily_schedule").evaluate_tick(context).run_requests or []
    return [request.partition_key for request in requests]


@idiom("guides/automate/asset-sensors", "an asset sensor")
def asset_sensor(new: NewProject) -> object:
    project = new()
    target = dg.define_asset_job("target", selection=[UPSTREAM])

    @dg.asset_sensor(asset_key=COLUMN, job=target)
    def on_shout(context: Any, asset_event: dg.EventLogEntry) -> Any:
        materialization = asset_event.asset_materialization
        assert materialization is not None
        return dg.RunRequest(run_key=context.cursor, tags={"of": materialization.asset_key.to_user_string()})

    defs = project.definitions(jobs=[target], sensors=[on_shout])
    project.materialize()
    context = dg.build_sensor_context(instance=project.instance, repository_def=defs.get_repository_def())
    requests = on_shout.evaluate_tick(context).run_requests or []
    return [request.tags["of"] for request in requests]


@idiom("guides/automate/asset-sensors", "a multi-asset sensor")
def multi_asset_sensor(new: NewProject) -> object:
    project = new()
    target = dg.define_asset_job("target", selection=[UPSTREAM])

    @dg.multi_asset_sensor(monitored_assets=[COLUMN, UPSTREAM], job=target)
    def on_both(context: dg.MultiAssetSensorEvaluationContext) -> Any:
        events = context.latest_materialization_records_by_key()
        if all(events.values()):
            context.advance_all_cursors()
            return dg.RunRequest(tags={"of": ",".join(sorted(key.to_user_string() for key in events))})
        return None

    defs = project.definitions(jobs=[target], sensors=[on_both])
    project.materialize()
    context = dg.build_multi_asset_sensor_context(
        monitored_assets=[COLUMN, UPSTREAM],
        instance=project.instance,
        repository_def=defs.get_repository_def(),
    )
    requests = on_both.evaluate_tick(context).run_requests or []
    return [request.tags["of"] for request in requests]


@idiom("guides/automate/declarative-automation", "AutomationCondition.eager settles")
def eager(new: NewProject) -> object:
    project = new(automation_condition=dg.AutomationCondition.eager())
    defs = project.definitions()
    first = dg.evaluate_automation_conditions(defs, project.instance)
    project.materialize(selection=[project.upstream])
    second = dg.evaluate_automation_conditions(defs, project.instance, cursor=first.cursor)
    project.materialize(selection=[project.column])
    third = dg.evaluate_automation_conditions(defs, project.instance, cursor=second.cursor)
    return [one.total_requested for one in (first, second, third)]


@idiom("guides/automate/declarative-automation", "AutomationCondition.missing and on_cron are accepted")
def conditions(new: NewProject) -> object:
    found = []
    for condition in (
        dg.AutomationCondition.missing(),
        dg.AutomationCondition.on_cron("@hourly"),
        dg.AutomationCondition.on_missing(),
    ):
        project = new(automation_condition=condition)
        found.append(
            dg.evaluate_automation_conditions(project.definitions(), project.instance).total_requested
        )
    return found, "requested"


@idiom("guides/build/ops/op-hooks", "hooks of an asset")
def hooks(new: NewProject) -> object:
    project = new()
    seen: list[str] = []

    @dg.success_hook
    def note(context: dg.HookContext) -> None:
        seen.append(context.op.name)

    hooked = project.column.with_hooks({note})
    result = dg.materialize(
        [project.upstream, hooked], resources=project.resources, instance=project.instance, run_config=QUIET
    )
    return result.success, len(seen)


@idiom("guides/build/assets/defining-assets", "run tags")
def tags(new: NewProject) -> object:
    project = new()
    result = project.materialize(tags={"team": "support"})
    run = project.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags["team"]


@idiom("guides/build/external-resources/connecting-to-databases", "with_resources")
def with_resources(new: NewProject) -> object:
    project = new()
    assets = dg.with_resources(project.assets, project.resources)
    result = dg.materialize(assets, instance=project.instance, run_config=QUIET)
    return materialized(result), said(result.asset_value(COLUMN))


@idiom("guides/build/assets/external-assets", "below an external asset")
def below_an_external_asset(new: NewProject) -> object:
    project = new()
    project.materialize(selection=[project.upstream])
    external = dg.AssetSpec(UPSTREAM).with_io_manager_key("columns")
    result = dg.materialize(
        [external, project.column], resources=project.resources, instance=project.instance, run_config=QUIET
    )
    return materialized(result), project.shouted


@idiom("guides/build/assets/external-assets", "itself as an external asset")
def as_an_external_asset(new: NewProject) -> object:
    project = new()
    project.materialize()
    external = dg.AssetSpec(COLUMN).with_io_manager_key("columns")

    @dg.asset(ins={"rows": dg.AssetIn(COLUMN)})
    def reader(rows: Any) -> list[tuple[str, str]]:
        return said(rows)

    result = dg.materialize(
        [external, reader], resources=project.resources, instance=project.instance, run_config=QUIET
    )
    return result.output_for_node("reader")


@idiom("guides/build/assets/graph-backed-assets", "an op below an asset")
def graph_asset(new: NewProject) -> object:
    project = new()

    @dg.op
    def count(rows: Any) -> int:
        return len(said(rows))

    @dg.graph_asset(ins={"rows": dg.AssetIn(COLUMN)})
    def counted(rows: Any) -> Any:
        return count(rows)

    return project.materialize(counted).output_for_node("counted")
