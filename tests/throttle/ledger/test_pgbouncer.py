"""A ledger behind PgBouncer in transaction mode, where each transaction may meet another session of the server."""

import os
import threading
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from pxt_assets.throttle.ledger import LedgerUnavailable
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.sql import SqlLedger
from tests.throttle.ledger.pgbouncer import binary, pooled

OPENING = Measurement(600.0, 10.0, age=0.0, low=300.0, high=300.0, limit_unknown=True)


@pytest.fixture(scope="module")
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The URL of a pooler; skips where there is none, unless PXT_REQUIRE_POSTGRES says it must be."""
    if binary() is None and not os.environ.get("PXT_REQUIRE_POSTGRES"):
        pytest.skip("needs PgBouncer (Debian: pgbouncer)")
    with pooled(postgres_url) as url:
        yield url


def exchange_often(ledger: SqlLedger, pool: str, times: int) -> None:
    spent = 0.0
    for _ in range(times):
        request = ExchangeRequest((LeaseRequest("requests", spent, 0.0, 1.0, 3.0, OPENING),))
        spent = ledger.exchange(pool, request).row_states["requests"].lease


def test_more_processes_than_sessions_make_their_exchanges(pooled_url: str) -> None:
    """Each statement is made often enough for drivers to prepare it, and no session knows that of another."""
    errors: list[Exception] = []
    pool = uuid.uuid4().hex

    def work() -> None:
        ledger = SqlLedger(pooled_url)
        try:
            exchange_often(ledger, pool, 15)
        except LedgerUnavailable as error:
            errors.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_nothing_is_left_in_a_session(pooled_url: str) -> None:
    """The session's next client finds its own settings, and no statement or lock of the ledger's."""
    ledger = SqlLedger(pooled_url)
    exchange_often(ledger, uuid.uuid4().hex, 12)
    ledger.close()
    engine = create_engine(make_url(pooled_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        for setting in ("lock_timeout", "statement_timeout"):
            assert connection.execute(text(f"SHOW {setting}")).scalar_one() == "0"
        for view in ("pg_prepared_statements", "pg_locks WHERE locktype = 'advisory'"):
            assert connection.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() == 0
    engine.dispose()
