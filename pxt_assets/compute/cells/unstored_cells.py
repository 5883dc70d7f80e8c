"""Cells that are in a journal but not in its column's file: they are paid for, and stored nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import DigestIndex, DigestSet, digests_of
from pxt_assets.compute.cells.finished_cells import stored_cell_index
from pxt_assets.compute.cells.row_groups import RowGroups
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.errors import SourceError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import variable_length_type

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def count_unstored_cells(segments: Segments, names: Sequence[str], file: ParquetFile, column: str) -> int:
    """How many finished cells of these segments the column's file lacks, or holds with another value.

    Compares values, not times of writing: the clocks of hosts differ, and a copy of a file is younger than its rows. A
    cell that is an error in the file counts as lacking. Raises SourceError if a segment cannot be read.
    """
    segments.fetch(list(names))
    seen = DigestSet(scratch_folder(file))
    unstored = 0
    stored = _StoredCells(file, column)
    for name in names:
        cells = _finished_cells(segments, name)
        missing = digests_of(cells["digest"])[~stored.contains(cells)]
        if len(missing):
            unstored += int(seen.add(missing).sum())
    return unstored


def _finished_cells(segments: Segments, name: str) -> pa.Table:
    """The cells of a segment that have a result: digest and value."""
    import pyarrow as pa

    try:
        cells = segments.read(name)
    except (pa.ArrowInvalid, OSError) as e:
        msg = f"its segment {name} cannot be read ({e})"
        raise SourceError(msg) from e
    if not {"digest", "value", "errortype"} <= set(cells.schema.names):
        msg = f"it holds a segment, {name}, that another version of this package wrote"
        raise SourceError(msg)
    return cells.filter(cells["errortype"].is_null()).select(["digest", "value"])


class _StoredCells:
    """The results in a column's file, none if there is no file or it holds no such column."""

    def __init__(self, file: ParquetFile, column: str) -> None:
        self._index = DigestIndex()
        wanted = {"_digest", column, f"{column}_errortype"}
        if file.exists() and wanted <= set(file.schema.names):
            self._index = stored_cell_index(file, f"{column}_errortype", errors=False)
            self._values = RowGroups(file, [column])

    def contains(self, cells: pa.Table) -> npt.NDArray[np.bool_]:
        """Which of the cells (digest, value) it holds with the same value."""
        import numpy as np

        positions = self._index.find(digests_of(cells["digest"]))
        is_stored = positions >= 0
        found = np.flatnonzero(is_stored)
        if len(found):
            theirs = self._values.take(positions[found])
            is_stored[found] = _equal_values(cells["value"].take(found), theirs.column(0))
        return is_stored


def _equal_values(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which values are equal; none if their types differ."""
    import numpy as np

    wanted = variable_length_type(ours.type)
    if variable_length_type(theirs.type) != wanted:
        return np.zeros(len(ours), bool)
    if theirs.type != wanted:
        theirs = theirs.cast(wanted)
    if ours.equals(theirs):
        return np.ones(len(ours), bool)
    return np.fromiter((a.equals(b) for a, b in zip(ours, theirs, strict=True)), bool, len(ours))
