"""Finished cells that are not on disk yet, and the thread that waits until they are to be written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pxt_assets.compute.cells.cell import Cell


class WaitingCells:
    """The cells in the order in which they came: the event loop appends, another thread writes and drops them.

    `clock` gives seconds; `changed` is waited on.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, changed: threading.Condition | None = None
    ) -> None:
        self.bytes = 0
        """Of all values in it, those that are being written included; small ones may count 0."""
        self._cells: list[Cell] = []
        self._since: float | None = None
        """When the first cell came after the last write began."""
        self._ended = False
        self.clock = clock
        self._changed = changed or threading.Condition()

    def __len__(self) -> int:
        return len(self._cells)

    def append(self, cell: Cell, at_once: int) -> None:
        """Adds a cell. They are due at once as soon as they come to `at_once` bytes."""
        with self._changed:
            self._cells.append(cell)
            self.bytes += cell.size
            if self._since is None:
                self._since = self.clock()
                self._changed.notify()
            elif self.bytes >= at_once:
                self._changed.notify()

    def wait_until_due(self, age: float, at_once: int) -> bool:
        """Returns True when the oldest one has waited for `age` seconds or they come to `at_once` bytes; False at the end."""
        with self._changed:
            while not self._ended:
                left = None if self._since is None else self._since + age - self.clock()
                if left is not None and (left <= 0 or self.bytes >= at_once):
                    return True
                self._changed.wait(left)
            return False

    def end(self) -> None:
        """Ends the waiting; cells may still be added and written."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def begin_write(self) -> int:
        """How many cells are to be written; the age of those that come later begins anew."""
        with self._changed:
            self._since = None
            return len(self._cells)

    def first(self, count: int, most_bytes: int) -> list[Cell]:
        """The oldest cells, `count` at most, and no more after those that come to `most_bytes`."""
        with self._changed:
            size = 0
            for i in range(count):
                size += self._cells[i].size
                if size >= most_bytes:
                    return self._cells[: i + 1]
            return self._cells[:count]

    def drop(self, cells: list[Cell]) -> None:
        """Forgets the oldest cells, which are written."""
        with self._changed:
            del self._cells[: len(cells)]
            self.bytes -= sum(cell.size for cell in cells)
