"""Temporary files without a name, in which lies what would take too much memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pxt_assets.errors import RunError
from pxt_assets.storage.atomic_file import is_local

if TYPE_CHECKING:
    from upath import UPath


def scratch_folder(path: UPath) -> str | None:
    """Where temporary files of a column go: on the column's own disk, which has room for it; None for the system's folder."""
    return str(path.parent.path) if is_local(path) else None


class ScratchFile:
    """A temporary file, made when the first bytes are written, and removed by the system once it is let go of.

    Several threads may read it. Raises RunError if it cannot be written.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder if folder is not None and Path(folder).is_dir() else None
        self.size = 0

    @cached_property
    def _file(self) -> IO[bytes]:
        file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  (closed with this object)
        weakref.finalize(self, file.close)
        return file

    def append(self, data: bytes | memoryview) -> int:
        """Writes bytes at the end; returns where they begin."""
        begin, rest = self.size, memoryview(data).cast("B")
        try:
            while rest:
                written = os.pwrite(self._file.fileno(), rest, self.size)
                self.size += written
                rest = rest[written:]
        except OSError as e:
            where = self._folder or tempfile.gettempdir()
            msg = f"cannot write a temporary file in {where} ({e}); make room there, and materialize again: what is finished is kept"
            raise RunError(msg) from e
        return begin

    def read(self, begin: int, size: int) -> bytes:
        """`size` bytes from `begin` on."""
        data = os.pread(self._file.fileno(), size, begin)
        if len(data) == size:
            return data
        parts = [data]
        while size > (got := sum(map(len, parts))):
            parts.append(os.pread(self._file.fileno(), size - got, begin + got))
            if not parts[-1]:
                msg = f"a temporary file ends at {begin + got} of {begin + size} bytes"
                raise RunError(msg)
        return b"".join(parts)
