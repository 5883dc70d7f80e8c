"""What contexts of Dagster's ask of the ColumnStore: runs', `load_asset_value`'s, and those that tests build."""

from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore
from pxt_assets.errors import SourceError

ROWS = pa.table({"a": [1, 2]})
DAYS = dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-04-01")


def loaded(store: ColumnStore, **context: Any) -> Any:
    return store.load_input(dg.build_input_context(**context))


def test_a_context_of_an_asset_key_is_enough(store: ColumnStore) -> None:
    """As with Dagster's own managers, `build_output_context(asset_key=...)` stores, without a step."""
    context = dg.build_output_context(asset_key="tickets")
    store.handle_output(context, ROWS)
    assert context.consume_logged_metadata()["dagster/row_count"].value == 2
    assert loaded(store, asset_key="tickets") == ROWS


def test_a_partition_is_one_file_and_a_range_several(store: ColumnStore) -> None:
    """A range without a step is stored, too, from a dict by partition key."""
    store.handle_output(dg.build_output_context(asset_key="t", partition_key="2026-03-01"), ROWS)
    days = dg.PartitionKeyRange("2026-03-02", "2026-03-03")
    several = dg.build_output_context(
        asset_key="t", asset_partitions_def=DAYS, asset_partition_key_range=days
    )
    store.handle_output(several, {"2026-03-02": ROWS.slice(1), "2026-03-03": ROWS})
    assert loaded(store, asset_key="t", partition_key="2026-03-02")["a"].to_pylist() == [2]
    both = loaded(store, asset_key="t", asset_partitions_def=DAYS, asset_partition_key_range=days)
    assert both["a"].to_pylist() == [2, 1, 2]


def test_without_a_partition_all_stored_ones_are_loaded_in_order(store: ColumnStore) -> None:
    """Missing partitions are no error: none was asked for by name."""
    for key in ("2026-03-09", "2026-03-02"):
        rows = pa.table({"a": [key]})
        store.handle_output(dg.build_output_context(asset_key="t", partition_key=key), rows)
    whole = loaded(store, asset_key="t", asset_partitions_def=DAYS)
    assert whole["a"].to_pylist() == ["2026-03-02", "2026-03-09"]


def test_nothing_stored_is_an_error_that_names_the_asset(store: ColumnStore) -> None:
    """Of a partitioned asset as of any other."""
    with pytest.raises(SourceError, match=r"t is not stored at .*materialize it first"):
        loaded(store, asset_key="t", asset_partitions_def=DAYS)


def test_dynamic_partitions_need_an_instance(store: ColumnStore) -> None:
    """Only an instance knows them; the message says what to give."""
    customers = dg.DynamicPartitionsDefinition(name="customers")
    with pytest.raises(SourceError, match=r"t: which partitions .*give partition_key= or instance="):
        loaded(store, asset_key="t", asset_partitions_def=customers)


def test_the_type_that_is_asked_for_is_given(store: ColumnStore) -> None:
    """A DagsterType is read as an annotation is."""
    store.handle_output(dg.build_output_context(asset_key="t"), ROWS)
    frame = loaded(store, asset_key="t", dagster_type=dg.PythonObjectDagsterType(pd.DataFrame))
    assert frame["a"].tolist() == [1, 2]


def test_an_ops_output_lies_by_its_run_step_and_name(store: ColumnStore) -> None:
    """It is no asset, and lies apart from all of them."""
    output = dg.build_output_context(step_key="give", name="result", run_id="abc", mapping_key="k")
    store.handle_output(output, ROWS)
    assert loaded(store, upstream_output=output) == ROWS
    key = dg.AssetKey([".ops", "abc", "give", "result", "k"])
    assert store.file(key).path.path.endswith("/.ops/abc/give/result/k/k.parquet")


def test_no_asset_lies_among_op_outputs_unless_it_is_one(store: ColumnStore) -> None:
    """An asset whose name merely begins so is quoted, as any name is."""
    assert "/.ops/" not in str(store.file(dg.AssetKey([".ops2", "a"])).path)


@pytest.mark.parametrize(
    ("asked", "kind"), [(list, pa.Table), (list[pa.Table], pa.Table), (list[pd.DataFrame], pd.DataFrame)]
)
def test_collected_outputs_are_each_of_the_lists_type(store: ColumnStore, asked: Any, kind: type) -> None:
    """`tables: list[pa.Table]` is a list of tables, not of rows."""
    seen: list[Any] = []

    @dg.op(out=dg.DynamicOut(io_manager_key="columns"))
    def each() -> Any:
        for i in range(2):
            yield dg.DynamicOutput(ROWS.slice(i), mapping_key=str(i))

    @dg.op(ins={"tables": dg.In(asked)})
    def gather(tables: Any) -> None:
        seen.extend(tables)

    @dg.job(resource_defs={"columns": store})
    def gathering() -> None:
        gather(each().collect())

    assert gathering.execute_in_process().success
    assert [type(one) for one in seen] == [kind, kind]
