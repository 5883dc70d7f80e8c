"""Holds and remembered limits in the ledger: bounded, shown, cleared, and taken notice of."""

import asyncio
import uuid

import pytest
from sqlalchemy import create_engine, make_url, text

from pxt_assets.throttle import Limiter, Pool
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.pool_rows import LONGEST_HOLD_SECONDS, PoolRows
from pxt_assets.throttle.ledger.sql import SEPARATOR, SqlLedger
from tests.throttle.ledger.virtual import LoopWorker, MemoryLedger, Process, send_shared
from tests.throttle.server import Meter, Server
from tests.virtual_time import run

OPENING = Measurement(600.0, 10.0, age=0.0, low=300.0, high=300.0, limit_unknown=True)
ASK = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 5.0),))
YEAR_2099 = 4_070_908_800.0


def hold(seconds: float) -> ExchangeRequest:
    return ExchangeRequest(ASK.lease_requests, rejected=1, hold_seconds=seconds)


def test_a_hold_that_an_earlier_release_stored_is_bounded(ledger_url: str) -> None:
    """A row that holds its pool until the year 2099 holds it for a minute at most, and is written so."""
    ledger = SqlLedger(ledger_url)
    pool = uuid.uuid4().hex
    ledger.exchange(pool, ASK)
    url = make_url(ledger_url)
    engine = create_engine(url.set(drivername=url.drivername.replace("postgresql", "postgresql+psycopg")))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE pxt_pools SET held_until = :until WHERE pool = :pool"),
            {"until": YEAR_2099, "pool": pool},
        )
    assert 0 < ledger.exchange(pool, ASK).hold_seconds <= LONGEST_HOLD_SECONDS
    with engine.begin() as connection:
        held_until = connection.execute(
            text("SELECT held_until FROM pxt_pools WHERE pool = :pool"), {"pool": pool}
        ).scalar_one()
    engine.dispose()
    assert held_until < YEAR_2099


@pytest.mark.parametrize("seconds", [3600.0, 1e12, float("inf")])
def test_no_process_holds_the_others_for_long(seconds: float) -> None:
    """Whatever a server asks of one of them."""
    rows = PoolRows()
    assert exchange(rows, "one", hold(seconds), 1_000.0).hold_seconds == LONGEST_HOLD_SECONDS
    assert exchange(rows, "other", ASK, 1_000.0 + LONGEST_HOLD_SECONDS).hold_seconds == 0


def test_a_hold_is_told_once() -> None:
    """A process does not renew a hold that somebody has cleared meanwhile."""
    ledger = MemoryLedger()

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        share = LedgerShare("pool", LoopWorker(ledger, "one"))
        pool = Pool(share=share)
        limiter = Limiter(pool)
        permit = await limiter.acquire({"requests": 1.0})
        share.rejected(loop.time() + 50, loop.time())
        await asyncio.sleep(1)
        held = ledger.pool.held_until - 1e6 - loop.time()
        permit.answered({})
        ledger.pool.held_until = -float("inf")
        start = loop.time()
        waiting = asyncio.create_task(limiter.acquire({"requests": 1.0}))
        share.schedule_exchange(loop.time())
        await waiting
        return held, loop.time() - start

    held, seconds = run(main())
    assert 40 < held <= 50
    assert seconds < 3


def test_the_end_of_a_hold_is_told() -> None:
    """Where one process sees that the server is well again, the others go on."""
    rows = PoolRows()
    exchange(rows, "one", hold(50.0), 1_000.0)
    assert exchange(rows, "other", ASK, 1_001.0).hold_seconds == 49
    exchange(rows, "one", ExchangeRequest(ASK.lease_requests, released=True), 1_002.0)
    assert exchange(rows, "other", ASK, 1_003.0).hold_seconds == 0


def test_clearing_forgets_holds_and_limits_of_the_chosen_pools(ledger_url: str) -> None:
    """Others keep theirs."""
    ledger = SqlLedger(ledger_url)
    account = uuid.uuid4().hex
    pools = [SEPARATOR.join((account, group)) for group in ("chosen", "other")]
    opening = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 5.0, OPENING),), hold_seconds=30.0)
    for pool in pools:
        ledger.exchange(pool, opening)
    assert ledger.clear(lambda key: key == (account, "chosen")) == [(account, "chosen")]
    cleared, kept = (ledger.exchange(pool, ASK) for pool in pools)
    assert (cleared.hold_seconds, cleared.row_states["requests"].limit) == (0.0, float("inf"))
    assert kept.hold_seconds > 0
    assert kept.row_states["requests"].limit == 600


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_at_work_measure_cleared_limits_anew(processes: int) -> None:
    """They go on with few requests at once until the next answers tell, and use the limit as before."""
    ledger = MemoryLedger()
    server = Server({"requests": Meter(1200, 120)}, latency=lambda: 0.3)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_at(20.0, lambda: setattr(ledger, "pool", PoolRows()))
        loop.call_at(30.0, ledger.pool.buckets.clear)
        started = [Process.start(ledger, str(number)) for number in range(processes)]
        return (await send_shared(started, server, [{"requests": 1.0}] * 1200)).seconds

    assert run(main()) <= 54 / 0.95
    assert server.rejections <= 40
    assert ledger.pool.buckets["requests"].limit == 1200


def test_a_process_that_was_told_to_wait_an_hour_goes_on_once_that_is_cleared() -> None:
    """All its requests do, not single ones."""
    ledger = MemoryLedger()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter(Pool(share=LedgerShare("pool", LoopWorker(ledger, "one"))))
        (await limiter.acquire({"requests": 1.0})).rejected({"retry-after": "3600"})
        waiting = [asyncio.create_task(limiter.acquire({"requests": 1.0})) for _ in range(10)]
        await asyncio.sleep(3)
        ledger.pool.held_until = -float("inf")
        ledger.pool.buckets.clear()
        start = loop.time()
        for one in waiting:
            (await one).answered({})
        return loop.time() - start

    assert run(main()) < 3
