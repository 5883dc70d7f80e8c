"""The factory of computed columns: a column as a Dagster asset."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import dagster as dg

from pxt_assets.assets.columns.column_config import ColumnConfig
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.declarations.asset_options import op_tags_of
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.step.asset_keys import run_keys
from pxt_assets.assets.step.grouped_asset import group_of_table
from pxt_assets.assets.step.invocation import op_config
from pxt_assets.assets.step.kept_values import step_store
from pxt_assets.assets.step.shown import (
    Result,
    errors_without_secrets,
    result_without_secrets,
    step_secrets,
)
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.index.spec import IndexSpec
from pxt_assets.storage.refusals import refusals_told


def column_asset(spec: ColumnSpec) -> dg.AssetsDefinition:
    """The asset that materializes a computed column, partition by partition."""
    mapping = {spec.table: spec.partition_mapping}
    inputs = spec.inputs
    asset_spec = dg.AssetSpec(
        spec.key,
        deps=[
            *(dg.AssetDep(asset, partition_mapping=mapping.get(asset)) for asset in inputs.values()),
            *(
                dg.AssetDep(index.key, partition_mapping=_index_partition_mapping(index))
                for index in spec.indexes
            ),
            *spec.deps,
        ],
        partitions_def=spec.partitions_def,
        code_version=spec.code_version,
        skippable=True,  # a trial materializes nothing
        **spec.attributes,
    ).with_io_manager_key(spec.resources.columns)

    @dg.multi_asset(
        name=identifier(spec.key),
        specs=[asset_spec],
        ins={name: dg.AssetIn(asset) for name, asset in inputs.items()},
        check_specs=spec.checks.specs(spec.key, has_budget=spec.max_cost_usd is not None),
        can_subset=True,  # a trial has nothing to check
        config_schema=_config_schema(),
        op_tags=op_tags_of(spec.op_tags, spec.resource_keys),
        retry_policy=spec.retry_policy,
        pool=spec.pool,
        backfill_policy=spec.backfill_policy,
        required_resource_keys=set(spec.resource_keys) - {spec.resources.columns},  # that is its IO manager
    )
    def column(context: dg.AssetExecutionContext, **input_values: Any) -> Iterator[Result]:
        from pxt_assets.assets.columns.materialize import Materialization

        spec_now = spec.with_keys(run_keys(column, context))
        secrets = step_secrets(context)
        with (
            errors_without_secrets(secrets),
            step_store(context, spec_now.key, spec.resources.columns) as kept,
            refusals_told(lambda: kept.store.root, spec_now.key.to_user_string(), dg.Failure),
        ):
            config = ColumnConfig.of_run(op_config(context), spec_now.key.to_user_string())
            step = Materialization(spec_now, context, config, input_values, kept)
            for result in step.results():
                yield result_without_secrets(result, secrets)

    group = None if spec.attributes.get("group_name") else group_of_table(spec.table)
    return TableAsset(default_group=group, **column.get_attributes_dict())


def _index_partition_mapping(index: IndexSpec) -> dg.PartitionMapping | None:
    """All partitions of an index, since a lookup searches them all; None for an index without partitions."""
    return dg.AllPartitionMapping() if index.partitioned else None


@cache
def _config_schema() -> Mapping[str, dg.Field]:
    """The schema of ColumnConfig, made once: it takes longer than all the rest of an asset."""
    return ColumnConfig.to_fields_dict()
