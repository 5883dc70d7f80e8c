"""Requests whose answers are lost: they may have been paid for, are counted, and are sent again with care."""

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
from aiohttp.client_reqrep import ConnectionKey
from openai._vendor.httpx_aiohttp.transport import map_aiohttp_exceptions

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api.answer import Answer
from pxt_assets.api.client import Client
from pxt_assets.api.failure import failure_of
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Request
from pxt_assets.errors import CellError
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_edits,
    image_generations,
    image_variations,
    responses,
    speech,
)
from pxt_assets.throttle import Pool
from tests.pictures import picture, sound
from tests.runs import ask
from tests.scripted_server import Asked, Reply, Script, at_first, chat, refusal, resource_of, vectors
from tests.tickets import Tickets, said_of
from tests.virtual_time import run

PNG = picture()
IMAGES = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(PNG).decode()}]}).encode()
CHEAP = {
    "chat": (
        chat_completions.cell_request(
            {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o-mini"}
        ),
        b'{"choices": [{"message": {"content": "Hello"}}]}',
    ),
    "responses": (responses.cell_request({"input": "Hi", "model": "gpt-4o-mini"}), b'{"output": []}'),
}
COSTLY = {
    "generations": (image_generations.cell_request({"prompt": "a", "model": "gpt-image-1"}), IMAGES),
    "edits": (image_edits.cell_request({"image": PNG, "prompt": "a", "model": "gpt-image-1"}), IMAGES),
    "variations": (image_variations.cell_request({"image": PNG, "model": "dall-e-2"}), IMAGES),
    "speech": (
        speech.cell_request({"input": "a", "model": "tts-1", "voice": "alloy", "model_kwargs": None}),
        sound(),
    ),
}
Step = Callable[[Request], Awaitable[Any]]


async def never(_: Request) -> Any:
    await asyncio.get_running_loop().create_future()


def raising(error: Exception) -> Step:
    async def step(_: Request) -> Any:
        raise error

    return step


def status(code: int) -> Step:
    asked = httpx2.Request("POST", "http://127.0.0.1/v1/x")
    response = httpx2.Response(code, request=asked)
    return raising(openai.APIStatusError("no", response=response, body={"message": "no"}))


DROPPED = raising(aiohttp.ServerDisconnectedError())
KEY = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
REFUSED = raising(httpx2.ConnectError("refused"))


class Wire:
    """Stands for the API: answers by `steps`, one after the other, and then with `body`."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self, body: bytes, *steps: Step) -> None:
        self.body = body
        self.steps = list(steps)
        self.sent = 0

    async def post(self, request: Request) -> httpx2.Response:
        self.sent += 1
        if self.steps:
            await self.steps.pop(0)(request)
        asked = httpx2.Request("POST", "http://127.0.0.1/v1/x")
        return httpx2.Response(200, content=self.body, request=asked)


def send(
    request: Request, body: bytes, *steps: Step, retry_unknown: int = 1, max_retries: int = 5
) -> tuple[Answer | CellError, Meter, int]:
    """What becomes of a request to a server that has answered before: its end, the counts, and how often it was sent."""
    meter = Meter()
    wire = Wire(CHEAP["chat"][1])

    async def main() -> Answer | CellError:
        pool = Pool()
        client = Client(
            wire,  # type: ignore[arg-type]
            lambda _: pool,
            max_in_flight=10,
            max_retries=max_retries,
            timeout=60,
            outage_timeout=300,
            retry_unknown=retry_unknown,
            rng=random.Random(0),
        )
        await client.send(CHEAP["chat"][0], Meter())
        wire.body, wire.steps, wire.sent = body, list(steps), 0
        try:
            return await client.send(request, meter)
        except CellError as e:
            return e

    return run(main()), meter, wire.sent


@pytest.mark.parametrize("lost", [never, DROPPED, status(504)], ids=["timeout", "drop", "gateway"])
@pytest.mark.parametrize("what", CHEAP)
def test_what_is_cheap_is_sent_again(what: str, lost: Step) -> None:
    """A lost answer of a chat is counted and asked for anew, whatever `retry_unknown` is."""
    end, meter, sent = send(*CHEAP[what], lost, lost, lost, retry_unknown=0)
    assert isinstance(end, Answer)
    assert (sent, meter.requests, meter.retries, meter.requests_unknown) == (4, 4, 3, 3)
    assert end.attempts == 4


@pytest.mark.parametrize("lost", [never, DROPPED, status(504)], ids=["timeout", "drop", "gateway"])
@pytest.mark.parametrize("retry_unknown", [0, 1, 2])
@pytest.mark.parametrize("what", COSTLY)
def test_what_is_costly_is_sent_again_as_often_as_allowed(what: str, retry_unknown: int, lost: Step) -> None:
    """Lost images and speech are asked for `retry_unknown` times more, and then are an error that says so."""
    end, meter, sent = send(*COSTLY[what], *[lost] * 9, retry_unknown=retry_unknown)
    assert isinstance(end, CellError)
    assert sent == meter.requests == meter.requests_unknown == retry_unknown + 1
    assert "may have been paid for" in end.message
    assert "retry_unknown of the OpenAIResource" in end.message


@pytest.mark.parametrize("what", COSTLY)
def test_the_last_time_that_is_allowed_counts(what: str) -> None:
    """An answer that comes when it is sent again is the cell's, and the lost one is counted."""
    end, meter, sent = send(*COSTLY[what], DROPPED)
    assert isinstance(end, Answer)
    assert (sent, meter.requests_unknown, end.attempts) == (2, 1, 2)


@pytest.mark.parametrize(
    "fault", [status(500), status(503), status(429), REFUSED], ids=["500", "503", "429", "refused"]
)
@pytest.mark.parametrize("what", [*CHEAP, *COSTLY])
def test_what_was_surely_not_answered_is_not_lost(what: str, fault: Step) -> None:
    """A fault that the server tells of, a rejection, or no connection at all costs nothing: all is retried."""
    end, meter, sent = send(*{**CHEAP, **COSTLY}[what], fault, fault, fault, retry_unknown=0)
    assert isinstance(end, Answer)
    assert sent == 4
    assert meter.requests_unknown == 0


def test_other_faults_do_not_use_up_what_is_allowed() -> None:
    """Between two lost answers a fault is only a fault."""
    end, meter, _ = send(*COSTLY["speech"], DROPPED, status(500), DROPPED, status(500), retry_unknown=2)
    assert isinstance(end, Answer)
    assert meter.requests_unknown == 2


def test_retries_bound_what_is_lost_too() -> None:
    """`max_retries` holds for costly requests, however many `retry_unknown` would allow."""
    end, meter, sent = send(*COSTLY["speech"], *[DROPPED] * 9, retry_unknown=9, max_retries=2)
    assert isinstance(end, CellError)
    assert sent == meter.requests_unknown == 3


def tell(asked: Asked) -> Reply:
    """An image or a sound for whatever is asked."""
    return Reply(sound()) if asked.path.endswith("speech") else Reply(IMAGES)


def dropping(text: str, times: int, then: Script) -> Script:
    """Drops the first connections that ask for `text`."""
    left = [True] * times

    def script(asked: Asked) -> Reply | None:
        if asked.text == text and left:
            left.pop()
            return None
        return then(asked)

    return script


@pytest.mark.parametrize(
    ("column", "answer"),
    [
        (lambda t: ask(t.body), chat),
        (lambda t: embeddings(t.body, model="text-embedding-3-small"), vectors),
    ],
    ids=["chat", "embeddings"],
)
def test_a_run_counts_lost_answers(column: Any, answer: Script, store: ColumnStore, serve: Any) -> None:
    """`pxt/requests_unknown` has the lost answers of a run; the row is answered in the end."""
    server = serve(at_first([None], answer))
    said = said_of(Tickets(store, resource_of(server)).run({1: "a"}, column))
    assert (said["pxt/requests"], said["pxt/requests_unknown"], said["pxt/rows_failed"]) == (2, 1, 0)


@pytest.mark.parametrize(
    "column",
    [
        lambda t: image_generations(t.body, model="gpt-image-1"),
        lambda t: speech(t.body, model="tts-1", voice="alloy"),
    ],
    ids=["images", "speech"],
)
@pytest.mark.parametrize("retry_unknown", [0, 1])
def test_a_row_whose_answer_stays_lost_has_an_error(
    retry_unknown: int, column: Callable[[Table], Any], store: ColumnStore, serve: Any
) -> None:
    """The row's error says how often it was sent and what it may have cost; the others are answered."""
    server = serve(tell)
    openai = resource_of(
        server, retry_unknown=retry_unknown, max_retries=5, max_in_flight=1, default_rpm=60_000
    )
    tickets = Tickets(store, openai)
    server.script = dropping("b", 9, tell)
    said = said_of(tickets.run({1: "a", 2: "b", 3: "c"}, column, on_error="ignore"))
    assert server.texts == ["a", *["b"] * (retry_unknown + 1), "c"]
    assert said["pxt/requests_unknown"] == retry_unknown + 1
    assert tickets.table["c_errormsg"].is_null().to_pylist() == [True, False, True]
    assert f"It was sent {retry_unknown + 1} time" in tickets.table["c_errormsg"][1].as_py()


def test_the_next_run_asks_for_the_lost_row_alone(store: ColumnStore, serve: Any) -> None:
    """A lost image is an error like any other: it is tried again when the column is materialized again."""
    server = serve(dropping("b", 2, tell))
    tickets = Tickets(store, resource_of(server, max_in_flight=1, default_rpm=60_000))
    rows = {1: "a", 2: "b"}

    def column(table: Table) -> Any:
        return image_generations(table.body, model="gpt-image-1")

    assert said_of(tickets.run(rows, column, on_error="ignore"))["pxt/rows_failed"] == 1
    server.forget()
    said = said_of(tickets.run(rows, column, on_error="ignore"))
    assert server.texts == ["b"]
    assert (said["pxt/rows_failed"], said["pxt/requests_unknown"]) == (0, 0)


@pytest.mark.parametrize(
    "reply", [refusal(500, "oops"), refusal(429, "slow", code="rate_limit_exceeded")], ids=["500", "429"]
)
def test_a_run_tells_faults_from_lost_answers(reply: Reply, store: ColumnStore, serve: Any) -> None:
    """What the server answered with an error is retried and not counted as unknown."""
    soon = Reply(reply.body, reply.status, {**reply.headers, "retry-after-ms": "1"})
    server = serve(at_first([soon]))
    said = said_of(Tickets(store, resource_of(server)).run({1: "a"}))
    assert (said["pxt/requests"], said["pxt/requests_unknown"]) == (2, 0)


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientOSError(104, "reset"), True),
        (aiohttp.ClientPayloadError("cut short"), True),
        (aiohttp.SocketTimeoutError(), True),
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "no such host")), False),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_transports_own_error_says_whether_there_was_a_connection(
    error: Exception, is_lost: bool
) -> None:
    """The client's transport gives the same error for a drop as for a connection that never was; its cause tells."""
    asked = httpx2.Request("POST", "http://127.0.0.1/v1/x")
    try:
        try:
            with map_aiohttp_exceptions():
                raise error
        except httpx2.HTTPError as e:
            raise openai.APIConnectionError(request=asked) from e
    except openai.APIConnectionError as e:
        failure = failure_of(e, ())
    assert failure is not None
    assert failure.is_lost is is_lost


def test_retry_unknown_is_a_setting_of_the_resource() -> None:
    """It is 1 by default, and never negative."""
    assert OpenAIResource(api_key="x").retry_unknown == 1
    with pytest.raises(ValueError, match="retry_unknown"):
        OpenAIResource(api_key="x", retry_unknown=-1)
