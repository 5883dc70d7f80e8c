"""What is computed again, and what is not."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, materialize, metadata, rows_asset, stored
from tests.scripted_server import ScriptedServer, chat
from tests.tickets import KEY, Tickets, figures


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def test_unchanged_rows_cost_nothing(tickets: Tickets, server: ScriptedServer) -> None:
    """Nothing is asked for rows that did not change, and the file is not written again."""
    tickets.run({1: "a", 2: "b"})
    before = tickets.path.stat().st_mtime_ns
    result = tickets.run({1: "a", 2: "b"})
    assert len(server.asked) == 2
    assert tickets.path.stat().st_mtime_ns == before
    assert figures(result) == (0, 2, 0)
    assert metadata(result, "tickets/c")["pxt/requests"] == 0


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        ({1: "a", 2: "new", 3: "c"}, ["new"]),
        ({1: "a", 2: "b", 3: "c", 4: "d"}, ["d"]),
        ({4: "d", 1: "a", 2: "b", 3: "c"}, ["d"]),
        ({1: "a", 3: "c"}, []),
        ({3: "c", 2: "b", 1: "a"}, []),
        ({7: "a", 8: "b", 9: "c"}, []),
        ({1: "b", 2: "c", 3: "a"}, []),
        ({}, []),
        ({1: "a", 2: None, 3: "c"}, []),
    ],
    ids=["changed", "appended", "prepended", "removed", "reordered", "new keys", "swapped", "none", "null"],
)
def test_only_what_is_new_is_asked(
    rows: dict[int, Any], asked: list[str], tickets: Tickets, server: ScriptedServer
) -> None:
    """Only requests that were never answered are made; the file holds just the rows there are, in order."""
    tickets.run({1: "a", 2: "b", 3: "c"})
    server.forget()
    result = tickets.run(rows)
    assert server.texts == asked
    assert list(tickets.said.items()) == [(k, None if v is None else f"re: {v}") for k, v in rows.items()]
    nulls = sum(body is None for body in rows.values())
    assert figures(result) == (len(asked), len(rows) - len(asked) - nulls, 0)


def test_equal_rows_are_asked_once(tickets: Tickets, server: ScriptedServer) -> None:
    """Rows whose requests are equal share one, and each has the answer."""
    result = tickets.run({1: "a", 2: "b", 3: "a", 4: "a"})
    assert server.texts == ["a", "b"]
    assert tickets.said == {1: "re: a", 2: "re: b", 3: "re: a", 4: "re: a"}
    assert metadata(result, "tickets/c")["pxt/requests"] == 2


def test_equal_calls_inside_cells_are_made_once(tickets: Tickets, server: ScriptedServer) -> None:
    """Of cells that are made of several calls, in flight too."""
    upstream = rows_asset({"id": range(20), "body": [f"row {i}" for i in range(20)], "topic": ["zips"] * 20})
    table = Table(upstream, key="id")
    table.add_computed_column(c={"body": ask(table.body), "topic": ask(table.topic)})
    materialize([upstream, *table.assets], tickets.store, tickets.openai)
    assert server.texts == sorted(["zips", *(f"row {i}" for i in range(20))])


@pytest.mark.parametrize("usage", [{"prompt_tokens": 1, "completion_tokens": True}, {"prompt_tokens": 2**70}])
def test_an_odd_bill_costs_no_answer_its_place(
    usage: dict[str, Any], tickets: Tickets, server: ScriptedServer
) -> None:
    """What a server says of tokens may be anything; the answer is paid for."""
    server.script = lambda asked: chat(asked, model="gpt-\ud800", usage=usage)
    tickets.run({1: "a", 2: "b"})
    assert tickets.said == {1: "re: a", 2: "re: b"}
    server.forget()
    tickets.run({1: "a", 2: "b"})
    assert not server.texts


@pytest.mark.parametrize(
    "column",
    [
        lambda t: ask(t.body, model="gpt-6-luna"),
        lambda t: ask(t.body, temperature=0),
        lambda t: ask(t.body, model_kwargs={"seed": 1}),
    ],
    ids=["model", "keyword", "model_kwargs"],
)
def test_another_question_is_asked_anew(
    column: Callable[[Table], Any], tickets: Tickets, server: ScriptedServer
) -> None:
    """A change of the model or of any argument asks for each row again."""
    tickets.run({1: "a", 2: "b"})
    server.forget()
    assert figures(tickets.run({1: "a", 2: "b"}, column)) == (2, 0, 0)
    assert server.texts == ["a", "b"]


def test_another_description_asks_nothing(tickets: Tickets, server: ScriptedServer) -> None:
    """How a column is described, grouped or owned has no part in what is asked."""
    tickets.run({1: "a"}, description="before")
    result = tickets.run({1: "a"}, description="after", owners=["team:search"], on_error="ignore")
    assert len(server.asked) == 1
    assert figures(result) == (0, 1, 0)


def test_a_column_in_another_table_shares_nothing(
    tickets: Tickets, server: ScriptedServer, store: ColumnStore
) -> None:
    """A renamed key column is stored under its new name, with the answers that there are."""
    tickets.run({1: "a"})
    upstream = rows_asset({"number": [1], "body": ["a"]})
    table = Table(upstream, key="number")
    table.add_computed_column(c=ask(table.body))
    materialize([upstream, *table.assets], store, tickets.openai)
    assert len(server.asked) == 1
    assert stored(store, "tickets/c").column_names[0] == "number"


def test_refresh_asks_for_every_row(tickets: Tickets, server: ScriptedServer) -> None:
    """`refresh` computes and pays for all rows again, and what comes back replaces what was there."""
    tickets.run({1: "a", 2: "b"})
    server.script = lambda asked: chat(asked, f"again: {asked.text}")
    assert figures(tickets.run({1: "a", 2: "b"}, config={"refresh": True})) == (2, 0, 0)
    assert tickets.said == {1: "again: a", 2: "again: b"}
    tickets.run({1: "a", 2: "b"})
    assert len(server.asked) == 4


def test_a_trial_leaves_the_column_alone(tickets: Tickets, server: ScriptedServer) -> None:
    """`limit` asks for the first rows only; the stored file stays, and an observation shows the preview."""
    tickets.run({1: "a", 2: "b", 3: "c"})
    before = tickets.path.read_bytes()
    server.forget()
    result = tickets.run({1: "x", 2: "y", 3: "z"}, config={"limit": 2})
    assert server.texts == ["x", "y"]
    assert tickets.path.read_bytes() == before
    assert not [e for e in result.get_asset_materialization_events() if e.asset_key == KEY]
    (observation,) = result.get_asset_observation_events()
    seen = observation.asset_observation_data.asset_observation
    assert seen.asset_key == KEY
    assert "re&#58; x" in seen.metadata["pxt/preview"].value
    assert "re&#58; z" not in seen.metadata["pxt/preview"].value


def test_what_a_trial_paid_for_counts(tickets: Tickets, server: ScriptedServer) -> None:
    """The full run after a trial asks for the other rows only."""
    tickets.run({1: "a", 2: "b", 3: "c"}, config={"limit": 2})
    assert not tickets.path.exists()
    server.forget()
    assert figures(tickets.run({1: "a", 2: "b", 3: "c"})) == (1, 2, 0)
    assert server.texts == ["c"]
    assert not tickets.journal.exists()


def test_a_trial_of_more_rows_than_there_are(tickets: Tickets, server: ScriptedServer) -> None:
    """A limit beyond the table is no error."""
    tickets.run({1: "a"}, config={"limit": 10})
    assert server.texts == ["a"]


def test_a_trial_before_other_columns(tickets: Tickets, store: ColumnStore) -> None:
    """Columns that read a column which was only tried are skipped: there is nothing new to read."""
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=table.c.choices[0].message.content)
    result = materialize([upstream, *table.assets], store, tickets.openai, config={"tickets/c": {"limit": 1}})
    assert not store.file(dg.AssetKey(["tickets", "d"])).exists()
    assert [event.step_key for event in result.all_events if event.is_step_skipped] == ["tickets__d"]
