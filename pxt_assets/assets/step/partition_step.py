"""A step as a run of one of its partitions would have it, and what the IO managers of its inputs load there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset import PartitionsSubset
from dagster._core.definitions.partitions.utils import MultiPartitionKey, get_tags_from_multi_partition_key
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.inputs import FromStepOutput
from dagster._core.execution.plan.utils import build_resources_for_manager
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dagster._core.types.dagster_type import resolve_dagster_type

_RANGE_TAGS = {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG}


class PartitionStep(StepExecutionContext):
    """The context of a step as if its run were of one of its partitions; the step itself for None.

    So an IO manager is asked for what it would be asked for in a run of that partition, mapping of partitions included.
    """

    def __init__(self, step: StepExecutionContext, partition: str | None) -> None:
        self.__dict__.update(vars(step))
        if partition is not None:
            run = step.dagster_run
            tags = {name: value for name, value in run.tags.items() if name not in _RANGE_TAGS}
            tags[PARTITION_NAME_TAG] = str(partition)
            if isinstance(partition, MultiPartitionKey):
                tags.update(get_tags_from_multi_partition_key(partition))
            self._plan_data = self._plan_data._replace(dagster_run=run.with_tags(tags))
        self._partition = partition
        self._subset: PartitionsSubset | None = None

    def asset_partitions_subset_for_input(
        self, input_name: str, *, require_valid_partitions: bool = True
    ) -> PartitionsSubset:
        if self._subset is not None:
            return self._subset
        return super().asset_partitions_subset_for_input(
            input_name, require_valid_partitions=require_valid_partitions
        )

    def upstream_asset(self, input_name: str) -> dg.AssetKey:
        """The asset that the input reads, by its key in this job."""
        asset = self.job_def.asset_layer.get_asset_key_for_node_input(self.node_handle, input_name)
        assert asset is not None
        return asset

    def upstream_partitions(self, input_name: str) -> list[str] | None:
        """The upstream's partitions that the input reads, in their order; None if the upstream has none.

        Raises what Dagster does if there are no such partitions.
        """
        theirs = self._upstream_partitions_def(input_name)
        if theirs is None:
            return None
        asset, own = self.upstream_asset(input_name), self.assets_def
        if (
            own is not None
            and self._partition is not None
            and own.partitions_def == theirs
            and own.get_partition_mapping_for_dep(asset) is None
        ):
            return [self._partition]
        keys = self.asset_partitions_subset_for_input(input_name).get_partition_keys()
        if isinstance(theirs, dg.TimeWindowPartitionsDefinition):
            return list(keys)  # these are in order; all keys may be tens of thousands
        wanted = set(keys)
        with partition_loading_context(dynamic_partitions_store=self.instance):
            return [key for key in theirs.get_partition_keys() if key in wanted]

    def is_one_range(self, input_name: str, keys: Sequence[str]) -> bool:
        """Whether a query for all partitions from the first to the last one gives those and no others."""
        theirs = self._upstream_partitions_def(input_name)
        if theirs is None or isinstance(theirs, dg.MultiPartitionsDefinition):
            return False
        with partition_loading_context(dynamic_partitions_store=self.instance):
            return len(_subset(theirs, keys).get_partition_key_ranges(theirs)) == 1

    def io_manager(self, input_name: str) -> Any:
        """The IO manager that loads the input."""
        source = self.step.step_input_named(input_name).source
        if isinstance(source, FromStepOutput):
            return self.get_io_manager(source.step_output_handle)
        return getattr(self.resources, self._io_manager_key(input_name))

    def load(self, input_name: str, keys: Sequence[str] | None, python_type: Any) -> Any:
        """What the IO manager gives for these partitions of the upstream, as `python_type`.

        None is for an upstream without partitions. Raises whatever the IO manager raises.
        """
        theirs = self._upstream_partitions_def(input_name)
        of_keys = PartitionStep(self, None)
        of_keys._subset = None if keys is None or theirs is None else _subset(theirs, keys)
        return self.io_manager(input_name).load_input(of_keys._input_context(input_name, python_type))

    def _input_context(self, input_name: str, python_type: Any) -> dg.InputContext:
        """The context as Dagster makes it for an output of this run, and for a stored asset."""
        source = self.step.step_input_named(input_name).source
        if isinstance(source, FromStepOutput):
            input_def = self.op_def.input_def_named(input_name)
            loaded_as = dg.In(python_type, metadata=input_def.metadata).to_definition(input_name)
            return source.get_load_context(self, loaded_as)
        asset, io_manager_key = self.upstream_asset(input_name), self._io_manager_key(input_name)
        node = self.job_def.asset_layer.get(asset)
        resources = build_resources_for_manager(io_manager_key, self)
        resource_config = self.resolved_run_config.resources[io_manager_key].config
        return self.for_input_manager(
            input_name,
            None,
            definition_metadata={},
            dagster_type=resolve_dagster_type(python_type),
            resource_config=resource_config,
            resources=resources,
            artificial_output_context=dg.build_output_context(
                resources=resources,
                asset_key=asset,
                name=asset.path[-1],
                step_key="none",
                definition_metadata=dict(node.metadata),
                resource_config=resource_config,
                asset_partitions_def=node.partitions_def,
                instance=self.instance,
                asset_spec=node.to_asset_spec(),
            ),
        )

    def _io_manager_key(self, input_name: str) -> str:
        return self.job_def.asset_layer.get(self.upstream_asset(input_name)).io_manager_key

    def _upstream_partitions_def(self, input_name: str) -> dg.PartitionsDefinition[Any] | None:
        layer, asset = self.job_def.asset_layer, self.upstream_asset(input_name)
        return layer.get(asset).partitions_def if layer.has(asset) else None


def _subset(partitions_def: dg.PartitionsDefinition[Any], keys: Iterable[str]) -> PartitionsSubset:
    return partitions_def.empty_subset().with_partition_keys(keys)
