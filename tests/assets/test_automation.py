"""When columns run by themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, on_changed_inputs
from tests.runs import ask, materialize, rows_asset

KEY = dg.AssetKey(["tickets", "c"])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


class Automated:
    """A table with an automated column; each tick goes on where the last one was."""

    def __init__(self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance) -> None:
        self.rows: dict[int, str] = {1: "a"}
        self.prompt = "Be brief."
        self.description = "A column."
        self._store, self._openai, self._instance = store, openai, instance
        self._cursor: Any = None

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        @dg.asset(io_manager_key="columns")
        def tickets() -> list[dict[str, Any]]:
            return [{"id": key, "body": body} for key, body in self.rows.items()]

        table = Table(tickets, key="id", automation_condition=on_changed_inputs())
        content = [{"type": "text", "text": self.prompt}, {"type": "text", "text": table.body}]
        table.add_computed_column(c=ask(content), description=self.description)
        return [tickets, *table.assets]

    def run(self, *only: str) -> None:
        materialize(self.assets, self._store, self._openai, only=only, instance=self._instance)

    def fires(self) -> bool:
        """Whether a tick asks for the column; what it asks for is materialized, as the daemon would."""
        result = dg.evaluate_automation_conditions(
            dg.Definitions(self.assets, resources={"columns": self._store, "openai": self._openai}),
            self._instance,
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        asked = result.get_num_requested(KEY) > 0
        if asked:
            self.run("tickets/c")
        return asked


@pytest.fixture
def automated(store: ColumnStore, simulated: OpenAIResource, instance: dg.DagsterInstance) -> Automated:
    """Switched on before anything is stored: what is there by then does not count as changed."""
    switched_on = Automated(store, simulated, instance)
    assert not switched_on.fires()
    return switched_on


def test_a_missing_column_waits_for_its_inputs(automated: Automated) -> None:
    """It runs once they are there, and once only."""
    assert not automated.fires()
    automated.run("tickets")
    assert automated.fires()
    assert not automated.fires()


def test_changed_inputs_fire_and_equal_ones_do_not(automated: Automated) -> None:
    """An upstream table that is stored again with the same rows is no change."""
    automated.run("tickets")
    assert automated.fires()
    automated.run("tickets")
    assert not automated.fires()
    automated.rows[2] = "b"
    automated.run("tickets")
    assert automated.fires()


def test_a_changed_prompt_fires_and_a_changed_description_does_not(automated: Automated) -> None:
    """What counts is the code version."""
    automated.run("tickets")
    assert automated.fires()
    automated.description = "Another one."
    assert not automated.fires()
    automated.prompt = "Be very brief."
    assert automated.fires()


class Graph:
    """Columns that run by on_changed_inputs(); a tick materializes what it asks for, as the daemon would."""

    def __init__(self, store: ColumnStore, instance: dg.DagsterInstance, table: Table, *others: Any) -> None:
        self.table, self._others, self._store, self._instance = table, others, store, instance
        self._cursor: Any = None

    @property
    def definitions(self) -> dg.Definitions:
        return dg.Definitions([*self._others, *self.table.assets], resources={"columns": self._store})

    def run(self, *keys: str, fails: bool = False, **options: Any) -> None:
        result = self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey.from_user_string(key) for key in keys],
            instance=self._instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=not fails,
            **options,
        )
        assert result.success is not fails

    def tick(self, *, runs: bool = True, fails: bool = False) -> dict[str, list[str | None]]:
        """The partitions that a tick asks for, by column."""
        definitions = self.definitions
        result = dg.evaluate_automation_conditions(
            definitions, self._instance, cursor=self._cursor, evaluation_time=datetime(2026, 3, 5, tzinfo=UTC)
        )
        self._cursor = result.cursor
        asked = {
            one.key.to_user_string(): sorted(result.get_requested_partitions(one.key), key=str)
            for one in result.results
            if result.get_num_requested(one.key)
        }
        if asked and runs:
            for partition in dict.fromkeys(key for keys in asked.values() for key in keys):
                keys = [name for name, partitions in asked.items() if partition in partitions]
                self.run(*keys, fails=fails, **({"partition_key": partition} if partition else {}))
        return asked


def chain(store: ColumnStore, instance: dg.DagsterInstance, rows: dict[str, Any]) -> Graph:
    """A table with the columns c1, c2, c3, each made of the one before."""
    upstream = rows_asset(rows)
    table = Table(upstream, key="id", automation_condition=on_changed_inputs())
    table.add_computed_column(c1={"x": table.body})
    table.add_computed_column(c2={"x": table.c1})
    table.add_computed_column(c3={"x": table.c2})
    return Graph(store, instance, table, upstream)


CHAIN = {"tickets/c1": [None], "tickets/c2": [None], "tickets/c3": [None]}


def test_a_chain_settles_in_one_tick(store: ColumnStore, instance: dg.DagsterInstance) -> None:
    """Columns that are made of one another run together, when they are missing and when something changed."""
    rows: dict[str, Any] = {"id": [1], "body": ["a"]}
    graph = chain(store, instance, rows)
    graph.run("tickets")
    assert [graph.tick(), graph.tick(), graph.tick()] == [CHAIN, {}, {}]
    rows["body"] = ["b"]
    graph.run("tickets")
    assert [graph.tick(), graph.tick(), graph.tick()] == [CHAIN, {}, {}]


def test_a_column_that_is_added_fires(store: ColumnStore, instance: dg.DagsterInstance) -> None:
    """To a deployment whose other columns are as they should be; it alone, and once."""
    graph = chain(store, instance, {"id": [1], "body": ["a"]})
    graph.run("tickets")
    assert [graph.tick(), graph.tick()] == [CHAIN, {}]
    graph.table.add_computed_column(added={"x": graph.table.c3})
    assert [graph.tick(), graph.tick(), graph.tick()] == [{"tickets/added": [None]}, {}, {}]


def test_what_is_missing_when_it_is_switched_on_fires(
    store: ColumnStore, instance: dg.DagsterInstance
) -> None:
    """And what is there does not."""
    graph = chain(store, instance, {"id": [1], "body": ["a"]})
    graph.run("tickets", "tickets/c1")
    assert graph.tick() == {"tickets/c2": [None], "tickets/c3": [None]}
    assert graph.tick() == {}


def test_what_failed_is_tried_again_when_something_changed(
    store: ColumnStore, instance: dg.DagsterInstance
) -> None:
    """Not at every tick."""
    rows: dict[str, Any] = {"id": [1, 1], "body": ["a", "b"]}  # a key that is not unique
    graph = chain(store, instance, rows)
    graph.run("tickets")
    assert [graph.tick(fails=True), graph.tick(), graph.tick(), graph.tick()] == [CHAIN, {}, {}, {}]
    rows["id"] = [1, 2]
    graph.run("tickets")
    assert [graph.tick(), graph.tick()] == [CHAIN, {}]


def test_a_column_that_was_run_by_hand_lets_the_others_follow(
    store: ColumnStore, instance: dg.DagsterInstance
) -> None:
    """Only what reads it, and only if its contents are others."""
    rows: dict[str, Any] = {"id": [1], "body": ["a"]}
    graph = chain(store, instance, rows)
    graph.run("tickets")
    graph.tick()
    graph.tick()
    graph.run("tickets/c2")
    assert graph.tick() == {}
    rows["body"] = ["b"]
    graph.run("tickets", "tickets/c1")
    assert graph.tick() == {"tickets/c2": [None], "tickets/c3": [None]}
    assert graph.tick() == {}


@pytest.mark.parametrize("source", ["files", "a dict"])
def test_partitions_that_are_stored_together_have_versions_of_their_own(
    store: ColumnStore, instance: dg.DagsterInstance, tmp_path: Path, source: str
) -> None:
    """Read again unchanged, together or one by one, nothing is stale; what changed is, alone."""
    bodies = {"a": "x", "b": "y"}
    partitions_def = dg.StaticPartitionsDefinition(["a", "b"])
    options: dict[str, Any] = {"key": "id", "automation_condition": on_changed_inputs()}
    if source == "files":
        table = Table.from_files(
            "tickets", f"{tmp_path}/{{partition_key}}.csv", partitions_def=partitions_def, **options
        )
        others = []
    else:

        @dg.asset(
            partitions_def=partitions_def,
            backfill_policy=dg.BackfillPolicy.single_run(),
            io_manager_key="columns",
        )
        def tickets(context: dg.AssetExecutionContext) -> Any:
            return {key: [{"id": 1, "body": bodies[key]}] for key in context.partition_keys}

        table, others = Table(tickets, **options), [tickets]
    table.add_computed_column(c={"x": table.body})
    graph = Graph(store, instance, table, *others)
    both = {"tags": {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}}

    def read(**partitions: Any) -> dict[str, list[str | None]]:
        for key, body in bodies.items():
            (tmp_path / f"{key}.csv").write_text(f"id,body\n1,{body}\n")
        graph.run("tickets", **partitions)
        return graph.tick()

    assert read(**both) == {"tickets/c": ["a", "b"]}
    assert graph.tick() == {}
    assert read(**both) == {}
    assert read(partition_key="a") == {}
    assert read(**both) == {}
    bodies["b"] = "changed"
    assert read(**both) == {"tickets/c": ["b"]}
    assert graph.tick() == {}
