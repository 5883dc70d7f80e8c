"""An index of digests, 20 bytes per cell, and a set of digests, 16 bytes each; both look up many digests at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pxt_assets.values.digest import DIGEST_BYTES, simulated_digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Digests = npt.NDArray[np.bytes_]
    Positions = npt.NDArray[np.int64]
    Halves = npt.NDArray[np.uint64]

_LOOKUP_ROWS = 65_536
NO_DIGEST = b"\0" * DIGEST_BYTES
"""Stands for the digest of a cell that has none: a null, or a row that makes no request."""


def digests_of(column: pa.ChunkedArray | pa.Array) -> Digests:
    """A column of 16-byte digests as `S16[n]`. Nulls are not allowed."""
    import numpy as np
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.binary(16))
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.empty(0, "S16")
    return np.frombuffer(data, "S16", len(array), array.offset * 16)


def lookup_batches(digests: Digests) -> Iterator[Digests]:
    """The digests in batches of a size to look up at once: a look-up takes several times their memory."""
    for start in range(0, len(digests), _LOOKUP_ROWS):
        yield digests[start : start + _LOOKUP_ROWS]


def simulated_digests(digests: Digests) -> Digests:
    """The digests `S16[n]` under which a simulator's answers are stored."""
    import numpy as np

    return np.array([simulated_digest(d.ljust(DIGEST_BYTES, b"\0")) for d in digests.tolist()], "S16")


def _halves(digests: Digests) -> Halves:
    """The digests' halves as `uint64[n, 2]`: numbers are searched and compared several times as fast as bytes."""
    import numpy as np

    return np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)


class DigestIndex:
    """Finds a cell by its digest: `find` gives the position that `add` got for it, the last one if there are several.

    It is sorted by the first halves, which two digests hardly ever share.
    """

    def __init__(self) -> None:
        import numpy as np

        self._first: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._second: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._positions: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._unsorted: list[tuple[Digests, Positions]] = []
        """Added but not sorted yet: sorting happens once, at the first look-up, however many segments were added."""

    def __len__(self) -> int:
        return len(self._first) + sum(len(digests) for digests, _ in self._unsorted)

    def add(self, digests: Digests, positions: Positions) -> None:
        """Adds `S16[n]` digests at `int64[n]` positions, below 2**32."""
        self._unsorted.append((digests, positions))

    def find(self, digests: Digests) -> Positions:
        """The position of each digest, -1 where there is none."""
        import numpy as np

        if self._unsorted:
            self._sort_added()
        if not len(self._first):
            return np.full(len(digests), -1, np.int64)
        wanted = _halves(digests)
        at = np.maximum(np.searchsorted(self._first, wanted[:, 0], side="right") - 1, 0)
        alike = self._first[at] == wanted[:, 0]
        found = alike & (self._second[at] == wanted[:, 1])
        for i in np.flatnonzero(alike & ~found):  # another one with that first half
            start = np.searchsorted(self._first, wanted[i, 0])
            matching = np.flatnonzero(self._second[start : at[i] + 1] == wanted[i, 1])
            if len(matching):
                at[i], found[i] = start + matching[-1], True
        return np.where(found, self._positions[at].astype(np.int64), -1)

    def _sort_added(self) -> None:
        import numpy as np

        added, self._unsorted = self._unsorted, []
        halves = [_halves(digests) for digests, _ in added]
        first = np.concatenate([self._first, *(half[:, 0] for half in halves)])
        second = np.concatenate([self._second, *(half[:, 1] for half in halves)])
        positions = np.concatenate([self._positions, *(at.astype(np.uint32) for _, at in added)])
        del added, halves
        order = np.argsort(first, kind="stable")  # of several with one digest, the last one stays last
        self._first, self._second, self._positions = first[order], second[order], positions[order]


class DigestSet:
    """A set of digests, 16 bytes each, as runs sorted by the first halves; each run is twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[Halves] = []

    def add(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Adds `S16[n]`; says which of them are new: not in the set before, nor earlier in this batch."""
        import numpy as np

        distinct, first = np.unique(digests, return_index=True)
        wanted = _halves(distinct)
        seen = np.zeros(len(distinct), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run[:, 0], wanted[:, 0]), len(run) - 1)
            here = (run[at] == wanted).all(axis=1)
            for i in np.flatnonzero(~here & (run[at, 0] == wanted[:, 0])):
                same = run[at[i] : np.searchsorted(run[:, 0], wanted[i, 0], side="right"), 1]
                here[i] = bool((same == wanted[i, 1]).any())
            seen |= here
        is_new = np.zeros(len(digests), bool)
        is_new[first[~seen]] = True
        run = _sort_by_first_half(wanted[~seen])
        if len(run):
            while self._runs and len(self._runs[-1]) < 2 * len(run):
                run = _sort_by_first_half(np.concatenate([self._runs.pop(), run]))
            self._runs.append(run)
        return is_new


def _sort_by_first_half(halves: Halves) -> Halves:
    import numpy as np

    return np.asfortranarray(halves[np.argsort(halves[:, 0], kind="stable")])
