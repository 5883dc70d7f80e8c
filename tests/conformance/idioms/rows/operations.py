"""What happens around runs: retries, sensors of runs, observations, resources of one asset, subsets."""

from typing import Any

import dagster as dg
from dagster._core.definitions.observe import observe
from dagster._core.execution.build_resources import wrap_resources_for_execution

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, UPSTREAM, NewProject, materialized, said
from tests.runs import QUIET

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@idiom("guides/build/assets/asset-retries", "a retry policy of an asset")
def retry_policy(new: NewProject) -> object:
    project = new(retry_policy=dg.RetryPolicy(max_retries=2))
    policy = project.column.op.retry_policy
    assert policy is not None
    return policy.max_retries, materialized(project.materialize())


@idiom("guides/build/assets/asset-retries", "a retry after the upstream could not be loaded")
def retried(new: NewProject) -> object:
    project = new(retry_policy=dg.RetryPolicy(max_retries=1))
    result = project.materialize(selection=[COLUMN], fails=True)  # the upstream was never materialized
    events = [event.event_type_value for event in result.all_events]
    return events.count("STEP_UP_FOR_RETRY"), events.count("STEP_RESTARTED"), events.count("STEP_FAILURE")


@idiom("guides/operate/run-retries", "a run from failure")
def from_failure(new: NewProject) -> object:
    project = new()
    fail = [True]

    @dg.asset(deps=[COLUMN])
    def below() -> None:
        if fail.pop():
            msg = "once"
            raise ValueError(msg)

    job = project.definitions(below).resolve_implicit_global_asset_job_def()
    first = job.execute_in_process(instance=project.instance, run_config=QUIET, raise_on_error=False)
    fail.append(False)
    with dg.DagsterInstance.ephemeral() as instance:
        again = job.execute_in_process(
            instance=instance, run_config=QUIET, asset_selection=[dg.AssetKey("below")]
        )
    return materialized(first), materialized(again), project.shouted


@idiom("guides/automate/run-status-sensors", "a run status sensor")
def run_status(new: NewProject) -> object:
    project = new()
    seen: list[str] = []

    @dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS)
    def on_success(context: dg.RunStatusSensorContext) -> None:
        seen.append(context.dagster_run.job_name)

    result = project.materialize()
    defs = project.definitions(sensors=[on_success])
    on_success(
        dg.build_run_status_sensor_context(
            sensor_name="on_success",
            dagster_instance=project.instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_success_event(),
        )
    )
    return seen, [sensor.name for sensor in defs.get_repository_def().sensor_defs]


@idiom("guides/build/assets/external-assets", "below an observable source asset")
def below_an_observed_source(new: NewProject) -> object:
    project = new()
    project.materialize(selection=[UPSTREAM])

    @dg.observable_source_asset(key=UPSTREAM, io_manager_key="columns")
    def tickets() -> dg.DataVersion:
        return dg.DataVersion("one")

    observe([tickets], instance=project.instance, resources=project.resources)
    result = dg.materialize(
        [tickets, project.column],
        selection=[COLUMN],
        resources=project.resources,
        instance=project.instance,
        run_config=QUIET,
    )
    return materialized(result), said(result.asset_value(COLUMN))


@idiom("api/dagster/resources", "resources of one asset")
def resources_of_one(new: NewProject) -> object:
    project = new()
    checks_too = {"io_manager": dg.mem_io_manager, **project.resources}
    resources = wrap_resources_for_execution(checks_too)
    bound = [asset.with_resources(resources) for asset in project.assets]
    result = dg.materialize(bound, instance=project.instance, run_config=QUIET)
    return materialized(result), said(result.asset_value(COLUMN))


@idiom("guides/build/assets/asset-versioning-and-caching", "a code version and data versions are recorded")
def versions(new: NewProject) -> object:
    project = new()
    project.materialize()
    event = project.instance.get_latest_materialization_event(COLUMN)
    assert event is not None
    assert event.asset_materialization is not None
    tags = event.asset_materialization.tags or {}
    return sorted(tag for tag in tags if tag in ("dagster/data_version", "dagster/code_version"))[-1]


@idiom("guides/build/partitions-and-backfills/backfilling-data", "runs of one partition after another")
def one_after_another(new: NewProject) -> object:
    project = new(DAYS, backfill_policy=dg.BackfillPolicy.multi_run(1))
    runs = [project.materialize(partition_key=key) for key in DAYS.get_partition_keys()]
    status = project.instance.get_materialized_partitions(COLUMN)
    return [materialized(run) for run in runs], sorted(status)


@idiom("guides/observe/asset-catalog", "tags, owners, kinds and metadata of an asset")
def catalog(new: NewProject) -> object:
    attributes: dict[str, Any] = {
        "tags": {"tier": "one"},
        "owners": ["team:search"],
        "kinds": {"llm"},
        "metadata": {"of": "support"},
        "description": "Loud tickets.",
    }
    (spec,) = new(**attributes).column.specs
    return spec.tags["tier"], spec.owners, "llm" in spec.kinds, spec.metadata["of"]


@idiom("guides/build/jobs/op-jobs", "tags of an asset's op")
def op_tags(new: NewProject) -> object:
    return new(op_tags={"dagster/priority": "3"}).column.op.tags["dagster/priority"]
