"""Assets of tables: copies of them, and calling them directly."""

from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import Table, udf
from pxt_assets.errors import DefinitionError

ROWS = pa.table({"id": [1], "body": ["late"]})
SPAN = dg.PartitionKeyRange("mon", "tue")


@udf
def loud(text: str) -> str:
    return text.upper()


@pytest.fixture(params=["declared", "copy"])
def column(request: pytest.FixtureRequest) -> dg.AssetsDefinition:
    days = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
    table = Table("tickets", key="id", partitions_def=days)
    declared = table.add_computed_column(loud=loud(table.body))
    other = {declared.key: dg.AssetKey(["team", "loud"])}
    return declared if request.param == "declared" else declared.with_attributes(asset_key_replacements=other)


def called(column: dg.AssetsDefinition, *rows: Any, **by_name: Any) -> Any:
    """What a direct call for two partitions gives."""
    with dg.build_asset_context(partition_key_range=SPAN) as context:
        events = [*column(context, *rows, **by_name)]
    (result,) = [event for event in events if isinstance(event, dg.MaterializeResult)]
    return {key: table["loud"].to_pylist() for key, table in result.value.items()}


def test_a_copy_has_the_op_of_what_it_is_copied_from(column: dg.AssetsDefinition) -> None:
    """A repository takes several assets of one op, and none of two ops of one name."""
    copy = column.with_attributes(asset_key_replacements={column.key: dg.AssetKey("copy")})
    assert copy.node_def is column.node_def


def test_a_call_for_several_partitions_takes_tables_by_partition(column: dg.AssetsDefinition) -> None:
    """And gives them so."""
    rows = {"mon": ROWS, "tue": ROWS.set_column(1, "body", [["broken"]])}
    (name,) = column.op.input_dict
    assert called(column, rows) == called(column, **{name: rows}) == {"mon": ["LATE"], "tue": ["BROKEN"]}


@pytest.mark.parametrize(("rows", "got"), [(ROWS, "Table"), ({"mon": ROWS}, "a dict without 'tue'")])
def test_a_call_for_several_partitions_refuses_one_table_of_all(
    rows: Any, got: str, column: dg.AssetsDefinition
) -> None:
    """Nobody could say which of its rows are whose."""
    with pytest.raises(dg.Failure, match=f"got {got} for 2 partitions, allowed: a dict of tables"):
        called(column, rows)


@pytest.mark.parametrize(
    ("rows", "by_name", "got"),
    [((), {}, "no inputs"), ((ROWS, ROWS), {}, "2 inputs"), ((), {"tickets": ROWS}, "tickets")],
)
def test_a_call_with_other_inputs_names_those_there_are(
    rows: tuple[Any, ...], by_name: dict[str, Any], got: str, column: dg.AssetsDefinition
) -> None:
    """By the names that they can be given by."""
    with pytest.raises(DefinitionError, match=f"got {got}, allowed: a table for each of rows_of__tickets"):
        called(column, *rows, **by_name)
