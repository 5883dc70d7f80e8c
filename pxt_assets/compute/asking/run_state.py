"""The state that the partitions of one run share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from pxt_assets.api.client import Client
from pxt_assets.api.server_name import SIMULATOR, AskedServer
from pxt_assets.compute.asking.batch_size import BatchSizes
from pxt_assets.compute.asking.in_flight_bound import InFlightBound
from pxt_assets.compute.asking.progress import ProgressDisplay
from pxt_assets.compute.asking.row_workers import RowWorkers
from pxt_assets.errors import RunError
from pxt_assets.local.worker_pools import WorkerPools
from pxt_assets.throttle import LimitUtilization

_COMMITS = 2
"""Files written at once; each takes memory for some row groups."""


class StoppedError(RunError):
    """Another partition's error ended the run; what this one had finished or in flight is kept."""


class RunState:
    """The client (None for columns that call no API), the in-flight bound, the progress display, and the stop signal.

    `name` is the column's name, `partitions` how many the run computes, `server` the one that the client asks. Create it
    in a running event loop.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        name: str = "",
        partitions: int = 1,
        server: AskedServer | None = None,
    ) -> None:
        self.client = client
        self.name = name
        self._server = server
        self.batch_sizes = BatchSizes(None if client is None else client.max_batch)
        self.row_workers = RowWorkers(0 if client is None else client.max_in_flight)
        self.in_flight = InFlightBound(0 if client is None else 2 * client.max_in_flight)
        self.display = ProgressDisplay(
            name,
            partitions,
            LimitUtilization if client is None else client.limit_usage,
            silence=None if client is None else client.silence,
        )
        self.workers = WorkerPools()
        """Of functions that run in other processes; whoever ends the run closes them."""
        self.commit_slots = asyncio.Semaphore(_COMMITS)
        self.is_stopped = False
        self._stop_callbacks: set[Callable[[BaseException], None]] = set()

    async def server(self) -> AskedServer | None:
        """The server that is asked, as its answers tell: it may be a simulator. None for a column that asks none."""
        if self.client is None or self._server is None:
            return None
        return self._server._replace(name=SIMULATOR) if await self.client.is_simulated() else self._server

    @property
    def server_name(self) -> str | None:
        """The name of the server that is asked, unless it is a simulator."""
        return None if self._server is None else self._server.name

    @property
    def reuses_other_servers(self) -> bool:
        """Whether answers of another server are reused."""
        return self._server is None or self._server.on_other_server == "reuse"

    @property
    def refuses_other_servers(self) -> bool:
        """Whether rows that another server answered end the run."""
        return self._server is not None and self._server.on_other_server == "fail"

    def expect_requests(self) -> AbstractContextManager[None]:
        """Within the block more requests are still to come."""
        return nullcontext() if self.client is None else self.client.expect_requests()

    @contextmanager
    def call_on_stop(self, stop: Callable[[BaseException], None]) -> Iterator[None]:
        """Within the block, `stop` is called when the run stops. Raises StoppedError if it has stopped already."""
        self.raise_if_stopped()
        self._stop_callbacks.add(stop)
        try:
            yield
        finally:
            self._stop_callbacks.discard(stop)

    def stop(self) -> None:
        """Stops the run: nothing more is sent. Each partition waits for what it has in flight, then raises StoppedError."""
        self.is_stopped = True
        for stop in list(self._stop_callbacks):
            stop(_stopped_error())

    def raise_if_stopped(self) -> None:
        """Raises StoppedError if the run has stopped."""
        if self.is_stopped:
            raise _stopped_error()


def _stopped_error() -> StoppedError:
    return StoppedError("the run ended before this partition was finished; what is finished is kept")
