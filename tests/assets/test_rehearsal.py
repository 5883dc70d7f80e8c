"""What a simulator answered: it never passes for a result, and never displaces one."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, materialize, metadata, rows_asset
from tests.scripted_server import ScriptedServer
from tests.tickets import Tickets, figures


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def test_a_rehearsal_is_never_a_result(
    tickets: Tickets, server: ScriptedServer, simulated: OpenAIResource
) -> None:
    """Against the API, every row that a simulator answered is asked for, and nothing simulated remains."""
    rehearsal = tickets.run({1: "a", 2: "b"}, openai=simulated)
    assert metadata(rehearsal, "tickets/c")["pxt/simulated"] is True
    result = tickets.run({1: "a", 2: "b"})
    assert server.texts == ["a", "b"]
    assert metadata(result, "tickets/c")["pxt/simulated"] is False
    assert tickets.said == {1: "re: a", 2: "re: b"}


def test_a_rehearsed_trial_is_never_a_result(
    tickets: Tickets, server: ScriptedServer, simulated: OpenAIResource
) -> None:
    """A simulator's answers in the journal are not taken for the API's."""
    tickets.run({1: "a", 2: "b"}, openai=simulated, config={"limit": 1})
    result = tickets.run({1: "a", 2: "b"})
    assert server.texts == ["a", "b"]
    assert metadata(result, "tickets/c")["pxt/simulated"] is False


def test_a_simulator_reuses_its_own_answers(tickets: Tickets, simulated: OpenAIResource) -> None:
    """Rehearsed again, nothing is asked, and the column is still marked."""
    tickets.run({1: "a", 2: "b"}, openai=simulated)
    before = tickets.path.stat().st_mtime_ns
    result = tickets.run({1: "a", 2: "b"}, openai=simulated)
    assert figures(result) == (0, 2, 0)
    assert metadata(result, "tickets/c")["pxt/simulated"] is True
    assert tickets.path.stat().st_mtime_ns == before


def test_a_rehearsal_keeps_what_was_paid_for(
    tickets: Tickets, server: ScriptedServer, simulated: OpenAIResource
) -> None:
    """Run with the simulator again, rows that the API has answered keep its answers."""
    tickets.run({1: "a", 2: "b"})
    result = tickets.run({1: "a", 2: "b", 3: "c"}, openai=simulated)
    assert figures(result) == (1, 2, 0)
    assert metadata(result, "tickets/c")["pxt/simulated"] is True
    assert tickets.said[1] == "re: a"
    assert tickets.said[3].startswith("[simulated]")
    server.forget()
    result = tickets.run({1: "a", 2: "b", 3: "c"})
    assert server.texts == ["c"]
    assert metadata(result, "tickets/c")["pxt/simulated"] is False


def test_a_rehearsal_of_paid_rows_changes_nothing(
    tickets: Tickets, server: ScriptedServer, simulated: OpenAIResource
) -> None:
    """Where the API has answered every row, the simulator is asked nothing and the column stays unmarked."""
    tickets.run({1: "a"})
    before = tickets.path.read_bytes()
    result = tickets.run({1: "a"}, openai=simulated)
    assert figures(result) == (0, 1, 0)
    assert metadata(result, "tickets/c")["pxt/simulated"] is False
    assert tickets.path.read_bytes() == before


def test_a_mark_goes_down_to_other_columns(store: ColumnStore, simulated: OpenAIResource) -> None:
    """A column that is made from a simulated one is marked as well."""
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=table.c.choices[0].message.content)
    result = materialize([upstream, *table.assets], store, simulated)
    assert metadata(result, "tickets/d")["pxt/simulated"] is True
    assert store.file(dg.AssetKey(["tickets", "d"])).metadata["simulated"] is True


def test_what_a_simulator_refuses_is_marked_and_asked_of_the_api_again(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """An error that a simulator made is no error of the API: it is not kept for one."""
    simulated = OpenAIResource.simulated()

    def column(table: Table) -> Any:
        return ask(table.body, temperature=99)

    first = tickets.run({1: "a"}, column, openai=simulated, on_error="ignore")
    assert metadata(first, "tickets/c")["pxt/rows_failed"] == 1
    assert metadata(first, "tickets/c")["pxt/simulated"] is True
    tickets.run({1: "a"}, column, config={"retry_errors": False}, on_error="ignore")
    assert server.texts == ["a"]
