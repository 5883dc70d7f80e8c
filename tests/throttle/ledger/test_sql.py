"""The ledger in real databases."""

import asyncio
import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pxt_assets.throttle import Limiter, Pool
from pxt_assets.throttle.ledger import LedgerUnavailable, ledger_pools, open_ledger
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.pool_rows import PoolRows
from pxt_assets.throttle.ledger.sql import SqlLedger
from pxt_assets.throttle.ledger.tables import VERSION
from tests.crash.forked import Forks
from tests.throttle.ledger.leasing import lease_a_hundred_times

HEADERS = {
    "x-ratelimit-limit-requests": "600",
    "x-ratelimit-remaining-requests": "599",
    "x-ratelimit-reset-requests": "100ms",
}
OPENING = Measurement(600.0, 10.0, age=0.0, low=500.0, high=500.0, limit_unknown=True)


@pytest.fixture
def ledger(ledger_url: str) -> SqlLedger:
    return SqlLedger(ledger_url)


@pytest.fixture
def key() -> tuple[str, str]:
    """A pool that no other test draws on."""
    return (uuid.uuid4().hex, "gpt-4o-mini")


def ask(want: float, *, spent: float = 0.0, measurement: Measurement | None = None) -> ExchangeRequest:
    return ExchangeRequest((LeaseRequest("requests", spent, 0.0, 1.0, want, measurement),))


def test_it_does_what_the_arithmetic_does(ledger: SqlLedger, key: tuple[str, str]) -> None:
    """What a database keeps between two exchanges is what the arithmetic left."""
    share = ledger.share(key)
    rows = PoolRows()
    began = time.monotonic()
    for request in (ask(1), ask(1, spent=1, measurement=OPENING), ask(50, spent=20), ask(50, spent=30)):
        told = ledger.exchange(share.key, request).row_states["requests"]
        expected = exchange(rows, "p", request, 1_000.0).row_states["requests"]
        refilled = OPENING.rate * (time.monotonic() - began)  # by the database's clock, which nobody holds
        assert told._replace(ready_in=0) == pytest.approx(expected._replace(ready_in=0), abs=1.0 + refilled)
    assert told.lease > 1


def test_what_one_process_leases_the_other_does_not_get(ledger_url: str, key: tuple[str, str]) -> None:
    """Two processes that ask in turn together lease no more than the row holds."""
    ledgers = [SqlLedger(ledger_url), SqlLedger(ledger_url)]
    name = ledgers[0].share(key).key
    ledgers[0].exchange(name, ask(1, measurement=OPENING))
    there = 0.0
    held = [0.0, 0.0]
    for _ in range(20):
        for number, each in enumerate(ledgers):
            request = ExchangeRequest((LeaseRequest("requests", held[number], 0.0, 40.0, 40.0),))
            standing = each.exchange(name, request).row_states["requests"]
            held[number] = standing.lease
            if standing.ready_in == 0:
                there += standing.lease
    assert 400 < there <= 510


def test_limits_are_remembered(ledger_url: str, key: tuple[str, str]) -> None:
    """A process that starts later knows the limit at its first exchange."""
    first = SqlLedger(ledger_url)
    first.exchange(first.share(key).key, ask(1, measurement=OPENING))
    later = SqlLedger(ledger_url)
    assert later.exchange(later.share(key).key, ask(5)).row_states["requests"].limit == 600


def test_many_processes_at_once_lose_nothing(
    ledger_url: str, key: tuple[str, str], forks: Forks, tmp_path: Path
) -> None:
    """Two processes with 100 exchanges each: every lease is in the row's account."""
    ledger = SqlLedger(ledger_url)
    name = ledger.share(key).key
    ledger.exchange(name, ask(1, measurement=OPENING))
    before = (
        ledger.exchange(name, ExchangeRequest((LeaseRequest("requests", 0.0, 0.0),)))
        .row_states["requests"]
        .leased
    )
    files = [tmp_path / "one", tmp_path / "other"]
    workers = [forks.start(lease_a_hundred_times, ledger_url, name, file) for file in files]
    assert [worker.wait() for worker in workers] == [0, 0], forks.errors
    leased = sum(float(file.read_text()) for file in files)
    after = (
        ledger.exchange(name, ExchangeRequest((LeaseRequest("requests", 0.0, 0.0),)))
        .row_states["requests"]
        .leased
    )
    assert after - before == pytest.approx(leased)


def test_requests_go_through_a_limiter(ledger_url: str, key: tuple[str, str]) -> None:
    """A pool whose units come out of a database grants requests, in order, and reports what became of them."""
    ledger = open_ledger(ledger_url)

    async def main() -> list[int]:
        limiter = Limiter(Pool(share=ledger.share(key)))
        order: list[int] = []

        async def send(number: int) -> None:
            permit = await limiter.acquire({"requests": 1.0})
            order.append(number)
            permit.answered(HEADERS)

        async with asyncio.timeout(20):
            await asyncio.gather(*(send(number) for number in range(50)))
        return order

    assert asyncio.run(main()) == list(range(50))


def test_what_is_known_can_be_looked_at(ledger: SqlLedger, key: tuple[str, str]) -> None:
    """Each dimension of each pool with its limit, what is left, the rate in use, the processes, and the 429s."""
    name = ledger.share(key).key
    ledger.exchange(name, ask(1, measurement=OPENING))
    ledger.exchange(name, ExchangeRequest((LeaseRequest("requests", 30.0, 0.0),), rejected=2))
    (line,) = [pool for pool in ledger.pools() if pool.key == key]
    assert (line.group, line.dimension, line.limit, line.processes, line.rejected) == (
        "gpt-4o-mini",
        "requests",
        600.0,
        1,
        2,
    )
    assert line.per_minute == pytest.approx(180)
    assert line.remaining is not None
    assert 400 < line.remaining <= 600


def test_what_nobody_uses_for_long_is_forgotten(ledger_url: str, key: tuple[str, str]) -> None:
    """After forty days, when a process opens the ledger; what is used every month is remembered."""
    ledger = SqlLedger(ledger_url)
    used, unused = (key[0], "monthly"), (key[0], "once")
    for one in (used, unused):
        ledger.exchange(ledger.share(one).key, ask(1, measurement=OPENING))
    ledger.close()
    engine = create_engine(_with_driver(ledger_url))
    with engine.begin() as connection:
        for one, days in ((used, 31), (unused, 41)):
            connection.execute(
                text("UPDATE pxt_buckets SET updated = updated - :seconds WHERE pool = :pool"),
                {"seconds": days * 86_400, "pool": ledger.share(one).key},
            )
    engine.dispose()
    reopened = SqlLedger(ledger_url)
    assert [line.key for line in reopened.pools() if line.key[0] == key[0]] == [used]
    assert reopened.clear(lambda one: one == unused) == []


def test_an_older_ledger_is_refused(ledger_url: str, tmp_path: Path) -> None:
    """Tables of another version are not written to; the error says what to do."""
    url = f"sqlite:///{tmp_path / 'older.sqlite'}" if ledger_url.startswith("sqlite") else ledger_url
    engine = create_engine(_with_driver(url))
    SqlLedger(url).pools()
    with engine.begin() as connection:
        connection.execute(text("UPDATE pxt_version SET version = 99"))
    try:
        with pytest.raises(LedgerUnavailable, match="version 99, this release works with version"):
            SqlLedger(url).pools()
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE pxt_version SET version = {VERSION}"))
        engine.dispose()


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_an_unreachable_ledger_stops_nobody(key: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Requests go on by the process's own bucket; the log says why, without the password."""
    ledger = open_ledger("postgresql://user:hunter2@127.0.0.1:9/nowhere")

    async def main() -> None:
        limiter = Limiter(Pool(share=ledger.share(key)))
        async with asyncio.timeout(20):
            permit = await limiter.acquire({"requests": 1.0})
        permit.answered(HEADERS)

    with caplog.at_level("WARNING"):
        asyncio.run(main())
    assert "tries again to reach the ledger" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_database_that_fails_oddly_stops_nobody(tmp_path: Path, key: tuple[str, str]) -> None:
    """A file that is no database is like a server that is away."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database, " * 1_000)
    ledger = open_ledger(f"sqlite:///{path}")

    async def main() -> None:
        async with asyncio.timeout(20):
            await Limiter(Pool(share=ledger.share(key))).acquire({"requests": 1.0})

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "none that SQLAlchemy understands"),
        ("mysql://user:hunter2@host/db", "cannot be kept in 'mysql'"),
        ("sqlite://", "in memory is shared with no other process"),
        ("postgresql+nosuch://host/db", "driver .* is not installed"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, message: str) -> None:
    """What cannot be a ledger is refused at once, with what can be one, and without the password."""
    with pytest.raises(ValueError, match=message) as refused:
        open_ledger(url)
    assert "hunter2" not in str(refused.value)


def test_the_pools_of_a_ledger_are_the_same_each_time(ledger_url: str, key: tuple[str, str]) -> None:
    """All columns of a process draw on the same pool of a ledger."""
    assert ledger_pools(ledger_url).get(key) is ledger_pools(ledger_url).get(key)


def test_a_ledger_that_is_closed_is_opened_again_by_use(ledger_url: str, key: tuple[str, str]) -> None:
    """Closing it before, between and while requests wait holds none of them up."""
    ledger = open_ledger(ledger_url)
    ledger.close()

    async def main() -> None:
        limiter = Limiter(Pool(share=ledger.share(key)))

        async def send() -> None:
            permit = await limiter.acquire({"requests": 1.0})
            await asyncio.sleep(0.001)
            permit.answered(HEADERS)

        async with asyncio.timeout(20):
            for _ in range(20):
                sending = asyncio.gather(*(send() for _ in range(20)))
                await asyncio.to_thread(ledger.close)
                await sending
                ledger.close()

    asyncio.run(main())


def test_a_closed_ledger_leaves_no_thread(ledger_url: str, key: tuple[str, str]) -> None:
    """Closing a ledger settles what is outstanding, and ends its thread."""
    others = {*threading.enumerate()}
    ledger = SqlLedger(ledger_url)

    async def main() -> None:
        permit = await Limiter(Pool(share=ledger.share(key))).acquire({"requests": 1.0})
        permit.cancel()

    asyncio.run(main())
    (own,) = (thread for thread in {*threading.enumerate()} - others if thread.name == "pxt-ledger")
    ledger.close()
    assert not own.is_alive()
