"""The rows of a partition, read in their order: the cell of each, which of them are missing, and which are to be asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_digests import RowDigests
from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.cells.refused_rows import RefusedRows
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.input_digest import InputDigest
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.errors import CellError
from pxt_assets.local.media_threads import prepared_batches
from pxt_assets.local.threads import run_in_thread

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(eq=False, slots=True)
class AdmittedRows:
    """Some rows, of which `first` is the first one's number."""

    first: int
    cells: list[Any]
    """Each row's prepared cell, None for a null and for a row without a request."""
    digests: list[bytes]
    missing: npt.NDArray[np.bool_]
    """Which of the cells are not finished, `bool[rows]`."""
    failed_before: npt.NDArray[np.bool_]
    """Which of them failed in earlier runs, `bool[rows]`."""
    to_ask: list[int]
    """The places of the rows whose cell is missing, and which are the first ones with it."""

    @property
    def finished_cells(self) -> Iterator[Any]:
        """The cells that are finished with a result."""
        import numpy as np

        return (self.cells[i] for i in np.flatnonzero(~self.missing & ~self.failed_before).tolist())


class RowAdmission:
    """Reads the rows of a column's partition, compares them with the finished cells, and counts them.

    `note_failure` is told of each row without a request, by its number.
    """

    def __init__(
        self,
        column: Column,
        cells: FinishedCells,
        counts: RowCounts,
        note_failure: Callable[[int, CellError], None],
    ) -> None:
        self.refused_rows = RefusedRows()
        """Rows without a request, because a function cannot take their values."""
        self.input_digest = None if column.names_files else InputDigest(column)
        """Complete once every row was read. None for rows that name files by their paths, as these may change."""
        self._column = column
        self._cells = cells
        self._counts = counts
        self._note_failure = note_failure
        self._rows = RowDigests(scratch_folder(column.file))

    @property
    def digests(self) -> StoredArray:
        """Each row's digest, `S16[rows]`; `NO_DIGEST` where it has none. Complete when all rows are admitted."""
        return self._rows.digests

    @property
    def is_first(self) -> StoredArray:
        """Which rows are the first ones with their digest, `bool[rows]`; none without one."""
        return self._rows.is_first

    @property
    def errors(self) -> Counter[str]:
        """Failed rows by error type, refused rows included."""
        return self._counts.errors(self.digests) + self.refused_rows.errors

    async def batches(self) -> AsyncGenerator[AdmittedRows]:
        """All rows in their order, some at a time."""
        first, inputs = 0, self._column.inputs
        on_arrays = None if self.input_digest is None else self.input_digest.add
        batches = inputs.batches(inputs.batch_rows, self._column.total, on_arrays)
        async with aclosing(prepared_batches(partial(self._next_rows, batches), self._prepare)) as prepared:
            async for rows in prepared:
                count = len(rows)
                yield self._admit(first, rows)
                first += count
        self._rows.end()

    def _admit(self, first: int, rows: list[tuple[Any, bytes]]) -> AdmittedRows:
        """Compares prepared rows, which it takes out of the list, with what is finished."""
        import numpy as np

        prepared = [self._note_refused(first + i, cell) for i, (cell, _) in enumerate(rows)]
        digests = [digest for _, digest in rows]
        rows.clear()  # `prepared` lets go of its cells one by one
        joined = b"".join(digests)
        is_first = self._rows.add(joined)
        missing = self._cells.missing_mask(np.frombuffer(joined, "S16"))
        missing &= np.fromiter((cell is not None for cell in prepared), bool, len(prepared))
        to_ask = np.flatnonzero(missing & is_first).tolist()
        failed_before = self._cells.failed_before(np.frombuffer(joined, "S16"))
        self._counts.admit(digests, missing, failed_before, to_ask)
        return AdmittedRows(first, prepared, digests, missing, failed_before, to_ask)

    async def _next_rows(self, batches: Iterator[list[Sequence[Any]]]) -> list[Sequence[Any]] | None:
        """The next rows, None after the last. Rows of images or sounds are read off the event loop: each is a file."""
        if self._column.inputs.holds_media:
            return await run_in_thread(next, batches, None)
        return next(batches, None)

    def _prepare(self, values: Any) -> tuple[Any, bytes]:
        """A row's cell, None for a null, or the error of a row without a request; and its digest. Called in threads too."""
        try:
            cell = self._column.plan.prepare(values)
        except CellError as e:
            return e.without_frames(), NO_DIGEST
        return cell, NO_DIGEST if cell is None else cell_digest(cell)

    def _note_refused(self, row: int, cell: Any) -> Any:
        """A row's cell, None if it has none."""
        if not isinstance(cell, CellError):
            return cell
        self.refused_rows.add(row, cell)
        self._counts.refuse()
        self._note_failure(row, cell)
        return None
