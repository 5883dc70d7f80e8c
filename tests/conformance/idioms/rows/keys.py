"""Assets that are loaded with other keys, or other attributes, than they were declared with."""

from types import ModuleType
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, UPSTREAM, NewProject, Project, materialized, said
from tests.runs import QUIET

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
TEAM_COLUMN = dg.AssetKey(["team", *COLUMN.path])


def module_of(project: Project) -> Any:
    """A module as a user leaves it behind: the upstream asset, and the table or the plain asset."""
    module: Any = ModuleType("team_assets")
    module.tickets, module.shouting = project.upstream, project.loadable
    return module


def run(project: Project, assets: Any, **options: Any) -> dg.ExecuteInProcessResult:
    """One run of assets in place of the project's own."""
    return dg.materialize(
        assets, resources=project.resources, instance=project.instance, run_config=QUIET, **options
    )


@idiom("api/dagster/assets", "load_assets_from_modules with key_prefix")
def key_prefix(new: NewProject) -> object:
    project = new()
    assets = dg.load_assets_from_modules([module_of(project)], key_prefix="team")
    result = run(project, assets)
    return materialized(result), said(result.asset_value(TEAM_COLUMN)), project.shouted


@idiom("api/dagster/assets", "key_prefix of partitioned assets, several in a run")
def key_prefix_of_partitions(new: NewProject) -> object:
    project = new(DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    assets = dg.load_assets_from_modules([module_of(project)], key_prefix="team")
    result = run(
        project,
        assets,
        tags={"dagster/asset_partition_range_start": "mon", "dagster/asset_partition_range_end": "tue"},
    )
    return materialized(result), said(result.asset_value(TEAM_COLUMN))


@idiom("api/dagster/assets", "key_prefix of the assets below an external one")
def key_prefix_below_an_external_asset(new: NewProject) -> object:
    project = new()
    project.materialize(selection=[project.upstream])
    module: Any = ModuleType("team_assets")
    module.shouting = project.loadable
    assets = dg.load_assets_from_modules([module], key_prefix=["a", "b"])
    external = dg.AssetSpec(UPSTREAM).with_io_manager_key("columns")
    result = run(project, [*assets, external])
    return materialized(result), project.shouted


@idiom("api/dagster/assets", "load_assets_from_modules with source_key_prefix")
def source_key_prefix(new: NewProject) -> object:
    project = new()
    project.resources["io_manager"] = project.resources["columns"]
    module: Any = ModuleType("team_assets")
    module.shouting = project.loadable
    with_prefix = dg.AssetKey(["source", *UPSTREAM.path])
    run(project, [project.upstream.with_attributes(asset_key_replacements={UPSTREAM: with_prefix})])
    module.tickets = dg.SourceAsset(UPSTREAM, io_manager_key="columns")
    assets = dg.load_assets_from_modules([module], source_key_prefix="source")
    return materialized(run(project, assets)), project.shouted


@idiom("api/dagster/assets", "with_attributes(asset_key_replacements)")
def key_replacements(new: NewProject) -> object:
    project = new()
    keys = {UPSTREAM: dg.AssetKey("letters"), COLUMN: dg.AssetKey(["out", "loud"])}
    result = run(project, [one.with_attributes(asset_key_replacements=keys) for one in project.assets])
    return materialized(result), said(result.asset_value(["out", "loud"])), project.shouted


@idiom("api/dagster/definitions", "Definitions.map_resolved_asset_specs")
def map_asset_specs(new: NewProject) -> object:
    project = new()
    defs = project.definitions().map_resolved_asset_specs(
        func=lambda spec: spec.replace_attributes(code_version="mine", group_name="mapped", owners=["team:x"])
    )
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=project.instance, run_config=QUIET)
    versions = {
        one.asset_key.to_user_string(): (one.tags or {}).get("dagster/code_version")
        for one in result.asset_materializations_for_node(project.column.node_def.name)
    }
    return materialized(result), versions, sorted(s.group_name for s in defs.resolve_all_asset_specs())


@idiom("api/dagster/assets", "map_asset_specs with other partitions")
def map_partitions(new: NewProject) -> object:
    project = new()
    assets = [
        dg.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=DAYS), [one])[0]
        for one in project.assets
    ]
    result = run(project, assets, partition_key="tue")
    return materialized(result), said(result.asset_value(COLUMN))


@idiom("api/dagster/assets", "map_asset_specs with further deps")
def map_deps(new: NewProject) -> object:
    project = new()
    with_dep = dg.map_asset_specs(
        lambda spec: spec.replace_attributes(deps=[*spec.deps, dg.AssetDep("calendar")]), [project.column]
    )
    return materialized(run(project, [project.upstream, *with_dep])), project.shouted


@idiom("guides/build/assets/defining-assets-with-asset-dependencies", "an asset below one with another key")
def downstream_of_other_key(new: NewProject) -> object:
    project = new()
    assets = dg.load_assets_from_modules([module_of(project)], key_prefix="team")

    @dg.asset(ins={"rows": dg.AssetIn(TEAM_COLUMN)})
    def reader(rows: Any) -> list[tuple[str, str]]:
        return said(rows)

    return run(project, [*assets, reader]).output_for_node("reader")


@idiom("guides/build/jobs/asset-jobs", "a job of an asset without its checks, with another key")
def without_checks(new: NewProject) -> object:
    project = new()
    defs = dg.Definitions(
        assets=dg.load_assets_from_modules([module_of(project)], key_prefix="team"),
        resources=project.resources,
        jobs=[
            dg.define_asset_job("no_checks", dg.AssetSelection.all() - dg.AssetSelection.all_asset_checks()),
            dg.define_asset_job("one", dg.AssetSelection.assets(TEAM_COLUMN)),
        ],
    )
    runs = [
        defs.resolve_job_def(name).execute_in_process(instance=project.instance, run_config=QUIET)
        for name in ("no_checks", "one")
    ]
    return [materialized(one) for one in runs]
