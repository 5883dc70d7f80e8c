"""A database that goes silent: exchanges and closing end in time, and the process comes back when it answers."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from pxt_assets.throttle import Limiter, Pool
from pxt_assets.throttle.ledger import LedgerUnavailable
from pxt_assets.throttle.ledger.lease_worker import LeaseWorker
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest
from pxt_assets.throttle.ledger.sql import SqlLedger
from tests.throttle.ledger.proxy import Proxy

DEADLINE = 0.5
HEADERS = {
    "x-ratelimit-limit-requests": "60000",
    "x-ratelimit-remaining-requests": "59000",
    "x-ratelimit-reset-requests": "1s",
}
ASK = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 5.0),))


def impatient(url: str) -> SqlLedger:
    """A ledger whose exchanges have half a second."""
    ledger = SqlLedger(url)
    ledger.worker = LeaseWorker(
        ledger.exchange, ledger._connections.sever, exchange_seconds=DEADLINE, close_seconds=DEADLINE
    )
    return ledger


def key() -> tuple[str, str]:
    return (uuid.uuid4().hex, "gpt-4o-mini")


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(make_url(postgres_url).port or 0).running() as proxy:
        yield proxy


@pytest.fixture
def url(postgres_url: str, proxy: Proxy) -> str:
    return make_url(postgres_url).set(port=proxy.own_port).render_as_string(hide_password=False)


@contextlib.contextmanager
def stopped_server(url: str) -> Iterator[None]:
    """Within the block the server's processes are stopped: the kernel still takes what is sent to them."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        pids = list(
            connection.execute(
                text("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
            ).scalars()
        )
        postmaster = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in [postmaster, *pids]:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in [postmaster, *pids]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
    engine.dispose()


class Said(logging.Handler):
    """Waits for what the ledger logs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._said = threading.Event()
        logging.getLogger("pxt_assets").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._said.set()

    async def wait(self) -> None:
        assert await asyncio.to_thread(self._said.wait, 30)
        logging.getLogger("pxt_assets").removeHandler(self)


async def send_through(limiter: Limiter, requests: int) -> None:
    for _ in range(requests):
        permit = await limiter.acquire({"requests": 1.0})
        permit.answered(HEADERS)


@pytest.fixture(params=["drops", "stopped"])
def fall_silent(
    request: pytest.FixtureRequest, proxy: Proxy, postgres_url: str
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """What has the database go silent: packets that are dropped, or a server that is stopped."""

    @contextlib.contextmanager
    def drop() -> Iterator[None]:
        proxy.silent.set()
        yield
        proxy.silent.clear()

    return drop if request.param == "drops" else lambda: stopped_server(postgres_url)


def test_a_process_goes_on_alone_while_the_database_is_silent_and_comes_back(
    url: str,
    fall_silent: Callable[[], contextlib.AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Requests go through within the deadline; when the database answers again, limits are shared again."""
    caplog.set_level("INFO")
    ledger = impatient(url)
    name = key()

    async def main() -> None:
        share = ledger.share(name)
        limiter = Limiter(Pool(share=share))
        await send_through(limiter, 5)
        alone, again = Said("not shared for now"), Said("shared again")
        with fall_silent():
            share.lock.acquire()
            share.schedule_exchange(ledger.worker.time())
            share.lock.release()
            await alone.wait()
            async with asyncio.timeout(5):
                await send_through(limiter, 20)
        await again.wait()
        async with asyncio.timeout(10):
            await send_through(limiter, 20)

    asyncio.run(main())
    ledger.close()


def test_closing_a_silent_ledger_returns(
    url: str, fall_silent: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    """Leases that cannot be given back expire; nobody waits for them."""
    ledger = impatient(url)

    async def main() -> None:
        await send_through(Limiter(Pool(share=ledger.share(key()))), 5)

    asyncio.run(main())
    with fall_silent():
        start = time.monotonic()
        ledger.close()
        assert time.monotonic() - start < 4 * DEADLINE + 1


def test_no_thread_is_left_waiting_for_a_silent_database(url: str, proxy: Proxy) -> None:
    """A connection whose exchange is given up is ended, so that its thread is."""
    ledger = impatient(url)
    ledger.exchange("pool", ASK)
    proxy.silent.set()
    threads: list[threading.Thread] = []

    def exchange() -> None:
        threads.append(threading.current_thread())
        with contextlib.suppress(LedgerUnavailable):
            ledger.exchange("pool", ASK)

    waiting = threading.Thread(target=exchange, daemon=True)
    waiting.start()
    waiting.join(DEADLINE)
    assert waiting.is_alive()
    ledger._connections.sever()
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_server_that_takes_connections_and_says_nothing_is_unavailable(proxy: Proxy, url: str) -> None:
    """Whoever looks at the limits of such a ledger gets a line instead of a hanging terminal."""
    proxy.silent.set()
    with pytest.raises(LedgerUnavailable):
        SqlLedger(url).pools()
    assert proxy.accepted


def test_a_row_that_another_session_holds_is_waited_for_in_bounds(postgres_url: str) -> None:
    """A session that locks a pool's row and idles in its transaction stops no process."""
    ledger = SqlLedger(postgres_url)
    ledger.exchange("locked", ASK)
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM pxt_pools WHERE pool = 'locked' FOR UPDATE"))
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            ledger.exchange("locked", ASK)
    ledger.exchange("locked", ASK)
    engine.dispose()
