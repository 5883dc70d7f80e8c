"""What goes wrong between a run and the API: retried, the row's error, or the end of the run."""

import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import embeddings, moderations
from tests.runs import ask, materialize, message, metadata, rows_asset, stored
from tests.scripted_server import Asked, Reply, ScriptedServer, at_first, chat, refusal, resource_of, vectors

SECRET = "sk-secret-4711"
SOON = {"retry-after-ms": "1"}
LIMITS = {
    "x-ratelimit-limit-requests": "6000",
    "x-ratelimit-remaining-requests": "5999",
    "x-ratelimit-reset-requests": "10ms",
}
LIMITED = refusal(429, "slow", code="rate_limit_exceeded", type="requests", headers={**SOON, **LIMITS})


def run(
    store: ColumnStore,
    openai: OpenAIResource,
    rows: dict[Any, Any],
    column: Callable[[Table], Any] | None = None,
    fails: bool = False,
    instance: dg.DagsterInstance | None = None,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """Materializes a table `tickets` of `{id: body}` and its column `c`."""
    upstream = rows_asset({"id": list(rows), "body": list(rows.values())})
    table = Table(upstream, key="id")
    table.add_computed_column(c=column(table) if column else ask(table.body), **options)
    return materialize([upstream, *table.assets], store, openai, fails=fails, instance=instance)


def instance_in(folder: Path) -> dg.DagsterInstance:
    """An instance that keeps its event log in files."""
    folder.mkdir()
    return dg.DagsterInstance.local_temp(str(folder))


def errors(store: ColumnStore) -> list[tuple[Any, Any]]:
    """The stored errors, type and text, by row."""
    table = stored(store, "tickets/c")
    return list(zip(table["c_errortype"].to_pylist(), table["c_errormsg"].to_pylist(), strict=True))


def embed(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


def test_a_429_is_no_retry(store: ColumnStore, serve: Any) -> None:
    """A rate-limited request is sent again when it may be; that counts as rate-limited, never as a retry."""
    server = serve(at_first([LIMITED, LIMITED]))
    said = metadata(run(store, resource_of(server, max_retries=0), {1: "a"}), "tickets/c")
    assert (said["pxt/requests"], said["pxt/rate_limited"], said["pxt/retries"]) == (3, 2, 0)
    assert said["pxt/rows_computed"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        refusal(500, "oops", headers=SOON),
        refusal(503, "busy", code="server_is_overloaded", headers=SOON),
        refusal(408, "late", headers=SOON),
        None,
    ],
    ids=["500", "503", "408", "dropped"],
)
def test_a_fault_is_retried(fault: Reply | None, store: ColumnStore, serve: Any) -> None:
    """A server's fault or a dropped connection is retried, and counted."""
    said = metadata(run(store, resource_of(serve(at_first([fault]))), {1: "a"}), "tickets/c")
    assert (said["pxt/requests"], said["pxt/rate_limited"], said["pxt/retries"]) == (2, 0, 1)


def test_a_fault_that_stays_is_the_rows_error(store: ColumnStore, serve: Any) -> None:
    """When the retries are used up, the row has the last fault as its error, and the others are answered."""
    server = serve(lambda asked: refusal(500, "oops") if asked.text == "b" else chat(asked))
    result = run(store, resource_of(server, max_retries=0), {1: "a", 2: "b"}, on_error="ignore")
    assert errors(store) == [(None, None), ("InternalServerError", "oops (request req-7)")]
    assert metadata(result, "tickets/c")["pxt/errors"] == {"InternalServerError": 1}


@pytest.mark.parametrize(
    ("status", "errortype"),
    [(400, "BadRequestError"), (413, "APIStatusError"), (422, "UnprocessableEntityError")],
)
def test_a_refused_request_is_the_rows_error(
    status: int, errortype: str, store: ColumnStore, serve: Any
) -> None:
    """A request that the API refuses is not retried; its row has the API's own message and request id."""
    server = serve(lambda asked: refusal(status, "context too long") if asked.text == "b" else chat(asked))
    run(store, resource_of(server), {1: "a", 2: "b"}, on_error="ignore")
    assert errors(store) == [(None, None), (errortype, "context too long (request req-7)")]
    assert len(server.asked) == 2


FATAL = {
    "401": refusal(401, f"Incorrect API key provided: {SECRET}.", code="invalid_api_key"),
    "403": refusal(403, f"The key {SECRET} may not do this.", code="forbidden"),
    "404": refusal(404, "The model `x` does not exist.", code="model_not_found"),
    "quota": refusal(
        429, "You exceeded your current quota.", code="insufficient_quota", type="insufficient_quota"
    ),
}


@pytest.mark.parametrize("reason", FATAL)
@pytest.mark.parametrize("on_error", ["abort", "ignore"])
def test_what_fails_every_row_stops_the_run(
    reason: str, on_error: str, store: ColumnStore, serve: Any
) -> None:
    """A wrong key, no credit or an unknown model stop the run at once, whatever on_error says, for good."""
    server = serve(lambda _: FATAL[reason])
    rows = {i: f"row {i}" for i in range(200)}
    openai = resource_of(server, max_in_flight=4)
    with pytest.raises(dg.Failure) as caught:
        run(store, openai, rows, on_error=on_error)
    said = str(caught.value.description)
    assert said.startswith(f"tickets/c: the API at {server.base_url}")
    assert "(request req-7)" in said
    assert caught.value.allow_retries is False
    assert len(server.asked) <= 8
    assert not store.file(dg.AssetKey(["tickets", "c"])).exists()


def test_a_fatal_error_keeps_what_was_answered(store: ColumnStore, serve: Any) -> None:
    """Credit that runs out halfway costs nothing that was answered before."""
    server: ScriptedServer = serve(
        at_first([chat(Asked("", {}, {"input": "x"}))] * 5, lambda _: FATAL["quota"])
    )
    rows = {i: f"row {i}" for i in range(20)}
    run(store, resource_of(server, max_in_flight=1), rows, fails=True)
    assert 6 <= len(server.asked) <= 7
    server.script = chat
    server.forget()
    run(store, resource_of(server), rows)
    assert len(server.asked) == 15


@pytest.mark.parametrize("reason", ["401", "500"])
def test_the_key_is_nowhere(
    reason: str, store: ColumnStore, serve: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though the server repeats the key, it stands in no event, no log and no file of the run."""
    replies = {**FATAL, "500": refusal(500, f"cannot log in {SECRET}")}
    server = serve(lambda asked: chat(asked) if asked.text == "good" else replies[reason])
    fails = reason != "500"
    with instance_in(tmp_path / "instance") as instance:
        openai = resource_of(server, max_retries=0)
        result = run(store, openai, {1: "good", 2: "x"}, fails=fails, instance=instance, on_error="ignore")
        assert SECRET not in message(result)
        records = instance.all_logs(result.run_id)
        assert records
        assert not [record for record in records if SECRET in str(record)]
    assert SECRET not in "".join(capfd.readouterr())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_server_that_is_not_there(store: ColumnStore) -> None:
    """Where nobody listens, the run fails and names the address; no row is blamed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        openai = OpenAIResource(base_url=base_url, api_key=SECRET, max_retries=0)
        with pytest.raises(dg.Failure) as caught:
            run(store, openai, {1: "a", 2: "b"}, on_error="ignore")
    said = str(caught.value.description)
    assert f"cannot reach the API at {base_url}" in said
    assert "Check base_url of the OpenAIResource" in said
    assert caught.value.allow_retries is True


def test_a_page_instead_of_an_answer(store: ColumnStore, serve: Any) -> None:
    """An answer that is not JSON is the row's error, which says what endpoint gave it."""
    server = serve(lambda asked: Reply(b"<html>Sign in</html>") if asked.text == "b" else chat(asked))
    run(store, resource_of(server), {1: "a", 2: "b"}, on_error="ignore")
    (_, (errortype, text)) = errors(store)
    assert errortype == "InvalidAnswer"
    assert text.startswith("/chat/completions answered with something else than documented")


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b"null", b'{"choices": 1}', b'{"error": {"message": "no"}}', b"\xff\xfe", b""],
    ids=repr,
)
def test_an_answer_of_another_shape(body: bytes, store: ColumnStore, serve: Any) -> None:
    """Whatever JSON comes that is no such answer is the row's error."""
    run(store, resource_of(serve(lambda _: Reply(body))), {1: "a"}, on_error="ignore")
    assert errors(store)[0][0] == "InvalidAnswer"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<h1>Payload\n Too Large</h1>", ": <h1>Payload Too Large</h1>"),
        (b'{"detail": "too large"}', ': {"detail": "too large"}'),
        (b'{"error": "too large"}', ': {"error": "too large"}'),
        (b"", ""),
        (b"x" * 9_000, ": " + "x" * 500),
    ],
    ids=["page", "detail", "error", "nothing", "long"],
)
def test_an_error_in_other_words(body: bytes, said: str, store: ColumnStore, serve: Any) -> None:
    """A refusal that does not speak as the API does, a proxy's for instance, is quoted in the row's error."""
    server = serve(lambda _: Reply(body, 413))
    run(store, resource_of(server), {1: "a"}, on_error="ignore")
    assert errors(store) == [("APIStatusError", f"Error code: 413{said}")]


def test_one_bad_input_among_many(store: ColumnStore, serve: Any) -> None:
    """A batch that is refused for one input is halved until that input stands alone."""
    server = serve(
        lambda asked: refusal(400, "bad input") if "bad" in asked.body["input"] else vectors(asked)
    )
    rows = {i: f"row {i}" for i in range(64)} | {99: "bad"}
    result = run(store, resource_of(server), rows, embed, on_error="ignore")
    failed = stored(store, "tickets/c").filter(
        ~stored(store, "tickets/c")["c_errortype"].is_null().to_numpy()
    )
    assert failed["id"].to_pylist() == [99]
    assert failed["c_errormsg"].to_pylist() == ["bad input (request req-7)"]
    assert metadata(result, "tickets/c")["pxt/rows_computed"] == 64
    assert len(server.asked) <= 15


def test_many_rows_travel_in_one_request(store: ColumnStore, serve: Any) -> None:
    """Embeddings of many rows are one request."""
    server = serve(vectors)
    run(store, resource_of(server), {i: f"row {i}" for i in range(500)}, embed)
    assert len(server.asked) == 1
    assert server.asked[0].body["encoding_format"] == "base64"


@pytest.mark.parametrize("how", [{"as_floats": True}, {"backwards": True}], ids=["floats", "backwards"])
def test_embeddings_of_other_servers(how: dict[str, bool], store: ColumnStore, serve: Any) -> None:
    """Vectors may come as lists of floats though base64 was asked for, and in any order."""
    server = serve(lambda asked: vectors(asked, **how))
    run(store, resource_of(server), {1: "a", 2: "bb", 3: "ccc"}, embed)
    assert [vector[0] for vector in stored(store, "tickets/c")["c"].to_pylist()] == [1.0, 2.0, 3.0]


def test_embeddings_that_are_not_there(store: ColumnStore, serve: Any) -> None:
    """Items without a vector are errors of their rows."""

    def answer(asked: Asked) -> Reply:
        whole = vectors(asked).body
        return Reply(
            {**whole, "data": [{k: v for k, v in d.items() if k != "embedding"} for d in whole["data"]]}
        )

    run(store, resource_of(serve(answer)), {1: "a", 2: "bb"}, embed, on_error="ignore")
    assert [errortype for errortype, _ in errors(store)] == ["InvalidAnswer"] * 2


def test_an_input_that_a_function_cannot_take(store: ColumnStore, openai: OpenAIResource) -> None:
    """A row whose value the function cannot take has an error that says what was got, and makes no request."""
    result = run(store, openai, {1: 5, 2: 6}, embed, on_error="ignore")
    assert errors(store)[0] == (
        "TypeError",
        "embeddings: input: got int 5, allowed: text or null; convert the column to text upstream",
    )
    assert metadata(result, "tickets/c")["pxt/requests"] == 0


def test_an_empty_text_for_embeddings(store: ColumnStore, serve: Any) -> None:
    """What the API would refuse for sure is not sent with other rows' texts."""
    server = serve(vectors)
    run(store, resource_of(server), {1: "a", 2: ""}, embed, on_error="ignore")
    assert server.asked[0].body["input"] == ["a"]
    assert errors(store)[1][0] == "ValueError"


def test_headerless_endpoints_are_paced(store: ColumnStore, serve: Any) -> None:
    """Moderations keep to the rate that is configured for their model."""
    server = serve(lambda _: Reply({"id": "m", "model": "omni-moderation", "results": [{"flagged": False}]}))
    openai = resource_of(server, rate_limits={"omni-moderation-latest": 600.0})
    result = run(store, openai, {i: f"row {i}" for i in range(4)}, lambda t: moderations(t.body))
    assert metadata(result, "tickets/c")["pxt/seconds"] >= 0.2


def test_a_failure_has_no_other_cause(store: ColumnStore, serve: Any) -> None:
    """The stack of a failure shows what failed, and nothing of how the run was started."""
    result = run(store, resource_of(serve(lambda _: FATAL["401"])), {1: "a"}, fails=True)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error, kinds = event.step_failure_data.error, []
    while error is not None:
        kinds.append(error.cls_name)
        error = error.cause or error.context
    assert kinds == ["Failure", "FatalApiError"]


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_no_connection_is_left_open(
    fails: bool, store: ColumnStore, serve: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every connection is closed with the run, also of one that fails while others are in flight."""
    server = serve(lambda asked: FATAL["401"] if fails and asked.text == "row 3" else chat(asked))
    run(store, resource_of(server), {i: f"row {i}" for i in range(20)}, fails=fails)
    gc.collect()
    noise = "".join(capfd.readouterr())
    for sign in ("Unclosed", "ResourceWarning", "never retrieved", "was destroyed", "never awaited"):
        assert sign not in noise
