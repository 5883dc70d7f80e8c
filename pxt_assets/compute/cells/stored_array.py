"""An array that grows, of which only the end is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxt_assets.compute.cells.scratch_file import ScratchFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_TAIL_BYTES = 2**20


class StoredArray:
    """Values of one dtype, `dtype[n]`: appended, and read by the slice. Older ones lie in a temporary file in `folder`."""

    def __init__(self, dtype: str, folder: str | None = None) -> None:
        import numpy as np

        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._file = ScratchFile(folder)
        self._tail = bytearray()

    def __len__(self) -> int:
        return (self._file.size + len(self._tail)) // self._dtype.itemsize

    def append(self, values: npt.NDArray[Any]) -> None:
        """Adds values at the end."""
        self._tail += values.tobytes()
        if len(self._tail) >= _TAIL_BYTES:
            self._file.append(memoryview(self._tail))
            self._tail = bytearray()

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """A copy of some of them, which follow each other."""
        import numpy as np

        start, stop, _ = rows.indices(len(self))
        begin, end = start * self._dtype.itemsize, max(start, stop) * self._dtype.itemsize
        on_disk = self._file.size
        data = self._file.read(begin, min(end, on_disk) - begin) if begin < on_disk else b""
        if end > on_disk:
            data += bytes(self._tail[max(0, begin - on_disk) : end - on_disk])
        return np.frombuffer(data, self._dtype)

    def bytes_of(self, row: int) -> bytes:
        """The bytes of one value."""
        size, on_disk = self._dtype.itemsize, self._file.size
        begin = row * size
        if begin < on_disk:
            return self._file.read(begin, size)
        return bytes(self._tail[begin - on_disk : begin - on_disk + size])
