"""Segments: Arrow files of a journal, each written once, read by the row without keeping all of them in memory."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.cell import with_server
from pxt_assets.compute.cells.gather import gather_rows
from pxt_assets.errors import RunError
from pxt_assets.storage.atomic_file import (
    is_local,
    remove,
    remove_if_empty,
    replace_atomically,
    temporary_folder,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from upath import UPath

_BYTES_MAPPED = 16 * 2**20
"""Bytes of segments that stay open: pages of a mapped file count as this process's memory."""
_BUFFER_BYTES = 2**18
"""Bytes of a segment that are written at once: each write waits for its turn beside a busy event loop."""
SUFFIX = ".arrow"
_log = logging.getLogger("pxt_assets.compute.journal")


class Segments:
    """The segments in a folder on a local disk or an object store. Those of an object store are read from local copies.

    Those in the folder `earlier`, if there is one, are read as well.
    """

    def __init__(self, directory: UPath, earlier: UPath | None = None) -> None:
        self.directory = directory
        self._folders = (directory,) if earlier is None else (earlier, directory)
        self._folder_of: dict[str, UPath] = {}
        self._copies: Path | None = None
        self._names: list[str] = []
        self._rows: list[int] = []
        self._open: OrderedDict[int, pa.Table] = OrderedDict()
        self._open_bytes = 0

    def names(self, suffix: str = SUFFIX) -> list[str]:
        """The sorted names of the files with that suffix, without those that are being written."""
        found: set[str] = set()
        for folder in self._folders:
            names = [name for name in names_in(folder) if name.endswith(suffix) and not name.startswith(".")]
            self._folder_of.update(dict.fromkeys(names, folder))
            found.update(names)
        return sorted(found)

    def write(self, name: str, table: pa.Table) -> int:
        """Writes a segment in one atomic step; returns its size in bytes."""
        import pyarrow as pa

        path = self.directory / name
        with (
            replace_atomically(
                path, keep=None if is_local(path) else self._folder_of_copies() / name
            ) as staged,
            pa.output_stream(str(staged), buffer_size=_BUFFER_BYTES) as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
            writer.close()
            return int(sink.tell())

    def merge(self, names: Sequence[str], merged: str) -> int:
        """Writes a segment `merged` with the cells of others, in that order, then removes those; returns its size in bytes."""
        import pyarrow as pa

        size = self.write(merged, pa.concat_tables([self.read(name) for name in names]).combine_chunks())
        for name in names:
            remove(self.directory / name)
            if self._copies is not None:
                (self._copies / name).unlink(missing_ok=True)
        return size

    def fetch(self, names: list[str]) -> None:
        """Copies those segments of an object store that have no local copy yet, all at once."""
        if is_local(self.directory):
            return
        folder = self._folder_of_copies()
        absent = [name for name in names if not (folder / name).exists()]
        if absent:
            remote = [self._path(name).path for name in absent]
            try:
                self.directory.fs.get(remote, [str(folder / name) for name in absent])
            except FileNotFoundError:  # some are gone by now; `read` says which
                for path, name in zip(remote, absent, strict=True):
                    with contextlib.suppress(FileNotFoundError):
                        self.directory.fs.get_file(path, str(folder / name))

    def read(self, name: str) -> pa.Table:
        """A segment, mapped into memory. Raises pa.ArrowInvalid or OSError if it is torn."""
        import pyarrow as pa

        path = Path(self._path(name).path) if is_local(self.directory) else self._folder_of_copies() / name
        with pa.memory_map(str(path)) as source:
            return with_server(pa.ipc.open_file(source).read_all())

    def read_whole(self, name: str) -> pa.Table | None:
        """A segment; None, with a warning, for one that is torn.

        Raises FileNotFoundError for one that is gone, RunError for one that the system does not let this process read: its
        cells are paid for, and must not pass for lost.
        """
        import pyarrow as pa

        try:
            return self.read(name)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, OSError) as e:
            if getattr(e, "errno", None) is not None:
                msg = (
                    f"cannot read {self._path(name)}, where finished cells are kept ({type(e).__name__}: {e}); let this process "
                    "read it, and materialize again: nothing is asked for anew, and nothing is lost"
                )
                raise RunError(msg) from e
            _log.warning(
                "Dropped the journal segment %s: it was cut short (%s); its cells are computed anew.", name, e
            )
            return None

    def add(self, name: str, rows: int) -> None:
        """Appends a segment to those that `take` reads from."""
        self._names.append(name)
        self._rows.append(rows)

    def take(self, positions: npt.NDArray[np.int64], columns: tuple[str, ...]) -> pa.Table:
        """The rows at `int64[n]` positions of the concatenated segments that were added, in that order."""
        return gather_rows(positions, self._rows, lambda i: self._table(i).select(columns))

    def _table(self, i: int) -> pa.Table:
        if i in self._open:
            self._open.move_to_end(i)
            return self._open[i]
        table = self.read(self._names[i])
        self._open[i] = table
        self._open_bytes += table.nbytes
        while self._open_bytes > _BYTES_MAPPED and len(self._open) > 1:
            self._open_bytes -= self._open.popitem(last=False)[1].nbytes
        return table

    def forget(self) -> None:
        """Releases the open segments, and forgets those that were added."""
        self._open.clear()
        self._open_bytes = 0
        self._names, self._rows = [], []

    def close(self) -> None:
        """Releases the open segments, and removes the local copies."""
        self.forget()
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)
            self._copies = None

    def remove(self, names: list[str]) -> None:
        """Removes files, and the folder if nothing else is in it."""
        for name in names:
            remove(self.directory / name)
        remove_if_empty(self.directory)

    def _path(self, name: str) -> UPath:
        return self._folder_of.get(name, self.directory) / name

    def _folder_of_copies(self) -> Path:
        if self._copies is None:
            self._copies = temporary_folder("pxt-journal-")
        return self._copies


def names_in(folder: UPath) -> list[str]:
    """The names of all files in a folder, which may not exist."""
    fs = folder.fs
    fs.invalidate_cache(folder.path)  # another process may have written there
    if not fs.exists(folder.path):
        return []
    return [str(path).rpartition("/")[2] for path in fs.ls(folder.path, detail=False)]
