"""The bound on cells in flight: how many all partitions of a run may have asked for at once."""

from __future__ import annotations

import asyncio

_CELLS = 4_096
_REQUESTS = 4
"""Requests in flight, where a request carries many cells."""
_BYTES = 32 * 2**20
"""Of text, images and sounds of the cells in flight; each takes several times its size in memory."""


class InFlightBound:
    """Counts the cells that are asked for and not finished, and their bytes: each takes memory meanwhile.

    It allows at least `in_flight` cells at once.
    """

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._cells = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    def is_full(self, cells_per_request: int) -> bool:
        """Whether no more cell may be asked for now, if `cells_per_request` of them fit into one request."""
        most = max(_CELLS, _REQUESTS * cells_per_request, self._in_flight)
        return self._cells >= most or self._bytes > _BYTES

    def acquire(self, size: int) -> None:
        """Counts a cell that is asked for; `size` is its bytes."""
        self._cells += 1
        self._bytes += size

    def release(self, size: int) -> None:
        """Counts a cell as finished; `size` is its bytes."""
        self._cells -= 1
        self._bytes -= size
        self.notify()

    def notify(self) -> None:
        """Wakes whoever waits, to look again."""
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Returns at the next change."""
        self._changed.clear()
        await self._changed.wait()
