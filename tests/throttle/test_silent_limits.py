"""Servers that name no limit: what is in flight and what goes a second is found by their 429s, on a virtual clock."""

import asyncio
import math
import random

import pytest

from pxt_assets.throttle import Limiter, Pool
from tests.throttle.gateway import Gateway, measure
from tests.throttle.server import log_normal
from tests.virtual_time import run

SECOND = {"retry-after": "1"}


def around(seconds: float) -> "log_normal":
    return log_normal(seconds, 0.4, random.Random(3))


@pytest.mark.parametrize(
    ("gateway", "most", "seconds", "after"),
    [
        (Gateway(most=1), 1 / 0.052, 30, 5),
        (Gateway(most=2), 2 / 0.052, 30, 5),
        (Gateway(around(0.05), most=32), 32 / 0.056, 8, 4),
        (Gateway(around(0.05), most=8, headers=SECOND), 8 / 0.056, 20, 5),
        (Gateway(around(0.05), most=8, headers={"retry-after": "0"}), 8 / 0.056, 20, 5),
        (Gateway(lambda: 0.005, most=4), 4 / 0.005, 6, 3),
        (Gateway(around(30.0), most=32), 32 / 32.5, 600, 100),
    ],
    ids=[
        "1",
        "2",
        "32",
        "8, Retry-After 1",
        "8, Retry-After 0",
        "4, answers after 5 ms",
        "32, answers after 30 s",
    ],
)
def test_a_server_that_works_on_so_many_at_once_is_kept_busy(gateway, most, seconds, after):
    """After a few seconds 85 % of what it can do is used, and one request in twenty at most meets a 429."""
    outcome = measure(gateway, seconds, after, in_flight=200)
    assert outcome.per_second >= 0.85 * most
    assert outcome.rejected <= 0.05


@pytest.mark.parametrize(
    ("gateway", "rate", "seconds", "after"),
    [
        (Gateway(around(0.05), rate=1, burst=60), 1, 400, 120),
        (Gateway(around(0.05), rate=10), 10, 120, 30),
        (Gateway(around(0.05), rate=10, burst=10), 10, 60, 20),
        (Gateway(around(0.05), rate=10, burst=10, headers=SECOND), 10, 60, 20),
        (Gateway(around(0.3), rate=100, burst=100), 100, 30, 15),
        (Gateway(around(0.05), window=1, per_window=10), 10, 60, 20),
        (Gateway(around(0.05), window=60, per_window=60), 1, 900, 120),
        (Gateway(around(0.05), most=8, rate=50), 50, 40, 15),
    ],
    ids=[
        "60 a minute, 60 at once",
        "10 a second, one by one",
        "10 a second, 10 at once",
        "the same, Retry-After 1",
        "100 a second",
        "10 in each second",
        "60 in each minute",
        "50 a second, 8 in flight",
    ],
)
def test_a_rate_that_no_header_names_is_used(gateway, rate, seconds, after):
    """80 % of it at least, and few requests in vain."""
    outcome = measure(gateway, seconds, after, in_flight=200)
    assert outcome.per_second >= 0.8 * rate
    assert outcome.rejected <= 0.12


@pytest.mark.parametrize(
    ("latency", "seconds", "after"), [(0.05, 6, 5), (5.0, 30, 12)], ids=["answers after 50 ms", "after 5 s"]
)
@pytest.mark.parametrize("headers", [{}, SECOND], ids=["", "Retry-After 1"])
def test_one_early_rejection_costs_no_throughput(latency, seconds, after, headers):
    """Within seconds as many are in flight as may be."""
    gateway = Gateway(around(latency), rejects=lambda _now, number: number == 5, headers=headers)
    assert measure(gateway, seconds, after, in_flight=100).per_second >= 0.9 * 100 / (latency * 1.1)


def test_a_server_that_rejects_all_for_a_while_is_used_fully_soon_after():
    """Five seconds of 429s are followed by full speed within as long."""
    gateway = Gateway(around(0.3), rejects=lambda now, _number: 10 < now < 15)
    assert measure(gateway, 24, 20, in_flight=100).per_second >= 0.9 * 100 / 0.33
    assert len(gateway.rejected) < 150


@pytest.mark.parametrize("headers", [{}, SECOND], ids=["", "Retry-After 1"])
@pytest.mark.parametrize("seed", range(4))
def test_rejections_by_chance_delay_sixty_rows_little(seed, headers):
    """A quarter of all requests is rejected for no reason: sixty are answered in ten seconds."""
    gateway = Gateway(around(0.05), share=0.25, headers=headers, seed=seed)

    async def main() -> float:
        limiter = Limiter(Pool())

        async def send() -> None:
            requeued = False
            while True:
                permit = await limiter.acquire({"requests": 1.0}, requeued=requeued)
                status, answer_headers = await gateway.request()
                if status == 200:
                    permit.answered(answer_headers)
                    return
                permit.rejected(answer_headers)
                await asyncio.sleep(permit.own_wait)
                requeued = True

        await asyncio.gather(*(send() for _ in range(60)))
        return asyncio.get_running_loop().time()

    assert run(main()) < 10


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_stray_rejections_slow_nothing(share):
    """Where one request in twenty is rejected for no reason, the others go as fast as without."""
    gateway = Gateway(around(0.3), share=share)
    assert measure(gateway, 20, 8, in_flight=100).per_second >= 0.85 * 100 / 0.33


@pytest.mark.parametrize("seed", [1, 2])
def test_a_quarter_rejected_by_chance_is_no_limit(seed):
    """It is found out within ten seconds that less sent changes nothing; then all that is not rejected is used."""
    gateway = Gateway(around(1.0), share=0.25, seed=seed)
    assert measure(gateway, 60, 12, in_flight=100).per_second >= 0.85 * 100 / 1.1


def test_a_gateway_in_front_of_a_server_with_headers_narrows():
    """Its 429s without numbers speak of what is in flight, though the server behind it names limits."""
    headers = {"x-ratelimit-limit-requests": "1000000", "x-ratelimit-remaining-requests": "999999"}
    gateway = Gateway(around(0.05), most=16, answer_headers=headers)
    outcome = measure(gateway, 10, 5, in_flight=200)
    assert outcome.per_second >= 0.85 * 16 / 0.056
    assert outcome.rejected <= 0.05


def test_waits_are_numbers():
    """Whatever was rejected, whenever."""
    source = random.Random(1)
    pool, now, in_flight = Pool(), 0.0, []
    for _ in range(3000):
        admission = pool.admit({"requests": 1.0}, now, len(in_flight))
        if isinstance(admission, float):
            assert not math.isnan(admission)
            assert admission >= 0
            now += min(admission, source.random())
        else:
            in_flight.append(admission)
        while in_flight and source.random() < 0.5:
            one = in_flight.pop(source.randrange(len(in_flight)))
            match source.randrange(4):
                case 0:
                    pool.answered(one, {}, now)
                case 1:
                    pool.cancelled(one, now)
                case _:
                    pool.rejected(
                        one, {}, source.choice([None, 0.0, 1.0, 1e9]), now, in_flight=len(in_flight)
                    )
