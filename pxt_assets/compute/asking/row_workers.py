"""Tasks that ask for rows one after the other: a run has as many as requests may be in flight, not one a row."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import Protocol

_ROWS_PER_TURN = 32
"""Rows after which a worker lets the event loop go on, should none of them have waited for anything."""


class Work(Protocol):
    """A row that is to be asked for."""

    @property
    def context(self) -> Context:
        """The context in which it is asked for: that of its partition."""

    async def ask(self) -> None:
        """Asks for it. Raises nothing but CancelledError, of a task that is to end."""

    def cancel(self) -> None:
        """Ends it without having asked."""


class RowWorkers:
    """Asks for the rows that are added, in their order: `most` at once, and one more for each that rests."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._resting = 0
        self._waiting: deque[Work] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, row: Work) -> None:
        """Adds a row, which is asked for when its turn comes."""
        self._waiting.append(row)
        self._start()

    def note_rest(self, change: int) -> None:
        """Notes how many requests more (+1) or fewer (-1) rest between two attempts, and use nothing meanwhile."""
        self._resting += change
        self._start()

    def waits(self, context: Context) -> bool:
        """Whether a row of that context has not had its turn."""
        return any(row.context is context for row in self._waiting)

    def drop(self, context: Context) -> list[Work]:
        """Takes out the rows of that context that have not had their turn."""
        if not self.waits(context):
            return []
        dropped = [row for row in self._waiting if row.context is context]
        self._waiting = deque(row for row in self._waiting if row.context is not context)
        return dropped

    def _start(self) -> None:
        while self._waiting and len(self._tasks) < self._most + self._resting:
            row = self._waiting.popleft()
            task = asyncio.get_running_loop().create_task(self._work(row), context=row.context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._on_end)

    async def _work(self, first: Work) -> None:
        row: Work | None = first
        asked = 0
        while row is not None:
            await row.ask()
            asked += 1
            if asked % _ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
            row = self._next(first.context)

    def _next(self, context: Context) -> Work | None:
        """The next row, if it is of the same partition: another one's requests have another context."""
        waiting = self._waiting
        if waiting and waiting[0].context is context and len(self._tasks) <= self._most + self._resting:
            return waiting.popleft()
        return None

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start()
