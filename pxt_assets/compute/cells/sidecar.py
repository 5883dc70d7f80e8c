"""The sidecar: a Parquet file beside a column's, with a row for each distinct cell that says where it comes from."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.cell import provenance_schema, with_server
from pxt_assets.compute.cells.digest_index import LOOKUP_ROWS, DigestIndex, DigestSet, digests_of
from pxt_assets.compute.cells.row_groups import RowGroups
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests, Positions


def sidecar_schema() -> pa.Schema:
    """`digest`, as in the column's `_digest`, and where the cell comes from."""
    import pyarrow as pa

    return pa.schema([pa.field("digest", pa.binary(16)), *provenance_schema()])


def empty_provenance() -> pa.Table:
    """A table of the sidecar's schema without rows."""
    return sidecar_schema().empty_table()


class Sidecar:
    """The sidecar of a column and partition, looked up by digest. It may not exist."""

    def __init__(self, file: ParquetFile) -> None:
        self.file = file
        self._groups: RowGroups | None = None

    def __len__(self) -> int:
        return len(self._index)

    def find(self, digests: Digests) -> Positions:
        """The row number of each of the cells `S16[n]`, -1 where it has none."""
        return self._index.find(digests)

    @cached_property
    def _index(self) -> DigestIndex:
        import numpy as np

        index = DigestIndex(scratch_folder(self.file))
        if self._is_usable():
            names = sidecar_schema().names
            self._groups = RowGroups(self.file, [name for name in names if name in self.file.schema.names])
            for batch in self.file.rows().batches(["digest"], LOOKUP_ROWS):
                index.add(digests_of(batch["digest"]), len(index) + np.arange(batch.num_rows))
        return index

    def forget(self) -> None:
        """Releases its index, which is loaded again when needed."""
        self.__dict__.pop("_index", None)
        self._groups = None

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The rows at `int64[n]`, in that order."""
        assert self._groups is not None
        return with_server(self._groups.take(positions)).select(sidecar_schema().names)

    def prepare_order(
        self, positions: Positions, interrupted: threading.Event
    ) -> AbstractContextManager[None]:
        """Within the block, `take` is fast in the order of `int64[n]`; see `RowGroups.prepare_order`."""
        return nullcontext() if self._groups is None else self._groups.prepare_order(positions, interrupted)

    def write(self, parts: Iterable[pa.Table], *, keep_others: bool = False) -> tuple[int, int]:
        """Replaces the file in one step; with `keep_others`, its rows about other cells follow the new ones.

        Returns how many rows are new, and how many are about other cells.
        """
        written = others = 0
        seen = DigestSet(scratch_folder(self.file))
        keep_others = keep_others and self._is_usable()

        def rows() -> Iterator[pa.Table]:
            nonlocal written, others
            for part in parts:
                if keep_others:
                    seen.add(digests_of(part["digest"]))
                written += part.num_rows
                yield part
            for part in self.row_groups() if keep_others else ():
                other = part.filter(seen.add(digests_of(part["digest"])))
                others += other.num_rows
                yield other

        self.file.reopened().write(sidecar_schema(), rows(), {})
        return written, others

    def truncate(self, rows: int) -> None:
        """Keeps only the first `rows` rows."""

        def first() -> Iterator[pa.Table]:
            left = rows
            for part in self.row_groups():
                yield part.slice(0, left)
                left = max(0, left - part.num_rows)

        self.file.reopened().write(sidecar_schema(), first(), {})

    def row_groups(self) -> Iterator[pa.Table]:
        """Its rows as they are now, none if it is no sidecar."""
        now = Sidecar(self.file.reopened())
        if now._is_usable():
            with now.file.open() as parquet:
                for i in range(parquet.num_row_groups):
                    yield with_server(parquet.read_row_group(i)).select(sidecar_schema().names)

    def _is_usable(self) -> bool:
        return self.file.exists() and {*sidecar_schema().names} <= {*self.file.schema.names, "server"}
