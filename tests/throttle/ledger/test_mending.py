"""A ledger whose tables, rows or file are gone or damaged while processes work with it."""

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from pxt_assets.throttle.ledger import LedgerUnavailable
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.sql import SqlLedger

TABLES = ("pxt_version", "pxt_pools", "pxt_buckets", "pxt_processes")
OPENING = Measurement(600.0, 10.0, age=0.0, low=300.0, high=300.0, limit_unknown=True)
ASK = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 5.0),))
TELL = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 5.0, OPENING),))


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    url = make_url(ledger_url)
    engine = create_engine(url.set(drivername=url.drivername.replace("postgresql", "postgresql+psycopg")))
    yield engine
    engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize("tables", [TABLES, *((table,) for table in TABLES)], ids=lambda tables: tables[-1])
def test_tables_that_are_dropped_are_made_again(
    ledger_url: str, engine: Engine, tables: tuple[str, ...]
) -> None:
    """At the next exchange, without an error, whether all are gone or one."""
    ledger = SqlLedger(ledger_url)
    ledger.exchange("pool", TELL)
    execute(engine, *(f"DROP TABLE {table}" for table in tables))
    ledger.exchange("pool", TELL)
    assert ledger.exchange("pool", ASK).row_states["requests"].limit == 600
    assert any(line.key == ("pool",) for line in ledger.pools())


def test_processes_that_create_the_tables_at_once_do(ledger_url: str, engine: Engine) -> None:
    """None of them fails, and there is one version."""
    for table in TABLES:
        execute(engine, f"DROP TABLE IF EXISTS {table}")
    errors: list[Exception] = []

    def exchange() -> None:
        try:
            SqlLedger(ledger_url).exchange("pool", ASK)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=exchange) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with engine.connect() as connection:
        assert len(list(connection.execute(text("SELECT version FROM pxt_version")))) == 1


def test_who_may_not_create_tables_uses_those_that_are_there(postgres_url: str) -> None:
    """An administrator has made them once."""
    SqlLedger(postgres_url).exchange("pool", ASK)
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    name = f"guest_{uuid.uuid4().hex[:8]}"
    execute(
        engine,
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"CREATE ROLE {name} LOGIN",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO {name}",
    )
    engine.dispose()
    guest = SqlLedger(make_url(postgres_url).set(username=name).render_as_string(hide_password=False))
    assert "requests" in guest.exchange("pool", ASK).row_states


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pxt_processes SET holding = 'no json' WHERE pool = '{pool}'",
        "UPDATE pxt_processes SET holding = '{{\"outstanding\": 3}}' WHERE pool = '{pool}'",
        "UPDATE pxt_processes SET holding = '[]' WHERE pool = '{pool}'",
        "UPDATE pxt_buckets SET rate = 0 WHERE pool = '{pool}'",
        "UPDATE pxt_buckets SET rate = -1 WHERE pool = '{pool}'",
        "UPDATE pxt_buckets SET drain = rate WHERE pool = '{pool}'",
        "UPDATE pxt_buckets SET level = 1e308 * 10 WHERE pool = '{pool}'",
        "UPDATE pxt_pools SET held_until = 9e99 WHERE pool = '{pool}'",
    ],
)
def test_rows_that_make_no_sense_are_written_anew(ledger_url: str, engine: Engine, change: str) -> None:
    """Whoever wrote them, the pool works."""
    ledger, pool = SqlLedger(ledger_url), uuid.uuid4().hex
    ledger.exchange(pool, TELL)
    try:
        execute(engine, change.format(pool=pool))
    except Exception:  # the database does not take such a value
        return
    ledger.exchange(pool, TELL)
    state = ledger.exchange(pool, ASK).row_states["requests"]
    assert state.limit == 600
    assert state.rate == 10
    assert state.lease > 0


def test_numbers_that_are_none_are_written_anew(postgres_url: str) -> None:
    """PostgreSQL stores what is no number."""
    ledger, pool = SqlLedger(postgres_url), uuid.uuid4().hex
    ledger.exchange(pool, TELL)
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    execute(engine, f"UPDATE pxt_buckets SET level = 'NaN', updated = 'Infinity' WHERE pool = '{pool}'")
    engine.dispose()
    ledger.exchange(pool, TELL)
    assert ledger.exchange(pool, ASK).row_states["requests"].lease > 0


@pytest.mark.parametrize("how", ["deleted", "replaced", "emptied", "of another program's making"])
def test_a_file_that_is_not_the_same_any_more_is_opened_anew(path: Path, how: str) -> None:
    """A process that went on in a deleted file would share with nobody."""
    ledger, other = SqlLedger(f"sqlite:///{path}"), SqlLedger(f"sqlite:///{path}")
    ledger.exchange("pool", TELL)
    other.exchange("pool", TELL)
    ledger.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if how == "deleted":
        path.unlink()
    elif how == "emptied":
        path.unlink()
        path.touch()
    else:
        new = path.with_name("new")
        connection = sqlite3.connect(new)
        if how != "replaced":
            connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()
        new.touch()
        new.replace(path)
    ledger.exchange("pool", TELL)
    assert other.exchange("pool", ASK).processes == 2


def test_a_damaged_file_is_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is kept under another name, a new one takes its place, and the log says so."""
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.exchange("pool", TELL)
    ledger.close()
    damage = b"\xff" * 4096
    path.write_bytes(damage)
    ledger._connections.engine.dispose()
    ledger.exchange("pool", TELL)
    assert ledger.exchange("pool", ASK).row_states["requests"].limit == 600
    assert path.with_name("ledger.sqlite.broken").read_bytes() == damage
    assert "is kept as" in caplog.text


def test_a_damaged_file_that_holds_more_than_the_ledger_is_left_alone(path: Path) -> None:
    """It is somebody's database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.exchange("pool", TELL)
    ledger.close()
    path.write_bytes(b"\xff" * 4096)
    with pytest.raises(LedgerUnavailable, match="not a database"):
        ledger.exchange("pool", TELL)
    assert path.read_bytes() == b"\xff" * 4096


def test_a_file_that_is_locked_is_waited_for_in_bounds(path: Path) -> None:
    """And is used again once it is free."""
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.exchange("pool", TELL)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        ledger.exchange("pool", ASK)
    other.execute("ROLLBACK")
    other.close()
    assert ledger.exchange("pool", ASK).row_states["requests"].limit == 600


def test_a_full_disk_is_a_ledger_that_is_away(path: Path) -> None:
    """And no fault of anybody's."""
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.exchange("pool", TELL)
    with ledger._connections.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerUnavailable, match="full"):
        ledger.exchange("x" * 100_000, TELL)
