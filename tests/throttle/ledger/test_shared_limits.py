"""Several processes before a server that enforces its limits, sharing a ledger, on a virtual clock."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.throttle.ledger.pool_rows import PoolRows
from tests.throttle.ledger.virtual import MemoryLedger, Process, send_shared
from tests.throttle.server import Meter, Outcome, Server, log_normal
from tests.virtual_time import run

ROW = {"requests": 1.0, "tokens": 100.0}


def tight(latency: Callable[[], float] | None = None, seed: int = 1) -> Server:
    """1,200 requests a minute, a tenth of them there at the start, and tokens in plenty."""
    meters = {"requests": Meter(1200, 120), "tokens": Meter(1e7, 1e7)}
    return Server(meters, latency or log_normal(0.3, 0.5, random.Random(seed)))


def play(
    server: Server,
    requests: list[dict[str, float]],
    processes: int,
    *,
    others: float = 0.0,
    seconds: float = 0.004,
    rpm: float | None = None,
    ledger: MemoryLedger | None = None,
    lost: Callable[[], bool] = lambda: False,
    events: tuple[tuple[float, Callable[[], None]], ...] = (),
) -> Outcome:
    """Send requests, dealt out to processes whose exchanges take `seconds`."""
    ledger = ledger or MemoryLedger()

    async def main() -> Outcome:
        loop = asyncio.get_running_loop()
        for when, event in events:
            loop.call_at(when, event)
        foreign = (
            loop.create_task(server.others({"requests": 1.0}, others, random.Random(1))) if others else None
        )
        started = [
            Process.start(ledger, str(number), seconds=seconds, rpm=rpm) for number in range(processes)
        ]
        try:
            return await send_shared(started, server, requests, lost=lost)
        finally:
            if foreign is not None:
                foreign.cancel()

    return run(main())


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_whole_limit_is_used_without_a_rejection(processes, seed):
    """However many processes send 1,200 requests together, they take the ideal 54 s within 2 %."""
    outcome = play(tight(seed=seed), [ROW] * 1200, processes)
    assert outcome.rejections == 0
    assert 54 <= outcome.seconds <= 54 / 0.98


@pytest.mark.parametrize("seconds", [0.0005, 0.05])
def test_a_slow_database_costs_little(seconds):
    """Exchanges of half a millisecond and of 50 ms both leave 97 % of the limit."""
    outcome = play(tight(), [ROW] * 1200, 4, seconds=seconds)
    assert outcome.rejections <= 1
    assert outcome.seconds <= 54 / 0.97


def test_tokens_are_shared_like_requests():
    """A limit of tokens that four processes draw on is used within 1 %; only first probes are rejected."""
    server = Server({"requests": Meter(10_000, 10_000), "tokens": Meter(60_000, 30_000)})
    outcome = play(server, [{"requests": 1.0, "tokens": 1_000.0}] * 500, 4)
    assert outcome.seconds <= 470 / 0.99
    assert outcome.rejections <= 8


@pytest.mark.parametrize("processes", [1, 4])
def test_a_limit_halved_on_the_way_is_followed(processes):
    """1,200 requests a minute that become 600 after 20 s: what remains possible is used."""
    server = tight()
    outcome = play(
        server,
        [ROW] * 900,
        processes,
        events=((20.0, lambda: server.meters["requests"].resize(600, 20.0)),),
    )
    assert outcome.seconds <= 58 / 0.97
    assert outcome.rejections <= 9


@pytest.mark.parametrize("processes", [1, 4])
def test_foreign_traffic_is_made_room_for(processes):
    """While others take 30 % unannounced, the rest is used, with 1 % rejected at most."""
    outcome = play(tight(), [ROW] * 1200, processes, others=6.0)
    assert outcome.seconds <= 54 / 0.7 * 1.05
    assert outcome.rejections <= 12


@pytest.mark.parametrize(("limit", "requests", "ideal"), [(50, 200, 180.0), (12_000, 12_400, 2.0)])
def test_small_and_large_limits_are_used(limit, requests, ideal):
    """Whether a slice is one request or thousands, the limit is used."""
    server = Server({"requests": Meter(limit, limit)})
    outcome = play(server, [{"requests": 1.0}] * requests, 4)
    assert outcome.seconds <= ideal * 1.02 + 1  # the first answers tell of the limit
    assert outcome.rejections <= 0.001 * requests


def test_a_large_limit_costs_few_exchanges():
    """At 500 requests a second the ledger is asked some twenty times a second, not once a request."""
    ledger = MemoryLedger()
    server = Server({"requests": Meter(30_000, 300)})
    outcome = play(server, [{"requests": 1.0}] * 5_000, 4, ledger=ledger)
    assert ledger.exchanges / outcome.seconds < 60


def test_a_process_that_dies_takes_nothing_with_it():
    """What a killed process had leased is there for the others within seconds."""
    server, ledger = tight(), MemoryLedger()

    async def main() -> Outcome:
        victim = Process.start(ledger, "victim")
        doomed = asyncio.create_task(send_shared([victim], server, [ROW] * 1_000))
        await asyncio.sleep(20)
        victim.worker.alive = False
        doomed.cancel()
        await asyncio.gather(doomed, return_exceptions=True)
        sent = len(server.arrivals)
        start = asyncio.get_running_loop().time()
        rest = await send_shared([Process.start(ledger, "heir")], server, [ROW] * 600)
        assert len(server.arrivals) == sent + 600
        return Outcome(server.arrivals[-1] - start, rest.rejections, 0, 0)

    outcome = run(main())
    assert outcome.seconds <= 31
    assert outcome.rejections <= 2


def test_the_next_run_knows_the_limits():
    """A process that starts later asks the ledger, and sends the whole bucket at once without a probe."""
    server = Server({"requests": Meter(600, 600)}, latency=lambda: 30.0)
    ledger = MemoryLedger()

    async def main() -> tuple[int, int]:
        await send_shared([Process.start(ledger, "earlier")], server, [{"requests": 1.0}])
        later = asyncio.create_task(
            send_shared([Process.start(ledger, "later")], server, [{"requests": 1.0}] * 900)
        )
        await asyncio.sleep(5)
        sent = len(server.arrivals)
        await later
        return sent, server.rejections

    sent, rejections = run(main())
    assert sent >= 600
    assert rejections == 0


@pytest.mark.parametrize("processes", [1, 4])
def test_an_endpoint_without_headers_is_paced_together(processes):
    """A configured rate is one for all processes, and is lowered for all by a 429 that any of them meets."""
    server = Server({"requests": Meter(6_000, 6_000)}, silent=True)
    outcome = play(server, [{"requests": 1.0}] * 300, processes, rpm=600)
    assert 29 <= outcome.seconds <= 31.5
    refusing = Server({"requests": Meter(300, 1)}, silent=True)
    outcome = play(refusing, [{"requests": 1.0}] * 1_500, processes, rpm=600)
    assert outcome.seconds <= 300 * 1.1
    assert outcome.rejections <= 10


@pytest.mark.parametrize("processes", [1, 4])
def test_a_configured_rate_above_the_real_one_adapts(processes):
    """Images at a configured 50 a minute before a server that lets 30 pass: 90 % of that, ten 429s in ten minutes."""
    server = Server({"requests": Meter(30, 30)}, log_normal(12, 0.3, random.Random(1)), silent=True)
    outcome = play(server, [{"requests": 1.0}] * 330, processes, rpm=50)
    assert outcome.seconds <= 600 / 0.9
    assert outcome.rejections <= 10


def test_without_the_ledger_each_process_keeps_to_its_share():
    """While the ledger is away processes go on by themselves, and share again when it is back."""
    server, ledger = tight(), MemoryLedger()

    def set_reachable(reachable: bool) -> None:
        ledger.reachable = reachable

    outcome = play(
        server,
        [ROW] * 1200,
        4,
        ledger=ledger,
        events=((10.0, lambda: set_reachable(False)), (30.0, lambda: set_reachable(True))),
    )
    assert outcome.seconds <= 54 / 0.93
    assert outcome.rejections <= 0.02 * 1200


def test_a_ledger_that_never_answers_stops_nobody():
    """A process that finds no ledger works as one that shares with nobody."""
    outcome = play(tight(), [ROW] * 1200, 1, ledger=MemoryLedger(reachable=False))
    assert outcome.seconds <= 54 / 0.97
    assert outcome.rejections <= 5


@settings(max_examples=20)
@given(
    rpm=st.integers(30, 30_000),
    fill=st.floats(0, 1),
    tpm=st.integers(10_000, 10_000_000),
    tokens=st.lists(st.integers(1, 3_000), min_size=1, max_size=8),
    median=st.floats(0.01, 5),
    processes=st.integers(1, 6),
    others=st.floats(0, 0.5),
    cut=st.floats(0.3, 3),
    losses=st.floats(0, 0.2),
    seed=st.integers(0, 1_000),
)
def test_every_request_is_served_in_time(
    rpm, fill, tpm, tokens, median, processes, others, cut, losses, seed
):
    """Whatever the limits, sizes, latencies, others, changes and losses: all are served, soon, and few rejected."""
    source = random.Random(seed)
    server = Server(
        {"requests": Meter(rpm, rpm * fill), "tokens": Meter(tpm, tpm * fill)},
        log_normal(median, 0.5, source),
    )
    requests = [{"requests": 1.0, "tokens": float(tokens[n % len(tokens)])} for n in range(150)]
    ledger = MemoryLedger()
    slowest = min(1.0, cut) * (1 - others)
    needed = max(150 / (rpm * slowest), sum(r["tokens"] for r in requests) / (tpm * slowest)) * 60

    def change() -> None:
        server.meters["requests"].resize(rpm * cut, needed / 3)

    outcome = play(
        server,
        requests,
        processes,
        others=others * rpm / 60 if others > 0.01 else 0.0,
        ledger=ledger,
        lost=lambda: source.random() < losses,
        events=((needed / 3, change),),
    )
    assert len(server.arrivals) == 150
    assert outcome.rate_limited == outcome.rejections
    assert outcome.seconds <= needed * 2 + 60 / min(rpm, rpm * cut) * 20 + 30


@settings(max_examples=40)
@given(
    rpm=st.integers(60, 6_000),
    processes=st.integers(1, 6),
    requests=st.integers(10, 300),
    seed=st.integers(0, 1_000),
)
def test_no_more_is_leased_than_there_is(rpm, processes, requests, seed):
    """At no exchange is more leased for now than the row holds, and what is leased is what it lost."""
    ledger = MemoryLedger()
    server = Server({"requests": Meter(rpm, rpm / 2)}, log_normal(0.3, 0.5, random.Random(seed)))
    exchange, seen = ledger.exchange, []

    def watched(process, request):
        answer = exchange(process, request)
        standing = answer.row_states.get("requests")
        if standing is not None and standing.limit < float("inf"):
            seen.append(standing)
            outstanding = ledger.pool.outstanding("requests")
            assert standing.level + outstanding <= standing.limit + 1e-6
            assert standing.lease >= 0
            # What the row does not hold yet begins only when it has flowed in.
            assert standing.level >= 0 or standing.ready_in >= -standing.level / standing.rate - 1e-6
        return answer

    ledger.exchange = watched  # type: ignore[method-assign]
    play(server, [{"requests": 1.0}] * requests, processes, ledger=ledger)
    assert seen
    assert isinstance(ledger.pool, PoolRows)
