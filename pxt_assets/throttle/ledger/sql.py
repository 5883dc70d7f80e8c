"""A ledger in a database: SQLite for the processes of one host, PostgreSQL for several hosts."""

import logging
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from pxt_assets.throttle.ledger.address import secrets_of, shown_address, without_secrets
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.batch_queue import SqlBatchQueue
from pxt_assets.throttle.ledger.broken_file import is_broken, put_aside
from pxt_assets.throttle.ledger.deadline import within
from pxt_assets.throttle.ledger.engine import LedgerConnections, file_identity, parse_url
from pxt_assets.throttle.ledger.lease_worker import EXCHANGE_SECONDS, LeaseWorker
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    LedgerFault,
    LedgerUnavailable,
)
from pxt_assets.throttle.ledger.report import PoolReport, report
from pxt_assets.throttle.ledger.tables import (
    VERSION,
    clear_pool,
    clock,
    create_tables,
    forget_unused,
    has_only_ledger,
    lock_creation,
    lock_pool,
    read_holds,
    read_pool,
    write_pool,
)

SEPARATOR = "\x1f"
"""Between the parts of a pool's key. No part contains it."""
_REMEMBERED_SECONDS = 40 * 86_400
"""Time for which the limits of a pool are remembered that nobody uses: longer than from one month's run to the next."""
_MISSING_TABLE = ("42P01", "no such table")

_log = logging.getLogger("pxt_assets.throttle.ledger")
Result = TypeVar("Result")


class SqlLedger:
    """The ledger at a database URL, for one process. Thread-safe; connects at the first exchange."""

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self._connections = LedgerConnections(parsed)
        self._secrets = secrets_of(parsed, url)
        self.address = without_secrets(shown_address(parsed, url), self._secrets)
        """Where it is, as it may be shown: no secret is in it."""
        self._process = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._ready = False
        self._file: tuple[int, int] | None = None  # of SQLite, as it was when the tables were last looked at
        self._has_only_ledger = False  # of a SQLite file: nobody else keeps anything in it
        self.worker = LeaseWorker(self.exchange, self._connections.sever)

    def share(self, key: tuple[str, ...]) -> LedgerShare:
        """Return a share in the pool of `key`, for the `Pool` of this process that draws on it."""
        return LedgerShare(SEPARATOR.join(key), self.worker, f"the ledger at {self.address}")

    def exchange(self, pool: str, request: ExchangeRequest) -> ExchangeAnswer:
        """Run an exchange in one transaction. Raises `LedgerUnavailable`, or `LedgerFault` for one of the arithmetic."""

        def run(connection: Connection) -> ExchangeAnswer:
            held_until = lock_pool(connection, pool)
            rows = read_pool(connection, pool, held_until)
            before, now = set(rows.processes), clock(connection)
            try:
                answer = exchange(rows, self._process, request, now)
            except Exception as error:
                raise LedgerFault from error
            write_pool(connection, pool, before, held_until, rows)
            return answer

        return self._transaction(run)

    def pools(self) -> list[PoolReport]:
        """Return the present state of every pool. Raises `LedgerUnavailable`."""

        def run(connection: Connection) -> list[PoolReport]:
            now = clock(connection)
            return [
                line
                for pool, held_until in read_holds(connection).items()
                for line in report(_key_of(pool), read_pool(connection, pool, held_until), now)
            ]

        return within(EXCHANGE_SECONDS, lambda: self._transaction(run), self._connections.sever)

    def clear(self, chosen: Callable[[tuple[str, ...]], bool]) -> list[tuple[str, ...]]:
        """Forget the holds and the limits of the pools whose keys are `chosen`, and return those keys.

        Processes that draw on them take notice at their next exchange. Raises `LedgerUnavailable`.
        """

        def run(connection: Connection) -> list[tuple[str, ...]]:
            pools = [pool for pool in read_holds(connection) if chosen(_key_of(pool))]
            for pool in pools:
                lock_pool(connection, pool)
                clear_pool(connection, pool)
            return [_key_of(pool) for pool in pools]

        return within(EXCHANGE_SECONDS, lambda: self._transaction(run), self._connections.sever)

    def batch_queue(self) -> SqlBatchQueue:
        """Return the queues of batches that it keeps. Their calls raise `LedgerUnavailable`."""
        return SqlBatchQueue(
            lambda run: within(EXCHANGE_SECONDS, lambda: self._transaction(run), self._connections.sever)
        )

    def close(self) -> None:
        """Give back what is leased and not taken, and close the connections, within seconds.

        Later exchanges open new ones.
        """
        if self.worker.close():
            self._connections.engine.dispose()

    def _transaction(self, run: Callable[[Connection], Result], *, mends: int = 1) -> Result:
        """Return what `run` returns of a transaction; once more where missing tables or a broken file were made anew."""
        try:
            self._prepare()
            with self._connections.engine.begin() as connection:
                return run(connection)
        except (LedgerFault, LedgerUnavailable):
            raise
        except Exception as error:  # drivers raise what they like
            self._ready = False
            self._connections.engine.dispose()
            if mends and self._mend(error):
                return self._transaction(run, mends=mends - 1)
            raise LedgerUnavailable(self._reason(error)) from None

    def _prepare(self) -> None:
        """Create the tables that are missing, one process at a time."""
        with self._lock:
            if self._ready:
                return
            with self._connections.engine.begin() as connection:
                lock_creation(connection)
                version = create_tables(connection)
                self._has_only_ledger = has_only_ledger(connection)
            if version != VERSION:
                raise LedgerUnavailable(
                    f"its tables pxt_* are of version {version}, this release works with version {VERSION}: "
                    "use the same release everywhere, or another database"
                )
            if self._connections.file is not None:
                self._file = file_identity(self._connections.file)
            self._ready = True
            with suppress(Exception), self._connections.engine.begin() as connection:  # another time, then
                forget_unused(connection, clock(connection) - _REMEMBERED_SECONDS)

    def _mend(self, error: Exception) -> bool:
        """Make room for new tables where the old ones are gone; return whether it is worth another attempt."""
        cause = _cause(error)
        codes = (str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)), str(cause))
        if any(sign in code for sign in _MISSING_TABLE for code in codes):
            return True
        file = self._connections.file
        if file is None or not self._has_only_ledger or not is_broken(cause):
            return False
        if file_identity(file) != self._file:  # another process has put it aside
            return True
        kept = put_aside(file)
        _log.warning("The ledger's file %s is broken: it is kept as %s, and a new one is made.", file, kept)
        return True

    def _reason(self, error: Exception) -> str:
        cause = _cause(error)
        reason = " ".join(str(cause).split()) or type(cause).__name__
        return without_secrets(reason, self._secrets)


def _cause(error: Exception) -> BaseException:
    """Return what the database's driver raised."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _key_of(pool: str) -> tuple[str, ...]:
    return tuple(pool.split(SEPARATOR))
