"""The client before a server in trouble, on a virtual clock."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter
from pxt_assets.errors import CellError, RunError
from pxt_assets.functions import chat_completions
from pxt_assets.throttle import Pool
from tests.virtual_time import run

ANSWER = {"choices": [{"message": {"content": "Hello"}}], "usage": {"prompt_tokens": 1}}
ASKED = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def now() -> float:
    return asyncio.get_running_loop().time()


def refuse(status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
    response = httpx2.Response(status, headers=headers, request=ASKED)
    raise openai.APIStatusError("no", response=response, body={"message": "no", "code": code})


class Server:
    """Stands for the transport: takes its `seconds`, does what `rule` says, and answers otherwise."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self, rule: Callable[["Server"], None] = lambda _: None) -> None:
        self.rule = rule
        self.seconds = 0.1
        self.times: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def post(self, _: Any) -> httpx2.Response:
        self.times.append(now())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            self.rule(self)
        finally:
            self.in_flight -= 1
        return httpx2.Response(200, content=json.dumps(ANSWER), request=ASKED)

    def sent(self, start: float, end: float) -> int:
        return sum(start <= time < end for time in self.times)


class Sender:
    """A client before a server, and what it said."""

    def __init__(self, server: Server, pool: Pool | None = None, **options: Any) -> None:
        self.said: list[str] = []
        self.meter = Meter()
        pool = pool or Pool()
        settings = {
            "max_in_flight": 100,
            "max_retries": 3,
            "timeout": 60.0,
            "outage_timeout": 300.0,
            **options,
        }
        self.client = Client(
            server,  # type: ignore[arg-type]
            lambda _: pool,
            rng=random.Random(0),
            say=self.said.append,
            **settings,
        )

    async def all(self, requests: int) -> list[BaseException | Any]:
        """Send requests, all at once, and return their answers and errors."""
        asked = [
            chat_completions.cell_request(
                {"messages": [{"role": "user", "content": str(n)}], "model": "gpt-4o-mini"}
            )
            for n in range(requests)
        ]
        sending = (self.client.send(request, self.meter) for request in asked)
        return await asyncio.gather(*sending, return_exceptions=True)


def down(start: float, end: float, status: int = 500) -> Callable[[Server], None]:
    """A rule: nothing but faults for a time."""

    def rule(_: Server) -> None:
        if start <= now() < end:
            refuse(status)

    return rule


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_outage_costs_no_cell(status: int) -> None:
    """A server that fails for two minutes in mid-run is waited for: every cell is answered in the end."""
    server = Server(down(1, 120, status))
    sender = Sender(server, max_in_flight=20)
    results = run(sender.all(1_000))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert "nothing but faults" in sender.said[0]
    assert "answers again" in sender.said[-1]
    assert server.sent(10, 120) < 12


def test_an_outage_that_lasts_stops_the_run_with_the_reason() -> None:
    """After outage_timeout the run fails, and says what was seen, for how long, and how to go on."""

    async def main() -> tuple[float, list[Any]]:
        results = await Sender(Server(down(1, 1e9)), outage_timeout=60.0, max_in_flight=20).all(1_000)
        return now(), results

    seconds, results = run(main())
    errors = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in errors} == {RunError}
    assert "http://127.0.0.1/v1/ has not answered for 6" in str(errors[0])
    assert "no" in str(errors[0])
    assert "materialize again" in str(errors[0])
    assert 60 <= seconds < 70


def test_a_server_that_was_never_there_is_said_at_once() -> None:
    """A wrong URL is no outage, and is not waited for."""

    def refused(_: Server) -> None:
        raise ConnectionRefusedError("refused")

    async def main() -> tuple[float, list[Any]]:
        return (await Sender(Server(refused)).all(50), now())[::-1]  # type: ignore[return-value]

    seconds, results = run(main())
    assert any("cannot reach the API" in str(result) for result in results)
    assert seconds < 30


def test_a_certificate_that_is_not_trusted_ends_the_run_at_once() -> None:
    """Nothing was ever answered, and waiting would mend nothing."""

    def untrusted(_: Server) -> None:
        raise ConnectionError("CERTIFICATE_VERIFY_FAILED")

    async def main() -> tuple[float, list[Any]]:
        return (await Sender(Server(untrusted)).all(50), now())[::-1]  # type: ignore[return-value]

    seconds, results = run(main())
    assert any("SSL_CERT_FILE" in str(result) for result in results)
    assert seconds < 1


def test_a_certificate_that_fails_amid_answers_is_tried_again() -> None:
    """One of several machines behind a name may have another."""

    def once(server: Server) -> None:
        if len(server.times) == 20:
            raise ConnectionError("CERTIFICATE_VERIFY_FAILED")

    async def main() -> list[Any]:
        return await Sender(Server(once), max_in_flight=4).all(50)

    assert not [result for result in run(main()) if isinstance(result, BaseException)]


def test_why_nothing_answers_is_known_until_something_does() -> None:
    """For whoever waits: the first fault tells, the first answer ends it."""
    said: list[str | None] = []

    def starting(server: Server) -> None:
        said.append(sender.client.silence())
        if now() < 3:
            raise ConnectionRefusedError("refused")

    sender = Sender(Server(starting))

    async def main() -> None:
        await sender.all(1)
        said.append(sender.client.silence())

    run(main())
    assert said[0] is None
    assert said[1] == "nothing takes connections at 127.0.0.1:80"
    assert said[-1] is None


def test_a_request_that_always_fails_is_its_cells_error() -> None:
    """Among requests that are answered, one that is not fails alone, after its retries."""
    server = Server()
    attempts = 0
    post = server.post

    async def poisoned(request: Any) -> httpx2.Response:
        nonlocal attempts
        if request.body["messages"][0]["content"] == "7":
            attempts += 1
            refuse(500)
        return await post(request)

    server.post = poisoned  # type: ignore[method-assign]
    results = run(Sender(server).all(50))
    assert [n for n, result in enumerate(results) if isinstance(result, CellError)] == [7]
    assert attempts == 4


def test_a_server_that_fails_half_the_time_is_no_outage() -> None:
    """Where every second request fails, retries and fewer requests in flight do."""
    source = random.Random(1)
    server = Server(lambda _: refuse(500) if source.random() < 0.5 else None)
    sender = Sender(server, max_retries=12)
    results = run(sender.all(500))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert not sender.said


def test_slow_down_halves_the_rate_and_uses_no_retry() -> None:
    """A server that follows 50 requests a second and asks to slow down gets half of what it got."""

    def growing(server: Server) -> None:
        if server.sent(now() - 1, now()) > 50:
            refuse(429, "slow_down")

    server = Server(growing)
    sender = Sender(server, max_in_flight=20, max_retries=0)
    results = run(sender.all(3_000))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert sender.meter.retries == 0
    assert sender.meter.rate_limited < 100
    assert max(server.sent(start, start + 10) for start in range(20, 60, 10)) <= 510


def test_an_overload_is_backed_off_from() -> None:
    """A server that cannot serve more than 20 requests a second is soon asked for about that."""

    def overloaded(server: Server) -> None:
        if server.sent(now() - 1, now()) > 20:
            refuse(503, "server_is_overloaded")

    server = Server(overloaded)
    results = run(Sender(server, max_in_flight=10, max_retries=20).all(600))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert server.sent(10, 20) < 400


def test_a_long_wait_is_said_once() -> None:
    """A retry-after of ten minutes is obeyed, and the log says so once, with the seconds."""
    first = iter([True] * 5)

    def limited(_: Server) -> None:
        if next(first, False):
            refuse(429, "rate_limit_exceeded", {"retry-after": "600"})

    sender = Sender(Server(limited))
    results = run(sender.all(5))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert [text for text in sender.said if "600 s" in text] == sender.said
    assert len(sender.said) == 1


def test_cancelled_requests_leave_nothing_behind() -> None:
    """Requests that are cancelled wherever they are leave their places to others."""

    async def main() -> list[Any]:
        sender = Sender(Server(down(0, 3)), max_in_flight=5)
        for seconds in (0.05, 0.1, 0.5, 1.0):
            tasks = asyncio.create_task(sender.all(50))
            await asyncio.sleep(seconds)
            tasks.cancel()
            await asyncio.gather(tasks, return_exceptions=True)
        async with asyncio.timeout(200):
            return await sender.all(50)

    assert not [result for result in run(main()) if isinstance(result, BaseException)]


def test_requests_cancelled_in_flight_leave_their_places() -> None:
    """Of a server that names no limits few are asked at once: those that are given up no longer count."""

    async def main() -> list[Any]:
        server = Server()
        sender = Sender(server, Pool(from_few=True))
        server.seconds = 50.0
        given_up = asyncio.create_task(sender.all(50))
        await asyncio.sleep(10.0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        server.seconds = 1.0
        async with asyncio.timeout(100):
            return await sender.all(50)

    assert not [result for result in run(main()) if isinstance(result, BaseException)]
