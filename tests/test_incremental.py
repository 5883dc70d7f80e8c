import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.plan import Plan
from pxt_assets.functions import embeddings
from pxt_assets.functions.chat import _ENDPOINT
from pxt_assets.types import Json
from tests.runs import ask, failure, materialize, message, metadata, rows_asset, stored
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of, vectors

KEY = dg.AssetKey(["tickets", "c"])
Run = Callable[..., dg.ExecuteInProcessResult]


class Tickets:
    """A table `tickets` with a column `c` that asks for its `body`, run after run."""

    def __init__(self, store: ColumnStore, openai: OpenAIResource) -> None:
        self.store = store
        self.openai = openai

    def run(
        self,
        rows: dict[Any, Any],
        column: Callable[[Table], Any] | None = None,
        config: dict[str, Any] | None = None,
        openai: OpenAIResource | None = None,
        fails: bool = False,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materializes both for `{id: body}`."""
        upstream = rows_asset({"id": list(rows), "body": list(rows.values())})
        table = Table(upstream, key="id")
        table.add_computed_column(c=column(table) if column else ask(table.body), **options)
        return materialize(
            [upstream, *table.assets],
            self.store,
            openai or self.openai,
            config={"tickets/c": config} if config else None,
            fails=fails,
        )

    @property
    def path(self) -> Path:
        return Path(self.store.file(KEY).path.path)

    @property
    def journal(self) -> Path:
        return self.path.with_name(".c.journal")

    @property
    def said(self) -> dict[Any, Any]:
        """What each row was answered."""
        table = stored(self.store, "tickets/c")
        texts = [
            None if cell is None else json.loads(cell)["choices"][0]["message"]["content"]
            for cell in table["c"].to_pylist()
        ]
        return dict(zip(table["id"].to_pylist(), texts, strict=True))


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def figures(result: dg.ExecuteInProcessResult) -> tuple[int, int, int]:
    """Rows computed, reused and failed."""
    said = metadata(result, "tickets/c")
    return said["pxt/rows_computed"], said["pxt/rows_reused"], said["pxt/rows_failed"]


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


def broken(asked: Asked) -> Reply:
    """Refuses `bad`, answers anything else."""
    return refusal(400, "too rude") if asked.text == "bad" else chat(asked)


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
    instance = dg.DagsterInstance.ephemeral()
    materialize(assets, store, openai, span=("a", "b"), only=["tickets/c"], fails=True, instance=instance)
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
    monkeypatch.setattr("pxt_assets.compute.inputs._BATCH", 4)
    monkeypatch.setattr("pxt_assets.compute.ask._CELLS_OUTSTANDING", 4)
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
        assert "a bug in prepare" in message(tickets.run(rows, fails=True))
    answered = set(server.texts)
    assert len(answered) >= 7
    server.forget()
    tickets.run(rows)
    assert set(server.texts) == set(rows.values()) - answered


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


def test_a_journal_does_not_disturb_readers_of_the_folder(tickets: Tickets, server: ScriptedServer) -> None:
    """What an aborted run left beside the column's file is hidden from who reads the whole folder."""
    tickets.run({1: "a"})
    server.script = broken
    tickets.run({1: "a", 2: "b", 3: "bad"}, fails=True)
    assert tickets.journal.exists()
    assert len(pd.read_parquet(tickets.path.parent)) == 1
