"""An index of digests: 24 bytes a cell, looked up by the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Digests = npt.NDArray[np.bytes_]
    Positions = npt.NDArray[np.int64]


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


class DigestIndex:
    """Where the cell of a digest is: `find` gives the position at which `add` got it, the last one if several."""

    def __init__(self) -> None:
        import numpy as np

        self._digests: Digests = np.empty(0, "S16")
        self._positions: Positions = np.empty(0, np.int64)
        self._added: list[tuple[Digests, Positions]] = []
        """What is not sorted in yet: sorting waits for the first look-up, however many segments there are."""

    def __len__(self) -> int:
        return len(self._digests) + sum(len(digests) for digests, _ in self._added)

    def add(self, digests: Digests, positions: Positions) -> None:
        """Adds `S16[n]` digests at `int64[n]` positions."""
        self._added.append((digests, positions))

    def find(self, digests: Digests) -> Positions:
        """The position of each digest, -1 where there is none."""
        import numpy as np

        if self._added:
            self._sort_in()
        if not len(self._digests):
            return np.full(len(digests), -1, np.int64)
        at = np.maximum(np.searchsorted(self._digests, digests, side="right") - 1, 0)
        return np.where(self._digests[at] == digests, self._positions[at], -1)

    def _sort_in(self) -> None:
        import numpy as np

        every = np.concatenate([self._digests, *(digests for digests, _ in self._added)])
        order = np.argsort(every, kind="stable")
        self._digests = every[order]
        self._positions = np.concatenate([self._positions, *(at for _, at in self._added)])[order]
        self._added = []
