"""Record batches, cut and joined to the size that suits whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 8 * 2**20
"""What a batch comes to at most: values take several times that as Python objects."""

T = TypeVar("T", "pa.RecordBatch", "pa.Table")


def exact_batches(
    batches: Iterable[pa.RecordBatch], size: int, nbytes: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `size`, the last one of what is left.

    With `nbytes`, a batch that would come to more has fewer rows, but one at least.
    """
    import pyarrow as pa

    kept: list[pa.RecordBatch] = []
    rows = kept_bytes = 0
    for batch in (
        batches if nbytes is None else (p for whole in batches for p in split_by_bytes(whole, nbytes))
    ):
        rest = batch
        if kept and nbytes is not None and kept_bytes + rest.nbytes > nbytes:
            yield pa.concat_batches(kept)
            kept, rows, kept_bytes = [], 0, 0
        while rows + rest.num_rows >= size:
            kept.append(rest.slice(0, size - rows))
            rest = rest.slice(size - rows)
            yield pa.concat_batches(kept) if len(kept) > 1 else kept[0]
            kept, rows, kept_bytes = [], 0, 0
        if rest.num_rows:
            kept.append(rest)
            rows += rest.num_rows
            kept_bytes += rest.nbytes
    if rows:
        yield pa.concat_batches(kept) if len(kept) > 1 else kept[0]


def split_by_bytes(part: T, nbytes: int) -> Iterator[T]:
    """The same rows in pieces of at most `nbytes`, or of one row that is larger."""
    if part.num_rows <= 1 or part.nbytes <= nbytes:
        yield part
        return
    middle = part.num_rows // 2
    yield from split_by_bytes(part.slice(0, middle), nbytes)
    yield from split_by_bytes(part.slice(middle), nbytes)


class Cursor:
    """Batches, read by the number of rows."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def available_rows(self) -> int:
        """How many rows can be taken as they come, without reading on; 0 at the end."""
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
