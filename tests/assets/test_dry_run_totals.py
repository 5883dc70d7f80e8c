"""What dry runs say of several partitions and several columns together."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.functions import embeddings, moderations
from tests.runs import ask, materialize, rows_asset
from tests.scripted_server import ScriptedServer, resource_of
from tests.tickets import Partitions, observations

DRY = {"dry_run": True}
TEXTS = ["a text", "another text", "a third one"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


def said_in_log(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> list[str]:
    return [
        record.user_message
        for record in instance.all_logs(result.run_id)
        if "nothing was sent" in record.user_message
    ]


def sums(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    """The metadata of what was observed of several columns."""
    observed = [
        event.asset_observation_data.asset_observation.metadata
        for event in result.get_asset_observation_events()
    ]
    return [
        {name: value.value for name, value in one.items()} for one in observed if "pxt/run_columns" in one
    ]


class Columns:
    """A dry run of several columns of one table."""

    def __init__(self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance) -> None:
        self._store, self._openai, self._instance = store, openai, instance
        self._upstream = rows_asset({"id": [1, 2, 3], "body": TEXTS})
        self.table = Table(self._upstream, key="id")

    def run(self, *dry: str, wet: tuple[str, ...] = ()) -> dg.ExecuteInProcessResult:
        only = ["tickets", *(f"tickets/{name}" for name in (*dry, *wet))]
        config = {f"tickets/{name}": DRY for name in dry}
        return materialize(
            [self._upstream, *self.table.assets],
            self._store,
            self._openai,
            config=config,
            only=only,
            instance=self._instance,
        )


@pytest.fixture
def columns(store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance) -> Columns:
    return Columns(store, openai, instance)


def test_several_partitions_end_with_one_total(
    store: ColumnStore, server: ScriptedServer, instance: Any
) -> None:
    """In the log and as one observation: what all of them take, and how long at the limit."""
    rows = {
        key: {i: f"{key} {i}" for i in range(count)} for key, count in (("a", 300), ("b", 200), ("c", 100))
    }
    result = Partitions(store, resource_of(server), rows).run(config=DRY, instance=instance)
    said = observations(result)
    figures = (
        "rows",
        "rows_to_compute",
        "estimated_requests",
        "estimated_input_tokens",
        "estimated_output_tokens",
    )
    for name in figures:
        assert said[None][f"pxt/{name}"] == sum(said[key][f"pxt/{name}"] for key in rows)
    assert said[None]["pxt/estimated_cost_usd"] == pytest.approx(
        sum(said[key]["pxt/estimated_cost_usd"] for key in rows), rel=1e-4
    )
    assert said[None]["pxt/estimated_seconds"] == 60
    assert said[None]["pxt/partitions"] == 3
    sentence = said[None]["pxt/estimate"]
    assert said_in_log(result, instance)[-1] == f"tickets/c: {sentence}"
    assert sentence.startswith(
        "dry run of 3 partitions, nothing was sent: 600 of 600 rows to compute, about 600 requests, "
    )
    assert ", about 60 s at 600 requests/minute (default_rpm" in sentence


def test_the_total_is_without_partitions_that_cannot_be_estimated(
    store: ColumnStore, server: ScriptedServer, instance: Any
) -> None:
    """It says how many these are."""
    rows = {"a": {1: "x"}, "b": {2: "y"}, "c": {3: "z", None: "without a key"}}
    result = Partitions(store, resource_of(server), rows).run(config=DRY, instance=instance, fails=True)
    total = said_in_log(result, instance)[-1]
    assert total.startswith("tickets/c: dry run of 2 partitions, nothing was sent: 2 of 2 rows to compute")
    assert total.endswith("(an estimate); 1 partition could not be estimated")


def test_one_partition_is_its_own_total(store: ColumnStore, server: ScriptedServer, instance: Any) -> None:
    """It is observed once, as itself."""
    partitions = Partitions(store, resource_of(server), {"a": {1: "x"}, "b": {2: "y"}})
    result = partitions.run("a", config=DRY, instance=instance)
    assert list(observations(result)) == ["a"]


def test_costs_are_rounded(columns: Columns) -> None:
    """To what can be read: not 0.00026359999999999996."""
    columns.table.add_computed_column(c=ask(columns.table.body))
    (said,) = observations(columns.run("c")).values()
    assert len(repr(said["pxt/estimated_cost_usd"])) <= 10


def test_several_columns_end_with_their_sum(columns: Columns, instance: Any) -> None:
    """Each has its own estimate; the last one adds them up."""
    table = columns.table
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(e=embeddings(table.body, model="text-embedding-3-small"))
    table.add_computed_column(m=moderations(table.body))
    result = columns.run("c", "e", "m")
    (found,) = sums(result)
    assert found["pxt/run_columns"] == ["tickets/c", "tickets/e", "tickets/m"]
    assert (found["pxt/run_rows"], found["pxt/run_estimated_requests"]) == (9, 7)
    assert found["pxt/run_estimated_seconds"] == pytest.approx(0.3)  # the limits are of each model
    *each, last = said_in_log(result, instance)
    assert sorted(line.partition(":")[0] for line in each) == ["tickets/c", "tickets/e", "tickets/m"]
    assert last == found["pxt/run_estimate"]
    assert last.startswith(
        "dry run of 3 columns (tickets/c, tickets/e, tickets/m), nothing was sent: 9 of 9 rows"
    )


def test_columns_of_one_model_wait_for_the_same_limit(columns: Columns) -> None:
    """Their times add up."""
    table = columns.table
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=ask([{"type": "text", "text": table.body}]))
    (found,) = sums(columns.run("c", "d"))
    assert found["pxt/run_estimated_seconds"] == pytest.approx(0.6)


def test_a_column_made_of_another_is_not_in_the_sum(columns: Columns) -> None:
    """Dagster skips it, since the other is not computed; the sum names it."""
    table = columns.table
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(e=embeddings(table.body, model="text-embedding-3-small"))
    table.add_computed_column(again=ask(table.c.choices[0].message.content))
    (found,) = sums(columns.run("c", "e", "again"))
    assert found["pxt/run_columns"] == ["tickets/c", "tickets/e"]
    assert found["pxt/run_estimate"].endswith(
        "; not in it: tickets/again, made of what is not computed in a dry run"
    )


@pytest.mark.parametrize(("dry", "wet"), [(("c",), ("n",)), (("c",), ()), (("c", "again"), ())])
def test_one_estimate_has_no_sum(columns: Columns, dry: Any, wet: Any) -> None:
    """Nor is there one where another column is computed, or could not be estimated."""

    @udf
    def words(text: str) -> int:
        return len(text.split())

    table = columns.table
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(n=words(table.body))
    table.add_computed_column(again=ask(table.c.choices[0].message.content))
    assert not sums(columns.run(*dry, wet=wet))
