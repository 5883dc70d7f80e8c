"""How many rows of a partition are finished, failed or null, by the cells that they have: several rows may have the same."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pxt_assets.compute.asking.failed_cells import FailedCells, NullCells
from pxt_assets.compute.cells.digest_index import are_among, lookup_batches, sorted_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

    from pxt_assets.compute.cells.digest_index import ManyDigests


class RowCounts:
    """The counts of one partition's rows, kept as its cells are asked for and finished."""

    def __init__(self) -> None:
        self.asked = 0
        """Rows whose cell was not finished before."""
        self.done = 0
        """Rows that need no more looking after, as they have a result or failed. Exact once `settle` was called: until
        then, rows with equal cells are done when the first of them is asked for."""
        self.failed = 0
        """Those of them that failed."""
        self.found = 0
        """Those of them that were not asked for, as they were finished before or another row's cell is the same."""
        self._failed_cells = FailedCells()
        self._null_cells = NullCells()
        self._waiting = bytearray()
        """The digests of cells whose answers come later."""
        self._open: set[bytes] = set()
        """The digests of cells that are to be asked for, or in flight."""
        self._reused_errors = 0

    @property
    def any_failed(self) -> bool:
        """Whether any cell that was asked for failed."""
        return bool(self._failed_cells)

    def admit(
        self,
        digests: Sequence[bytes],
        missing: npt.NDArray[np.bool_],
        failed_before: npt.NDArray[np.bool_],
        to_ask: Sequence[int],
    ) -> None:
        """Counts some rows: of which the cell is `missing`, which of the others are errors, and whose cell is asked for."""
        self.asked += int(missing.sum())
        self.done += len(digests) - len(to_ask)
        self.found += len(digests) - len(to_ask)
        self._open.update(digests[i] for i in to_ask)
        reused_errors = int((~missing & failed_before).sum())
        self._reused_errors += reused_errors
        self.failed += reused_errors

    def refuse(self) -> None:
        """Counts a row without a request as failed; it is among the admitted ones."""
        self.failed += 1

    def finish(self, digest: bytes, errortype: str | None, *, is_null: bool) -> None:
        """Counts a cell that was asked for, once it is answered: with an error, or with a value that may be null."""
        self.done += 1
        self._open.discard(digest)
        if errortype is not None:
            self.failed += 1
            self._failed_cells.add(digest, errortype)
        elif is_null:
            self._null_cells.add(digest)

    def wait(self, digests: Iterable[bytes]) -> None:
        """Counts cells that were to be asked for, and whose answers come later."""
        for digest in digests:
            self._open.discard(digest)
            self._waiting += digest

    def waiting_rows(self, digests: ManyDigests) -> int:
        """How many of the rows, `S16[n]`, have a cell whose answer comes later."""
        return _rows_of(self._waiting, digests)

    def settle(self, digests: ManyDigests, refused: Counter[str]) -> None:
        """Counts all admitted rows, `S16[n]`, by what became of their cells, and those `refused`, by error type."""
        unfinished = _rows_of(b"".join(self._open), digests) + self.waiting_rows(digests)
        self.done = len(digests) - unfinished
        self.failed = (self.errors(digests) + refused).total() + self._reused_errors

    def errors(self, digests: ManyDigests) -> Counter[str]:
        """How many of the rows, `S16[n]`, were asked for and failed, by error type."""
        return self._failed_cells.rows_by_error(digests)

    def computed(self, digests: ManyDigests) -> int:
        """How many of the rows, `S16[n]`, were asked for and have a value."""
        without = self.errors(digests).total() + self._null_cells.rows(digests) + self.waiting_rows(digests)
        return self.asked - without


def _rows_of(joined: bytes | bytearray, digests: ManyDigests) -> int:
    """How many of the rows, `S16[n]`, have one of some digests, 16 bytes each."""
    if not joined:
        return 0
    wanted = sorted_digests(joined)
    return sum(int(are_among(some, wanted).sum()) for some in lookup_batches(digests))
