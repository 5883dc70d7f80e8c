"""Which requests are in which batch: the newest one that a request was put into, and since when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.compute.cells.digest_index import DigestIndex
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.deferred.record_folder import AskedDigests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Digests = npt.NDArray[np.bytes_]
    Positions = npt.NDArray[np.int64]


class Asked(NamedTuple):
    """Of each request, `[n]`, what is known of it."""

    batches: Positions
    """The number of the newest batch that it is in, -1 for none."""
    since: npt.NDArray[np.float64]
    """Since when it is asked for, in seconds since 1970; NaN where it never was."""
    tries: npt.NDArray[np.uint8]
    """How often it was tried before that batch."""


class AskedRequests:
    """The requests of the batches that were added, the oldest batch first. Those of many lie in temporary files."""

    def __init__(self, scratch: str | None) -> None:
        self._index = DigestIndex(scratch)
        self._since, self._tries = StoredArray("f8", scratch), StoredArray("u1", scratch)
        self._starts: list[int] = []
        """The position of each batch's first request."""

    def add(self, asked: AskedDigests) -> int:
        """Adds the requests of a batch; its number."""
        import numpy as np

        start = len(self._since)
        self._starts.append(start)
        self._index.add(asked.digests, np.arange(start, start + len(asked.digests), dtype=np.int64))
        self._since.append(asked.since)
        self._tries.append(asked.tries)
        return len(self._starts) - 1

    def batches(self, digests: Digests) -> Positions:
        """The number of the newest batch that each request `S16[n]` is in, -1 for none."""
        return self._numbers(self._index.find(digests))

    def find(self, digests: Digests) -> Asked:
        """What is known of requests. Slower than `batches`: for those that wait."""
        import numpy as np

        positions = self._index.find(digests)
        since, tries = np.full(len(digests), np.nan), np.zeros(len(digests), np.uint8)
        for i in np.flatnonzero(positions >= 0).tolist():
            here = slice(int(positions[i]), int(positions[i]) + 1)
            since[i], tries[i] = self._since[here][0], self._tries[here][0]
        return Asked(self._numbers(positions), since, tries)

    def _numbers(self, positions: Positions) -> Positions:
        import numpy as np

        if not self._starts:
            return np.full(len(positions), -1, np.int64)
        numbers = np.searchsorted(np.array(self._starts), positions, side="right") - 1
        found: Positions = np.where(positions < 0, -1, numbers)
        return found
