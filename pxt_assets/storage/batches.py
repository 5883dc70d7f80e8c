"""Record batches, cut and joined to the size that their reader needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 8 * 2**20
"""The most bytes of a batch; as Python objects its values take several times that."""

T = TypeVar("T", "pa.RecordBatch", "pa.Table")


def exact_batches(
    batches: Iterable[pa.RecordBatch], size: int, nbytes: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `size` rows, the last one of the rest.

    With `nbytes`, a batch of more bytes has fewer rows, but at least one.
    """
    import pyarrow as pa

    pending: list[pa.RecordBatch] = []
    rows = pending_bytes = 0
    for batch in (
        batches if nbytes is None else (p for whole in batches for p in split_by_bytes(whole, nbytes))
    ):
        rest = batch
        if pending and nbytes is not None and pending_bytes + rest.nbytes > nbytes:
            yield pa.concat_batches(pending)
            pending, rows, pending_bytes = [], 0, 0
        while rows + rest.num_rows >= size:
            pending.append(rest.slice(0, size - rows))
            rest = rest.slice(size - rows)
            yield pa.concat_batches(pending) if len(pending) > 1 else pending[0]
            pending, rows, pending_bytes = [], 0, 0
        if rest.num_rows:
            pending.append(rest)
            rows += rest.num_rows
            pending_bytes += rest.nbytes
    if rows:
        yield pa.concat_batches(pending) if len(pending) > 1 else pending[0]


def split_by_bytes(part: T, nbytes: int) -> Iterator[T]:
    """The same rows in slices of at most `nbytes`, or of one row that is larger."""
    if part.num_rows <= 1 or part.nbytes <= nbytes:
        yield part
        return
    middle = part.num_rows // 2
    yield from split_by_bytes(part.slice(0, middle), nbytes)
    yield from split_by_bytes(part.slice(middle), nbytes)


class Cursor:
    """Reads batches by the number of rows."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def available_rows(self) -> int:
        """The rows left in the current batch, reading the next if there are none; 0 at the end."""
        while self._rest is None or not self._rest.num_rows:
            self._rest = next(self._batches, None)
            if self._rest is None:
                return 0
        return int(self._rest.num_rows)

    def take(self, count: int) -> list[pa.RecordBatch]:
        """The next rows, fewer than `count` at the end."""
        taken = []
        while count and self.available_rows():
            assert self._rest is not None
            taken.append(self._rest.slice(0, count))
            self._rest = self._rest.slice(count)
            count -= taken[-1].num_rows
        return taken
