"""The files of the API: those that were uploaded, and the results of batches."""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pxt_assets.simulator.batches.storage import Storage

KEPT_SECONDS = 30 * 86_400
"""How long the files of batches are kept, where nothing else was asked for."""

Part = Literal["output", "error"]
_COLUMNS = "seq, id, filename, purpose, bytes, created, expires, results, part"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file."""

    seq: int
    """Grows from file to file."""
    id: str
    filename: str
    purpose: str
    bytes: int
    created: float
    expires: float | None
    results: str | None = None
    """Names the answered lines that it is a part of; None for an upload."""
    part: Part | None = None

    def as_json(self) -> dict[str, Any]:
        """The API's description of the file."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": int(self.created),
            "expires_at": None if self.expires is None else int(self.expires),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class FileRecords:
    """The files of all owners."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def add(
        self,
        owner: str,
        id: str,
        filename: str,
        purpose: str,
        size: int,
        created: float,
        expires: float | None,
        *,
        results: str | None = None,
        part: Part | None = None,
    ) -> FileRecord:
        """A new file, whose content is in its place already."""
        cursor = self._storage.connection.execute(
            "INSERT INTO files (simulator, owner, id, filename, purpose, bytes, created, expires, results, part) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._storage.simulator,
                owner,
                id,
                filename,
                purpose,
                size,
                created,
                expires,
                results,
                part,
            ),
        )
        return FileRecord(cursor.lastrowid or 0, id, filename, purpose, size, created, expires, results, part)

    def find(self, owner: str, id: str) -> FileRecord | None:
        """The file of that id; None if it is not the owner's, was deleted, or never was."""
        rows = self._select("AND id = ?", (id,), owner)
        return rows[0] if rows else None

    def page(
        self, owner: str, *, after: FileRecord | None, limit: int, ascending: bool, purpose: str | None
    ) -> tuple[list[FileRecord], bool]:
        """Files in the order in which they came, or the newest first; and whether there are more."""
        condition, values = "", list[Any]()
        if after is not None:
            condition += f" AND seq {'>' if ascending else '<'} ?"
            values.append(after.seq)
        if purpose is not None:
            condition += " AND purpose = ?"
            values.append(purpose)
        order = f"ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?"
        rows = self._select(f"{condition} {order}", (*values, limit + 1), owner)
        return rows[:limit], len(rows) > limit

    def delete(self, file: FileRecord) -> None:
        """Delete a file with its content."""
        connection = self._storage.connection
        connection.execute("DELETE FROM files WHERE id = ?", (file.id,))
        if file.results is None:
            self.content(file.id).unlink(missing_ok=True)
            return
        left = connection.execute("SELECT 1 FROM files WHERE results = ?", (file.results,)).fetchone()
        if left is None:
            self.drop_results(file.results)

    def delete_expired(self, now: float) -> None:
        """Delete the files whose time is over."""
        for row in self._storage.connection.execute(
            f"SELECT {_COLUMNS} FROM files WHERE simulator = ? AND expires <= ?",  # noqa: S608
            (self._storage.simulator, now),
        ).fetchall():
            self.delete(FileRecord(*row))

    def content(self, id: str) -> Path:
        """Where the content of an upload lies."""
        return self._storage.folder / id

    def results(self, name: str) -> tuple[Path, Path]:
        """Where the answered lines of that name lie, and their index."""
        return self._storage.folder / f"{name}.lines", self._storage.folder / f"{name}.index"

    def drop_results(self, name: str) -> None:
        """Remove answered lines."""
        for path in self.results(name):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _select(self, rest: str, values: tuple[Any, ...], owner: str) -> list[FileRecord]:
        rows: list[sqlite3.Row] = self._storage.connection.execute(
            f"SELECT {_COLUMNS} FROM files WHERE simulator = ? AND owner = ? {rest}",  # noqa: S608
            (self._storage.simulator, owner, *values),
        ).fetchall()
        return [FileRecord(*row) for row in rows]
