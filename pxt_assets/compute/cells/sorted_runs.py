"""Sorted runs of digests and positions: small ones in memory, larger ones in a temporary file, read by the block.

A run is sorted by the digests' first halves, none of which it holds twice. Digests that share theirs with another one,
which hardly ever happens, are kept aside (`Alike`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.compute.cells.scratch_file import ScratchFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.uint64]

_BLOCK = 64
"""Entries that are read together."""
_ENTRY_BYTES = 20
_BLOCKS_AT_ONCE = 2_048
"""Blocks that are in memory at once while some are looked up, or runs are merged."""
_BITS_AN_ENTRY = 12
"""Of a filter: about two of a hundred absent digests pass it."""

Alike = dict[tuple[int, int], int]
"""The positions of digests that share their first half with others, by both halves."""


class Entries(NamedTuple):
    """Digests, as their halves `uint64[n]`, and their positions `uint32[n]`."""

    first: Numbers
    second: Numbers
    at: npt.NDArray[np.uint32]

    def slice(self, start: int, stop: int | None = None) -> Entries:
        """Some of them."""
        return Entries(self.first[start:stop], self.second[start:stop], self.at[start:stop])

    def find(self, first: Numbers, second: Numbers) -> npt.NDArray[np.int64]:
        """The positions of digests `n`, -1 where one is not among these, which are sorted."""
        import numpy as np

        if not self.first.size:
            return np.full(len(first), -1, np.int64)
        here = np.minimum(np.searchsorted(self.first, first), self.first.size - 1)
        found = (self.first[here] == first) & (self.second[here] == second)
        return np.where(found, self.at[here].astype(np.int64), -1)


def joined(parts: Sequence[Entries]) -> Entries:
    """The entries of all parts."""
    import numpy as np

    return Entries(*(np.concatenate(columns) for columns in zip(*map(tuple, parts), strict=True)))


def as_sorted(entries: Entries, alike: Alike) -> Entries:
    """The entries as a run: of several with one digest the last one. Those that are alike go to `alike`."""
    import numpy as np

    order = np.argsort(entries.first, kind="stable")
    first = entries.first[order]
    if not (first[1:] == first[:-1]).any():
        return Entries(first, entries.second[order], entries.at[order])
    order = np.lexsort((entries.second, entries.first))  # stable: the last one stays last
    first, second, at = entries.first[order], entries.second[order], entries.at[order]
    last = np.ones(len(first), bool)
    last[:-1] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    first, second, at = first[last], second[last], at[last]
    shared = np.zeros(len(first), bool)
    same = first[1:] == first[:-1]
    shared[1:] |= same
    shared[:-1] |= same
    if shared.any():
        halves = zip(first[shared].tolist(), second[shared].tolist(), strict=True)
        for both, position in zip(halves, at[shared].tolist(), strict=True):
            alike[both] = max(position, alike.get(both, 0))
        first, second, at = first[~shared], second[~shared], at[~shared]
    return Entries(first, second, at)


class Run:
    """A run in a file: the least digest of each block stays in memory, 8 bytes for 64 entries, and what its filter takes, if it has one.

    With `filtered`, digests that it does not hold are mostly told without reading: by 1.5 bytes an entry.
    """

    def __init__(self, parts: Iterable[Entries], count: int, folder: str | None, *, filtered: bool) -> None:
        import numpy as np

        self.count = 0
        self._file = ScratchFile(folder)
        self._filter = np.zeros(count * _BITS_AN_ENTRY // 64 + 1, np.uint64) if filtered else None
        starts: list[Numbers] = []
        rest: Entries | None = None
        for part in parts:
            rest = part if rest is None else joined([rest, part])
            whole = len(rest.first) // _BLOCK * _BLOCK
            starts.append(self._append(rest.slice(0, whole)))
            rest = rest.slice(whole)
        if rest is not None and len(rest.first):
            starts.append(self._append(rest))
        self.starts: Numbers = np.concatenate([np.empty(0, np.uint64), *starts])
        """The least first half of each block."""

    def _append(self, entries: Entries) -> Numbers:
        """Writes entries in blocks, the last of which repeats its last one; returns the blocks' least first halves."""
        import numpy as np

        count = len(entries.first)
        if not count:
            return entries.first
        self.count += count
        if self._filter is not None:
            words, bits = self._places(entries.first, entries.second)
            np.bitwise_or.at(self._filter, words, bits)
        places = np.minimum(np.arange(-(-count // _BLOCK) * _BLOCK), count - 1)
        columns = [column[places].reshape(-1, _BLOCK) for column in entries]
        blocks = np.concatenate([np.ascontiguousarray(column).view(np.uint8) for column in columns], axis=1)
        self._file.append(blocks.tobytes())
        return entries.first[::_BLOCK].copy()

    def _places(self, first: Numbers, second: Numbers) -> tuple[Numbers, Numbers]:
        """Of each digest, its word in the filter and its bits there."""
        import numpy as np

        assert self._filter is not None
        one, six, mask, half = np.uint64(1), np.uint64(6), np.uint64(63), np.uint64(32)
        mixed = (first ^ (first >> half)) * np.uint64(
            0x9E3779B97F4A7C15
        ) + second  # keys may be small numbers
        mixed ^= mixed >> half
        rest = mixed * np.uint64(0xBF58476D1CE4E5B9) >> half
        bits = np.zeros(len(first), np.uint64)
        for _ in range(4):
            bits |= one << (rest & mask)
            rest >>= six
        return mixed % np.uint64(len(self._filter)), bits

    def _may_hold(self, first: Numbers, second: Numbers) -> npt.NDArray[np.int64]:
        """Which of the digests it may hold, `int64[n]`."""
        import numpy as np

        if self._filter is None:
            return np.arange(len(first))
        words, bits = self._places(first, second)
        return np.flatnonzero((self._filter[words] & bits) == bits)

    def find(self, first: Numbers, second: Numbers) -> npt.NDArray[np.int64]:
        """The positions of digests `n`, -1 where it does not hold one."""
        import numpy as np

        found = np.full(len(first), -1, np.int64)
        wanted = self._may_hold(first, second)
        if not (self.count and len(wanted)):
            return found
        wanted = wanted[np.argsort(first[wanted])]
        block = np.maximum(np.searchsorted(self.starts, first[wanted], side="right") - 1, 0)
        needed, begin = np.unique(block, return_index=True)
        for i in range(0, len(needed), _BLOCKS_AT_ONCE):
            end = begin[i + _BLOCKS_AT_ONCE] if i + _BLOCKS_AT_ONCE < len(needed) else len(wanted)
            some = wanted[begin[i] : end]
            found[some] = self.read(needed[i : i + _BLOCKS_AT_ONCE]).find(first[some], second[some])
        return found

    def read(self, blocks: npt.NDArray[np.int64]) -> Entries:
        """The entries of some blocks, sorted as their numbers are."""
        import numpy as np

        size = _BLOCK * _ENTRY_BYTES
        ends = (
            np.append(np.flatnonzero(np.diff(blocks) != 1) + 1, len(blocks)).tolist() if len(blocks) else []
        )
        parts, begin = [], 0
        numbers = blocks.tolist()
        for end in ends:  # blocks that follow each other are read at once
            parts.append(self._file.read(numbers[begin] * size, (end - begin) * size))
            begin = end
        data = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, size)
        return Entries(
            data[:, : 8 * _BLOCK].copy().view(np.uint64).ravel(),
            data[:, 8 * _BLOCK : 16 * _BLOCK].copy().view(np.uint64).ravel(),
            data[:, 16 * _BLOCK :].copy().view(np.uint32).ravel(),
        )


def merged(runs: Sequence[Run], folder: str | None, alike: Alike, *, filtered: bool) -> Run:
    """One run of the entries of several, of which the later ones count where they hold the same digest."""
    import numpy as np

    starts = np.sort(np.concatenate([run.starts for run in runs]))
    bounds = [*starts[_BLOCKS_AT_ONCE::_BLOCKS_AT_ONCE], None]
    parts = [_between(run, bounds) for run in runs]
    merging = (as_sorted(joined(some), alike) for some in zip(*parts, strict=True))
    return Run(merging, sum(run.count for run in runs), folder, filtered=filtered)


def _between(run: Run, bounds: Sequence[np.uint64 | None]) -> Iterator[Entries]:
    """A run's entries in parts: those below each bound and not below the one before; all that are left for None."""
    import numpy as np

    rest = run.read(np.arange(0))
    next_block = 0
    for bound in bounds:
        last = len(run.starts) if bound is None else int(np.searchsorted(run.starts, bound))
        if last > next_block:
            read = run.read(np.arange(next_block, last))
            if last == len(run.starts):
                read = read.slice(0, run.count - next_block * _BLOCK)  # the last block is filled up
            rest = joined([rest, read])
            next_block = last
        cut = len(rest.first) if bound is None else int(np.searchsorted(rest.first, bound))
        yield rest.slice(0, cut)
        rest = rest.slice(cut)
