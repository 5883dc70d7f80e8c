"""Answers that come later, and the sensor that asks for runs which collect them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import OpenAIResource, Table
from pxt_assets.assets.columns.coming_answers import records_folder
from pxt_assets.errors import DefinitionError, FatalApiError, RunError
from pxt_assets.functions import embeddings, responses, speech
from tests.assets.later_tickets import LaterTickets, materialized, observed
from tests.runs import ask, metadata

HOUR = 3_600.0
TWO = {"1": "late", "2": "broken"}
DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@pytest.fixture
def tickets(later: Callable[..., LaterTickets]) -> LaterTickets:
    return later(dict(TWO))


@pytest.fixture
def days(later: Callable[..., LaterTickets]) -> LaterTickets:
    return later({day: {"1": f"late on {day}"} for day in DAYS.get_partition_keys()}, partitions_def=DAYS)


def test_the_sensor_asks_for_a_run_once_answers_are_there(tickets: LaterTickets) -> None:
    """Once, of the column and of what the run did not come to."""
    tickets.run()
    assert tickets.asked() == []
    tickets.let_time_pass(HOUR)
    assert tickets.asked() == [(None, ["tickets/a", "tickets/c"])]
    assert tickets.asked() == []


def test_it_says_why_it_asks_for_none(tickets: LaterTickets) -> None:
    assert tickets.tick().skip_reason.skip_message == "no answers are on their way"
    tickets.run()
    assert tickets.tick().skip_reason.skip_message.startswith(
        "tickets/c: 0 of 2 answers there, in 1 batch, for "
    )


def test_the_run_that_it_asked_for_collects(tickets: LaterTickets) -> None:
    """Though the batch was polled a moment before, by the sensor."""
    tickets.run()
    tickets.let_time_pass(HOUR)
    (request,) = tickets.tick().run_requests or ()
    result = tickets.run(only=[key.to_user_string() for key in request.asset_selection or ()])
    assert materialized(result) == [("tickets/c", None), ("tickets/a", None)]
    assert tickets.tick().skip_reason.skip_message == "no answers are on their way"


def test_what_nobody_asked_for_is_not_asked_for(tickets: LaterTickets) -> None:
    """The run was of the column alone: what is downstream of it may cost, too."""
    tickets.run(only=["tickets", "tickets/c"])
    tickets.let_time_pass(HOUR)
    assert tickets.asked() == [(None, ["tickets/c"])]


def test_adjacent_partitions_are_collected_by_one_run(days: LaterTickets) -> None:
    days.run(span=("mon", "tue"))
    days.let_time_pass(HOUR)
    assert days.asked() == [(("mon", "tue"), ["tickets/a", "tickets/c"])]


def test_partitions_that_were_stored_get_what_was_skipped(days: LaterTickets) -> None:
    """A run of which one partition waits comes to nothing downstream, of any."""
    days.run("mon", only=["tickets", "tickets/c"])
    days.let_time_pass(HOUR)
    days.run("mon", only=["tickets/c"])
    days.run("tue", only=["tickets"])
    result = days.run(span=("mon", "tue"), only=["tickets/c", "tickets/a"])
    assert materialized(result) == [("tickets/c", "mon")]
    days.let_time_pass(HOUR)
    assert days.asked() == [("mon", ["tickets/a"]), ("tue", ["tickets/a", "tickets/c"])]


def test_columns_that_are_made_of_one_another_are_asked_for_together(
    later: Callable[..., LaterTickets],
) -> None:
    """What is made of two columns comes with the last of them."""

    def two(table: Table) -> None:
        table.add_computed_column(c=ask(table.body), within="24h")
        table.add_computed_column(d=embeddings(table.body, model="text-embedding-3-small"), within="24h")
        table.add_computed_column(both={"c": table.c.choices[0].message.content, "d": table.d})

    tickets = later(dict(TWO), two)
    tickets.run()
    tickets.let_time_pass(HOUR, "tickets/c")
    assert tickets.asked() == [(None, ["tickets/c"])]
    tickets.let_time_pass(HOUR, "tickets/d")
    tickets.run(only=["tickets/c"])
    assert tickets.asked() == [(None, ["tickets/both", "tickets/d"])]


def test_it_finds_columns_under_the_keys_that_they_were_loaded_with(
    later: Callable[..., LaterTickets],
) -> None:
    """As a schedule does: whoever loads definitions may give them a prefix."""
    tickets = later(dict(TWO))
    prefixed = dg.load_assets_from_modules([], key_prefix="eu") or [
        one.with_attributes(
            asset_key_replacements={
                key: key.with_prefix("eu") for asset in tickets.assets for key in asset.keys
            }
        )
        for one in tickets.assets
    ]
    assert tickets.sensor is not None
    definitions = dg.Definitions(prefixed, sensors=[tickets.sensor], resources=tickets.resources)
    tickets.assets = prefixed
    tickets.run()
    tickets.let_time_pass(HOUR, "eu/tickets/c")
    asked = tickets.asked(definitions=definitions)
    assert asked == [(None, ["eu/tickets/a", "eu/tickets/c"])]


def test_dagster_takes_it_among_the_sensors(tickets: LaterTickets) -> None:
    """It evaluates it, and the runs that it asks for are of its job."""
    assert tickets.sensor is not None
    definitions = dg.Definitions(tickets.assets, sensors=[tickets.sensor], resources=tickets.resources)
    tickets.run()
    tickets.let_time_pass(HOUR)
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(
        instance=tickets.instance, repository_def=repository, resources=tickets.resources
    ) as context:
        tick = tickets.sensor.evaluate_tick(context)
    (request,) = tick.run_requests or ()
    job = definitions.resolve_job_def("tickets_collector_job")
    assert {*request.asset_selection} <= job.asset_layer.executable_asset_keys
    assert tickets.sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_server_out_of_reach_is_a_reason_to_skip(tickets: LaterTickets, monkeypatch: Any) -> None:
    """The next tick finds it, or says so again."""
    from pxt_assets.assets.columns import coming_answers

    monkeypatch.setattr(coming_answers, "_PATIENCE_SECONDS", 0.0)
    tickets.run()
    tickets.let_time_pass(HOUR)
    nowhere = OpenAIResource(base_url="http://127.0.0.1:9/v1", api_key="sk-test", max_retries=0)
    said = tickets.tick(resources={"columns": tickets.store, "openai": nowhere})
    assert not said.run_requests
    assert said.skip_reason.skip_message.startswith("tickets/c: ")
    assert "the next tick tries again" in said.skip_reason.skip_message


def test_a_refused_key_fails_the_tick(tickets: LaterTickets, monkeypatch: Any) -> None:
    """Somebody has to act; the key itself is not shown."""
    from pxt_assets.assets.columns import coming_answers

    async def refuse(*_: Any, **__: Any) -> Any:
        raise FatalApiError("the key sk-4711-of-mine-alone is refused")

    tickets.run()
    monkeypatch.setattr(coming_answers, "poll_states", refuse)
    keyed = OpenAIResource(base_url=tickets.openai.base_url, api_key="sk-4711-of-mine-alone")
    with pytest.raises(FatalApiError, match="is refused") as raised:
        tickets.tick(resources={"columns": tickets.store, "openai": keyed})
    assert "4711" not in str(raised.value)


def test_its_page_names_the_columns_and_where_to_look(tickets: LaterTickets) -> None:
    assert tickets.sensor is not None
    told = str(tickets.sensor.description)
    assert "of tickets/c: " in told
    assert "pxt-assets batches" in told


@pytest.mark.parametrize("what", ["a table without columns", "a table of sounds"])
def test_a_table_with_nothing_to_collect_has_no_collector(what: str) -> None:
    table = Table("tickets", key="id")
    if what == "a table of sounds":
        table.add_computed_column(sound=speech(table.body, model="tts-1", voice="alloy"))
    with pytest.raises(DefinitionError, match="no column of the table has answers that can come later"):
        table.collector()


def in_background(table: Table) -> None:
    table.add_computed_column(c=responses(table.body, model="gpt-6-luna"), within="8h")
    table.add_computed_column(a=table.c.output_text)


def test_responses_in_the_background_are_collected_too(later: Callable[..., LaterTickets]) -> None:
    """The sensor asks about the first and the last of a partition, once a minute at most."""
    tickets = later(dict(TWO), in_background)
    (said,) = observed(tickets.run()).values()
    assert said["pxt/rows_waiting"] == 2
    tickets.let_time_pass(HOUR)
    assert tickets.asked() == [(None, ["tickets/a", "tickets/c"])]
    assert tickets.asked() == []
    result = tickets.run(only=["tickets/c", "tickets/a"])
    assert materialized(result) == [("tickets/c", None), ("tickets/a", None)]
    said = metadata(result, "tickets/c")
    assert said["pxt/summary"].endswith(" · in the background, within 8 h, at 60 % of the price")
    assert tickets.tick().skip_reason.skip_message == "no answers are on their way"


def test_what_is_made_in_the_background_is_told(later: Callable[..., LaterTickets]) -> None:
    """As long as nothing of it has ended."""
    tickets = later(dict(TWO), in_background)
    tickets.run()

    async def made(*_: Any) -> Any:
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pxt_assets.assets.columns.coming_answers.ready_responses", made)
        said = tickets.tick().skip_reason.skip_message
    assert said.startswith("tickets/c: 2 answers made in the background, for ")


def test_what_was_said_of_a_run_holds_for_what_follows(later: Callable[..., LaterTickets]) -> None:
    """Its budget, and the time that it gave to a column which has none itself: that would mean now, at the full price."""

    def columns(table: Table) -> None:
        table.add_computed_column(c=ask(table.body))

    tickets = later(dict(TWO), columns)
    config = {"within": "24h", "max_cost_usd": 0.5}
    tickets.run(config={"tickets/c": config})
    tickets.let_time_pass(HOUR)
    (request,) = tickets.tick().run_requests or ()
    assert request.run_config == {"ops": {"tickets__c": {"config": config}}}


def test_a_time_that_nobody_says_any_more_holds_for_what_was_asked(
    later: Callable[..., LaterTickets],
) -> None:
    """As of a column that was changed meanwhile, in an instance that knows of no earlier run."""

    def columns(table: Table) -> None:
        table.add_computed_column(c=ask(table.body))

    tickets = later(dict(TWO), columns)
    tickets.run(config={"tickets/c": {"within": "24h"}})
    tickets.let_time_pass(HOUR)
    with dg.DagsterInstance.ephemeral() as other:
        (request,) = tickets.tick(instance=other).run_requests or ()
    assert request.run_config == {"ops": {"tickets__c": {"config": {"within": "24h"}}}}


def test_runs_that_collect_have_what_is_left_of_a_budget(later: Callable[..., LaterTickets]) -> None:
    """Each would spend the whole of it otherwise, as often as there is something to collect."""
    tickets = later(dict(TWO))
    config = {"max_cost_usd": 0.5}
    tickets.run(config={"tickets/c": config})
    tickets.let_time_pass(HOUR)
    tickets.rows["3"] = "lost"
    tickets.run(config={"tickets/c": config})
    tickets.let_time_pass(HOUR)
    (request,) = tickets.tick().run_requests or ()
    left = request.run_config["ops"]["tickets__c"]["config"]["max_cost_usd"]
    assert 0.49 < left < 0.5


def test_runs_of_several_partitions_keep_to_one_budget_together(later: Callable[..., LaterTickets]) -> None:
    """To that of the run which submitted, also of what it did not come to."""

    def columns(table: Table) -> None:
        table.add_computed_column(c=ask(table.body), within="24h")
        table.add_computed_column(d=ask(table.c.choices[0].message.content), max_cost_usd=0.3)

    rows = {"mon": {"1": "late", "2": "lost"}, "tue": {"1": "broken"}, "wed": {"1": "slow"}}
    days = later(rows, columns, partitions_def=DAYS)
    days.run("tue", only=["tickets", "tickets/c"], config={"tickets/c": {"within": "now"}})
    said = observed(days.run(span=("mon", "wed"), config={"tickets/c": {"max_cost_usd": 0.5}}))
    assert said["mon"]["pxt/budget_left_usd"] > said["wed"]["pxt/budget_left_usd"] > 0.1
    days.let_time_pass(HOUR)
    found = [one.run_config["ops"] for one in days.tick().run_requests or ()]
    assert [sorted(one) for one in found] == [["tickets__c", "tickets__d"], ["tickets__d"], [*found[0]]]
    for column, budget in (("tickets__c", 0.5), ("tickets__d", 0.3)):
        parts = [one[column]["config"]["max_cost_usd"] for one in found if column in one]
        assert sum(parts) == pytest.approx(budget)


def test_what_was_said_of_a_run_holds_though_it_was_killed(
    days: LaterTickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it submitted, before it told of that: what it had no room for would be paid without any budget."""

    def killed(*_: Any, **__: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("pxt_assets.assets.columns.materialize.record_waiting", killed)
        days.run(span=("mon", "tue"), config={"tickets/c": {"max_cost_usd": 0.5}}, fails=True)
    days.let_time_pass(HOUR)
    (request,) = days.tick().run_requests or ()
    assert request.run_config == {"ops": {"tickets__c": {"config": {"max_cost_usd": 0.5}}}}


def test_a_record_that_cannot_be_read_fails_the_tick(tickets: LaterTickets) -> None:
    """It may stand for what is paid: trying again mends nothing."""
    tickets.run()
    folder = Path(records_folder(tickets.store, dg.AssetKey(["tickets", "c"])).path)
    (record,) = folder.glob("*.json")
    record.write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        tickets.tick()


def test_a_server_that_does_not_answer_in_time_is_a_reason_to_skip(
    tickets: LaterTickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster gives a tick a minute."""

    async def poll(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    tickets.run()
    monkeypatch.setattr("pxt_assets.assets.columns.coming_answers.poll_states", poll)
    monkeypatch.setattr("pxt_assets.assets.columns.coming_answers._MOST_SECONDS", 0.01)
    said = tickets.tick().skip_reason.skip_message
    assert "the server did not say within 0 s how far its batches are; the next tick tries again" in said
    assert "2 answers there" in said


def test_definitions_may_have_some_of_the_columns(tickets: LaterTickets) -> None:
    """As where a table is divided among code locations: what is left out is not asked for, though one is made of it."""
    tickets.run()
    tickets.let_time_pass(HOUR)
    column, text = tickets.table.assets
    for one, asked in ((text, []), (column, [(None, ["tickets/c"])])):
        definitions = dg.Definitions(
            [tickets.assets[0], one], sensors=[tickets.sensor], resources=tickets.resources
        )
        dg.Definitions.validate_loadable(definitions)
        assert tickets.asked(definitions=definitions) == asked


def test_definitions_without_any_column_have_no_collector(tickets: LaterTickets) -> None:
    """It would look as if somebody collected what comes later."""
    definitions = dg.Definitions(tickets.assets[:1], sensors=[tickets.sensor], resources=tickets.resources)
    with pytest.raises(dg.DagsterInvalidDefinitionError) as raised:
        dg.Definitions.validate_loadable(definitions)
    assert "the sensor tickets_collector: these definitions have no computed column" in str(
        raised.value.__cause__
    )
