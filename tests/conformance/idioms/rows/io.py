"""Assets that read the column, and how its value reaches them."""

from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, NewProject, said

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
PAGE = "guides/build/assets/passing-data-between-assets"
Said = list[tuple[str, str]]


@idiom(PAGE, "an input by its key")
def input_by_key(new: NewProject) -> object:
    project = new()

    @dg.asset(ins={"rows": dg.AssetIn(COLUMN)})
    def reader(rows: Any) -> Said:
        return said(rows)

    return project.materialize(reader).output_for_node("reader")


@idiom(PAGE, "an input by key_prefix and the parameter's name")
def input_by_name(new: NewProject) -> object:
    project = new()

    @dg.asset(ins={"shout": dg.AssetIn(key_prefix="tickets")})
    def reader(shout: Any) -> Said:
        return said(shout)

    return project.materialize(reader).output_for_node("reader")


@idiom(PAGE, "an input of all partitions")
def all_partitions(new: NewProject) -> object:
    project = new(DAYS)
    for key in DAYS.get_partition_keys():
        project.materialize(partition_key=key)

    @dg.asset(ins={"rows": dg.AssetIn(COLUMN)})
    def reader(rows: Any) -> Said:
        return said(rows)

    return project.materialize(reader, selection=[reader]).output_for_node("reader")


@idiom("guides/build/assets/multi-assets", "an output of a multi-asset that reads it")
def multi_asset(new: NewProject) -> object:
    project = new()

    @dg.multi_asset(ins={"rows": dg.AssetIn(COLUMN)}, outs={"ids": dg.AssetOut(), "texts": dg.AssetOut()})
    def split(rows: Any) -> tuple[list[str], list[str]]:
        return [row for row, _ in said(rows)], [text for _, text in said(rows)]

    result = project.materialize(split)
    return result.output_for_node("split", "ids"), result.output_for_node("split", "texts")


@idiom("guides/build/io-managers", "an op's outputs through the same IO manager")
def op_outputs(new: NewProject) -> object:
    project = new()

    @dg.op(out=dg.Out(io_manager_key="columns"))
    def letters() -> Any:
        with dg.build_asset_context() as context:
            return project.upstream(context)

    @dg.op
    def count(rows: Any) -> int:
        return len(rows)

    @dg.job(resource_defs=project.resources)
    def counting() -> None:
        count(letters())

    return counting.execute_in_process(instance=project.instance).output_for_node("count")


@idiom(
    "guides/build/ops/dynamic-graphs", "dynamic outputs, mapped and collected, through the same IO manager"
)
def dynamic_outputs(new: NewProject) -> object:
    project = new()

    @dg.op(out=dg.DynamicOut(io_manager_key="columns"))
    def each() -> Any:
        for key in ("a", "b"):
            with dg.build_asset_context() as context:
                yield dg.DynamicOutput(project.upstream(context), mapping_key=key)

    @dg.op(out=dg.Out(io_manager_key="columns"))
    def same(rows: Any) -> Any:
        return rows

    @dg.op
    def total(tables: list[Any]) -> int:
        return sum(len(table) for table in tables)

    @dg.job(resource_defs=project.resources)
    def totalling() -> None:
        total(each().map(same).collect())

    return totalling.execute_in_process(instance=project.instance).output_for_node("total")


def _hand_built(new: NewProject) -> Any:
    store = new().resources["columns"]
    return store if isinstance(store, dg.IOManager) else store.create_io_manager(None)


@idiom("guides/build/io-managers/defining-a-custom-io-manager", "contexts built by hand")
def built_contexts(new: NewProject) -> object:
    project = new()
    store = _hand_built(new)
    with dg.build_asset_context() as context:
        rows = project.upstream(context)
    store.handle_output(dg.build_output_context(asset_key=dg.AssetKey("letters")), rows)
    store.handle_output(dg.build_output_context(asset_key="daily", partition_key="mon"), rows.slice(1))
    whole = store.load_input(dg.build_input_context(asset_key=dg.AssetKey("letters")))
    part = store.load_input(dg.build_input_context(asset_key="daily", partition_key="mon"))
    return whole.to_pylist(), part.to_pylist()
