"""The same model at another base_url: its answers are told apart, and the resource says what becomes of them."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.functions import embeddings
from pxt_assets.storage.layout import sidecar_of
from pxt_assets.storage.provenance import ANSWERED_BY
from tests.runs import ask, failure
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of, vectors
from tests.tickets import KEY, Partitions, Tickets, figures, observations, said_of

ROWS = {i: f"row {i}" for i in range(5)}


def answering(name: str) -> Any:
    return lambda asked: chat(asked, content=f"{name}: {asked.text}")


@pytest.fixture
def first(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(answering("A"))
    return started


@pytest.fixture
def second(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(answering("B"))
    return started


@pytest.fixture
def tickets(store: ColumnStore, first: ScriptedServer) -> Tickets:
    return Tickets(store, resource_of(first))


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What runs warn of, in their logs."""
    seen: list[str] = []
    warn = dg.DagsterLogManager.warning

    def note(manager: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(str(message))
        warn(manager, message, *args, **kwargs)

    monkeypatch.setattr(dg.DagsterLogManager, "warning", note)
    return seen


def host(server: ScriptedServer) -> str:
    return server.base_url.removeprefix("http://").removesuffix("/v1")


def answered_by(result: dg.ExecuteInProcessResult) -> Any:
    return said_of(result)["pxt/answered_by"]


def test_every_cell_names_its_server(tickets: Tickets, first: ScriptedServer) -> None:
    """In the record of where it comes from, in the file, and by host in the metadata."""
    assert answered_by(tickets.run({1: "a", 2: "b", 3: None})) == {host(first): 2}
    assert {one["server"] for one in tickets.provenance} == {first.base_url}
    assert json.loads(tickets.store.file(KEY).metadata[ANSWERED_BY])["servers"] == [first.base_url]


def test_answers_are_reused_with_a_warning(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer, warnings: list[str]
) -> None:
    """By default; it names both servers, how many rows, and what to set. Also where no cell was looked at."""
    tickets.run(ROWS)
    assert not warnings
    assert answered_by(tickets.run(ROWS, openai=resource_of(second))) == {host(first): 5}
    (said,) = warnings
    for part in ("tickets/c: 5 rows", first.base_url, second.base_url, 'on_other_server="recompute"'):
        assert part in said
    assert not second.asked
    more = tickets.run({**ROWS, 9: "new"}, openai=resource_of(second))
    assert answered_by(more) == {host(first): 5, host(second): 1}
    assert second.texts == ["new"]
    assert len(warnings) == 2


def test_recompute_asks_for_the_others_rows_alone(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer, warnings: list[str]
) -> None:
    """Of unchanged rows too; what is of the server that is asked stays."""
    tickets.run(ROWS)
    openai = resource_of(second, on_other_server="recompute")
    tickets.run({**ROWS, 9: "new"}, openai=resource_of(second))
    second.forget()
    warnings.clear()
    result = tickets.run({**ROWS, 9: "new"}, openai=openai)
    assert figures(result) == (5, 1, 0)
    assert answered_by(result) == {host(second): 6}
    assert second.texts == sorted(ROWS.values())
    assert set(tickets.said.values()) == {f"B: {text}" for text in (*ROWS.values(), "new")}
    assert {one["server"] for one in tickets.provenance} == {second.base_url}
    assert not warnings
    assert figures(tickets.run({**ROWS, 9: "new"}, openai=openai)) == (0, 6, 0)


def test_a_row_that_cannot_be_asked_for_anew_keeps_its_answer(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer, warnings: list[str]
) -> None:
    """It is paid for; the log says that it is another server's."""
    tickets.run(ROWS, on_error="ignore")
    second.script = lambda asked: refusal(400, "no") if asked.text == "row 3" else answering("B")(asked)
    openai = resource_of(second, on_other_server="recompute")
    assert answered_by(tickets.run(ROWS, on_error="ignore", openai=openai)) == {
        host(second): 4,
        host(first): 1,
    }
    assert tickets.said[3] == "A: row 3"
    assert "1 rows" in warnings[-1]


def test_fail_ends_the_run_before_anything_is_asked(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer
) -> None:
    """The message says how many rows, of which servers, and what to do; rows of no other server are no reason."""
    tickets.run(ROWS)
    openai = resource_of(second, on_other_server="fail")
    said = failure(tickets.run({**ROWS, 9: "new"}, openai=openai, fails=True)).description
    for part in ("5 of 6 rows", first.base_url, second.base_url, '"reuse"', '"recompute"', "base_url"):
        assert part in said
    assert not second.asked
    assert answered_by(tickets.run({9: "new"}, openai=openai)) == {host(second): 1}


def test_fail_looks_at_all_partitions_first(
    store: ColumnStore, first: ScriptedServer, second: ScriptedServer
) -> None:
    """Nothing is asked for one partition though only the next holds another server's answers."""
    table = Partitions(store, resource_of(first), {"mon": {1: "a"}, "tue": {1: "b"}})
    table.run("tue")
    table.run(openai=resource_of(second, on_other_server="fail"), fails=True)
    assert not second.asked


@pytest.mark.parametrize(("choice", "rows"), [("reuse", 1), ("recompute", 6)])
def test_a_dry_run_counts_what_would_be_asked(
    choice: str, rows: int, tickets: Tickets, second: ScriptedServer
) -> None:
    """By the choice that the run would follow."""
    tickets.run(ROWS)
    openai = resource_of(second, on_other_server=choice)
    result = tickets.run({**ROWS, 9: "new"}, config={"dry_run": True}, openai=openai)
    assert observations(result)[None]["pxt/rows_to_compute"] == rows
    assert not second.asked
    assert not second.fetched


def test_a_dry_run_fails_as_the_run_would(tickets: Tickets, second: ScriptedServer) -> None:
    """With the same message."""
    tickets.run(ROWS)
    openai = resource_of(second, on_other_server="fail")
    result = tickets.run(ROWS, config={"dry_run": True}, openai=openai, fails=True)
    assert "5 of 5 rows are answered already" in failure(result).description


def test_a_trial_asks_anew_and_leaves_the_column(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer
) -> None:
    """What it asked for, the run that follows takes over."""
    tickets.run(ROWS)
    openai = resource_of(second, on_other_server="recompute")
    tickets.run(ROWS, config={"limit": 2}, openai=openai)
    assert second.texts == ["row 0", "row 1"]
    assert set(tickets.said.values()) == {f"A: {text}" for text in ROWS.values()}
    assert figures(tickets.run(ROWS, openai=openai)) == (3, 2, 0)
    assert len(second.asked) == 5


def test_an_interrupted_run_left_another_servers_cells(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer
) -> None:
    """Those in the journal are told apart as those in the file."""
    first.script = lambda asked: refusal(400, "no") if asked.text == "row 4" else answering("A")(asked)
    tickets.run(ROWS, fails=True)
    assert tickets.journal.exists()
    fail = resource_of(second, on_other_server="fail")
    assert "4 of 5 rows" in failure(tickets.run(ROWS, openai=fail, fails=True)).description
    result = tickets.run(ROWS, openai=resource_of(second))
    assert answered_by(result) == {host(first): 4, host(second): 1}


def test_another_servers_cells_in_the_journal_are_asked_for_anew(
    tickets: Tickets, first: ScriptedServer, second: ScriptedServer
) -> None:
    """Under "recompute" an interrupted run is gone on with at the server that is asked now, from the beginning."""
    first.script = lambda asked: refusal(400, "no") if asked.text == "row 4" else answering("A")(asked)
    tickets.run(ROWS, fails=True)
    result = tickets.run(ROWS, openai=resource_of(second, on_other_server="recompute"))
    assert answered_by(result) == {host(second): 5}
    assert second.texts == sorted(ROWS.values())


def test_answers_of_an_earlier_version_are_of_an_unknown_server(
    tickets: Tickets, second: ScriptedServer, warnings: list[str]
) -> None:
    """They are counted as such, and are no reason to warn, to ask anew or to fail."""
    tickets.run(ROWS)
    path = Path(tickets.path)
    metadata = {k: v for k, v in pq.read_metadata(path).metadata.items() if ANSWERED_BY.encode() not in k}
    with pq.ParquetFile(path) as source:
        rows = source.read()
    pq.write_table(rows.replace_schema_metadata(metadata), path)
    for choice in ("reuse", "recompute", "fail"):
        result = tickets.run(ROWS, openai=resource_of(second, on_other_server=choice))
        assert answered_by(result) == {"unknown": 5}
    assert not second.asked
    assert not warnings


def test_records_and_journals_of_an_earlier_version_are_read(tickets: Tickets, first: ScriptedServer) -> None:
    """They lack the servers' names."""
    first.script = lambda asked: refusal(400, "no") if asked.text == "row 4" else answering("A")(asked)
    tickets.run({0: "row 0"})
    record = sidecar_of(tickets.store.file(KEY)).path.path
    pq.write_table(pq.read_table(record).drop_columns(["server"]), record)
    tickets.run(ROWS, fails=True)
    for segment in tickets.journal.glob("*.arrow"):
        with pa.memory_map(str(segment)) as source:
            cells = pa.ipc.open_file(source).read_all().drop_columns(["server"])
            with pa.ipc.new_file(f"{segment}.new", cells.schema) as writer:
                writer.write_table(cells)
        Path(f"{segment}.new").replace(segment)
    first.forget()
    assert answered_by(tickets.run({**ROWS, 4: "new"})) == {"unknown": 3, host(first): 2}
    assert first.texts == ["new"]
    assert [one["input_tokens"] for one in tickets.provenance] == [10] * 5


@pytest.mark.parametrize("choice", ["reuse", "recompute", "fail"])
def test_a_simulator_is_never_another_server(
    choice: str, tickets: Tickets, simulated: OpenAIResource, first: ScriptedServer, warnings: list[str]
) -> None:
    """Paid answers are used by a rehearsal; simulated ones are never used by the API, at whatever port."""
    assert answered_by(tickets.run({1: "a"}, openai=simulated)) == {"simulator": 1}
    openai = resource_of(first, on_other_server=choice)
    assert figures(tickets.run({1: "a"}, openai=openai)) == (1, 0, 0)
    assert answered_by(tickets.run({1: "a", 2: "b"}, openai=simulated)) == {host(first): 1, "simulator": 1}
    assert not warnings


def test_a_simulator_at_a_url_is_one_too(
    tickets: Tickets, first: ScriptedServer, serve: Any, warnings: list[str]
) -> None:
    """Its answers say so, and where none came yet its list of models."""
    mark = {"x-pxt-simulated": "true"}
    simulator = serve(lambda asked: Reply(chat(asked).body, headers=mark))
    simulator.pages["/v1/models"] = Reply({"data": []}, headers=mark)
    tickets.run(ROWS)
    for choice in ("reuse", "recompute", "fail"):
        result = tickets.run(ROWS, openai=resource_of(simulator, on_other_server=choice))
        assert figures(result) == (0, 5, 0)
    assert not simulator.asked
    assert not warnings


@pytest.mark.parametrize("change", [lambda url: f"{url}/", lambda url: url.replace("http:", "HTTP:")])
def test_the_same_server_written_otherwise(
    change: Any, tickets: Tickets, first: ScriptedServer, warnings: list[str]
) -> None:
    """Is the same."""
    tickets.run(ROWS)
    openai = resource_of(first, base_url=change(first.base_url), on_other_server="fail")
    assert figures(tickets.run(ROWS, openai=openai)) == (0, 5, 0)
    assert not warnings


def test_without_a_record_of_where_cells_come_from(
    tmp_path: Path, first: ScriptedServer, second: ScriptedServer
) -> None:
    """A store that keeps none knows each row's server all the same: it is in the column's file."""
    store = ColumnStore(base_path=str(tmp_path / "other"), provenance=False)
    tickets = Tickets(store, resource_of(first))
    tickets.run({1: "a"})
    tickets.run({1: "a", 2: "b"}, openai=resource_of(second))
    second.forget()
    result = tickets.run({1: "a", 2: "b"}, openai=resource_of(second, on_other_server="recompute"))
    assert second.texts == ["a"]
    assert answered_by(result) == {host(second): 2}


def test_packed_and_nested_calls(store: ColumnStore, serve: Any) -> None:
    """Of a request of many cells each is of its server; a cell whose call an equal one answered, too."""

    def script(asked: Asked) -> Reply:
        return vectors(asked) if "embeddings" in asked.path else chat(asked)

    server = serve(script)
    tickets = Tickets(store, resource_of(server))
    rows = {1: "a", 2: "b", 3: "a"}
    assert answered_by(tickets.run(rows, lambda t: embeddings(t.body, model="m"))) == {host(server): 3}

    def nested(table: Table) -> Any:
        return {"said": ask(table.body), "same": ask("the same for all"), "id": table.id}

    assert answered_by(tickets.run(rows, nested)) == {host(server): 3}
    assert {one["server"] for one in tickets.provenance} == {server.base_url}


def test_columns_that_ask_no_server_count_none(tickets: Tickets) -> None:
    """Functions of one's own run here."""

    @udf
    def f(text: str) -> int:
        return len(text)

    assert "pxt/answered_by" not in said_of(tickets.run(ROWS, lambda t: f(t.body)))


def test_the_choice_is_checked_and_may_come_from_the_environment(
    tickets: Tickets, second: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the resource is made, or when a run reads it."""
    with pytest.raises(ValueError, match=r"got 'always', allowed: 'reuse', 'recompute', 'fail'"):
        resource_of(second, on_other_server="always")
    tickets.run(ROWS)
    monkeypatch.setenv("ON_OTHER", "fail")
    tickets.run(ROWS, openai=resource_of(second, on_other_server=dg.EnvVar("ON_OTHER")), fails=True)
