"""Upstreams of any IO manager, in any form of a table, whole or by partition."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, failure, materialize, message, rows_asset, stored, values

ROWS = [{"id": 1, "body": "one"}, {"id": 2, "body": None}, {"id": 3, "body": "three"}]
LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(
        pa.Table.from_pylist(rows).schema, pa.Table.from_pylist(rows).to_batches(max_chunksize=2)
    )


def dataset(rows: list[dict[str, Any]]) -> ds.Dataset:
    return ds.dataset(pa.Table.from_pylist(rows))


FORMS = {
    "table": pa.Table.from_pylist,
    "frame": pd.DataFrame,
    "dicts": list,
    "reader": reader,
    "dataset": dataset,
}


def values_of_column(
    make: Any, store: ColumnStore, openai: OpenAIResource, io_manager: Any = None
) -> list[Any]:
    """What a column over an upstream stored by `io_manager` says, in another run than the upstream's."""
    key = "columns" if io_manager is None else "other"

    @dg.asset(io_manager_key=key)
    def tickets() -> Any:
        return make(ROWS)

    table = Table(tickets, key="id")
    table.add_computed_column(said=ask(table.body))
    table.add_computed_column(answer=table.said.choices[0].message.content)
    assets = [tickets, *table.assets]
    resources = {} if io_manager is None else {"other": io_manager}
    materialize([tickets], store, resources=resources)
    materialize(assets, store, openai, only=["tickets/said", "tickets/answer"], resources=resources)
    return values(store, "tickets/answer")


@pytest.mark.parametrize("form", FORMS)
def test_upstream_in_a_column_store(form: str, store: ColumnStore, openai: OpenAIResource) -> None:
    """Whatever form the upstream returned its rows in, the columns are computed from them, nulls included."""
    assert values_of_column(FORMS[form], store, openai) == ["re: one", None, "re: three"]


@pytest.mark.parametrize("form", ["table", "frame", "dicts"])
def test_upstream_stored_by_dagster_itself(
    form: str, store: ColumnStore, openai: OpenAIResource, tmp_path: Path
) -> None:
    """An upstream pickled by Dagster's own IO manager is read as well."""
    pickles = dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))
    assert values_of_column(FORMS[form], store, openai, pickles) == ["re: one", None, "re: three"]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "reader"])
def test_upstream_in_memory(form: str, store: ColumnStore, openai: OpenAIResource) -> None:
    """Rows that are handed over in memory may be in any form, and are read by each column from the start."""
    memory = dg.InMemoryIOManager()

    @dg.asset(io_manager_key="memory")
    def tickets() -> Any:
        return FORMS[form](ROWS)

    table = Table(tickets, key="id")
    table.add_computed_column(said=ask(table.body))
    table.add_computed_column(again=ask(table.body, temperature=0))
    materialize([tickets, *table.assets], store, openai, resources={"memory": memory})
    for name in ("said", "again"):
        kept = stored(store, f"tickets/{name}")
        assert kept["id"].to_pylist() == [1, 2, 3]
        assert kept[name].null_count == 1


def test_several_partitions_stored_by_dagster_itself(
    store: ColumnStore, openai: OpenAIResource, tmp_path: Path
) -> None:
    """Of an upstream whose IO manager gives several partitions as a dict, each partition gets its own."""

    @dg.asset(partitions_def=LETTERS, io_manager_key="other")
    def tickets(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"id": [1], "body": [context.partition_key]})

    table = Table(tickets, key="id")
    table.add_computed_column(said=ask(table.body))
    table.add_computed_column(answer=table.said.choices[0].message.content)
    resources = {"other": dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))}
    for key in LETTERS.get_partition_keys():
        materialize([tickets], store, partition=key, resources=resources)
    columns = ["tickets/said", "tickets/answer"]
    materialize([tickets, *table.assets], store, openai, span=("b", "c"), only=columns, resources=resources)
    assert {key: values(store, "tickets/answer", key) for key in "abc"} == {
        key: [f"re: {key}"] for key in "abc"
    }


def test_all_partitions_stored_by_dagster_itself(
    store: ColumnStore, openai: OpenAIResource, tmp_path: Path
) -> None:
    """A dict of partitions is chained in the partitions' order, not in the dict's."""

    @dg.asset(partitions_def=LETTERS, io_manager_key="other")
    def tickets(context: dg.AssetExecutionContext) -> list[dict[str, Any]]:
        return [{"body": context.partition_key}]

    table = Table("tickets")
    table.add_computed_column(copy={"text": table.body}, partition_mapping=dg.AllPartitionMapping())
    resources = {"other": dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))}
    for key in ["c", "a", "b"]:
        materialize([tickets], store, partition=key, resources=resources)
    materialize([tickets, *table.assets], store, only=["tickets/copy"], resources=resources)
    assert values(store, "tickets/copy") == ['{"text":"b"}', '{"text":"a"}', '{"text":"c"}']


@pytest.mark.parametrize("given", ["raw/tickets", dg.AssetKey(["raw", "tickets"])], ids=["text", "key"])
def test_upstream_given_as_a_key(given: Any, store: ColumnStore, openai: OpenAIResource) -> None:
    """A table may be named by its asset's key alone, as text or as an AssetKey."""
    upstream = rows_asset({"id": [1], "body": ["one"]}, key=["raw", "tickets"], name=None)
    table = Table(given, key="id")
    table.add_computed_column(said=ask(table.body))
    materialize([upstream, *table.assets], store, openai)
    assert stored(store, "raw/tickets/said").num_rows == 1


@pytest.mark.parametrize(
    ("value", "got"),
    [(5, "got int"), ("text", "got str"), ([1, 2], "row 0: got int"), ({"a": {}}, "got a dict of dicts")],
    ids=["int", "str", "list", "dict"],
)
def test_an_upstream_value_that_is_no_table(value: Any, got: str, store: ColumnStore) -> None:
    """An upstream whose value cannot be read as rows is named in the failure, with what was got and is allowed."""

    @dg.asset(io_manager_key="memory")
    def tickets() -> Any:
        return value

    table = Table(tickets)
    table.add_computed_column(copy={"text": table.body})
    result = materialize(
        [tickets, *table.assets], store, fails=True, resources={"memory": dg.InMemoryIOManager()}
    )
    said = message(result)
    assert f"tickets/copy: the input tickets: {got}" in said
    assert "allowed: " in said


class Given(dg.IOManager):
    """Loads what it is given."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError

    def load_input(self, context: dg.InputContext) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"b": [{"body": "b"}], "c": [{"body": "c"}]},
            "tickets/copy: the input tickets: its IO manager gave no ",
        ),
        ({"b": [{"body": "b"}], "a": 5, "c": []}, "tickets/copy: the input tickets: got int"),
        (
            {"b": [{"body": "b"}], "a": [{"body": 5}], "c": []},
            "the partitions differ in types: the column 'body' is string in b, int64 in a, which",
        ),
    ],
    ids=["absent", "no table", "another type"],
)
def test_partitions_that_do_not_fit(value: Any, said: str, store: ColumnStore) -> None:
    """A partition that an IO manager does not give, or that is no table like the others, fails the run."""
    upstream = dg.AssetSpec("tickets", partitions_def=LETTERS).with_io_manager_key("given")
    table = Table("tickets")
    table.add_computed_column(copy={"text": table.body}, partition_mapping=dg.AllPartitionMapping())
    result = materialize(
        [upstream, *table.assets], store, fails=True, only=["tickets/copy"], resources={"given": Given(value)}
    )
    assert said in failure(result).description


def test_a_partition_that_is_no_table_is_named(store: ColumnStore) -> None:
    """Of several partitions, the failure names the one whose value is no table."""
    upstream = dg.AssetSpec("tickets", partitions_def=LETTERS).with_io_manager_key("given")
    table = Table(upstream)
    table.add_computed_column(copy={"text": table.body})
    result = materialize(
        [upstream, *table.assets],
        store,
        span=("b", "c"),
        fails=True,
        only=["tickets/copy"],
        resources={"given": Given({"b": [{"body": "b"}], "a": 5, "c": []})},
    )
    assert "the input tickets[a]: got int" in failure(result).description


def test_a_value_that_the_store_cannot_take(store: ColumnStore) -> None:
    """An asset of the ColumnStore that returns no table fails, named, with what is allowed."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> Any:
        return 5

    said = message(materialize([tickets], store, fails=True))
    assert "tickets: got int, allowed: pa.Table, pandas.DataFrame, list of dicts" in said
