"""What the simulators of several processes share, in a SQLite file: the levels of their limits, and answers to continue.

Each process answers for itself, and draws on the same buckets: there is no server that could be left behind, or be
missing, and a process that is killed leaves whole numbers. A file that cannot be used costs the sharing alone.
"""

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pxt_assets.simulator.server.bucket import Bucket

FILE = "pxt_assets_simulator.sqlite"
WAIT_SECONDS = 5.0
"""Longest wait for other processes, after which this one keeps its limits to itself."""
_FORGOTTEN_SECONDS = 86_400.0
"""Unused for so long, a simulator begins anew, at its `initial_level`."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS state (id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS simulators (name TEXT PRIMARY KEY, starts INTEGER NOT NULL, used REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS buckets (simulator TEXT, bucket TEXT, level REAL NOT NULL, used REAL NOT NULL, "
    "PRIMARY KEY (simulator, bucket)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS texts (simulator TEXT, name TEXT, text TEXT NOT NULL, used REAL NOT NULL, "
    "PRIMARY KEY (simulator, name))",
)
_MAX_TEXTS = 10_000
"""Texts that are kept, the newest of all simulators."""
_MAX_TEXT_LENGTH = 100_000
"""Letters of a text that is kept: it must not fill the disk."""
_log = logging.getLogger("pxt_assets.simulator")


class Start(NamedTuple):
    """One process's start of a simulator."""

    number: int
    """How many started before it: their latencies and faults differ."""
    state_id: str
    """Names the file, so that simulators that do not share it can be told apart; empty where it cannot be used."""


class SharedState:
    """The levels of one simulator's buckets, and its texts, in a file that other processes use too.

    `name` tells simulators of other options apart. For one thread at a time. `wall` gives the seconds since 1970.
    """

    def __init__(self, folder: Path, name: str, *, wall: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._name = name
        self._wall = wall
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._kept = 0

    def start(self) -> Start:
        """Open the file, which is made if it is not there, or is none, and count a start."""
        for attempt in range(2):
            try:
                self._connection = self._connect()
                with self._transaction(self._connection) as connection:
                    return self._count_start(connection)
            except sqlite3.Error as error:
                self.close()
                broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(
                    error, sqlite3.OperationalError
                )
                if attempt or not broken:
                    self._go_alone(error)
                    break
                with suppress(OSError):
                    self._path.unlink()
        return Start(0, "")

    @contextmanager
    def levels_of(self, buckets: Mapping[str, Bucket], now: float) -> Iterator[None]:
        """Within the block, the buckets have the levels that all processes together left in them.

        `now` is the time by the clock of the buckets. No other process changes them meanwhile.
        """
        connection = self._connection
        if connection is None:
            yield
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            wall = self._wall()
            for name, bucket in buckets.items():
                found = connection.execute(
                    "SELECT level, used FROM buckets WHERE simulator = ? AND bucket = ?", (self._name, name)
                ).fetchone()
                if found is not None:
                    bucket.restore(found[0], now - max(0.0, wall - found[1]))
        except sqlite3.Error as error:
            self._go_alone(error)
            yield
            return
        try:
            yield
        finally:
            try:
                connection.executemany(
                    "INSERT INTO buckets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET level = excluded.level, "
                    "used = excluded.used",
                    [(self._name, name, bucket.level(now), wall) for name, bucket in buckets.items()],
                )
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._go_alone(error)

    def keep(self, name: str, text: str) -> None:
        """Store a text for all processes, and drop old ones now and then; one that is too long stays with this process."""
        connection = self._connection
        if connection is None or len(text) > _MAX_TEXT_LENGTH:
            return
        self._kept += 1
        try:
            with self._transaction(connection):
                connection.execute(
                    "INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?)", (self._name, name, text, self._wall())
                )
                if self._kept % 1_000 == 0:
                    connection.execute(
                        "DELETE FROM texts WHERE rowid <= (SELECT MAX(rowid) FROM texts) - ?", (_MAX_TEXTS,)
                    )
        except sqlite3.Error as error:
            self._go_alone(error)

    def find(self, name: str) -> str | None:
        """The text of that name, whichever process stored it; None if there is none any more."""
        connection = self._connection
        if connection is None:
            return None
        try:
            found = connection.execute(
                "SELECT text FROM texts WHERE simulator = ? AND name = ?", (self._name, name)
            ).fetchone()
        except sqlite3.Error as error:
            self._go_alone(error)
            return None
        return None if found is None else str(found[0])

    def close(self) -> None:
        """Close the file; from then on the limits are those of this process."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # no fsync for each request
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _count_start(self, connection: sqlite3.Connection) -> Start:
        for statement in _TABLES:
            connection.execute(statement)
        now = self._wall()
        for table in ("buckets", "simulators", "texts"):
            connection.execute(f"DELETE FROM {table} WHERE used < ?", (now - _FORGOTTEN_SECONDS,))  # noqa: S608
        state = connection.execute("SELECT id FROM state").fetchone()
        if state is None:
            state = (uuid.uuid4().hex[:8],)
            connection.execute("INSERT INTO state VALUES (?)", state)
        (starts,) = connection.execute(
            "INSERT INTO simulators VALUES (?, 1, ?) ON CONFLICT DO UPDATE SET starts = starts + 1, used = excluded.used "
            "RETURNING starts",
            (self._name, now),
        ).fetchone()
        return Start(starts - 1, state[0])

    def _go_alone(self, error: sqlite3.Error) -> None:
        self.close()
        _log.warning(
            "The simulator's limits are not shared with other processes: %s cannot be used (%s)",
            self._path,
            error,
        )
