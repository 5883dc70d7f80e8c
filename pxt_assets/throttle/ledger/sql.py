"""A ledger in a database: SQLite for the processes of one host, PostgreSQL for several hosts."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.lease_worker import LeaseWorker
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, LedgerUnavailable
from pxt_assets.throttle.ledger.report import PoolReport, report
from pxt_assets.throttle.ledger.tables import (
    VERSION,
    clock,
    create_tables,
    lock_pool,
    pool_keys,
    read_pool,
    write_pool,
)

WAIT_SECONDS = 2.0
"""Longest wait for a connection or a lock, after which a process goes on without the ledger."""
SEPARATOR = "\x1f"
"""Between the parts of a pool's key. No part contains it."""
_CREATION_LOCK = 0x707874  # any number that nobody else locks
_DRIVERS = ("psycopg", "psycopg2")
_ALLOWED = "Give sqlite:///path/to/file, postgresql://user@host/database, or 'memory'."


class SqlLedger:
    """The ledger at a database URL, for one process. Thread-safe; connects at the first exchange."""

    def __init__(self, url: str) -> None:
        self._engine = _engine_at(url)
        self._password = self._engine.url.password
        self._name = f"the ledger at {self._engine.url.render_as_string(hide_password=True)}"
        self._process = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._ready = False
        self.worker = LeaseWorker(self.exchange)

    def share(self, key: tuple[str, ...]) -> LedgerShare:
        """Return a share in the pool of `key`, for the `Pool` of this process that draws on it."""
        return LedgerShare(SEPARATOR.join(key), self.worker, self._name)

    def exchange(self, pool: str, request: ExchangeRequest) -> ExchangeAnswer:
        """Run an exchange in one transaction. Raises `LedgerUnavailable`."""
        with self._transaction() as connection:
            held_until = lock_pool(connection, pool)
            rows = read_pool(connection, pool, held_until)
            before = set(rows.processes)
            answer = exchange(rows, self._process, request, clock(connection))
            write_pool(connection, pool, before, held_until, rows)
            return answer

    def pools(self) -> list[PoolReport]:
        """Return the present state of every pool. Raises `LedgerUnavailable`."""
        with self._transaction() as connection:
            now = clock(connection)
            return [
                line
                for pool in pool_keys(connection)
                for line in report(tuple(pool.split(SEPARATOR)), read_pool(connection, pool, -1.0), now)
            ]

    def close(self) -> None:
        """Give back what is leased and not taken, and close the connections. Later exchanges open new ones."""
        if self.worker.close():
            self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            self._prepare()
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise LedgerUnavailable(self._reason(error)) from None

    def _prepare(self) -> None:
        """Create the tables, once a process, one process at a time."""
        with self._lock:
            if self._ready:
                return
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})
                version = create_tables(connection)
            if version != VERSION:
                raise LedgerUnavailable(
                    f"its tables pxt_* are of version {version}, this release works with version {VERSION}: "
                    "use the same release everywhere, or another database"
                )
            self._ready = True

    def _reason(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        return reason.replace(self._password, "***") if self._password else reason


def _engine_at(url: str) -> Engine:
    """Return the engine of a URL, or raise a ValueError that says what to give."""
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
    except ArgumentError:
        raise ValueError(f"The ledger's URL is none that SQLAlchemy understands. {_ALLOWED}") from None
    if dialect not in ("sqlite", "postgresql"):
        raise ValueError(f"The ledger cannot be kept in {dialect!r}. {_ALLOWED}")
    if dialect == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(f"A SQLite database in memory is shared with no other process. {_ALLOWED}")
    if parsed.drivername == "postgresql" and (driver := _installed_driver()):
        parsed = parsed.set(drivername=f"postgresql+{driver}")
    try:
        arguments = {"timeout": WAIT_SECONDS} if dialect == "sqlite" else {}
        if parsed.get_driver_name().startswith("psycopg"):
            arguments = {"connect_timeout": WAIT_SECONDS}
        engine = create_engine(parsed, pool_size=2, max_overflow=2, connect_args=arguments)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ValueError(
            f'The driver of the ledger\'s database is not installed ({error}). pip install "pxt_assets[postgres]"'
        ) from None
    event.listen(engine, "connect", partial(_set_up_connection, dialect))
    if dialect == "sqlite":
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _installed_driver() -> str | None:
    """Return the installed driver of PostgreSQL, None where there is none."""
    return next((driver for driver in _DRIVERS if find_spec(driver)), None)


def _set_up_connection(dialect: str, connection: object, _record: object) -> None:
    """Limit the waits of a new connection, and have SQLite lock when a transaction begins."""
    if dialect == "sqlite":
        connection.isolation_level = None  # type: ignore[attr-defined]
        statements = ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"]
    else:
        milliseconds = int(WAIT_SECONDS * 1000)
        statements = [f"SET lock_timeout = {milliseconds}", f"SET statement_timeout = {2 * milliseconds}"]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    if dialect == "postgresql":
        connection.commit()  # type: ignore[attr-defined]
