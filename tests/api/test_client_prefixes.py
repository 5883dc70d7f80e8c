"""The client holds requests back until the first one with their cached prefix is answered, on a virtual clock."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai

from pxt_assets import Table
from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.errors import CellError, FatalApiError
from pxt_assets.functions import chat_completions
from pxt_assets.throttle import Pool
from tests.virtual_time import run

LATENCY = 2.0
PLAN = Plan(
    chat_completions(
        [{"role": "system", "content": "the law " * 1_000}, {"role": "user", "content": Table("t").body}],
        model="gpt-6-luna",
    ),
    None,
    caches=True,
)
ASKED = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")
ANSWER = {"choices": [{"message": {"content": "Yes"}}], "usage": {"prompt_tokens": 1}}


class Server:
    """Answers each request after LATENCY, with the status that `status_of` gives its number."""

    base_url = httpx2.URL("https://api.openai.com/v1/")

    def __init__(self, status_of: Callable[[int], int] = lambda _number: 200) -> None:
        self.status_of = status_of
        self.times: list[float] = []
        self.marked = 0
        self.message = "no"

    async def post(self, request: Any) -> httpx2.Response:
        self.marked += b"prompt_cache_breakpoint" in request.payload
        self.times.append(asyncio.get_running_loop().time())
        status = self.status_of(len(self.times))
        await asyncio.sleep(LATENCY)
        if status == 200:
            return httpx2.Response(200, content=json.dumps(ANSWER), request=ASKED)
        response = httpx2.Response(status, request=ASKED, headers={"retry-after-ms": "500"})
        raise openai.APIStatusError("no", response=response, body={"message": self.message})


def ask(server: Server, rows: int) -> list[type]:
    """What each row comes to."""

    async def ask_all() -> list[type]:
        client = Client(
            server, lambda _: pool, max_in_flight=100, max_retries=2, timeout=600, outage_timeout=60
        )
        meter = Meter()
        requests = [PLAN.prepare((f"{number}",)).request for number in range(rows)]
        sent = (client.send(request, meter) for request in requests)
        return [type(one) for one in await asyncio.gather(*sent, return_exceptions=True)]

    pool = Pool()
    return run(ask_all())


def test_the_others_wait_for_the_first_answer():
    """One answer's time, and all find the prefix in the cache."""
    server = Server()
    ask(server, 20)
    assert (server.times[0], min(server.times[1:])) == (0.0, LATENCY)


def test_a_first_one_that_is_refused_lets_the_next_go_first():
    """Its refusal is its row's, which others show that are answered."""
    server = Server(lambda number: 403 if number == 1 else 200)
    outcomes = ask(server, 20)
    assert outcomes.count(CellError) == 1
    assert server.times[1] == LATENCY
    assert min(server.times[2:]) >= 2 * LATENCY


def test_a_bad_row_that_goes_first_holds_nobody_for_long():
    """A 400 is an answer to its row alone."""
    server = Server(lambda number: 400 if number <= 2 else 200)
    assert ask(server, 20).count(CellError) == 2
    assert max(server.times) < 5 * LATENCY


def test_a_first_one_that_is_rejected_for_the_rate_still_goes_first():
    """It is sent again, while the others wait."""
    server = Server(lambda number: 429 if number == 1 else 200)
    ask(server, 20)
    assert server.times[1] > LATENCY
    assert min(server.times[2:]) >= server.times[1] + LATENCY


def test_a_wrong_key_ends_all():
    """Nobody is left waiting."""
    server = Server(lambda _number: 401)
    assert set(ask(server, 20)) == {FatalApiError}


def test_an_outage_ends_all():
    """Nor by a server that is in trouble."""
    server = Server(lambda _number: 500)
    assert len(ask(server, 20)) == 20


def test_a_server_that_refuses_the_mark_is_asked_without_it():
    """A row that was refused for it is sent again, all others are sent without it at once."""

    class Strict(Server):
        async def post(self, request: Any) -> httpx2.Response:
            self.status_of = lambda _number: 400 if b"prompt_cache" in request.payload else 200
            return await super().post(request)

    strict = Strict()
    strict.message = "Unsupported parameter: 'prompt_cache_options' is not supported with this model."
    outcomes = ask(strict, 20)
    assert CellError not in outcomes
    assert strict.marked == 1
    assert len(strict.times) == 21
