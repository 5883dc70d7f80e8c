"""The limiter before a server that enforces its limits, on a virtual clock."""

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.throttle import Limiter, Pool
from tests.throttle.server import Meter, Outcome, Server, log_normal, send_all
from tests.virtual_time import run

ROW = {"requests": 1.0, "tokens": 100.0}


def play(
    server: Server,
    requests: list[dict[str, float]],
    *,
    seed: int = 1,
    others: float = 0.0,
    events: tuple[tuple[float, Callable[[Server, float], None]], ...] = (),
    charged: Callable[[dict[str, float]], dict[str, float]] = lambda costs: costs,
    pool: Pool | None = None,
) -> Outcome:
    """Send requests to a server; `others` is the foreign traffic, rows/second."""

    async def main() -> Outcome:
        loop = asyncio.get_running_loop()
        for when, event in events:
            loop.call_at(when, event, server, when)
        foreign = None
        if others:
            foreign = loop.create_task(server.others(ROW, others, random.Random(seed)))
        try:
            return await send_all(Limiter(pool or Pool()), server, requests, charged)
        finally:
            if foreign is not None:
                foreign.cancel()

    return run(main())


def tight(latency: Callable[[], float] | None = None, seed: int = 1) -> Server:
    """1,200 requests a minute, a tenth of them there at the start, and tokens in plenty."""
    meters = {"requests": Meter(1200, 120), "tokens": Meter(1e7, 1e7)}
    return Server(meters, latency or log_normal(0.3, 0.5, random.Random(seed)))


@pytest.mark.parametrize("seed", range(3))
def test_the_whole_limit_is_used_without_a_rejection(seed):
    """1,200 requests at 1,200 a minute from a bucket 10 % full take the ideal 54 s within 1.5 %."""
    outcome = play(tight(seed=seed), [ROW] * 1200)
    assert outcome.rejections == 0
    assert 54 <= outcome.seconds <= 54 / 0.985
    assert outcome.utilization > 0.985


def test_jitter_on_the_way_is_covered_by_the_reserve():
    """Requests that overtake each other by up to 0.1 s meet no rejection."""
    server, source = tight(), random.Random(1)
    server.on_the_way = lambda: source.uniform(0.005, 0.1)
    outcome = play(server, [ROW] * 1200)
    assert outcome.rejections == 0
    assert outcome.seconds <= 54 / 0.985


def test_a_limit_halved_on_the_way_is_followed():
    """With 1,200 a minute cut to 600 after 20 s, 900 requests take the ideal 58 s within 1.5 %."""

    def halve(server: Server, now: float) -> None:
        server.meters["requests"].resize(600, now)

    outcome = play(tight(), [ROW] * 900, events=((20.0, halve),))
    assert outcome.rejections <= 1
    assert outcome.seconds <= 58 / 0.985
    assert outcome.utilization > 0.985


def test_a_limit_doubled_on_the_way_is_followed():
    """With 1,200 a minute raised to 2,400 after 20 s, 1,200 requests take the ideal 37 s within 2 %."""

    def double(server: Server, now: float) -> None:
        server.meters["requests"].resize(2400, now)

    outcome = play(tight(), [ROW] * 1200, events=((20.0, double),))
    assert outcome.rejections == 0
    assert outcome.seconds <= 37 / 0.98


def test_tokens_limit_as_requests_do():
    """500 requests of 1,000 tokens at 60,000 a minute take the ideal 470 s within 1.5 %."""
    server = Server({"requests": Meter(10_000, 10_000), "tokens": Meter(60_000, 30_000)})
    outcome = play(server, [{"requests": 1.0, "tokens": 1000.0}] * 500)
    assert outcome.rejections == 0
    assert outcome.seconds <= 470 / 0.985
    assert outcome.utilization > 0.985


@pytest.mark.parametrize(("factor", "ideal"), [(1.3, 620.0), (0.5, 220.0)])
def test_misjudged_costs_cost_no_time(factor, ideal):
    """Whether requests take more tokens than estimated or fewer, the limit is used; few are rejected."""
    server = Server({"requests": Meter(10_000, 10_000), "tokens": Meter(60_000, 30_000)})
    outcome = play(
        server,
        [{"requests": 1.0, "tokens": 1000.0}] * 500,
        charged=lambda costs: {"requests": 1.0, "tokens": costs["tokens"] * factor},
    )
    assert outcome.seconds <= ideal / 0.985
    assert outcome.rejections <= 25


def test_slow_answers_delay_nothing():
    """With answers after 30 s the same 1,200 requests take the same 54 s; the probes that find the limit
    are all that is rejected."""
    outcome = play(tight(log_normal(30, 0.2, random.Random(1))), [ROW] * 1200)
    assert outcome.rejections <= 4
    assert outcome.seconds <= 54 / 0.985
    assert outcome.utilization > 0.985


@pytest.mark.parametrize("seed", range(3))
def test_foreign_traffic_is_made_room_for(seed):
    """While others take 30 % at random times, what remains is used, with 1 % rejected at most."""
    outcome = play(tight(seed=seed), [ROW] * 1200, others=6.0, seed=seed)
    assert outcome.rejections <= 12
    assert outcome.seconds <= 54 / 0.7 * 1.06
    assert outcome.utilization > 0.985


@pytest.mark.parametrize("seed", range(3))
def test_foreign_traffic_and_slow_answers(seed):
    """What others took while answers were under way is seen late, but by then it is known what they take a second."""
    outcome = play(tight(log_normal(5, 0.3, random.Random(seed)), seed), [ROW] * 2400, others=6.0, seed=seed)
    assert outcome.rejections <= 36
    assert outcome.seconds == pytest.approx((2400 - 120) / 14, rel=0.03)


@pytest.mark.parametrize("seed", [1, 3, 8, 920])
@pytest.mark.parametrize("others", [4.0, 4.3, 5.0])
def test_others_who_take_all_they_can_are_not_missed_in_step(others, seed):
    """Who asks 60 a minute four times over leaves units for a moment only; each request still gets its fifth of them.

    Requests that waited as if half were left came two seconds apart, each time just before the moment: 1,154 to 4,120 s.
    """
    server = Server({"requests": Meter(60, 30)}, lambda: 0.01, on_the_way=lambda: 0.0)
    outcome = play(server, [{"requests": 1.0}] * 100, seed=seed, others=others)
    assert outcome.seconds <= 100 / 0.2
    assert outcome.rejections <= 400


def test_foreign_traffic_that_ends_leaves_the_whole_limit():
    """Once others have stopped, the rate that was left to them is used again."""

    async def main() -> Outcome:
        server, limiter = tight(), Limiter(Pool())
        others = asyncio.create_task(server.others(ROW, 6.0, random.Random(1)))
        await send_all(limiter, server, [ROW] * 800)
        assert limiter.pool.buckets["requests"].drain == pytest.approx(6.0, rel=0.5)
        others.cancel()
        alone = await send_all(limiter, server, [ROW] * 1200)
        assert limiter.pool.buckets["requests"].drain < 0.5
        return alone

    assert run(main()).seconds <= 60 / 0.97


def test_daily_limits_refill_by_the_day():
    """10,000 a day are one each 8.64 s, as the reset header tells."""
    outcome = play(Server({"requests": Meter(10_000, 100, window=86_400.0)}), [ROW] * 200)
    assert outcome.rejections == 0
    assert outcome.seconds <= 864 / 0.985


def test_a_large_limit_is_used_from_the_start():
    """At 12,000 a minute, a full bucket and what flows in meanwhile serve 14,000 requests in some 10 s."""
    outcome = play(Server({"requests": Meter(12_000, 12_000)}), [ROW] * 14_000)
    assert outcome.rejections == 0
    assert outcome.seconds <= 11


def test_a_tiny_limit_is_used():
    """At 3 a minute the first probes are rejected, and from then on nothing is."""
    outcome = play(Server({"requests": Meter(3, 3)}), [ROW] * 33)
    assert outcome.rejections == 13
    assert outcome.seconds <= 600 * 1.05


def test_an_endpoint_without_headers_is_not_throttled():
    """A server that names no limits and has none is sent everything at once, after the first answers."""
    outcome = play(Server({}, silent=True), [ROW] * 900)
    assert outcome.rejections == 0
    assert outcome.seconds <= 1


def test_an_endpoint_that_rejects_without_headers_is_not_stormed():
    """A server that names no limits but has one rejects those that are under way, and after them one in twelve at most."""
    server = Server({"requests": Meter(600, 600)}, silent=True)
    outcome = play(server, [ROW] * 3000)
    assert len(server.arrivals) == 3000
    assert outcome.rejections <= 2400 + 200
    assert outcome.seconds <= 240 * 1.05


def test_a_configured_rate_above_the_limit_adapts():
    """Where 600 a minute are configured and 300 allowed, the limit is used, with few rejections."""
    server = Server({"requests": Meter(300, 1)}, silent=True)
    outcome = play(server, [ROW] * 1500, pool=Pool(rpm=600))
    assert outcome.seconds <= 300 * 1.1
    assert outcome.rejections <= 75


def test_a_configured_rate_is_kept():
    """Where the server allows it, 600 a minute go in a minute."""
    server = Server({"requests": Meter(6000, 6000)}, silent=True)
    outcome = play(server, [ROW] * 600, pool=Pool(rpm=600))
    assert outcome.rejections == 0
    assert 59 <= outcome.seconds <= 60.5


@settings(max_examples=40)
@given(
    rpm=st.integers(30, 6000),
    fill=st.floats(0, 1),
    median=st.floats(0.01, 10),
    tokens=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    tpm=st.integers(6_000, 2_000_000),
    seed=st.integers(0, 1000),
)
def test_any_limit_is_used(rpm, fill, median, tokens, tpm, seed):
    """For all limits, fills, latencies and costs: as fast as the buckets allow, and no rejection but of
    the first probes."""
    costs = [{"requests": 1.0, "tokens": float(t)} for t in itertools.islice(itertools.cycle(tokens), 200)]
    meters = {"requests": Meter(rpm, rpm * fill), "tokens": Meter(tpm, tpm * fill)}
    outcome = play(Server(meters, log_normal(median, 0.5, random.Random(seed))), costs, seed=seed)
    ideal = max(
        0.0,
        (200 - rpm * fill) * 60 / rpm,
        (sum(c["tokens"] for c in costs) - tpm * fill) * 60 / tpm,
    )
    largest = max(tokens) * 60 / tpm
    assert outcome.rejections <= 18
    assert outcome.seconds <= ideal * 1.01 + 3 * median + 1.5 + 60 / rpm + 17 * largest


@settings(max_examples=40)
@given(
    limits=st.lists(st.integers(60, 3000), min_size=1, max_size=5),
    others=st.floats(0, 5),
    median=st.floats(0.01, 3),
    jitter=st.floats(0, 0.2),
    seed=st.integers(0, 1000),
)
def test_every_request_is_served_whatever_changes(limits, others, median, jitter, seed):
    """Limits that change every few seconds, foreign traffic and jitter delay requests and lose none."""
    source = random.Random(seed)
    server = Server(
        {"requests": Meter(limits[0], limits[0] / 2)},
        latency=log_normal(median, 1.0, source),
        on_the_way=lambda: source.uniform(0, jitter),
    )
    events = tuple(
        (4.0 * step, lambda server, now, limit=limit: server.meters["requests"].resize(limit, now))
        for step, limit in enumerate(limits)
    )
    slowest = max(min(limits) / 60 - others, 0.2)
    outcome = play(server, [{"requests": 1.0}] * 100, seed=seed, others=others, events=events)
    assert len(server.arrivals) == 100
    assert outcome.rate_limited == outcome.rejections
    assert outcome.seconds <= 100 / slowest * 2 + 4 * len(limits) + 60
