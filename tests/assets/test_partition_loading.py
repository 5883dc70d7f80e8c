"""Upstream partitions as IO managers of any kind give them: each partition of a run has its own rows, or is refused."""

import pickle
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, failure, materialize, message, values

LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])
DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-16")
WEEKS = dg.WeeklyPartitionsDefinition("2026-03-02", day_offset=1, end_date="2026-03-16")
COPY = ["tickets/copy"]


class Recording(dg.IOManager):
    """Loads what `load` makes of the partitions that it is asked for, and keeps these."""

    def __init__(self, load: Any, python_type: Any = None) -> None:
        self.load = load
        self.python_type = python_type
        self.asked: list[list[str] | None] = []
        self.run_partitions: list[str | None] = []

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError

    def load_input(self, context: dg.InputContext) -> Any:
        if self.python_type is not None and context.dagster_type.typing_type is not self.python_type:
            raise TypeError(f"no handler for {context.dagster_type.typing_type}")
        keys = [*context.asset_partition_keys] if context.has_asset_partitions else None
        self.asked.append(keys)
        self.run_partitions.append(context.partition_key if context.has_partition_key else None)
        return self.load(keys)


def one_table(keys: list[str]) -> pd.DataFrame:
    """The rows of all partitions in one table, as databases give them."""
    return pd.DataFrame({"id": keys, "body": keys})


def upstream(partitions_def: Any = LETTERS, manager: str = "other") -> dg.AssetSpec:
    return dg.AssetSpec("tickets", partitions_def=partitions_def).with_io_manager_key(manager)


def copied(asset: Any, partition_mapping: Any = None, **options: Any) -> list[Any]:
    table = Table(asset, key="id", **options)
    table.add_computed_column(copy={"text": table.body}, partition_mapping=partition_mapping)
    return [asset, *table.assets]


def copies(store: ColumnStore, partition: str | None = None) -> list[str]:
    return [text[len('{"text":"') : -2] for text in values(store, "tickets/copy", partition)]


def test_one_table_of_all_partitions(store: ColumnStore) -> None:
    """Where an IO manager gives one table of the rows it is asked for, it is asked for each partition by itself."""
    manager = Recording(one_table)
    materialize(copied(upstream()), store, span=("b", "c"), only=COPY, resources={"other": manager})
    assert [copies(store, key) for key in "bac"] == [["b"], ["a"], ["c"]]
    assert sorted(map(str, manager.asked)) == ["['a']", "['b']", "['c']"]
    assert sorted(map(str, manager.run_partitions)) == ["a", "b", "c"]


def test_a_dict_of_the_partition_alone(store: ColumnStore) -> None:
    """A dict of nothing but the partition that was asked for is that partition's table."""
    manager = Recording(lambda keys: {key: [{"id": 1, "body": key}] for key in keys})
    materialize(copied(upstream()), store, span=("b", "c"), only=COPY, resources={"other": manager})
    assert [copies(store, key) for key in "bac"] == [["b"], ["a"], ["c"]]


def test_a_partition_whose_value_is_a_dict_of_partitions(store: ColumnStore, tmp_path: Path) -> None:
    """A partition's own value is not taken for a dict by partition, though its keys be partitions; it is no table."""

    @dg.asset(partitions_def=LETTERS, io_manager_key="other")
    def tickets() -> Any:
        return {key: [{"id": 1, "body": key}] for key in "abc"}

    assets = copied(tickets)
    resources = {"other": dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))}
    for key in "abc":
        materialize([tickets], store, partition=key, resources=resources)
    runs: list[dict[str, Any]] = [{"partition": "b"}, {"span": ("b", "c")}]
    for run in runs:
        result = materialize(assets, store, only=COPY, resources=resources, fails=True, **run)
        assert "tickets[b]: got a dict with the keys 'a', 'b', 'c' for one partition, allowed: " in message(
            result
        )
        assert not store.file(dg.AssetKey(["tickets", "copy"]), "b").exists()


def test_the_same_table_for_each_partition(store: ColumnStore) -> None:
    """An IO manager that gives one table, whichever partition it is asked for, is refused before anything is stored."""
    frame = one_table(["b", "a", "c"])
    manager = Recording(lambda _: frame)
    assets = copied(upstream())
    result = materialize(assets, store, span=("b", "c"), only=COPY, resources={"other": manager}, fails=True)
    said = failure(result).description
    assert (
        "tickets/copy: the input tickets: its IO manager Recording gives the same DataFrame for each of"
        in said
    )
    assert "set backfill_policy=dg.BackfillPolicy.multi_run(1) on tickets" in said
    assert not any(store.file(dg.AssetKey(["tickets", "copy"]), key).exists() for key in "abc")


def test_a_table_of_several_partitions_in_memory(store: ColumnStore) -> None:
    """An upstream that hands over one table for all partitions of the run, in memory, is refused; a dict is taken."""
    values_of_run: list[Any] = [one_table(["b", "a", "c"])]

    @dg.asset(partitions_def=LETTERS, io_manager_key="memory", backfill_policy=dg.BackfillPolicy.single_run())
    def tickets() -> Any:
        return values_of_run[0]

    assets, memory = copied(tickets), {"memory": dg.InMemoryIOManager()}
    result = materialize(assets, store, span=("b", "c"), resources=memory, fails=True)
    assert "gives the same DataFrame for each of several partitions" in failure(result).description
    values_of_run[0] = {key: one_table([key]) for key in "bac"}
    materialize(assets, store, span=("b", "c"), resources={"memory": dg.InMemoryIOManager()})
    assert [copies(store, key) for key in "bac"] == [["b"], ["a"], ["c"]]


def test_several_upstream_partitions_of_each_partition(store: ColumnStore) -> None:
    """One table is right for the several partitions that one partition reads, and is not asked for those of others."""
    manager = Recording(one_table)
    assets = copied(upstream(DAYS), dg.TimeWindowPartitionMapping(), partitions_def=WEEKS)
    span = ("2026-03-02", "2026-03-09")
    materialize(assets, store, span=span, only=COPY, resources={"other": manager})
    assert copies(store, "2026-03-02") == [f"2026-03-{day:02}" for day in range(2, 9)]
    assert copies(store, "2026-03-09") == [f"2026-03-{day:02}" for day in range(9, 16)]
    assert sorted(len(keys or ()) for keys in manager.asked) == [7, 7]


def test_an_io_manager_of_one_partition_at_a_time(store: ColumnStore) -> None:
    """An IO manager that cannot give several partitions is asked for each of those that one partition reads."""

    def only_one(keys: list[str]) -> Any:
        (key,) = keys
        return one_table([key])

    _, *columns = copied("tickets", dg.AllPartitionMapping())  # a key alone tells of no partitions
    materialize([upstream(), *columns], store, only=COPY, resources={"other": Recording(only_one)})
    assert copies(store) == ["b", "a", "c"]


def test_partitions_that_overlap(store: ColumnStore) -> None:
    """Where partitions read each other's days, each reads all of its own."""
    manager = Recording(one_table)
    mapping = dg.TimeWindowPartitionMapping(start_offset=-1, allow_nonexistent_upstream_partitions=True)
    assets = copied(upstream(DAYS), mapping)
    materialize(assets, store, span=("2026-03-02", "2026-03-04"), only=COPY, resources={"other": manager})
    assert copies(store, "2026-03-02") == ["2026-03-02"]
    assert copies(store, "2026-03-04") == ["2026-03-03", "2026-03-04"]


def test_a_mapping_to_days_that_are_no_partitions(store: ColumnStore) -> None:
    """A partition that reads days before the upstream's first one fails alone."""
    later = dg.DailyPartitionsDefinition("2026-03-03", end_date="2026-03-16")
    assets = copied(upstream(later), partitions_def=DAYS)
    span = ("2026-03-02", "2026-03-04")
    manager = Recording(one_table)
    result = materialize(assets, store, span=span, only=COPY, resources={"other": manager}, fails=True)
    said = failure(result).description
    first, why = said.splitlines()
    assert first == "1 of 3 partitions failed: 2026-03-02; the other 2 are stored."
    assert why.startswith("tickets/copy[2026-03-02]: the input tickets: ")
    assert copies(store, "2026-03-03") == ["2026-03-03"]


def test_a_table_without_partitions_is_loaded_once(store: ColumnStore) -> None:
    """What all partitions of a run read alike is loaded once, and read again by each, though it can be read but once."""
    table = pa.table({"id": [1], "body": ["all"]})
    manager = Recording(lambda _: pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))
    assets = copied(upstream(None), partitions_def=LETTERS)
    materialize(assets, store, span=("b", "c"), only=COPY, resources={"other": manager})
    assert manager.asked == [None]
    assert [copies(store, key) for key in "bac"] == [["all"]] * 3


def test_grids_and_dynamic_partitions(store: ColumnStore) -> None:
    """Partitions of two dimensions, and those that the instance knows, are asked for one by one too."""
    grid = dg.MultiPartitionsDefinition(
        {"letter": LETTERS, "size": dg.StaticPartitionsDefinition(["s", "l"])}
    )
    manager = Recording(one_table)
    materialize(copied(upstream(grid)), store, span=("a|s", "c|l"), only=COPY, resources={"other": manager})
    assert copies(store, "c|s") == ["c|s"]
    shops = dg.DynamicPartitionsDefinition(name="shops")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", ["north", "east", "south"])
        materialize(
            copied(upstream(shops)),
            store,
            span=("north", "south"),
            only=COPY,
            resources={"other": manager},
            instance=instance,
        )
    assert [copies(store, key) for key in ("north", "east", "south")] == [["north"], ["east"], ["south"]]


@pytest.mark.parametrize("python_type", [pa.Table, pd.DataFrame], ids=["arrow", "pandas"])
def test_an_io_manager_that_knows_certain_types_only(python_type: Any, store: ColumnStore) -> None:
    """An IO manager that loads no input without a type is asked for a table, and for a DataFrame."""
    manager = Recording(lambda keys: pa.table({"id": keys, "body": keys}), python_type)
    materialize(copied(upstream()), store, span=("b", "c"), only=COPY, resources={"other": manager})
    assert [copies(store, key) for key in "bac"] == [["b"], ["a"], ["c"]]


def test_what_an_io_manager_raises_is_told(store: ColumnStore) -> None:
    """An error of the IO manager names the partition, the IO manager and what it said; other partitions are stored."""

    def load(keys: list[str]) -> Any:
        if keys == ["a"]:
            raise pickle.UnpicklingError("invalid load key")
        return one_table(keys)

    manager = {"other": Recording(load)}
    result = materialize(copied(upstream()), store, span=("b", "c"), only=COPY, resources=manager, fails=True)
    said = failure(result).description
    assert (
        "tickets/copy[a]: the input tickets[a]: its IO manager Recording could not load it (UnpicklingError: "
        in said
    )
    assert "1 of 3 partitions failed: a; the other 2 are stored." in said
    assert [copies(store, key) for key in "bc"] == [["b"], ["c"]]


@pytest.mark.parametrize("kind", ["columns", "pickles"])
def test_a_missing_partition_loses_no_other(kind: str, store: ColumnStore, tmp_path: Path) -> None:
    """A day that was never materialized upstream fails alone, named at the end of the run; the others are stored."""
    manager = store if kind == "columns" else dg.FilesystemIOManager(base_dir=str(tmp_path / "pickles"))

    @dg.asset(partitions_def=DAYS, io_manager_key="other")
    def tickets(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return one_table([context.partition_key])

    assets = copied(tickets)
    for key in ("2026-03-02", "2026-03-04"):
        materialize([tickets], store, partition=key, resources={"other": manager})
    run: dict[str, Any] = {
        "span": ("2026-03-02", "2026-03-04"),
        "only": COPY,
        "resources": {"other": manager},
    }
    said = failure(materialize(assets, store, fails=True, **run)).description
    assert said.startswith(
        "1 of 3 partitions failed: 2026-03-03; the other 2 are stored.\ntickets/copy[2026-03-03]: "
    )
    assert "tickets[2026-03-03]" in said
    assert said.endswith("materialize it first")
    assert [copies(store, f"2026-03-0{day}") for day in (2, 4)] == [["2026-03-02"], ["2026-03-04"]]
    materialize([tickets], store, partition="2026-03-03", resources={"other": manager})
    materialize(assets, store, **run)
    assert copies(store, "2026-03-03") == ["2026-03-03"]


def test_a_dry_run_estimates_what_is_there(store: ColumnStore) -> None:
    """A dry run of partitions of which one is missing estimates the others, and fails with its name."""
    assets = copied(_stored_letters(store, "b", "c"))
    config = {"tickets/copy": {"dry_run": True}}
    run: dict[str, Any] = {"span": ("b", "c"), "only": COPY, "config": config}
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(assets, store, instance=instance, fails=True, **run)
        estimated = instance.fetch_observations(dg.AssetKey(["tickets", "copy"]), limit=10).records
    assert "1 of 3 partitions failed: a; nothing was stored." in failure(result).description
    assert {record.partition_key for record in estimated} == {"b", "c", None}  # None is of the total


def _stored_letters(store: ColumnStore, *keys: str) -> dg.AssetsDefinition:
    @dg.asset(partitions_def=LETTERS, io_manager_key="columns")
    def tickets(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return one_table([context.partition_key])

    for key in keys:
        materialize([tickets], store, partition=key)
    return tickets


def test_nothing_is_loaded_for_checks_alone(store: ColumnStore, openai: OpenAIResource) -> None:
    """A step that runs its asset's checks alone loads no input."""
    manager = Recording(lambda _: one_table(["all"]))
    table = Table(upstream(None), key="id")
    table.add_computed_column(said=ask(table.body))
    resources = {"columns": store, "openai": openai, "other": manager}
    assets = [upstream(None), *table.assets]
    dg.materialize(assets, resources=resources, selection=[dg.AssetKey(["tickets", "said"])])
    manager.asked.clear()
    checks = dg.AssetSelection.checks_for_assets(dg.AssetKey(["tickets", "said"]))
    result = dg.materialize(assets, resources=resources, selection=checks)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]
    assert manager.asked == []
