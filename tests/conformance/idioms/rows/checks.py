"""Asset checks: of one's own on the column, the column's among others, and freshness."""

from datetime import timedelta
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, NewProject, materialized, said
from tests.conformance.idioms.rows.keys import module_of
from tests.runs import QUIET

PAGE = "guides/test/asset-checks"
FRESHNESS = "guides/test/data-freshness-testing"


def evaluated(result: dg.ExecuteInProcessResult, name: str) -> list[tuple[str, bool]]:
    """Which assets a check looked at, and whether they passed."""
    return [
        (one.asset_key.to_user_string(), one.passed)
        for one in result.get_asset_check_evaluations()
        if one.check_name == name
    ]


@idiom(PAGE, "a check that reads the column")
def reading_check(new: NewProject) -> object:
    project = new()

    @dg.asset_check(asset=project.column)
    def is_loud(rows: Any) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=all(text.isupper() for _, text in said(rows)))

    defs = project.definitions(asset_checks=[is_loud])
    job = defs.resolve_implicit_global_asset_job_def()
    return evaluated(job.execute_in_process(instance=project.instance, run_config=QUIET), "is_loud")


@idiom(PAGE, "a check of a key with another input name")
def check_with_input(new: NewProject) -> object:
    project = new()

    @dg.asset_check(asset=COLUMN, additional_ins={"letters": dg.AssetIn("tickets")})
    def is_whole(rows: Any, letters: Any) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(said(rows)) == letters.num_rows)

    defs = project.definitions(asset_checks=[is_whole])
    job = defs.resolve_implicit_global_asset_job_def()
    return evaluated(job.execute_in_process(instance=project.instance, run_config=QUIET), "is_whole")


@idiom(PAGE + "#blocking-downstream-materialization", "a blocking check stops what is below")
def blocking_check(new: NewProject) -> object:
    project = new()

    @dg.asset_check(asset=project.column, blocking=True)
    def never() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    @dg.asset(deps=[project.column])
    def below() -> None: ...

    defs = project.definitions(below, asset_checks=[never])
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=project.instance, run_config=QUIET, raise_on_error=False)
    return result.success, materialized(result)


@idiom(PAGE, "a check loaded from a module with key_prefix")
def check_with_prefix(new: NewProject) -> object:
    project = new()

    @dg.asset_check(asset=project.column)
    def is_loud(rows: Any) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=len(said(rows)) > 0)

    module = module_of(project)
    module.is_loud = is_loud
    defs = dg.Definitions(
        assets=dg.load_assets_from_modules([module], key_prefix="team"),
        asset_checks=dg.load_asset_checks_from_modules([module], asset_key_prefix="team"),
        resources=project.resources,
    )
    job = defs.resolve_implicit_global_asset_job_def()
    return evaluated(job.execute_in_process(instance=project.instance, run_config=QUIET), "is_loud")


@idiom(FRESHNESS, "build_last_update_freshness_checks")
def last_update(new: NewProject) -> object:
    project = new()
    checks = dg.build_last_update_freshness_checks(
        assets=[project.column], lower_bound_delta=timedelta(days=1)
    )
    defs = project.definitions(
        asset_checks=checks, sensors=[dg.build_sensor_for_freshness_checks(freshness_checks=checks)]
    )
    project.materialize()
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=project.instance,
        run_config=QUIET,
        asset_selection=list({key for c in checks for key in c.keys}),
    )
    return evaluated(result, "freshness_check"), result.success


@idiom(FRESHNESS, "a freshness policy")
def freshness_policy(new: NewProject) -> object:
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24))
    project = new(freshness_policy=policy)
    found = project.definitions().resolve_asset_graph().get(COLUMN).freshness_policy
    return type(found).__name__, found == policy


@idiom(PAGE, "build_column_schema_change_checks")
def schema_checks(new: NewProject) -> object:
    project = new()
    checks = dg.build_column_schema_change_checks(assets=[project.column])
    defs = project.definitions(asset_checks=checks)
    return sorted(str(key) for key in defs.resolve_asset_graph().asset_check_keys if "schema" in key.name)
