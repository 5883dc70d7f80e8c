"""The folder of files, batches and responses in the background: a SQLite database, and contents beside it.

Simulators of several processes may use one folder; those of other options see nothing of each other. Without a folder it
is a temporary one, which is removed in the end. Nothing is opened before it is used.
"""

import logging
import os
import shutil
import sqlite3
import tempfile
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

FOLDER = "pxt_assets_simulator_batches"
"""The name of the folder below a storage directory that processes share."""
_DATABASE = "state.sqlite"
_WAIT_SECONDS = 10.0
_KEPT_SECONDS = 30 * 86_400.0
"""How long records are kept, as the API keeps the files of batches."""
_STRAY_SECONDS = 3_600.0
"""Contents that no record names are younger than this while they are written."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS clocks (simulator TEXT PRIMARY KEY, turned REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS files (seq INTEGER PRIMARY KEY AUTOINCREMENT, simulator TEXT, owner TEXT, id TEXT UNIQUE, "
    "filename TEXT, purpose TEXT, bytes INTEGER, created REAL, expires REAL, results TEXT, part TEXT)",
    "CREATE TABLE IF NOT EXISTS batches (seq INTEGER PRIMARY KEY AUTOINCREMENT, simulator TEXT, owner TEXT, id TEXT UNIQUE, "
    "input_file TEXT, endpoint TEXT, metadata TEXT, output_seconds INTEGER, created REAL, cancelling REAL, checked TEXT, "
    "family TEXT, tokens INTEGER NOT NULL DEFAULT 0, ends REAL, ended TEXT)",
    "CREATE TABLE IF NOT EXISTS responses (seq INTEGER PRIMARY KEY AUTOINCREMENT, simulator TEXT, owner TEXT, id TEXT UNIQUE, "
    "body TEXT, created REAL, cancelled REAL)",
)
_log = logging.getLogger("pxt_assets.simulator")


def owner_of(key: str) -> str:
    """Names the owner of an API key, without showing it."""
    return blake2b(key.encode(), digest_size=8).hexdigest()


def new_id(kind: str) -> str:
    """An id that no other has, such as "sim-batch-0f…"."""
    return f"sim-{kind}-{uuid.uuid4().hex}"


class Storage:
    """One simulator's part of the folder. For one thread at a time, whichever it is."""

    def __init__(self, folder: Path | None, simulator: str, *, wall: Callable[[], float] = time.time) -> None:
        """`simulator` tells those of other options apart; `wall` gives the seconds since 1970."""
        self.simulator = simulator
        self._shared = folder
        self._wall = wall
        self._folder: Path | None = None
        self._remove: Callable[[], object] | None = None
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """The database, made if it is not there; a temporary one where the folder cannot be used."""
        if self._connection is None:
            try:
                if self._shared is None:
                    raise FileNotFoundError
                self._open(self._shared / FOLDER)
            except (OSError, sqlite3.Error) as error:
                if self._shared is not None:
                    _log.warning(
                        "The simulator's batches are not shared with other processes: %s cannot be used (%s)",
                        self._shared / FOLDER,
                        error,
                    )
                temporary = tempfile.mkdtemp(prefix="pxt_assets_simulator_")
                self._remove = weakref.finalize(self, _remove_folder, temporary, os.getpid())
                self._open(Path(temporary))
        assert self._connection is not None
        return self._connection

    @property
    def folder(self) -> Path:
        """Where contents are kept."""
        _ = self.connection
        assert self._folder is not None
        return self._folder

    def now(self) -> float:
        """The time by which batches live: seconds since 1970, and what the clock was turned."""
        found = self.connection.execute(
            "SELECT turned FROM clocks WHERE simulator = ?", (self.simulator,)
        ).fetchone()
        return self._wall() + (found[0] if found else 0.0)

    def turn(self, seconds: float) -> float:
        """Turn the clock forward for all processes, and return the time that it shows."""
        self.connection.execute(
            "INSERT INTO clocks VALUES (?, ?) ON CONFLICT DO UPDATE SET turned = turned + excluded.turned",
            (self.simulator, seconds),
        )
        return self.now()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Within the block no other process writes."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the database, and remove a temporary folder. It may be used again: a temporary one is empty then."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if self._remove is not None:
            self._remove()
            self._remove = None

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            folder / _DATABASE, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                connection.execute(statement)
            for table in ("files", "batches", "responses"):
                connection.execute(
                    f"DELETE FROM {table} WHERE created < ?",  # noqa: S608
                    (self._wall() - _KEPT_SECONDS,),
                )
            connection.execute("COMMIT")
            self._remove_strays(connection, folder)
        except BaseException:
            connection.close()
            raise
        self._connection, self._folder = connection, folder

    def _remove_strays(self, connection: sqlite3.Connection, folder: Path) -> None:
        """Remove what killed processes left, and contents of files that are forgotten."""
        known = connection.execute(
            "SELECT COALESCE(results, id) FROM files UNION SELECT id FROM batches WHERE ended IS NULL"
        ).fetchall()
        kept = {name.partition(".")[0] for (name,) in known}
        for path in folder.iterdir():
            if path.name.startswith("sim-") and path.name.partition(".")[0] not in kept:
                with suppress(OSError):
                    if path.stat().st_mtime < time.time() - _STRAY_SECONDS:
                        path.unlink()


def _remove_folder(folder: str, process: int) -> None:
    """Remove a folder, in the process that made it: not in one that was forked from it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
