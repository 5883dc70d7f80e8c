"""Faults of the program itself: they end a run with their traceback, and are never taken for errors of cells."""

import base64
import json
from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking.cell_calls import CellCalls
from pxt_assets.compute.asking.packing import Packer
from pxt_assets.functions import chat, embeddings, image_generations, moderations, responses
from pxt_assets.throttle import Limiter, Pool
from tests.assets.captions import PNG
from tests.runs import ask, message
from tests.scripted_server import Asked, Reply, ScriptedServer, resource_of, vectors
from tests.scripted_server import chat as scripted_chat
from tests.tickets import Tickets, said_of

ROWS = {i: f"row {i}" for i in range(6)}
BUGS = [TypeError("a bug"), KeyError("a bug"), AttributeError("a bug"), IndexError("a bug")]


def names(value: object) -> str:
    return type(value).__name__


@pytest.fixture
def tickets(store: ColumnStore, server: ScriptedServer) -> Tickets:
    return Tickets(store, resource_of(server, max_in_flight=1))


def by_vectors(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


def raising(error: Exception) -> Any:
    def bug(*_: Any, **__: Any) -> Any:
        raise error

    return bug


@pytest.mark.parametrize("error", BUGS, ids=names)
def test_in_reading_an_answer(
    error: Exception, tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in an endpoint's parser is no invalid answer; what was answered before it is kept."""
    endpoint = ask("x")._function.endpoint
    parse = endpoint.parse

    def buggy(body: bytes, asked: Any) -> Any:
        if b"re: row 3" in body:
            raise error
        return parse(body, asked)

    with monkeypatch.context() as patched:
        patched.setitem(vars(endpoint), "parse", buggy)
        said = message(tickets.run(ROWS, on_error="ignore", fails=True))
    assert f"{names(error)}: " in said
    assert "in buggy" in said
    kept = set(server.texts) - {"row 3"}
    assert kept
    server.forget()
    tickets.run(ROWS)
    assert set(server.texts) == set(ROWS.values()) - kept


@pytest.mark.parametrize("error", BUGS, ids=names)
def test_in_building_a_request(
    error: Exception, tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a function's own code ends the run before anything is sent."""
    monkeypatch.setattr(chat, "with_images", raising(error))
    said = message(tickets.run(ROWS, on_error="ignore", fails=True))
    assert f"{names(error)}: " in said
    assert "in bug" in said
    assert not server.asked


@pytest.mark.parametrize("error", BUGS, ids=names)
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waiting"])
def test_in_the_limiter(
    waits: bool, error: Exception, tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what requests wait in ends the run: nobody waits for a leave that never comes."""
    monkeypatch.setattr(Limiter, "acquire_at_once", (lambda *_, **__: None) if waits else raising(error))
    monkeypatch.setattr(Limiter, "acquire", raising(error))
    assert "in bug" in message(tickets.run(ROWS, on_error="ignore", fails=True))


@pytest.mark.parametrize("error", BUGS, ids=names)
@pytest.mark.parametrize("method", ["admit", "answered"])
def test_in_the_accounting(
    method: str, error: Exception, tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what paces the requests costs neither the run nor an answer, and the metadata says so."""
    monkeypatch.setattr(Pool, method, raising(error))
    result = tickets.run(ROWS)
    assert set(server.texts) == set(ROWS.values())
    assert len(server.texts) == len(ROWS)
    fault = str(said_of(result)["pxt/limiter_fault"])
    assert names(error) in fault
    assert "a bug" not in fault


def test_in_the_accounting_while_others_wait(
    store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that a timer meets, when it serves those who wait, keeps none of them waiting."""
    admit = Pool.admit
    calls = iter(range(100))

    def buggy(*arguments: Any, **more: Any) -> Any:
        if next(calls) > 3:
            raise AttributeError("a bug")
        return admit(*arguments, **more)

    monkeypatch.setattr(Pool, "admit", buggy)
    server = serve(lambda _: Reply({"results": []}))
    tickets = Tickets(store, resource_of(server, default_rpm=3_000))
    tickets.run(ROWS, lambda t: moderations(t.body), on_error="ignore")
    assert len(server.asked) == len(ROWS)


@pytest.mark.parametrize("error", BUGS, ids=names)
@pytest.mark.parametrize("method", ["add", "_start", "_send"])
def test_in_the_packer(
    method: str,
    error: Exception,
    tickets: Tickets,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug in what puts rows together in requests ends the run, wherever it is: no row waits for ever."""
    server.script = vectors
    monkeypatch.setattr(Packer, method, raising(error))
    assert "in bug" in message(tickets.run(ROWS, by_vectors, on_error="ignore", fails=True))


def test_in_sharing_out_an_answer(tickets: Tickets, server: ScriptedServer, monkeypatch: Any) -> None:
    """Fewer values than cells of a request are a bug of ours, and end the run."""

    async def short(calls: CellCalls, requests: Any) -> Any:
        return []

    server.script = vectors
    monkeypatch.setattr(CellCalls, "_send", short)
    assert "ValueError: zip()" in message(tickets.run(ROWS, by_vectors, on_error="ignore", fails=True))


MALFORMED = [b"", b"<html>", b"null", b"[]", b"{}", b"7", b'"text"', b"\xff\xfe", b"[" * 100_000]
WRONG: dict[str, list[Any]] = {
    "chat": [{"choices": None}, {"choices": {}}, {"choices": "x"}],
    "responses": [
        {"output": None},
        {"output": [7]},
        {"output": ["x"]},
        {"output": [{"type": "message", "content": 7}]},
        {"output": [{"type": "message", "content": ["x"]}]},
        {"output": [{"type": "message", "content": [{"type": "output_text"}]}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": 7}]}]},
    ],
    "embeddings": [
        {"data": None},
        {"data": []},
        {"data": [7]},
        {"data": [None]},
        {"data": [{"index": "0", "embedding": [1.0]}]},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": None}]},
        {"data": [{"index": 0, "embedding": 7}]},
        {"data": [{"index": 0, "embedding": "?"}]},
        {"data": [{"index": 0, "embedding": [{}]}]},
        {"data": [{"index": 0, "embedding": ["x"]}]},
        {"data": [{"index": 0, "embedding": [[1.0], [2.0, 3.0]]}]},
    ],
    "moderations": [{"results": None}, {"results": 7}],
    "images": [
        {"data": None},
        {"data": []},
        {"data": [7]},
        {"data": ["x"]},
        {"data": [None]},
        {"data": [{}]},
        {"data": [{"b64_json": 7}]},
        {"data": [{"b64_json": "!"}]},
        {"data": [{"b64_json": "AAAA"}]},
        {"data": [{"url": 7}]},
        {"data": [{"url": None}]},
    ],
}
COLUMNS: dict[str, Any] = {
    "chat": lambda t: ask(t.body),
    "responses": lambda t: responses(t.body, model="gpt-4o-mini"),
    "embeddings": by_vectors,
    "moderations": lambda t: moderations(t.body),
    "images": lambda t: image_generations(t.body, model="gpt-image-1"),
}


def good_answer(endpoint: str, asked: Asked) -> Reply:
    match endpoint:
        case "chat":
            return scripted_chat(asked)
        case "responses":
            return Reply({"output": [], "status": "completed"})
        case "embeddings":
            return Reply({"data": [{"index": 0, "embedding": [1.0]}]})
        case "moderations":
            return Reply({"results": [{"flagged": False}]})
        case _:
            return Reply({"data": [{"b64_json": base64.b64encode(PNG).decode()}]})


@pytest.mark.parametrize("endpoint", COLUMNS)
def test_a_malformed_answer_is_its_rows_error(endpoint: str, store: ColumnStore, serve: Any) -> None:
    """Whatever a server that answers others sends in place of an answer, no JSON, no fields, other types, is its row's."""
    bodies = [*MALFORMED, *(json.dumps(body).encode() for body in WRONG[endpoint])]

    def script(asked: Asked) -> Reply:
        text = asked.text if endpoint != "embeddings" else asked.body["input"][0]
        return Reply(bodies[int(text)]) if text != "good" else good_answer(endpoint, asked)

    server = serve(script)
    tickets = Tickets(store, resource_of(server, default_rpm=60_000, max_batch=1))
    rows = {-1: "good", **{i: str(i) for i in range(len(bodies))}}
    tickets.run(rows, COLUMNS[endpoint], on_error="ignore")
    found = dict(zip(rows, tickets.table["c_errortype"].to_pylist(), strict=True))
    assert found.pop(-1) is None
    assert {bodies[i][:80]: errortype for i, errortype in found.items() if errortype != "InvalidAnswer"} == {}


@pytest.mark.parametrize("error", [None, "x", 7, {"message": "too bad"}])
def test_an_unfinished_answer_is_its_rows_error(error: Any, store: ColumnStore, serve: Any) -> None:
    """A response that failed on the server is an error, in whatever form the reason is given."""
    server = serve(lambda _: Reply({"output": [], "status": "failed", "error": error}))
    tickets = Tickets(store, resource_of(server))
    tickets.run({1: "a"}, COLUMNS["responses"], on_error="ignore")
    assert tickets.table["c_errortype"].to_pylist() == ["UnfinishedAnswer"]


def test_a_resource_that_breaks_is_no_rows_error(
    store: ColumnStore, openai: OpenAIResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in sending, below the client, ends the run as itself."""
    monkeypatch.setattr("pxt_assets.api.transport.Transport.post", raising(TypeError("a bug")))
    said = message(Tickets(store, openai).run(ROWS, on_error="ignore", fails=True))
    assert "TypeError: a bug" in said
