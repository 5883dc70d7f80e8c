"""Tests of assets, and loading what they stored."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, NewProject, said

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@idiom("guides/test/unit-testing-assets-and-ops", "the value of an asset in a run's result")
def asset_value(new: NewProject) -> object:
    project = new()
    return said(project.materialize().asset_value(COLUMN))


@idiom("guides/test/unit-testing-assets-and-ops", "the value of one partition in a run's result")
def asset_value_of_a_partition(new: NewProject) -> object:
    project = new(DAYS)
    return said(project.materialize(partition_key="tue").asset_value(COLUMN))


@idiom("guides/test/unit-testing-assets-and-ops", "the output of an asset's node")
def output_for_node(new: NewProject) -> object:
    project = new()
    node = project.column.node_def
    output = project.column.get_output_name_for_asset_key(COLUMN)
    return said(project.materialize().output_for_node(node.name, output))


@idiom("api/dagster/execution", "materialize_to_memory")
def materialize_to_memory(new: NewProject) -> object:
    project = new()
    result = dg.materialize_to_memory(project.assets, instance=project.instance)
    return said(result.asset_value(COLUMN))


@idiom("api/dagster/execution", "materialize_to_memory with an asset that reads the column")
def materialize_to_memory_and_read(new: NewProject) -> object:
    project = new(DAYS)

    @dg.asset(ins={"rows": dg.AssetIn(COLUMN)}, partitions_def=DAYS)
    def reader(rows: Any) -> list[tuple[str, str]]:
        return said(rows)

    result = dg.materialize_to_memory(
        [*project.assets, reader], partition_key="wed", instance=project.instance
    )
    return result.output_for_node("reader")


@idiom("guides/test/unit-testing-assets-and-ops", "direct invocation with build_asset_context")
def direct_invocation(new: NewProject) -> object:
    project = new()
    with dg.build_asset_context() as context:
        rows = project.upstream(context)
    with dg.build_asset_context() as context:
        return invoked(project.column(context, rows))


@idiom("guides/test/testing-partitioned-config-and-jobs", "direct invocation for a partition")
def direct_invocation_of_a_partition(new: NewProject) -> object:
    project = new(DAYS)
    with dg.build_asset_context(partition_key="tue") as context:
        rows = project.upstream(context)
    with dg.build_asset_context(partition_key="tue") as context:
        return invoked(project.column(context, rows))


def invoked(given: Any) -> list[tuple[str, str]]:
    """The rows that a directly invoked asset gave, itself or among its events."""
    events = list(given) if isinstance(given, Iterator | list) else [given]
    return said(next(one for one in events if not isinstance(one, dg.AssetCheckResult)))


@idiom("api/dagster/definitions", "Definitions.load_asset_value")
def load_asset_value(new: NewProject) -> object:
    project = new()
    project.materialize()
    return said(project.definitions().load_asset_value(COLUMN, instance=project.instance))


@idiom("api/dagster/definitions", "Definitions.load_asset_value of a partition")
def load_asset_value_of_a_partition(new: NewProject) -> object:
    project = new(DAYS)
    for key in ("mon", "tue"):
        project.materialize(partition_key=key)
    return said(project.definitions().load_asset_value(COLUMN, partition_key="tue"))


@idiom("api/dagster/definitions", "AssetValueLoader with a range of partitions")
def load_range(new: NewProject) -> object:
    project = new(DAYS)
    for key in DAYS.get_partition_keys():
        project.materialize(partition_key=key)
    with project.definitions().get_asset_value_loader(project.instance) as loader:
        span = dg.PartitionKeyRange("tue", "wed")
        # a plain IO manager is asked in the order of a set
        return sorted(said(loader.load_asset_value(COLUMN, partition_key_range=span)))


@idiom("api/dagster/definitions", "load_asset_value with a type")
def load_asset_value_with_a_type(new: NewProject) -> object:
    project = new()
    project.materialize()
    with project.definitions().get_asset_value_loader() as loader:
        as_frame = pd.DataFrame if project.table is not None else None  # a pickle knows one type
        return said(loader.load_asset_value(COLUMN, python_type=as_frame))


@idiom("api/dagster/execution", "context.load_asset_value in an asset")
def load_in_an_asset(new: NewProject) -> object:
    project = new()

    @dg.asset(deps=[COLUMN])
    def reader(context: dg.AssetExecutionContext) -> list[tuple[str, str]]:
        return said(context.load_asset_value(COLUMN))

    return project.materialize(reader).output_for_node("reader")


@idiom("api/dagster/execution", "context.load_asset_value of a partition in an asset without partitions")
def load_a_partition_in_an_asset(new: NewProject) -> object:
    project = new(DAYS)
    project.materialize(partition_key="tue")

    @dg.asset(deps=[dg.AssetDep(COLUMN, partition_mapping=dg.AllPartitionMapping())])
    def reader(context: dg.AssetExecutionContext) -> list[tuple[str, str]]:
        return said(context.load_asset_value(COLUMN, partition_key="tue"))

    return project.materialize(reader, selection=[reader]).output_for_node("reader")
