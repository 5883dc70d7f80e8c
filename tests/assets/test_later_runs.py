"""Runs whose answers come later: what they submit, say, skip and collect."""

from collections.abc import Callable

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.functions import responses
from tests.assets.later_tickets import LaterTickets, materialized, observed
from tests.runs import ask, metadata, values

HOUR = 3_600.0
TWO = {"1": "late", "2": "broken"}
DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@pytest.fixture
def tickets(later: Callable[..., LaterTickets]) -> LaterTickets:
    return later(dict(TWO))


@pytest.fixture
def days(later: Callable[..., LaterTickets]) -> LaterTickets:
    return later({day: {"1": f"late on {day}"} for day in DAYS.get_partition_keys()}, partitions_def=DAYS)


def test_a_run_submits_and_ends(tickets: LaterTickets) -> None:
    """With success and without a materialization; what is downstream is skipped, not failed."""
    result = tickets.run()
    assert materialized(result) == []
    assert [event.step_key for event in result.all_events if event.is_step_skipped] == ["tickets__a"]


def test_it_says_what_is_on_its_way(tickets: LaterTickets) -> None:
    result = tickets.run()
    (said,) = observed(result).values()
    (batch,) = (record.data for record in said["pxt/batches"].records)
    assert said["pxt/rows_waiting"] == 2
    assert (batch["requests"], batch["completed"], batch["failed"]) == (2, 0, 0)
    counts = {"completed", "failed", "requests"}
    assert batch.keys() == {"name", "id", "state", "age", "expected", *counts}
    assert [*batch][:3] == ["name", "expected", "state"], "these alone are in sight on the page"
    assert 0 < said["pxt/expected_cost_usd"] < 0.01
    lines = said["pxt/summary"].split("  \n")
    assert lines[0] == "**2 rows wait** for 1 batch"
    assert lines[1].startswith("batch: 0 of 2 answers at ")
    assert lines[4:] == ["what is stored stays until then", "tickets&#95;collector collects it"]
    (below,) = observed(result, "tickets/a").values()
    assert below["pxt/summary"].startswith("waits for tickets&#47;c  \n2 rows on their way")


def test_what_is_collected_is_a_column_like_any_other(tickets: LaterTickets) -> None:
    """At the price of the way by which it came, with the batches that it came of."""
    tickets.run()
    tickets.let_time_pass(HOUR)
    result = tickets.run()
    said = metadata(result, "tickets/c")
    assert materialized(result) == [("tickets/c", None), ("tickets/a", None)]
    assert (said["pxt/rows_computed"], said["pxt/rows_waiting"]) == (2, 0)
    assert "| completed | 2 | 0 | 2 |" in said["pxt/batches"]
    assert len(values(tickets.store, "tickets/a")) == 2


def test_by_hand_nothing_is_paid_for_twice(tickets: LaterTickets) -> None:
    """A run meanwhile says what is still on its way; what changed is asked for besides."""
    tickets.run()
    tickets.rows["2"] = "broken again"
    (said,) = observed(tickets.run()).values()
    assert said["pxt/rows_waiting"] == 2
    assert sorted(record.data["requests"] for record in said["pxt/batches"].records) == [1, 2]


def test_one_batch_for_all_partitions_of_a_run(days: LaterTickets) -> None:
    """Each says what of it waits, and one observation what the run came to."""
    said = observed(days.run(span=("mon", "wed")))
    assert [said[day]["pxt/rows_waiting"] for day in ("mon", "tue", "wed")] == [1, 1, 1]
    assert len({record.data["id"] for one in said.values() for record in one["pxt/batches"].records}) == 1
    assert said["mon"]["pxt/summary"].startswith("Partition **mon**  \n**1 row waits** for 1 batch")
    assert said[None]["pxt/summary"].startswith(
        "3 of 3 partitions of this run wait  \n**3 rows wait** for 1 batch"
    )


def test_the_run_config_says_whether_a_run_waits(tickets: LaterTickets) -> None:
    """`wait: true` in spite of the collector. The batch has ended before it is asked about for the first time."""
    result = tickets.run(config={"tickets/c": {"wait": True}})
    assert materialized(result) == [("tickets/c", None), ("tickets/a", None)]


def test_without_a_collector_it_ends_if_the_config_says_so(later: Callable[..., LaterTickets]) -> None:
    tickets = later(dict(TWO), collects=False)
    (said,) = observed(tickets.run(config={"tickets/c": {"wait": False}})).values()
    assert "materialize again to collect it" in said["pxt/summary"]


def test_now_asks_at_once(tickets: LaterTickets) -> None:
    """What was on its way is cancelled, and nothing of it is left."""
    tickets.run()
    result = tickets.run(config={"tickets/c": {"within": "now"}})
    assert materialized(result) == [("tickets/c", None), ("tickets/a", None)]
    assert tickets.tick().skip_reason.skip_message == "no answers are on their way"


def test_checks_have_results_over_what_is_stored(tickets: LaterTickets) -> None:
    """Of the column that waits, and of those that the run did not come to."""
    tickets.run(config={"tickets/c": {"within": "now"}})
    tickets.rows["3"] = "lost"
    result = tickets.run()
    said = {
        (one.asset_key.to_user_string(), one.check_name): one.passed
        for one in result.get_asset_check_evaluations()
    }
    names = ("no_failed_cells", "no_unexpected_nulls")
    assert said == {(f"tickets/{column}", name): True for column in ("a", "c") for name in names}


@pytest.mark.parametrize("condition", ["eager", "on_changed_inputs"])
def test_conditions_do_not_ask_again_while_it_waits(
    later: Callable[..., LaterTickets], condition: str
) -> None:
    """A run that ends without a materialization is one that was asked for."""
    from pxt_assets import on_changed_inputs

    when = dg.AutomationCondition.eager() if condition == "eager" else on_changed_inputs()

    def columns(table: Table) -> None:
        table.add_computed_column(c=ask(table.body), within="24h", automation_condition=when)
        table.add_computed_column(a=table.c.choices[0].message.content, automation_condition=when)

    tickets = later(dict(TWO), columns)
    definitions = dg.Definitions(tickets.assets, resources=tickets.resources)
    seen = dg.evaluate_automation_conditions(definitions, tickets.instance)
    tickets.run(only=["tickets"])
    seen = dg.evaluate_automation_conditions(definitions, tickets.instance, cursor=seen.cursor)
    assert seen.total_requested == 2
    tickets.run(only=["tickets/c", "tickets/a"])
    for _ in range(3):
        seen = dg.evaluate_automation_conditions(definitions, tickets.instance, cursor=seen.cursor)
        assert seen.total_requested == 0
    tickets.let_time_pass(HOUR)
    tickets.run(only=["tickets/c", "tickets/a"])
    seen = dg.evaluate_automation_conditions(definitions, tickets.instance, cursor=seen.cursor)
    assert seen.total_requested == 0


def test_a_dry_run_counts_apart_what_is_paid(days: LaterTickets) -> None:
    """What is on its way, and what came with another partition's rows; now, all that has not come would be asked for."""
    days.run(span=("mon", "tue"))
    days.rows["tue"]["2"] = "lost"
    days.run("tue", only=["tickets"])

    def dry(**config: str) -> tuple[int, int]:
        result = days.run("tue", only=["tickets/c"], config={"tickets/c": {"dry_run": True, **config}})
        said = observed(result)["tue"]
        paid = said.get("pxt/rows_paid", 0)
        assert (
            "; 1 row besides is answered or on the way: nothing more to pay" in said["pxt/estimate"]
        ) == paid
        return said["pxt/rows_to_compute"], paid

    assert (dry(), dry(within="now")) == ((1, 1), (2, 0))
    days.let_time_pass(HOUR)
    days.run("mon", only=["tickets/c"])
    assert (dry(), dry(within="now")) == ((1, 1), (1, 1))


def test_a_dry_run_knows_what_is_made_in_the_background(later: Callable[..., LaterTickets]) -> None:
    def column(table: Table) -> None:
        table.add_computed_column(c=responses(table.body, model="gpt-6-luna"), within="8h")

    tickets = later(dict(TWO), column)
    tickets.run()
    (said,) = observed(tickets.run(only=["tickets/c"], config={"tickets/c": {"dry_run": True}})).values()
    assert (said["pxt/rows_to_compute"], said["pxt/rows_paid"]) == (0, 2)
