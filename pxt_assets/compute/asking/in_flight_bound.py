"""Room for the cells that are on their way: what all partitions of a run may have outstanding together."""

from __future__ import annotations

import asyncio

_CELLS = 4_096
_REQUESTS = 4
"""Of requests that carry many cells each."""
_BYTES = 32 * 2**20
"""Texts, images and sounds of cells that are asked for, which each takes several times while it is on its way."""


class InFlightBound:
    """Counts cells from when they are asked for until they are finished: each takes memory meanwhile.

    At least `in_flight` cells have room.
    """

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._cells = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    def is_full(self, together: int) -> bool:
        """Whether enough is asked for before one more cell, of which `together` go into one request."""
        most = max(_CELLS, _REQUESTS * together, self._in_flight)
        return self._cells >= most or self._bytes > _BYTES

    def take(self, size: int) -> None:
        """Counts a cell of so many bytes."""
        self._cells += 1
        self._bytes += size

    def give_back(self, size: int) -> None:
        """The cell is finished."""
        self._cells -= 1
        self._bytes -= size
        self.change()

    def change(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()

    async def changes(self) -> None:
        """Returns at the next change."""
        self._changed.clear()
        await self._changed.wait()
