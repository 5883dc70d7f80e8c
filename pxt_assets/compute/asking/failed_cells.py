"""Which cells of a partition were asked for and have no value: those that failed, with which errors, and nulls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import lookup_batches

if TYPE_CHECKING:
    from pxt_assets.compute.cells.digest_index import ManyDigests


class FailedCells:
    """Cells that were asked for and failed, by their digests; several rows may have the same cell."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._types: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._types)

    def add(self, digest: bytes, errortype: str) -> None:
        """Adds a cell that failed with an error of this type."""
        self._digests += digest
        self._types.append(errortype)

    def rows_by_error(self, digests: ManyDigests) -> Counter[str]:
        """How many of the rows with these digests, `S16[rows]`, failed with each type of error."""
        import numpy as np

        errors: Counter[str] = Counter()
        if not self._types:
            return errors
        failed, first = np.unique(np.frombuffer(bytes(self._digests), "S16"), return_index=True)
        counts = np.zeros(len(failed), np.int64)
        for some in lookup_batches(digests):
            at = np.minimum(np.searchsorted(failed, some), len(failed) - 1)
            counts += np.bincount(at[failed[at] == some], minlength=len(failed))
        for i, rows in enumerate(counts.tolist()):
            errors[self._types[first[i]]] += rows
        return errors


class NullCells:
    """Cells that were asked for and are null without an error, by their digests."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, digest: bytes) -> None:
        """Adds a cell that is null."""
        self._digests += digest

    def rows(self, digests: ManyDigests) -> int:
        """How many of the rows with these digests, `S16[rows]`, have such a cell."""
        import numpy as np

        if not self._digests:
            return 0
        nulls = np.frombuffer(bytes(self._digests), "S16")
        return sum(int(np.isin(some, nulls).sum()) for some in lookup_batches(digests))
