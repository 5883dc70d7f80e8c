"""Inputs that may leave out partitions which are not stored: `allow_missing_partitions`, as Dagster's IO managers have it."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, materialize, message, rows_asset

LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])
AS_LIST = {
    pa.Table: lambda table: table.to_pylist(),
    pd.DataFrame: lambda frame: frame.to_dict("records"),
    ds.Dataset: lambda dataset: dataset.to_table().to_pylist(),
    list: list,
}


def letters(
    *keys: str, store: ColumnStore, resources: Any = None, io_manager: str = "columns"
) -> dg.AssetsDefinition:
    """An asset by letter, of which the partitions `keys` are stored."""

    @dg.asset(partitions_def=LETTERS, io_manager_key=io_manager)
    def tickets(context: dg.AssetExecutionContext) -> Any:
        return pd.DataFrame({"body": [context.partition_key]})

    for key in keys:
        materialize([tickets], store, partition=key, resources=resources)
    return tickets


def given_downstream(
    tickets: Any,
    store: ColumnStore,
    python_type: Any,
    *,
    partitions_def: Any = None,
    partition: str | None = None,
    allow: bool = True,
    **options: Any,
) -> tuple[list[Any], dg.ExecuteInProcessResult]:
    """What an asset is given that reads `tickets` as `python_type`, and its run."""
    given: list[Any] = []

    def report(tickets):
        given.append(tickets)

    report.__annotations__["tickets"] = python_type
    metadata = {"allow_missing_partitions": True} if allow else {}
    downstream = dg.asset(ins={"tickets": dg.AssetIn(metadata=metadata)}, partitions_def=partitions_def)(
        report
    )
    result = materialize([tickets, downstream], store, partition=partition, only=["report"], **options)
    return given, result


@pytest.mark.parametrize("python_type", AS_LIST, ids=lambda kind: kind.__name__)
def test_missing_partitions_are_left_out(python_type: Any, store: ColumnStore) -> None:
    """Of several partitions those that are stored are loaded, as whatever the parameter asks for."""
    (loaded,), _ = given_downstream(letters("c", "b", store=store), store, python_type)
    assert AS_LIST[python_type](loaded) == [{"body": "b"}, {"body": "c"}]


@pytest.mark.parametrize("python_type", AS_LIST, ids=lambda kind: kind.__name__)
def test_all_partitions_are_missing(python_type: Any, store: ColumnStore) -> None:
    """If none of several is stored, a table without rows is loaded."""
    (loaded,), _ = given_downstream(letters(store=store), store, python_type)
    assert AS_LIST[python_type](loaded) == []


@pytest.mark.parametrize("kind", ["columns", "pickles"])
def test_a_single_partition_is_missing(kind: str, store: ColumnStore, tmp_path: Path) -> None:
    """A single partition that is missing is None, as Dagster's own IO managers give it."""
    resources = {
        "other": store if kind == "columns" else dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))
    }
    tickets = letters("b", store=store, resources=resources, io_manager="other")
    options = {"partitions_def": LETTERS, "resources": resources}
    loaded, _ = given_downstream(tickets, store, pd.DataFrame | None, partition="a", **options)
    assert loaded == [None]
    (frame,), _ = given_downstream(tickets, store, Any, partition="b", **options)
    assert len(frame) == 1


def test_what_is_left_out_is_logged(store: ColumnStore) -> None:
    """A warning in the run's log names each partition that is left out."""
    tickets = letters("b", store=store)
    with dg.DagsterInstance.ephemeral() as instance:
        _, result = given_downstream(tickets, store, pa.Table, instance=instance)
        logged = [entry for entry in instance.all_logs(result.run_id) if entry.level == logging.WARNING]
    assert [entry.user_message.partition(" at ")[0] for entry in logged] == [
        "tickets[a] is not stored",
        "tickets[c] is not stored",
    ]


def test_without_leave_a_missing_partition_is_an_error(store: ColumnStore) -> None:
    """An input that says nothing about missing partitions fails, with the name of the first."""
    _, result = given_downstream(letters("b", store=store), store, pa.Table, allow=False, fails=True)
    assert "tickets[a] is not stored at" in message(result)


def test_an_asset_without_partitions_is_never_left_out(store: ColumnStore) -> None:
    """An asset without partitions that is not stored is an error whatever the input says."""
    tickets = rows_asset({"body": ["one"]})
    _, result = given_downstream(tickets, store, pa.Table, fails=True)
    assert "tickets is not stored at" in message(result)


def test_provenance_of_partitions_that_are_there(store: ColumnStore, openai: OpenAIResource) -> None:
    """Of a computed column the provenance of those partitions is loaded that are stored."""
    tickets = letters("b", "a", store=store)
    table = Table(tickets)
    table.add_computed_column(said=ask(table.body))
    materialize([tickets, *table.assets], store, openai, partition="a", only=["tickets/said"])
    given: list[pa.Table] = []

    @dg.asset(
        ins={
            "said": dg.AssetIn(
                ["tickets", "said"], metadata={"pxt/provenance": True, "allow_missing_partitions": True}
            )
        }
    )
    def report(said: pa.Table) -> None:
        given.append(said)

    materialize([tickets, *table.assets, report], store, openai, only=["report"])
    assert [one.num_rows for one in given] == [1]
