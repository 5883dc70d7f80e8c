"""The client alone, on a virtual clock, before an API that is scripted."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx2
import openai
import pytest

from pxt_assets.api.client import Client
from pxt_assets.api.failure import failure_of
from pxt_assets.api.meter import Meter
from pxt_assets.errors import CellError, RunError
from pxt_assets.functions import chat_completions
from pxt_assets.throttle import Pool
from pxt_assets.throttle.breaker import OUTAGE_FAULTS
from tests.virtual_time import run

REQUEST = chat_completions.cell_request(
    {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o-mini"}
)
ANSWER = {"choices": [{"message": {"content": "Hello"}}], "usage": {"prompt_tokens": 1}}
ASKED = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


class Scripted:
    """Stands for the transport: each request is answered by the next of `steps`, the last one for ever."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self, *steps: Callable[[], Awaitable[Any]]) -> None:
        self.steps = list(steps)
        self.times: list[float] = []

    async def post(self, _: Any) -> Any:
        self.times.append(asyncio.get_running_loop().time())
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return await step()


async def well() -> httpx2.Response:
    return httpx2.Response(200, content=json.dumps(ANSWER), request=ASKED)


async def never() -> Any:
    await asyncio.get_running_loop().create_future()


def status(code: int, headers: dict[str, str] | None = None) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        response = httpx2.Response(code, headers=headers, request=ASKED)
        raise openai.APIStatusError("no", response=response, body={"message": "no"})

    return answer


def broken(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        raise error

    return answer


def client(api: Scripted, pool: Pool | None = None, **options: Any) -> Client:
    settings = {
        "max_in_flight": 10,
        "max_retries": 2,
        "timeout": 60.0,
        "outage_timeout": 300.0,
        "rng": random.Random(0),
        **options,
    }
    pool = pool or Pool()
    return Client(api, lambda _: pool, **settings)  # type: ignore[arg-type]


def send(api: Scripted, meter: Meter | None = None, **options: Any) -> Any:
    async def sent() -> Any:
        return await client(api, **options).send(REQUEST, meter or Meter())

    return run(sent())


def test_a_server_that_never_finishes_its_answer_is_given_up():
    """The timeout is for a whole answer, however its bytes drip; then the request is sent again."""
    api, meter = Scripted(never, well), Meter()
    assert send(api, meter).values[0]["choices"]
    assert api.times[1] - api.times[0] >= 60
    assert (meter.requests, meter.retries) == (2, 1)


def test_a_retry_waits_longer_each_time():
    """Faults are retried after half a second, then about twice as long, jittered."""
    api = Scripted(status(500), status(500), well)
    send(api)
    first, second = api.times[1] - api.times[0], api.times[2] - api.times[1]
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0


def test_a_retry_waits_as_long_as_the_server_asks():
    """`retry-after` of a fault is obeyed."""
    api = Scripted(status(503, {"retry-after": "7"}), well)
    send(api)
    assert api.times[1] - api.times[0] >= 7


def test_a_rejected_request_is_sent_before_those_that_wait():
    """After a 429 the request goes back to the head of the queue."""
    order: list[str] = []

    async def ask(name: str, sender: Client) -> None:
        await sender.send(REQUEST, Meter())
        order.append(name)

    async def rejecting() -> Any:
        await asyncio.sleep(0.5)
        await status(429, {"retry-after-ms": "1"})()

    async def both() -> None:
        sender = client(Scripted(rejecting, well), Pool(rpm=60))
        rejected = asyncio.create_task(ask("rejected", sender))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(ask("waiting", sender))
        await asyncio.gather(rejected, waiting)

    run(both())
    assert order == ["rejected", "waiting"]


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.http_exceptions.BadStatusLine("garbage"),
        aiohttp.http_exceptions.LineTooLong(b"x", 8_190),
        aiohttp.ServerDisconnectedError(),
        httpx2.ReadError("reset"),
        ConnectionResetError(),
    ],
)
def test_an_answer_that_is_no_http_is_a_fault_like_any_other(error):
    """Whatever the transport raises for a broken answer is retried."""
    meter = Meter()
    assert send(Scripted(broken(error), well), meter).values
    assert meter.retries == 1


def test_a_fault_of_this_program_is_not_retried():
    """An error that no server can cause stops at once."""
    api = Scripted(broken(ZeroDivisionError()), well)
    with pytest.raises(ZeroDivisionError):
        send(api)
    assert len(api.times) == 1


def test_a_server_that_is_gone_stops_the_run():
    """After many requests in a row without any answer it is an outage: it is waited for, and is no row's fault."""

    async def outlast() -> tuple[int, str]:
        sender = client(Scripted(well, broken(ConnectionResetError())), max_retries=0)
        await sender.send(REQUEST, Meter())
        failed = 0
        while True:
            try:
                await sender.send(REQUEST, Meter())
            except CellError:
                failed += 1
            except RunError as e:
                return failed, str(e)

    failed, message = run(outlast())
    assert failed == OUTAGE_FAULTS - 1
    assert "the API at http://127.0.0.1/v1/ has not answered for 3" in message


def test_a_refusal_of_a_simulator_is_marked_too():
    """What a simulator refuses is as little the API's word as what it answers."""

    async def refused() -> bool | None:
        sender = client(Scripted(status(400, {"x-pxt-simulated": "true"})))
        with pytest.raises(CellError):
            await sender.send(REQUEST, Meter())
        return sender.simulated

    assert run(refused()) is True


def test_messages_are_of_bounded_length_and_without_secrets():
    """A page of megabytes is cut; a key is taken out, unless it is so short that it stands for no key."""
    response = httpx2.Response(400, request=ASKED)
    error = openai.APIStatusError(
        "no", response=response, body={"message": "sk-secret-4711 expected x" + "y" * 9_999}
    )
    failure = failure_of(error, ("sk-secret-4711", "x"))
    assert failure is not None
    assert failure.message.startswith("*** expected x")
    assert len(failure.message) < 2_100
