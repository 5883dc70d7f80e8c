"""Rows without a request, because a function cannot take their values: a few bytes each, however many there are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pxt_assets.errors import CellError
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.types import String

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_A_BLOCK = 4_096


class RefusedRows:
    """The errors of refused rows, added in the order of the rows and kept in compressed blocks."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        """Rows by error type."""
        self._open: list[tuple[int, str, str]] = []
        self._blocks: list[tuple[int, pa.Buffer]] = []
        """The last row of each block, and the block's rows, error types and messages."""
        self._last_read: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        return self.errors.total()

    def add(self, row: int, error: CellError) -> None:
        """Adds the error of a row, whose number is larger than those before."""
        self.errors[error.errortype] += 1
        self._open.append((row, error.errortype, error.message))  # its frames would keep images alive
        if len(self._open) == _ROWS_A_BLOCK:
            self._close_block()

    def errors_between(self, start: int, stop: int) -> pa.Table:
        """The refused rows from `start` to before `stop`: columns row, errortype, errormsg."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._open:
            self._close_block()
        parts = [_schema().empty_table()]
        for i, (last, _) in enumerate(self._blocks):
            if last < start:
                continue
            block = self._block(i)
            within = pc.and_(pc.greater_equal(block["row"], start), pc.less(block["row"], stop))
            parts.append(block.filter(within))
            if last >= stop:
                break
        return pa.concat_tables(parts)

    def _close_block(self) -> None:
        import pyarrow as pa

        rows, self._open = self._open, []
        block = pa.table(
            [
                pa.array([row for row, _, _ in rows], pa.int64()),
                pa.array([errortype for _, errortype, _ in rows], pa.string()),
                to_arrow([message for _, _, message in rows], String),
            ],
            schema=_schema(),
        )
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, block.schema, options=options) as writer:
            writer.write_table(block)
        self._blocks.append((rows[-1][0], sink.getvalue()))

    def _block(self, i: int) -> pa.Table:
        import pyarrow as pa

        if self._last_read is None or self._last_read[0] != i:
            with pa.ipc.open_stream(self._blocks[i][1]) as reader:
                self._last_read = i, reader.read_all()
        return self._last_read[1]


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"row": pa.int64(), "errortype": pa.string(), "errormsg": pa.string()})
