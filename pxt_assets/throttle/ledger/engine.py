"""Connections to the ledger's database: how they are made, for how long they wait, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError

WAIT_SECONDS = 2.0
"""Longest wait for a connection, a lock or a statement, after which a process goes on without the ledger."""
_DRIVERS = ("psycopg", "psycopg2")
_ALLOWED = "Give sqlite:///path/to/file, postgresql://user@host/database, or 'memory'."
_LIBPQ_OPTIONS = {
    "connect_timeout": int(WAIT_SECONDS),
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5_000,
}
"""By these the kernel notices within seconds that a host is gone. They are options of the socket, not of the session."""


def parse_url(url: str) -> URL:
    """Return the URL of a ledger, or raise a ValueError that says what to give, and shows nothing of it."""
    try:
        parsed = make_url(
            url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
        )
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise ValueError(f"The ledger's URL is none that SQLAlchemy understands. {_ALLOWED}") from None
    if backend not in ("sqlite", "postgresql"):
        raise ValueError(f"The ledger cannot be kept in {backend!r}. {_ALLOWED}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(f"A SQLite database in memory is shared with no other process. {_ALLOWED}")
    if parsed.drivername == "postgresql" and (driver := _installed_driver()):
        parsed = parsed.set(drivername=f"postgresql+{driver}")
    return parsed


class LedgerConnections:
    """The engine of a ledger's database, and the connections that it has open."""

    def __init__(self, url: URL) -> None:
        """Raise ValueError if the database's driver is not installed, or is for asyncio alone."""
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self.engine = _engine_at(url)
        event.listen(self.engine, "do_connect", self._connect)
        if url.get_backend_name() == "sqlite":
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
            if self.file is not None:
                event.listen(self.engine, "connect", partial(_note_file, self.file))
                event.listen(self.engine, "checkout", partial(_check_file, self.file))
        else:
            event.listen(self.engine, "begin", _bound_waits)

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        url = self.engine.url
        name = url.database if url.get_backend_name() == "sqlite" else None
        return None if not name or name.startswith("file:") else Path(name)

    def sever(self) -> None:
        """End the connections that are open, so that a thread which waits for an answer gets an error instead."""
        for connection in list(self._open):
            with contextlib.suppress(Exception):  # closed meanwhile
                number = connection.fileno()
                with socket.socket(fileno=os.dup(number)) as copy:
                    if connection.fileno() == number:  # else it was closed before it was copied
                        copy.shutdown(socket.SHUT_RDWR)
        self.engine.dispose()

    def _connect(self, dialect: Dialect, _record: object, arguments: Any, options: Any) -> Any:
        connection = dialect.connect(*arguments, **options)
        if hasattr(connection, "fileno"):
            self._open.add(connection)
        return connection


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another that is put in its place; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _engine_at(url: URL) -> Engine:
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = {}
    driver = url.drivername.partition("+")[2]
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": WAIT_SECONDS}
    elif driver in _DRIVERS:
        arguments = {name: value for name, value in _LIBPQ_OPTIONS.items() if name not in url.query}
        options = {"isolation_level": "READ COMMITTED", "use_native_hstore": False}
        if (
            driver == "psycopg"
        ):  # a pooler gives the next transaction another session, which knows no such statement
            arguments["prepare_threshold"] = None
    elif driver == "pg8000":
        arguments = {"timeout": 2 * WAIT_SECONDS}
    try:
        engine = create_engine(url, pool_size=2, max_overflow=2, connect_args=arguments, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ValueError(
            f'The driver of the ledger\'s database is not installed ({error}). pip install "pxt_assets[postgres]"'
        ) from None
    except (ArgumentError, TypeError, ValueError):  # of a parameter, which may be a secret
        raise ValueError(
            f"The ledger's URL has a parameter that its driver does not take. {_ALLOWED}"
        ) from None
    if engine.dialect.is_async:
        raise ValueError(f"The driver {driver!r} of the ledger's database is for asyncio alone. {_ALLOWED}")
    return engine


def _installed_driver() -> str | None:
    """Return the installed driver of PostgreSQL, None where there is none."""
    return next((driver for driver in _DRIVERS if find_spec(driver)), None)


def _bound_waits(connection: Connection) -> None:
    """Bound the waits of this transaction alone: behind a pooler the session serves others too."""
    milliseconds = int(WAIT_SECONDS * 1000)
    connection.exec_driver_sql(
        f"SELECT set_config('lock_timeout', '{milliseconds}', true), "
        f"set_config('statement_timeout', '{2 * milliseconds}', true)"
    )


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # so that it locks when a transaction begins
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _note_file(path: Path, _connection: object, record: Any) -> None:
    record.info["file"] = file_identity(path)


def _check_file(path: Path, _connection: object, record: Any, _proxy: object) -> None:
    """Have another connection made where the file was deleted or replaced: the old one goes on in a file of no name."""
    if record.info.get("file") != file_identity(path):
        raise DisconnectionError
