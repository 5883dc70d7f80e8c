"""The answers of one column that come later: what is asked for, on its way, and kept; for all of its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.compute.deferred.record import BatchRecord, Partition

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from upath import UPath

    from pxt_assets.api.batches import BatchApi, LineAnswer
    from pxt_assets.api.request import Request

    Digests = npt.NDArray[np.bytes_]
    Mask = npt.NDArray[np.bool_]


class Submitted(NamedTuple):
    """What a submission came to."""

    batches: tuple[BatchRecord, ...]
    """Those that are on their way now, and were not before."""
    requests: int
    """Requests in these."""
    without_room: int
    """Requests for which the queue has no room yet."""


class DeferredColumn:
    """The batches of one column, in `folder`, which need not exist.

    Whatever plans, submits, collects or closes happens within `hold()`; `poll` and `cancel` take it themselves. What looks
    up or gathers is synchronous, and does many rows at once; digests are `S16[n]`.
    """

    def __init__(
        self,
        folder: UPath,
        api: BatchApi,
        *,
        label: str = "",
        within_s: float = 86_400.0,
        server: str | None = None,
        run_id: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Within the block, no other process plans or submits batches of this column; waits for one that does.

        Reads the records anew, and takes over what a process that died left. Raises ClaimedError after a long wait.
        """
        yield

    def records(self) -> list[BatchRecord]:
        """All records, the oldest first."""
        raise NotImplementedError

    def kept_mask(self, digests: Digests, partition: Partition, since: float = 0.0) -> Mask:
        """Which cells `S16[n]` have an answer that was kept at `since` or later.

        An answer that is an error counts only until the partition has settled its batch.
        """
        raise NotImplementedError

    def take(self, digests: Digests) -> Iterator[LineAnswer]:
        """The kept answers of cells, all of which have one, in that order."""
        raise NotImplementedError

    def on_its_way(self, digests: Digests) -> Mask:
        """Which cells are in a batch of which answers may still come."""
        raise NotImplementedError

    def also_waits(self, partition: Partition, digests: Digests) -> None:
        """Notes that a partition waits for cells that are on their way."""
        raise NotImplementedError

    def is_overdue(self, digests: Digests) -> Mask:
        """Which cells are to be asked for now: not answered within the time, or tried too often."""
        raise NotImplementedError

    def waited_since(self, digests: Digests) -> npt.NDArray[np.float64]:
        """Since when each cell is asked for and not answered, in seconds since 1970; NaN where it was never asked for."""
        raise NotImplementedError

    def want(self, request: Request, partition: Partition, cost_usd: float | None = 0.0) -> None:
        """Has a request submitted with the next batch, once, however many partitions want it.

        `cost_usd` is what it is expected to cost, None if that is not known. Raises CellError for a request that no line of a batch can hold.
        """
        raise NotImplementedError

    def settle(self, partition: Partition, digests: Digests) -> None:
        """Notes that the answers of all cells of a partition are durable elsewhere."""
        raise NotImplementedError

    async def submit(self) -> Submitted:
        """Submits what is wanted, as far as the queue has room. Raises RunError."""
        raise NotImplementedError

    def seconds_to_poll(self) -> float | None:
        """Seconds until a batch may be asked about again, None if nothing is on its way."""
        raise NotImplementedError

    async def poll(self) -> tuple[BatchRecord, ...]:
        """Asks about the batches that are due, and keeps the answers of those that ended; returns these.

        Raises RunError for a batch that was refused or is unknown, after all others were looked at.
        """
        raise NotImplementedError

    async def cancel(self, *, wait: bool = True) -> tuple[BatchRecord, ...]:
        """Cancels what is on its way, waits until that has ended, and keeps what was finished; returns these records."""
        raise NotImplementedError
