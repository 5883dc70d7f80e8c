"""What the partitions that one run computes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pxt_assets.api.client import Client
from pxt_assets.compute.asking.in_flight_bound import Room
from pxt_assets.compute.asking.progress import Board
from pxt_assets.errors import RunError
from pxt_assets.throttle import LimitUtilization

_COMMITS = 2
"""Files that are written at once, each of which takes memory for some row groups."""


class StoppedError(RunError):
    """Another partition's error has ended the run; what this one had finished or in flight is kept."""


class Shared:
    """The client (None for columns that call no API), the room for cells, the progress, and the end of it all.

    `name` is the column's and `partitions` how many are computed. To be made in a running event loop.
    """

    def __init__(self, client: Client | None = None, *, name: str = "", partitions: int = 1) -> None:
        self.client = client
        self.room = Room(0 if client is None else 2 * client.max_in_flight)
        self.board = Board(name, partitions, LimitUtilization if client is None else client.used)
        self.commits = asyncio.Semaphore(_COMMITS)
        self.is_stopped = False
        self._asking: set[Callable[[BaseException], None]] = set()

    @contextmanager
    def stoppable(self, stop: Callable[[BaseException], None]) -> Iterator[None]:
        """Within the block, `stop` is called when the run is to end. Raises StoppedError if it is already."""
        self.check()
        self._asking.add(stop)
        try:
            yield
        finally:
            self._asking.discard(stop)

    def stop(self) -> None:
        """Nothing more is sent. Whoever is asking waits for what is in flight, and raises StoppedError."""
        self.is_stopped = True
        for stop in list(self._asking):
            stop(_stopped())

    def check(self) -> None:
        """Raises StoppedError once the run is to end."""
        if self.is_stopped:
            raise _stopped()


def _stopped() -> StoppedError:
    return StoppedError("the run ended before this partition was finished; what is finished is kept")
