"""Temporary files without a name, in which lies what would take too much memory."""

from __future__ import annotations

import functools
import io
import logging
import tempfile
import threading
import uuid
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from pxt_assets.errors import RunError
from pxt_assets.storage.atomic_file import is_local
from pxt_assets.storage.layout import companion_folder

if TYPE_CHECKING:
    from upath import UPath

    from pxt_assets.storage.parquet import ParquetFile

_log = logging.getLogger("pxt_assets.compute.scratch")


def scratch_folder(file: ParquetFile) -> str | None:
    """Where temporary files of a column go: on its own disk, which has room for them; None for the system's folder.

    It is its companions' folder, which need not exist: some systems give every file a name, which no reader of the table
    is to meet.
    """
    return local_folder(companion_folder(file))


def local_folder(folder: UPath) -> str | None:
    """The path of a folder on this machine's file system, None for any other."""
    return str(folder.path) if is_local(folder) else None


class ScratchFile:
    """A temporary file, made when the first bytes are written, and removed by the system once it is let go of.

    It lies in `folder`, or the nearest one above that exists, and where that cannot be written, or is None, in the
    system's folder for temporary files. Where neither can be written, the bytes stay in memory. Several threads may use
    it. Raises RunError if it cannot be written or read.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._opened: _Opened | None = None
        self._lock = threading.Lock()
        self.size = 0

    def append(self, data: bytes | memoryview) -> int:
        """Writes bytes at the end; returns where they begin."""
        with self._lock:
            if self._opened is None:
                self._opened = _open(self._folder)
                weakref.finalize(self, self._opened.file.close)
            file, where = self._opened
            begin, rest = self.size, memoryview(data).cast("B")
            end = begin + len(rest)
            try:
                file.seek(begin)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as e:
                msg = f"cannot write a temporary file in {where} ({e}); make room there, and materialize again: what is finished is kept"
                raise RunError(msg) from e
            self.size = end
        return begin

    def read(self, begin: int, size: int) -> bytes:
        """`size` bytes from `begin` on."""
        parts: list[bytes] = []
        with self._lock:
            if not size:
                return b""
            assert self._opened is not None
            file, where = self._opened
            try:
                file.seek(begin)
                while size > (got := sum(map(len, parts))):  # systems give at most 2 GiB at once
                    parts.append(file.read(size - got))
                    if not parts[-1]:
                        msg = f"it ends at {begin + got} of {begin + size} bytes"
                        raise EOFError(msg)
            except (OSError, EOFError) as e:
                msg = f"cannot read a temporary file in {where} ({e}); materialize again: what is finished is kept"
                raise RunError(msg) from e
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Removes the file. For one whose owner may live on: others are removed with their owner."""
        if self._opened is not None:
            self._opened.file.close()


class _Opened(NamedTuple):
    """A temporary file, and the folder that it lies in."""

    file: IO[bytes]
    folder: str


def _open(folder: str | None) -> _Opened:
    """A new file in the first folder that can be written."""
    refused = []
    for wanted in ([] if folder is None else [folder]) + [None]:
        where = wanted
        try:
            where = tempfile.gettempdir() if wanted is None else _nearest(wanted)
            return _Opened(_unnamed_file(where), where)
        except OSError as e:
            refused.append(f"{where}: {e.strerror or e}" if where else str(e))
    _say_once("; ".join(refused))
    return _Opened(io.BytesIO(), "memory")


def _unnamed_file(folder: str) -> IO[bytes]:
    # where a system gives it a name, and a crash leaves it, `pxt-assets gc` takes that for the broken-off write that it is
    return tempfile.TemporaryFile(
        dir=folder, prefix=".scratch", suffix=f".{uuid.uuid4().hex}.tmp", buffering=0
    )


def _nearest(folder: str) -> str:
    """The folder, or the nearest one above it that exists."""
    path = Path(folder).absolute()
    return str(next(p for p in (path, *path.parents) if p.is_dir()))


@functools.cache
def _say_once(refused: str) -> None:
    _log.warning(
        "no folder for temporary files can be written (%s): what should lie there stays in memory, some 60 bytes a row of"
        " a large partition; set TMPDIR to a folder with room",
        refused,
    )
