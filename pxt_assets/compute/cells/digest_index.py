"""An index of digests and a set of digests; both look up many digests at once, and lie on disk where they are large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.sorted_runs import Alike, Entries, Run, as_sorted, joined, merged
from pxt_assets.values.digest import DIGEST_BYTES, simulated_digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.stored_array import StoredArray

    Digests = npt.NDArray[np.bytes_]
    Positions = npt.NDArray[np.int64]
    ManyDigests = Digests | StoredArray
    """`S16[rows]`, of all rows: read by the slice."""

LOOKUP_ROWS = 65_536
_IN_MEMORY = 131_072
"""Digests that stay in memory, 20 bytes each; more of them are written to a temporary file."""
_RUNS_A_TIER = 6
"""Runs of about one length, before they are merged into a longer one."""
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


def lookup_batches(digests: ManyDigests) -> Iterator[Digests]:
    """The digests in batches of a size to look up at once: a look-up takes several times their memory."""
    for start in range(0, len(digests), LOOKUP_ROWS):
        yield digests[start : start + LOOKUP_ROWS]


def sorted_digests(joined: bytes | bytearray) -> Digests:
    """Digests of 16 bytes each, in order."""
    import numpy as np

    return np.sort(np.frombuffer(joined, "S16"))


def are_among(digests: Digests, ordered: Digests) -> npt.NDArray[np.bool_]:
    """Which digests are among those in order, of which there is one at least."""
    import numpy as np

    found: npt.NDArray[np.bool_] = (
        ordered[np.minimum(np.searchsorted(ordered, digests), len(ordered) - 1)] == digests
    )
    return found


def simulated_digests(digests: Digests) -> Digests:
    """The digests `S16[n]` under which a simulator's answers are stored."""
    import numpy as np

    return np.array([simulated_digest(d.ljust(DIGEST_BYTES, b"\0")) for d in digests.tolist()], "S16")


def _entries(digests: Digests, positions: Positions | None = None) -> Entries:
    """Digests by their halves: numbers are searched and compared several times as fast as bytes."""
    import numpy as np

    halves = np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)
    at = np.zeros(len(halves), np.uint32) if positions is None else positions.astype(np.uint32)
    return Entries(halves[:, 0].copy(), halves[:, 1].copy(), at)


def _among_alike(entries: Entries, alike: Alike) -> Positions:
    """The positions of those digests whose first halves are shared, -1 of all others."""
    import numpy as np

    halves = zip(entries.first.tolist(), entries.second.tolist(), strict=True)
    return np.array([alike.get(both, -1) for both in halves], np.int64)


class DigestIndex:
    """Finds a cell by its digest: `find` gives the position that `add` got for it, the last one if there are several.

    Positions grow from one `add` to the next. Where there are many digests, they lie in a temporary file in `folder`.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._added: list[Entries] = []
        """Added but not sorted yet: sorting happens once, at the first look-up, however many segments were added."""
        self._added_rows = 0
        self._kept: Entries | None = None
        """The run in memory, of an index that is small."""
        self._runs: list[Run] = []
        self._alike: Alike = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, digests: Digests, positions: Positions) -> None:
        """Adds `S16[n]` digests at `int64[n]` positions, below 2**32."""
        for start in range(0, len(digests), _IN_MEMORY):
            some = slice(start, start + _IN_MEMORY)
            self._added.append(_entries(digests[some], positions[some]))
            self._added_rows += len(self._added[-1].first)
            if self._added_rows >= _IN_MEMORY:
                self._write_added()
        self._count += len(digests)

    def find(self, digests: Digests) -> Positions:
        """The position of each digest, -1 where there is none."""
        import numpy as np

        if self._added or len(self._runs) > 1:
            self._sort_added()
        if self._kept is None and not self._runs:
            return np.full(len(digests), -1, np.int64)
        wanted = _entries(digests)
        if self._runs:
            found = self._runs[0].find(wanted.first, wanted.second)
        else:
            assert self._kept is not None
            found = self._kept.find(wanted.first, wanted.second)
        return np.maximum(found, _among_alike(wanted, self._alike)) if self._alike else found

    def _sorted_in_memory(self) -> Entries:
        """What was added, in one run with what was in memory before."""
        parts = self._added if self._kept is None else [self._kept, *self._added]
        self._added, self._added_rows, self._kept = [], 0, None
        return as_sorted(joined(parts), self._alike)

    def _write_added(self) -> None:
        run = self._sorted_in_memory()
        self._runs.append(Run([run], len(run.first), self._folder, filtered=False))

    def _sort_added(self) -> None:
        if not self._runs:
            self._kept = self._sorted_in_memory()
            return
        if self._added:
            self._write_added()
        self._runs = [merged(self._runs, self._folder, self._alike, filtered=False)]


class DigestSet:
    """A set of digests, in memory as runs each of which is twice as long as the next; where they are many, on disk."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._kept: list[Entries] = []
        self._runs: list[Run] = []
        self._alike: Alike = {}

    def add(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Adds `S16[n]`; says which of them are new: not in the set before, nor earlier in this batch."""
        import numpy as np

        is_new = np.zeros(len(digests), bool)
        entries = _entries(digests)
        first = _first_ones(entries)
        wanted = Entries(entries.first[first], entries.second[first], entries.at[first])
        seen = np.zeros(len(first), bool)
        runs: list[Entries | Run] = [*self._kept, *self._runs]
        for run in runs:
            seen |= run.find(wanted.first, wanted.second) >= 0
        if self._alike:
            seen |= _among_alike(wanted, self._alike) >= 0
        is_new[first[~seen]] = True
        self._keep(Entries(wanted.first[~seen], wanted.second[~seen], wanted.at[~seen]))
        return is_new

    def _keep(self, entries: Entries) -> None:
        if not len(entries.first):
            return
        run = as_sorted(entries, self._alike)
        while self._kept and len(self._kept[-1].first) < 2 * len(run.first):
            run = as_sorted(joined([self._kept.pop(), run]), self._alike)
        self._kept.append(run)
        if sum(len(kept.first) for kept in self._kept) >= _IN_MEMORY:
            run, self._kept = as_sorted(joined(self._kept), self._alike), []
            self._runs.append(Run([run], len(run.first), self._folder, filtered=True))
            while (tier := self._runs[-_RUNS_A_TIER:])[0].count < 2 * tier[-1].count and len(
                tier
            ) == _RUNS_A_TIER:
                self._runs[-_RUNS_A_TIER:] = [merged(tier, self._folder, self._alike, filtered=True)]


def _first_ones(entries: Entries) -> Positions:
    """Where each distinct digest comes first, `int64[m]`, in the order of first halves."""
    import numpy as np

    order = np.argsort(entries.first, kind="stable")
    first = entries.first[order]
    if not (first[1:] == first[:-1]).any():
        return order
    order = np.lexsort((entries.second, entries.first))
    first, second = entries.first[order], entries.second[order]
    is_first = np.ones(len(first), bool)
    is_first[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return order[is_first]
