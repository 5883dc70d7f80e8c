"""A key is planted in every part of answers, URLs and errors, and looked for in all that Dagster, logs and files keep."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import dagster as dg
import httpx2
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.api.transport import Transport
from pxt_assets.functions import embeddings
from pxt_assets.storage.parquet import ParquetFile
from tests.plants import KEY, PASSWORD, leaks
from tests.runs import ask, message
from tests.scripted_server import Asked, Reply, ScriptedServer, chat
from tests.tickets import Tickets


def error(status: int = 400, **parts: Any) -> Reply:
    """An error with these parts, and the key in each of them that is given none."""
    return Reply({"error": {"message": "no", "type": "t", "code": "c", "param": "p", **parts}}, status)


def page(text: str, status: int = 400) -> Reply:
    return Reply(text.encode(), status, {"content-type": "text/html"})


def result(**message: Any) -> Reply:
    """A chat answer with parts of its own."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "ok", **message},
    }
    return Reply({"id": "x", "model": "m", "choices": [choice], "usage": {}})


LINES = "\n".join(KEY[i : i + 7] for i in range(0, len(KEY), 7))
BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()
ANSWERS: dict[str, Reply] = {
    "reason": Reply({}, f"400 {KEY}"),  # type: ignore[arg-type]
    "headers": Reply(
        {"error": {"message": "no"}},
        400,
        {
            "x-request-id": KEY,
            "x-error": KEY,
            "location": f"/{KEY}",
            "set-cookie": KEY,
            "x-ratelimit-limit-requests": KEY,
        },
    ),
    "headers of an answer": Reply({"choices": [{"message": {"content": "ok"}}]}, 200, {"x-request-id": KEY}),
    "message": error(message=f"Incorrect API key provided: {KEY}."),
    "message in lines": error(message=LINES),
    "message in capitals": error(message=KEY.upper()),
    "message of a URL": error(message=f"http://host/?k={quote(quote(KEY))}"),
    "message in base64": error(message=f"Basic {BASIC}"),
    "message in JSON": error(message=json.dumps({"headers": json.dumps({"authorization": f"Bearer {KEY}"})})),
    "message that is an object": error(message={"a": [KEY]}),
    "message cut": error(message=f"provided: {KEY[:30]}..."),
    "message cut before": error(message=f"...{KEY[-20:]}"),
    "type": error(type=KEY),
    "code": error(code=KEY),
    "param": error(param=KEY),
    "error is a text": Reply({"error": KEY}, 400),
    "detail": Reply({"detail": [{"loc": ["body", KEY], "msg": KEY, "input": KEY}]}, 422),
    "server error": error(500, message=KEY, code=KEY),
    "inner message": Reply({"error": {"message": KEY, "code": KEY, "type": KEY}}),
    "inner provider": Reply({"error": {"message": "no", "metadata": {"raw": "x" * 290 + KEY}}}),
    "inner status": Reply({"base_resp": {"status_msg": KEY, "code": 400}}),
    "no answer": Reply({KEY: KEY}),
    "text": Reply(f"the key is {KEY}".encode()),
    "cut short": Reply(f'{{"choices": [{{"message": {{"content": "{KEY}'.encode()),
    "finish reason": Reply({"choices": [{"finish_reason": f"error {KEY}", "message": None}]}),
    "broken off": Reply({"choices": [{"finish_reason": "error", "error": KEY, "message": {}}]}),
    "model": Reply(
        {"model": KEY, "choices": [{"message": {"content": "ok"}}], "usage": {"prompt_tokens": 1}}
    ),
    **{
        f"page at {n}": page("<p>" + "p" * n + KEY + "q" * 900)
        for n in (0, 380, 430, 460, 480, 490, 1_940, 1_990)
    },
    **{f"message at {n}": error(message="p" * n + KEY + "q" * 900) for n in (150, 290, 1_960, 1_990, 19_980)},
    **{f"words at {n}": page("p" * n + f" {KEY} " + "q" * 900, 200) for n in (100, 150, 180, 195)},
    **{f"spaces at {n}": page("<p>" + " p\n" * n + LINES, 503) for n in (10, 240, 250)},
}
"""Answers by what holds the key. Each is the answer to a row of its own."""
STRUCTURED: dict[str, Reply] = {
    "refusal": result(refusal=KEY),
    "no JSON": result(content=KEY),
    "another form": result(content=json.dumps({"n": KEY})),
    "another name": result(content=json.dumps({KEY: 1})),
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
STOPPING: dict[str, Reply] = {
    "401": Reply({"error": {"message": KEY, "code": KEY, "type": KEY}}, 401, {"x-request-id": KEY}),
    "403": page("p" * 470 + KEY, 403),
    "404": error(404, message=KEY),
    "quota": error(429, message=KEY, code="insufficient_quota"),
    "page": page(f"<html>{'p' * 170}{KEY}</html>", 200),
}
"""Answers that stop the run."""


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that is logged, by whichever logger."""
    texts: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(self.format(record))

    handler, root = Kept(), logging.getLogger()
    root.addHandler(handler)
    yield texts
    root.removeHandler(handler)


class Kept:
    """Runs in one instance that keeps all, and where something of a secret is after them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = folder, instance
        self.files = folder
        self.texts: list[str] = []

    def run(self, server: ScriptedServer | str, rows: dict[int, str], *args: Any, **options: Any) -> Any:
        url = server if isinstance(server, str) else server.base_url
        openai = {
            "api_key": KEY,
            "base_url": url,
            "ledger": "memory",
            "max_retries": 0,
            **options.pop("openai", {}),
        }
        store = options.pop("store", ColumnStore(base_path=str(self.files)))
        return Tickets(store, OpenAIResource(**openai)).run(rows, *args, instance=self.instance, **options)

    @property
    def leaks(self) -> list[str]:
        assert any(self.home.rglob("*.db"))
        return leaks([self.home, self.files], self.texts)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dg.DagsterInstance]]:
    folder = tmp_path_factory.mktemp("home")
    one_file = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",  # a file for each run takes as long as a run
        "config": {"base_dir": str(folder / "events")},
    }
    with dg.DagsterInstance.local_temp(str(folder), {"event_log_storage": one_file}) as instance:
        yield folder, instance


@pytest.fixture
def kept(
    instance: tuple[Path, dg.DagsterInstance],
    tmp_path: Path,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
) -> Kept:
    kept = Kept(*instance)
    kept.files, kept.texts = tmp_path / "files", logged
    return kept


def by_row(answers: dict[str, Reply]) -> tuple[Any, dict[int, str]]:
    """A script that gives each row an answer of its own, and the rows."""
    rows = {i: f"row {i}." for i in range(len(answers))}
    replies = dict(zip(rows.values(), answers.values(), strict=True))

    def script(asked: Asked) -> Reply:
        text = asked.text if isinstance(asked.text, str) else ""
        return replies.get(text, chat(asked))

    return script, rows | {-1: "well"}


def test_no_answer_takes_a_key_into_what_is_kept(kept: Kept, serve: Any) -> None:
    """Whichever part of it holds the key, in whatever spelling, wherever it is cut."""
    script, rows = by_row(ANSWERS)
    kept.run(serve(script), rows, on_error="ignore")
    # the cells of well-formed answers hold what the server said: the model's name
    assert [name for name in kept.leaks if not name.endswith("c/c.parquet")] == []
    errors = (
        ColumnStore(base_path=str(kept.files))
        .file(dg.AssetKey(["tickets", "c"]))
        .rows()
        .table(["c_errortype", "c_errormsg", "c"])
    )
    failed = errors.filter(errors["c"].is_null())
    assert failed.num_rows >= len(ANSWERS) - 3
    assert not leaks([], [str(failed.to_pydict())])


def test_no_structured_answer_takes_a_key_into_an_error(kept: Kept, serve: Any) -> None:
    """What is said of an answer that does not fit quotes it."""
    script, rows = by_row(STRUCTURED)
    rows.pop(-1)
    kept.run(serve(script), rows, lambda t: ask(t.body, response_format=SCHEMA), on_error="ignore")
    assert kept.leaks == []


def test_no_answer_that_stops_a_run_takes_a_key_into_its_error(kept: Kept, serve: Any) -> None:
    """Nor into the errors that it comes from."""
    for reply in STOPPING.values():
        kept.run(serve(lambda _, reply=reply: reply), {1: "a"}, fails=True)
    assert kept.leaks == []


def test_no_failed_rows_take_a_key_into_the_error_of_the_run(kept: Kept, serve: Any) -> None:
    """Under on_error="abort"."""
    script, rows = by_row(ANSWERS)
    kept.run(serve(script), rows, fails=True)
    assert kept.leaks == []


def test_a_preview_shows_no_key(kept: Kept, serve: Any) -> None:
    """An answer that repeats it is stored as it is, and shown without it."""
    kept.run(serve(lambda asked: chat(asked, f"your key is {KEY}")), {1: "a", 2: "b"})
    assert [name for name in kept.leaks if not name.endswith("c/c.parquet")] == []


class OddError(Exception):
    """Its text is not in its arguments."""

    def __str__(self) -> str:
        return f"odd: {KEY}"


def _chained() -> BaseException:
    try:
        try:
            raise OSError(5, f"cannot reach {KEY}")
        except OSError as e:
            raise OddError from e
    except OddError as e:
        bug = RuntimeError(f"a bug with {KEY} and {LINES}")
        bug.add_note(f"a note with {KEY}")
        bug.__cause__ = e
        return bug


@pytest.mark.parametrize(
    "raised",
    [
        aiohttp.ClientError(f"refused: {KEY}"),
        OSError(5, f"cannot reach http://user:{PASSWORD}@host"),
        httpx2.ConnectError(f"http://host/?api-key={KEY}"),
        TimeoutError(KEY),
        KeyError(KEY),
        OddError(),
        _chained(),
        ExceptionGroup(KEY, [ValueError(KEY)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_of_a_connection_or_of_a_program_shows_a_key(
    raised: BaseException, kept: Kept, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However deep in the chain of errors it is; Dagster stores the whole chain."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:9")

    async def post(*_: Any) -> Any:
        raise raised

    monkeypatch.setattr(Transport, "post", post)
    kept.run(serve(), {1: "a"}, fails=True)
    assert kept.leaks == []


def test_no_error_of_a_file_system_shows_its_options(
    kept: Kept, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers quote what they were given."""

    def write(*_: Any, **__: Any) -> Any:
        raise PermissionError(f"denied for {PASSWORD} at s3://bucket")

    monkeypatch.setattr(ParquetFile, "write", write, raising=True)
    store = ColumnStore(base_path=str(kept.files), storage_options={"secret": PASSWORD})
    kept.run(serve(), {1: "a"}, fails=True, store=store)
    assert kept.leaks == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@127.0.0.1:9/v1",
        f"http://{PASSWORD}@127.0.0.1:9/v1",
        f"http://127.0.0.1:9/v1?key={PASSWORD}",
        f"http://127.0.0.1:9/v1#{PASSWORD}",
        f"http://[{PASSWORD}",
        f"http://user:{PASSWORD}@127.0.0.1:port/v1",
    ],
)
def test_no_url_of_an_api_is_shown_with_its_secrets(
    url: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, and its message does not quote it."""
    monkeypatch.setenv("API_URL", url)
    with pytest.raises(Exception) as refused:  # noqa: PT011  (whatever Dagster makes of it)
        kept.run("http://unused", {1: "a"}, openai={"base_url": dg.EnvVar("API_URL")})
    kept.texts.append(repr(refused.value))
    assert kept.leaks == []


def test_no_url_of_the_environment_is_shown_with_its_secrets(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the client takes where the resource has none."""
    for url in (f"http://user:{PASSWORD}@127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?key={PASSWORD}"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        result = kept.run("http://unused", {1: "a"}, openai={"base_url": None}, fails=True)
        assert "OPENAI_BASE_URL in the environment, holds" in message(result)
    assert kept.leaks == []


def test_no_ledger_is_shown_with_its_secrets(kept: Kept, serve: Any) -> None:
    """One that cannot be reached, or is none, wherever its URL holds them."""
    server = serve()
    for url in (
        f"postgresql://pg:{PASSWORD}@127.0.0.1:9/db",
        f"postgresql://127.0.0.1:9/db?user=pg&password={PASSWORD}",
        f"postgresql+nodriver://pg:{PASSWORD}@127.0.0.1:9/db",
        f"postgresql://pg:{PASSWORD}@127.0.0.1:port/db",
    ):
        fails = "nodriver" in url or ":port" in url
        kept.run(server, {1: "a"}, config={"refresh": True}, openai={"ledger": url}, fails=fails)
    assert kept.leaks == []


def test_no_vector_takes_a_key_into_an_error(kept: Kept, serve: Any) -> None:
    """What stands in place of a vector is quoted."""
    server = serve(lambda asked: Reply({"data": [{"embedding": {KEY: KEY}} for _ in asked.body["input"]]}))
    kept.run(server, {1: "a", 2: "b"}, lambda t: embeddings(t.body, model="m"), on_error="ignore")
    assert kept.leaks == []
