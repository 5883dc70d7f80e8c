"""Batches as they are kept: what was asked for, what the pass over their files found, and how they ended."""

import json
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.batches.storage import Storage
from pxt_assets.simulator.batches.work import Checked

_COLUMNS = (
    "seq, owner, id, input_file, endpoint, metadata, output_seconds, created, cancelling, checked, ended"
)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch."""

    seq: int
    """Grows from batch to batch."""
    owner: str
    id: str
    input_file: str
    endpoint: str
    metadata: dict[str, str] | None
    output_seconds: int | None
    """How long its results are kept, where that was asked for."""
    created: float
    cancelling: float | None
    """When its end was asked for."""
    checked: Checked | None
    """What the pass over its file found; None before it is done."""
    ended: dict[str, Any] | None
    """The API's description of it once it is over."""


class BatchRecords:
    """The batches of all owners."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def add(
        self,
        owner: str,
        id: str,
        *,
        input_file: str,
        endpoint: str,
        metadata: dict[str, str] | None,
        output_seconds: int | None,
        created: float,
    ) -> BatchRecord:
        """A new batch."""
        values = (owner, id, input_file, endpoint, json.dumps(metadata), output_seconds, created)
        cursor = self._storage.connection.execute(
            "INSERT INTO batches (simulator, owner, id, input_file, endpoint, metadata, output_seconds, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._storage.simulator, *values),
        )
        return BatchRecord(
            cursor.lastrowid or 0,
            owner,
            id,
            input_file,
            endpoint,
            metadata,
            output_seconds,
            created,
            None,
            None,
            None,
        )

    def find(self, owner: str, id: str) -> BatchRecord | None:
        """The batch of that id; None if it is not the owner's, or never was."""
        rows = self._select("AND id = ?", (id,), owner)
        return rows[0] if rows else None

    def page(self, owner: str, *, after: BatchRecord | None, limit: int) -> tuple[list[BatchRecord], bool]:
        """Batches, the newest first; and whether there are more."""
        condition, values = ("", ()) if after is None else ("AND seq < ?", (after.seq,))
        rows = self._select(f"{condition} ORDER BY seq DESC LIMIT ?", (*values, limit + 1), owner)
        return rows[:limit], len(rows) > limit

    def not_ended(self, owner: str) -> list[BatchRecord]:
        """Batches whose end is not recorded, the oldest first."""
        return self._select("AND ended IS NULL ORDER BY seq", (), owner)

    def admit(
        self,
        batch: BatchRecord,
        checked: Checked,
        *,
        family: str,
        at: float,
        ends: float,
        limit: float | None,
    ) -> bool:
        """Record what the pass found, unless somebody did; with False if the queue has no room for it.

        `limit` is the tokens of the batches of a family that may be in the queue, and `ends` is when this one leaves it.
        """
        with self._storage.transaction() as connection:
            if checked.errors or limit is None:
                has_room = True
            else:
                [queued] = connection.execute(
                    "SELECT SUM(tokens) FROM batches WHERE simulator = ? AND owner = ? AND family = ? AND ends > ? AND id != ?",
                    (self._storage.simulator, batch.owner, family, at, batch.id),
                ).fetchone()
                has_room = (queued or 0) + checked.tokens <= limit
            if has_room:
                tokens = 0 if checked.errors else checked.tokens
                connection.execute(
                    "UPDATE batches SET checked = ?, family = ?, tokens = ?, ends = ? WHERE id = ? AND checked IS NULL",
                    (checked.as_text(), family, tokens, ends, batch.id),
                )
        return has_room

    def cancel(self, batch: BatchRecord, at: float, ends: float) -> None:
        """Record that the end of a batch was asked for."""
        self._storage.connection.execute(
            "UPDATE batches SET cancelling = ?, ends = ? WHERE id = ? AND cancelling IS NULL AND ended IS NULL",
            (at, ends, batch.id),
        )

    def end(self, batch: BatchRecord, description: dict[str, Any]) -> None:
        """Record how a batch ended; to be called within a transaction."""
        self._storage.connection.execute(
            "UPDATE batches SET ended = ? WHERE id = ?", (json.dumps(description), batch.id)
        )

    def _select(self, rest: str, values: tuple[Any, ...], owner: str) -> list[BatchRecord]:
        rows = self._storage.connection.execute(
            f"SELECT {_COLUMNS} FROM batches WHERE simulator = ? AND owner = ? {rest}",  # noqa: S608
            (self._storage.simulator, owner, *values),
        ).fetchall()
        return [_record(*row) for row in rows]


def _record(
    seq: int,
    owner: str,
    id: str,
    input_file: str,
    endpoint: str,
    metadata: str,
    output_seconds: int | None,
    created: float,
    cancelling: float | None,
    checked: str | None,
    ended: str | None,
) -> BatchRecord:
    return BatchRecord(
        seq,
        owner,
        id,
        input_file,
        endpoint,
        json.loads(metadata),
        output_seconds,
        created,
        cancelling,
        None if checked is None else Checked.from_text(checked),
        None if ended is None else json.loads(ended),
    )
