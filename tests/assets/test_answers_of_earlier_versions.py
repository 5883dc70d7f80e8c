"""Answers that earlier versions took for results though they are none: an error cut them short, or they are empty."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, udf
from pxt_assets.compute.cells import failed_answers, journal
from pxt_assets.functions import moderations
from pxt_assets.storage.layout import journal_folder
from pxt_assets.types import Json
from tests.runs import ask
from tests.scripted_server import Reply, ScriptedServer, chat, refusal
from tests.tickets import KEY, Tickets, figures, observations

ROWS = {1: "a", 2: "b", 3: "c"}
BROKEN_OFF = {"choices": [{"finish_reason": "error", "message": {"role": "assistant", "content": ""}}]}


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def answers(values: list[Any], changed: Mapping[int, Any]) -> pa.Array:
    """The cells, with other answers at some places, as they are stored."""
    told = {i: json.dumps(answer, separators=(",", ":")) for i, answer in changed.items()}
    return pa.array([told.get(i, value) for i, value in enumerate(values)], Json.arrow())


def as_earlier(tickets: Tickets, changed: Mapping[int, Any]) -> None:
    """Makes the stored column one of an earlier version, with other answers in some rows."""
    file = tickets.store.file(KEY)
    table, metadata = file.rows().table(file.schema.names), dict(file.metadata)
    assert metadata.pop(failed_answers.ANSWERS_CHECKED)
    values = answers(table["c"].to_pylist(), changed)
    table = table.set_column(table.schema.get_field_index("c"), table.schema.field("c"), values)
    file.write(table.schema.remove_metadata(), table.to_batches(), metadata)


def journal_as_earlier(tickets: Tickets, answer: Any) -> None:
    """Makes the journal's segments those of an earlier version, with another answer in all their cells."""
    paths = list(Path(journal_folder(tickets.store.file(KEY)).path).glob("*.arrow"))
    assert paths
    for path in paths:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        assert table.schema.metadata
        cells = table["value"].to_pylist()
        values = answers(cells, {i: answer for i, value in enumerate(cells) if value is not None})
        table = table.set_column(table.schema.get_field_index("value"), "value", values)
        table = table.replace_schema_metadata(None)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize(
    "answer",
    [
        BROKEN_OFF,
        {"choices": [{"finish_reason": "aborted", "message": {"content": "half an"}}]},
        {"choices": []},
        {"choices": [{"finish_reason": "stop", "message": {"content": ""}, "error": {"code": 502}}]},
        {"choices": [{"finish_reason": "stop", "message": None}]},
    ],
    ids=["error", "aborted", "no choices", "its error", "no message"],
)
@pytest.mark.parametrize("rows", [ROWS, {**ROWS, 4: "d"}], ids=["unchanged", "a new row"])
def test_they_are_asked_for_again(answer: Any, rows: Any, tickets: Tickets, server: ScriptedServer) -> None:
    """They alone: what else is stored is kept."""
    tickets.run(ROWS)
    as_earlier(tickets, {1: answer})
    server.forget()
    tickets.run(rows)
    assert set(server.texts) == {"b", *rows.values()} - {"a", "c"}
    assert tickets.said == {i: f"re: {text}" for i, text in rows.items()}
    server.forget()
    tickets.run(rows)
    assert server.texts == []


def test_they_become_errors_where_the_next_answer_is_none_either(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """Their rows fail, as any row does."""
    tickets.run(ROWS)
    as_earlier(tickets, {1: BROKEN_OFF})
    server.script = lambda _: Reply(BROKEN_OFF)
    result = tickets.run(ROWS, on_error="ignore")
    assert figures(result) == (0, 2, 1)
    assert tickets.table["c_errortype"].to_pylist() == [None, "InvalidAnswer", None]
    assert tickets.table["c"].to_pylist()[1] is None


def test_empty_moderations_are_asked_for_again(tickets: Tickets, server: ScriptedServer) -> None:
    """As the endpoint has it, whose answers they are."""
    server.script = lambda _: Reply({"results": [{"flagged": False}]})
    tickets.run(ROWS, lambda t: moderations(t.body))
    as_earlier(tickets, {0: {"results": []}})
    server.forget()
    tickets.run(ROWS, lambda t: moderations(t.body))
    assert server.texts == ["a"]


def test_answers_that_speak_of_errors_are_results(tickets: Tickets, server: ScriptedServer) -> None:
    """So are those that the API's filter or their length cut short; a file without others stays as it is."""
    tickets.run(ROWS)
    text = json.dumps(BROKEN_OFF, separators=(",", ":"))
    speaking = {"choices": [{"finish_reason": "stop", "message": {"content": text}}], "note": BROKEN_OFF}
    filtered = {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]}
    as_earlier(tickets, {0: speaking, 1: filtered})
    before = tickets.path.stat().st_ino, tickets.path.stat().st_mtime_ns
    server.forget()
    assert figures(tickets.run(ROWS)) == (0, 3, 0)
    assert server.texts == []
    assert (tickets.path.stat().st_ino, tickets.path.stat().st_mtime_ns) == before


def test_a_crashed_runs_are_asked_for_again(tickets: Tickets, server: ScriptedServer) -> None:
    """What its journal holds of them counts for nothing."""
    server.script = lambda asked: refusal(400) if asked.text == "c" else chat(asked)
    tickets.run(ROWS, fails=True)
    journal_as_earlier(tickets, BROKEN_OFF)
    server.script = chat
    server.forget()
    tickets.run(ROWS)
    assert sorted(server.texts) == ["a", "b", "c"]
    assert tickets.said == {i: f"re: {text}" for i, text in ROWS.items()}


def test_a_dry_run_counts_them(tickets: Tickets) -> None:
    """They are to be paid for."""
    tickets.run(ROWS)
    as_earlier(tickets, {1: BROKEN_OFF})
    said = observations(tickets.run(ROWS, config={"dry_run": True}))[None]
    assert said["pxt/rows_to_compute"] == 1


def test_a_refresh_that_fails_leaves_none_of_them(tickets: Tickets, server: ScriptedServer) -> None:
    """An earlier result comes back where the new answer fails, but not one that was none."""
    tickets.run(ROWS)
    as_earlier(tickets, {1: BROKEN_OFF})
    server.script = lambda asked: refusal(400) if asked.text in ("b", "c") else chat(asked)
    tickets.run(ROWS, config={"refresh": True}, on_error="ignore")
    assert [errortype is None for errortype in tickets.table["c_errortype"].to_pylist()] == [
        True,
        False,
        True,
    ]


@udf
def own(text: str) -> dict[str, Any]:
    return {"choices": [], "of": text}


def test_values_of_other_functions_are_what_they_are(tickets: Tickets) -> None:
    """Whatever they look like."""
    tickets.run(ROWS, lambda t: own(t.body))
    as_earlier(tickets, {})
    assert figures(tickets.run(ROWS, lambda t: own(t.body))) == (0, 3, 0)


def test_what_this_version_stored_is_not_looked_through(
    tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a file nor a segment of a journal holds any such answer."""
    looked: list[Any] = []
    for module in (failed_answers, journal):
        monkeypatch.setattr(module, "failed_answers", lambda *cells: looked.append(cells))
    tickets.run(ROWS, lambda t: ask(t.body))
    tickets.run(ROWS, lambda t: ask(t.body))
    server.script = lambda asked: refusal(400) if asked.text == "e" else chat(asked)
    tickets.run({**ROWS, 4: "d", 5: "e"}, lambda t: ask(t.body), fails=True)
    tickets.run({**ROWS, 4: "d"}, lambda t: ask(t.body))
    assert looked == []
