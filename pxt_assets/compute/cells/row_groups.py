"""Rows of a Parquet file by number, in any order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.gather import gather_rows
from pxt_assets.compute.cells.scratch_file import ScratchFile, scratch_folder
from pxt_assets.errors import PartitionError, SourceError
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pxt_assets.compute.cells.digest_index import Positions

_GROUPS_KEPT = 4
_BYTES_A_PART = 8 * 2**20
_MAX_PARTS = 1_024
"""Parts of a copy: each is written in as many pieces as there are row groups."""


class RowGroups:
    """Some columns of one version of a file, read by the row group. The last few groups stay in memory.

    Raises PartitionError if the file was replaced.
    """

    def __init__(self, file: ParquetFile, columns: Sequence[str]) -> None:
        self._file = file
        self._version = file.version
        self._columns = list(columns)
        self._cached_groups: OrderedDict[int, pa.Table] = OrderedDict()
        self._copy: _OrderedCopy | None = None

    def take(self, positions: Positions) -> pa.Table:
        """The rows of the numbers `int64[n]`, in that order."""
        if self._copy is not None:
            copy = self._copy
            return gather_rows(
                copy.copied_positions[positions], copy.sizes, lambda i: self._cached_part(i, copy.read_part)
            )
        with self._open_file() as parquet:
            return gather_rows(
                positions, _group_sizes(parquet), lambda i: self._cached_part(i, self._reader(parquet))
            )

    @contextmanager
    def prepare_order(self, positions: Positions, interrupted: threading.Event) -> Iterator[None]:
        """Within the block, taking the rows of the numbers `int64[n]` in that order takes linear time.

        Where that order jumps between more groups than stay in memory, each group would be read again and again. So the
        rows are copied once to a temporary file, in parts of rows that are wanted together. Raises InterruptedError
        once `interrupted` is set.
        """
        if not self._jumps_between_groups(positions):
            yield
            return
        with closing(ScratchFile(scratch_folder(self._file))) as sink:
            with self._open_file() as parquet:
                self._copy = _OrderedCopy.write(parquet, self._reader(parquet), positions, sink, interrupted)
            self._cached_groups.clear()
            try:
                yield
            finally:
                self._copy = None
                self._cached_groups.clear()

    def _jumps_between_groups(self, positions: Positions) -> bool:
        import numpy as np

        with self._open_file() as parquet:
            sizes = _group_sizes(parquet)
        if len(sizes) <= _GROUPS_KEPT:
            return False
        which = np.searchsorted(np.cumsum(sizes), positions, side="right").astype(np.int32)
        is_new = np.ones(len(which), bool)
        for lag in range(1, _GROUPS_KEPT):
            is_new[lag:] &= which[lag:] != which[:-lag]
        return int(is_new.sum()) > 4 * len(sizes)

    def _cached_part(self, i: int, read: Callable[[int], pa.Table]) -> pa.Table:
        """A row group, or a part of the copy, from memory if it is one of the last few: rows near each other share it."""
        if i not in self._cached_groups:
            while len(self._cached_groups) >= _GROUPS_KEPT:
                self._cached_groups.popitem(last=False)
            self._cached_groups[i] = read(i)
        self._cached_groups.move_to_end(i)
        return self._cached_groups[i]

    def _reader(self, parquet: pq.ParquetFile) -> Callable[[int], pa.Table]:
        return lambda i: parquet.read_row_group(i, columns=self._columns).select(self._columns)

    @contextmanager
    def _open_file(self) -> Iterator[pq.ParquetFile]:
        try:
            with self._file.open(self._version) as parquet:
                yield parquet
        except SourceError as e:
            raise PartitionError(str(e)) from e


def _group_sizes(parquet: pq.ParquetFile) -> list[int]:
    return [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]


@dataclass(frozen=True)
class _OrderedCopy:
    """A copy of a file's rows in parts: each part holds rows that are wanted one after the other, in any order."""

    copied_positions: Positions
    """The position of each of the file's rows in the concatenated parts, -1 for rows that are not copied."""
    sizes: list[int]
    """Rows of each part."""
    batch_spans: list[list[tuple[int, int]]]
    """The offset and length of each part's record batches in the temporary file."""
    sink: ScratchFile
    """The temporary file."""
    schema: pa.Schema

    @classmethod
    def write(
        cls,
        parquet: pq.ParquetFile,
        read: Callable[[int], pa.Table],
        positions: Positions,
        sink: ScratchFile,
        interrupted: threading.Event,
    ) -> _OrderedCopy:
        """Copies the wanted rows. Reads each row group once, and the first one also to see how long rows are."""
        import numpy as np

        sizes = _group_sizes(parquet)
        bytes_a_row = read(0).nbytes / max(sizes[0], 1)
        count = int(min(_MAX_PARTS, bytes_a_row * len(positions) // _BYTES_A_PART + 1))
        rows, part_of_row = _assign_parts(positions, count)
        part_sizes = np.bincount(part_of_row, minlength=count)
        next_free = np.cumsum(part_sizes) - part_sizes
        copied_positions = np.full(sum(sizes), -1, np.int64)
        batch_spans: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        schema = None
        ends = np.cumsum(sizes)
        for i, (first, last) in enumerate(
            zip(np.searchsorted(rows, ends - sizes), np.searchsorted(rows, ends), strict=True)
        ):
            if interrupted.is_set():
                raise InterruptedError
            if first == last:
                continue
            order = np.argsort(part_of_row[first:last], kind="stable") + first
            table = read(i).take(rows[order] - (ends[i] - sizes[i]))
            schema = table.schema
            parts, starts = np.unique(part_of_row[order], return_index=True)
            for part, start, end in zip(parts, starts, [*starts[1:], len(order)], strict=True):
                copied_positions[rows[order[start:end]]] = next_free[part] + np.arange(end - start)
                next_free[part] += end - start
                for batch in table.slice(start, end - start).to_batches():
                    data = batch.serialize()
                    batch_spans[part].append((sink.append(data), data.size))
        assert schema is not None
        return cls(copied_positions, part_sizes.tolist(), batch_spans, sink, schema)

    def read_part(self, i: int) -> pa.Table:
        """A part's rows."""
        import pyarrow as pa

        batches = []
        for offset, size in self.batch_spans[i]:
            data = pa.py_buffer(self.sink.read(offset, size))
            batches.append(pa.ipc.read_record_batch(data, self.schema))
        return pa.Table.from_batches([pa.concat_batches(batches)])


def _assign_parts(positions: Positions, count: int) -> tuple[Positions, npt.NDArray[np.int64]]:
    """The distinct numbers, sorted, and which of `count` parts each goes to, by where it is wanted first."""
    import numpy as np

    rows, first = np.unique(positions, return_index=True)
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(first)] = np.arange(len(rows))
    return rows, rank * count // len(rows)
