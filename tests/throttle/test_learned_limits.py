"""Limits of tokens before a server that charges by rules of its own, on a virtual clock."""

import asyncio
import math
import random
from collections.abc import Callable

import pytest

from pxt_assets.throttle import Limiter, Pool, RequestSize, SizedRequest
from tests.throttle.ledger.virtual import MemoryLedger, Process
from tests.throttle.server import Meter, Outcome, Server, log_normal
from tests.virtual_time import run

TPM = 60_000
ONE = {"requests": 1.0}
SOURCE = random.Random(3)
PROMPTS = [RequestSize(float(SOURCE.randint(70, 82))) for _ in range(500)]
LONG_TAILED = [
    RequestSize(float(min(4_000, max(10, round(SOURCE.lognormvariate(math.log(120), 1.3))))))
    for _ in range(500)
]


def play(
    sizes: list[RequestSize], charge: Callable[[RequestSize], float], processes: int = 0
) -> tuple[float, Outcome]:
    """Send requests from as many processes on one ledger, or from one without; return the ideal seconds too."""
    source = random.Random(1)
    server = Server(
        {"requests": Meter(10_000, 10_000), "tokens": Meter(TPM, TPM / 10)},
        log_normal(0.3, 0.4, source),
        on_the_way=lambda: source.uniform(0.002, 0.01),
    )

    async def main() -> None:
        ledger = MemoryLedger()
        limiters = [Process.start(ledger, str(n)).limiter for n in range(processes)] or [Limiter(Pool())]

        async def send(limiter: Limiter, size: RequestSize) -> None:
            requeued = False
            while True:
                permit = await limiter.acquire(ONE, sized=SizedRequest("/chat", size), requeued=requeued)
                status, headers = await server.request({**ONE, "tokens": charge(size)})
                if status == 200:
                    permit.answered(headers)
                    return
                permit.rejected(headers, "tokens")
                requeued = True

        async with asyncio.TaskGroup() as group:
            for number, size in enumerate(sizes):
                group.create_task(send(limiters[number % len(limiters)], size))

    run(main())
    ideal = (sum(charge(size) for size in sizes) - TPM / 10) / (TPM / 60)
    return ideal, Outcome(server.arrivals[-1], server.rejections, 0.0, 0)


@pytest.mark.parametrize("processes", [0, 1, 4])
def test_unset_max_tokens_neither_stall_nor_storm(processes):
    """500 prompts of about 76 tokens at 60,000 a minute use 97 % of the limit, without a rejection."""
    ideal, outcome = play(PROMPTS, lambda size: size.text, processes)
    assert outcome.seconds <= ideal / 0.97
    assert outcome.rejections <= 2


@pytest.mark.parametrize("processes", [0, 1, 4])
def test_long_tailed_prompts_use_the_limit(processes):
    """Prompts from 10 to 4,000 tokens use 96 % of the limit, with few rejected."""
    ideal, outcome = play(LONG_TAILED, lambda size: size.text + 3, processes)
    assert outcome.seconds <= ideal / 0.96
    assert outcome.rejections <= 0.03 * len(LONG_TAILED)


@pytest.mark.parametrize("processes", [0, 1, 4])
def test_max_tokens_that_do_not_count_are_not_waited_for(processes):
    """Where the server does not charge what an answer may hold, that is found out, and costs no time."""
    sizes = [size._replace(outputs=1_000.0) for size in PROMPTS]
    ideal, outcome = play(sizes, lambda size: size.text, processes)
    assert outcome.seconds <= ideal / 0.95
    assert outcome.rejections <= 2


@pytest.mark.parametrize("processes", [0, 1, 4])
def test_max_tokens_that_count_are_kept_to(processes):
    """Where the server charges what an answer may hold, only the first probes are rejected."""
    sizes = [size._replace(outputs=1_000.0) for size in PROMPTS[:150]]
    ideal, outcome = play(sizes, lambda size: size.text + size.outputs, processes)
    assert outcome.seconds <= ideal / 0.97
    assert outcome.rejections <= 40


@pytest.mark.parametrize("processes", [0, 1, 4])
def test_requests_that_cost_more_than_they_look_are_learned_from_rejections(processes):
    """A server that charges three times the text says so by its rejections, and is not stormed."""
    ideal, outcome = play(PROMPTS, lambda size: 3 * size.text, processes)
    assert outcome.seconds <= ideal / 0.97
    assert outcome.rejections <= 50


def test_a_request_that_may_fit_is_no_exception():
    """What an answer may hold makes no request too large, since it may not count; its text does."""

    async def main() -> None:
        limiter = Limiter(Pool())
        headers = {
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "990",
            "x-ratelimit-reset-tokens": "600ms",
        }
        (await limiter.acquire(ONE, sized=SizedRequest("/chat", RequestSize(10.0)))).answered(headers)
        async with asyncio.timeout(60):
            permit = await limiter.acquire(
                ONE, sized=SizedRequest("/chat", RequestSize(10.0, outputs=4_000.0))
            )
        assert permit.too_large is None
        permit.cancel()
        permit = await limiter.acquire(ONE, sized=SizedRequest("/chat", RequestSize(2_000.0)))
        assert "about 2,000 tokens, and the limit is 1,000" in str(permit.too_large)

    run(main())
