"""Rows that fail: under abort, under ignore, and in the next run."""

import threading
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions import embeddings
from pxt_assets.functions.chat import _ENDPOINT
from pxt_assets.values.types import Json
from tests.runs import ask, failure, materialize, message, rows_asset, stored
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of, vectors
from tests.tickets import Tickets, figures


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def broken(asked: Asked) -> Reply:
    """Refuses `bad`, answers anything else."""
    return refusal(400, "too rude") if asked.text == "bad" else chat(asked)


def test_failed_rows_are_counted_not_their_requests(tickets: Tickets, server: ScriptedServer) -> None:
    """Equal rows that fail are one request, and as many failed rows as they are."""
    server.script = broken
    rows = dict.fromkeys(range(10), "bad") | {10: "a"}
    assert figures(tickets.run(rows, on_error="ignore")) == (1, 0, 10)
    said = failure(tickets.run(rows, fails=True)).description
    assert "10 of 11 rows failed: id=0: BadRequestError: too rude (request req-7); and 9 more." in said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a", "b", "bad", "c", "d"], "1 of 5 rows failed, 2 others were not tried: "),
        (["a", "b", "bad", "c"], "1 of 4 rows failed, another one was not tried: "),
        (["bad", "c", "d"], "1 of 3 rows failed, the others were not tried: "),
        (["bad", "c"], "1 of 2 rows failed, the other one was not tried: "),
        (["a", "bad"], "1 of 2 rows failed: "),
    ],
)
def test_rows_that_were_not_tried_are_told(
    rows: list[str], words: str, store: ColumnStore, serve: Any
) -> None:
    """Of those of this partition: once a row has failed, no more is sent."""
    tickets = Tickets(store, resource_of(serve(broken), max_in_flight=1))
    said = failure(tickets.run(dict(enumerate(rows)), fails=True)).description
    assert said.startswith(f"tickets/c: {words}id={rows.index('bad')}: ")


def test_errors_are_tried_again(tickets: Tickets, server: ScriptedServer) -> None:
    """By default the next run asks for the failed rows again, and for these alone."""
    server.script = broken
    assert figures(tickets.run({1: "a", 2: "bad"}, on_error="ignore")) == (1, 0, 1)
    server.script = chat
    server.forget()
    assert figures(tickets.run({1: "a", 2: "bad"}, on_error="ignore")) == (1, 1, 0)
    assert server.texts == ["bad"]
    assert tickets.said == {1: "re: a", 2: "re: bad"}


def test_errors_can_be_kept(tickets: Tickets, server: ScriptedServer) -> None:
    """With `retry_errors` off, failed rows stay as they are and cost nothing."""
    server.script = broken
    tickets.run({1: "a", 2: "bad"}, on_error="ignore")
    before = tickets.path.stat().st_mtime_ns
    server.script = chat
    result = tickets.run({1: "a", 2: "bad"}, on_error="ignore", config={"retry_errors": False})
    assert len(server.asked) == 2
    assert figures(result) == (0, 1, 1)
    assert tickets.path.stat().st_mtime_ns == before


def test_an_error_that_stays(tickets: Tickets, server: ScriptedServer) -> None:
    """A row that fails again keeps its error, and is counted as failed."""
    server.script = broken
    tickets.run({1: "a", 2: "bad"}, on_error="ignore")
    assert figures(tickets.run({1: "a", 2: "bad"}, on_error="ignore")) == (0, 1, 1)
    assert stored(tickets.store, "tickets/c")["c_errortype"].to_pylist() == [None, "BadRequestError"]


def test_a_refresh_that_fails_keeps_the_earlier_answer(tickets: Tickets, server: ScriptedServer) -> None:
    """Where a refresh meets an error, what was there before is worth more than the error."""
    tickets.run({1: "a", 2: "bad"})
    server.script = broken
    tickets.run({1: "a", 2: "bad"}, on_error="ignore", config={"refresh": True})
    assert tickets.said == {1: "re: a", 2: "re: bad"}


def test_abort_fails_the_run(tickets: Tickets, server: ScriptedServer) -> None:
    """Under on_error="abort" a failed row fails the run; asset, row key and the API's message are named."""
    server.script = broken
    result = tickets.run({1: "a", 2: "bad"}, fails=True)
    said = failure(result)
    assert (
        "tickets/c: 1 of 2 rows failed: id=2: BadRequestError: too rude (request req-7)" in said.description
    )
    (record,) = said.metadata["pxt/failed_rows"].records
    assert record.data == {"row": "id=2", "error": "BadRequestError", "message": "too rude (request req-7)"}
    assert not tickets.path.exists()


def test_abort_leaves_the_stored_column(tickets: Tickets, server: ScriptedServer) -> None:
    """A run that fails leaves the column as it was stored."""
    tickets.run({1: "a"})
    before = tickets.path.read_bytes()
    server.script = broken
    tickets.run({1: "b", 2: "bad"}, fails=True)
    assert tickets.path.read_bytes() == before


def test_abort_keeps_what_is_finished(tickets: Tickets, server: ScriptedServer) -> None:
    """The run after one that failed asks for what is not answered yet, and for nothing else."""
    server.script = broken
    rows = {i: f"row {i}" for i in range(20)} | {99: "bad"}
    tickets.run(rows, fails=True)
    answered = {asked.text for asked in server.asked} - {"bad"}
    assert tickets.journal.exists()
    server.forget()
    tickets.run(rows, on_error="ignore")
    assert {asked.text for asked in server.asked} == set(rows.values()) - answered
    assert not tickets.journal.exists()


def test_abort_in_a_batch_keeps_the_others(tickets: Tickets, server: ScriptedServer) -> None:
    """Of many rows in one request, those that are not at fault are answered and kept."""

    def refuse_bad(asked: Asked) -> Reply:
        return refusal(400, "too rude") if "bad" in asked.body["input"] else vectors(asked)

    def column(table: Table) -> Any:
        return embeddings(table.body, model="text-embedding-3-small")

    server.script = refuse_bad
    rows = {i: f"row {i}" for i in range(30)} | {99: "bad"}
    result = tickets.run(rows, column, fails=True)
    assert "1 of 31 rows failed: id=99" in failure(result).description
    server.script = vectors
    server.forget()
    result = tickets.run(rows, column)
    assert [asked.body["input"] for asked in server.asked] == [["bad"]]
    assert figures(result) == (1, 30, 0)


def test_the_first_errors_are_named(tickets: Tickets, server: ScriptedServer) -> None:
    """A failure tells of the first three rows and of how many more."""
    server.script = lambda asked: refusal(400, f"no {asked.text}")
    said = failure(tickets.run({i: f"row {i}" for i in range(5)}, fails=True))
    assert said.description.count("BadRequestError: no row") <= 3
    assert "tickets/c: " in said.description


def test_a_fault_of_the_program_is_no_rows_error(
    tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug surfaces as itself, whatever on_error says, and what was answered by then is kept."""
    parse = _ENDPOINT.parse

    def buggy(body: bytes, asked: Any) -> Any:
        if b"re: bug" in body:
            raise RuntimeError("a bug in parse")
        return parse(body, asked)

    rows = {i: f"row {i}" for i in range(5)} | {99: "bug"}
    with monkeypatch.context() as patched:
        patched.setitem(vars(_ENDPOINT), "parse", buggy)
        result = tickets.run(rows, on_error="ignore", fails=True)
    assert "RuntimeError: a bug in parse" in message(result)
    answered = {asked.text for asked in server.asked} - {"bug"}
    server.forget()
    tickets.run(rows)
    assert set(server.texts) == set(rows.values()) - answered


def test_a_second_run_after_two_partitions(store: ColumnStore, server: ScriptedServer) -> None:
    """A run that failed in its second partition has stored the first, which is not asked for again."""
    partitions_def = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=partitions_def, io_manager_key="columns")
    def tickets(context: dg.AssetExecutionContext) -> list[dict[str, Any]]:
        return [{"id": 1, "body": context.partition_key}, {"id": 2, "body": "bad"}][
            : 1 + (context.partition_key == "b")
        ]

    table = Table(tickets, key="id")
    table.add_computed_column(c=ask(table.body))
    assets = [tickets, *table.assets]
    for key in "ab":
        materialize([tickets], store, partition=key)
    server.script = broken
    openai = resource_of(server)
    with dg.DagsterInstance.ephemeral() as instance:
        failed = materialize(
            assets, store, openai, span=("a", "b"), only=["tickets/c"], fails=True, instance=instance
        )
        said = failure(failed).description
        assert said.startswith(
            "1 of 2 partitions failed: b (1 row); the other one is stored.\n"
            "tickets/c[b]: 1 of 2 rows failed: id=2: BadRequestError: too rude (request req-7).\n"
        )
        assert instance.get_materialized_partitions(dg.AssetKey(["tickets", "c"])) == {"a"}
    server.script = chat
    server.forget()
    materialize(assets, store, openai, span=("a", "b"), only=["tickets/c"])
    assert "a" not in server.texts
    assert "bad" in server.texts


def test_errors_cannot_be_kept_under_abort(tickets: Tickets, server: ScriptedServer) -> None:
    """A column with on_error="abort" never stores an error: `retry_errors` off does not turn failure into success."""
    server.script = broken
    tickets.run({1: "a", 2: "bad"}, fails=True)
    tickets.run({1: "a", 2: "bad"}, config={"retry_errors": False}, fails=True)
    assert not tickets.path.exists()


def test_abort_without_any_request(store: ColumnStore) -> None:
    """A column that calls no API fails the run too when a row's value does not fit, and keeps what is stored."""
    rows: dict[str, Any] = {"id": [1, 2], "meta": ['{"tone": "polite"}', '{"tone": "rude"}']}
    upstream = rows_asset(rows)
    table = Table(upstream, key="id", schema={"meta": Json})
    table.add_computed_column(c=table.meta.tone)
    materialize([upstream, *table.assets], store)
    rows["meta"] = ['{"tone": "polite"}', "{"]
    result = materialize([upstream, *table.assets], store, fails=True)
    said = failure(result)
    assert "tickets/c: 1 of 2 rows failed: id=2: TypeError: got text that is not JSON" in said.description
    assert len(said.metadata["pxt/failed_rows"].records) == 1
    assert stored(store, "tickets/c")["c"].to_pylist() == ['"polite"', '"rude"']


def test_ignored_errors_without_any_request(store: ColumnStore) -> None:
    """Under on_error="ignore" a column that calls no API stores the error beside the other rows."""
    upstream = rows_asset({"id": [1, 2], "meta": ['{"tone": "polite"}', "{"]})
    table = Table(upstream, key="id", schema={"meta": Json})
    table.add_computed_column(c=table.meta.tone, on_error="ignore")
    result = materialize([upstream, *table.assets], store)
    assert stored(store, "tickets/c")["c_errortype"].to_pylist() == [None, "TypeError"]
    assert figures(result) == (1, 0, 1)


def test_a_fault_while_rows_are_read_keeps_what_was_sent(
    tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the rows to come cannot be read, what is in flight is waited for: it has been paid for."""
    monkeypatch.setattr("pxt_assets.compute.partition.inputs._BATCH", 4)
    monkeypatch.setattr("pxt_assets.compute.asking.in_flight_bound._CELLS", 4)
    monkeypatch.setattr("pxt_assets.compute.asking.in_flight_bound._REQUESTS", 1)
    prepare = Plan.prepare

    def buggy(plan: Plan, row: Any) -> Any:
        if row == ("row 9",):
            raise RuntimeError("a bug in prepare")
        return prepare(plan, row)

    def slowly(asked: Asked) -> Reply:
        if asked.text >= "row 4":
            threading.Event().wait(0.2)
        return chat(asked)

    server.script = slowly
    rows = {i: f"row {i}" for i in range(12)}
    with monkeypatch.context() as patched:
        patched.setattr(Plan, "prepare", buggy)
        few = OpenAIResource(api_key="unused", base_url=server.base_url, max_in_flight=2)
        assert "a bug in prepare" in message(tickets.run(rows, openai=few, fails=True))
    answered = set(server.texts)
    assert len(answered) >= 6  # four before, and two in flight
    server.forget()
    tickets.run(rows)
    assert set(server.texts) == set(rows.values()) - answered


def test_a_journal_does_not_disturb_readers_of_the_folder(tickets: Tickets, server: ScriptedServer) -> None:
    """What an aborted run left beside the column's file is hidden from who reads the whole folder."""
    tickets.run({1: "a"})
    server.script = broken
    tickets.run({1: "a", 2: "b", 3: "bad"}, fails=True)
    assert tickets.journal.exists()
    assert len(pd.read_parquet(tickets.path.parent)) == 1
