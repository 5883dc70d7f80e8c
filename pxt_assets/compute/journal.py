"""The journal: finished cells on disk before their partition is complete, in segments that are written once.

A segment is an Arrow IPC file; its name sorts by the time at which it was written. A cell is found by its digest; of
several cells with one digest the last one counts. A segment that a crash cut short is dropped with a warning.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.digests import DigestIndex, digests_of
from pxt_assets.compute.gather import gathered
from pxt_assets.parquet import is_local, remove, replacing
from pxt_assets.types import Array, ColumnType, String
from pxt_assets.values import to_arrow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from upath import UPath

FLUSH_SECONDS = 1.0
_BYTES_A_SEGMENT = 32 * 2**20
"""Images and sounds that are written at once, and that may wait in memory to be."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished cell: its value, or the error that the row met."""

    digest: bytes
    value: Any
    errortype: str | None = None
    errormsg: str | None = None
    simulated: bool = False
    size: int = 0
    """Bytes of the images and sounds in its value."""


def _parts(cells: list[Cell]) -> Iterator[int]:
    """The cells in parts of about _BYTES_A_SEGMENT, as the number of cells in each."""
    count = size = 0
    for cell in cells:
        count += 1
        size += cell.size
        if size >= _BYTES_A_SEGMENT:
            yield count
            count = size = 0
    if count:
        yield count


class Journal:
    """The finished cells of one column and partition, in the folder `directory`.

    `clock_ns` gives the wall-clock time in nanoseconds that orders segments.
    """

    def __init__(
        self, directory: UPath, column_type: type[ColumnType], *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.directory = directory
        self.simulated = False
        """Whether any cell in it was made by a simulator."""
        self._type = Array if issubclass(column_type, Array) else column_type  # vectors of any length
        self._clock_ns = clock_ns
        self._last_ns = 0
        self._pending: list[Cell] = []
        self._pending_bytes = 0
        """Of what was appended since the last flush began."""
        self._full = asyncio.Event()
        self._writing = threading.Lock()
        self._own: set[str] = set()
        self._loaded: list[UPath] = []
        self._segments: list[pa.Table] = []
        self._fetched: str | None = None

    def append(self, cell: Cell) -> None:
        """Takes a finished cell; it is on disk after the next `flush`."""
        self._pending.append(cell)
        self._pending_bytes += cell.size
        if self._pending_bytes >= _BYTES_A_SEGMENT:
            self._full.set()

    def flush(self) -> None:
        """Writes what was appended since the last flush as a segment, large values as several.

        Cells stay pending if writing fails.
        """
        with self._writing:
            for count in _parts(self._pending[:]):
                self._write(self._pending[:count])
                del self._pending[:count]

    def _write(self, cells: list[Cell]) -> None:
        import pyarrow as pa

        segment = self._segment(cells)
        self._last_ns = max(self._clock_ns(), self._last_ns + 1)
        path = self.directory / f"{self._last_ns:020d}-{uuid.uuid4().hex[:8]}.arrow"
        with (
            replacing(path) as staged,
            pa.OSFile(str(staged), "wb") as sink,
            pa.ipc.new_file(sink, segment.schema) as writer,
        ):
            writer.write_table(segment)
        self._own.add(path.name)

    async def keep_flushing(self) -> None:
        """Flushes every FLUSH_SECONDS, or as soon as much waits, off the event loop, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._full.wait()
            self._full.clear()
            self._pending_bytes = 0
            await asyncio.to_thread(self.flush)

    def _segment(self, cells: list[Cell]) -> pa.Table:
        import pyarrow as pa

        return pa.table(
            {
                "digest": pa.array([c.digest for c in cells], pa.binary(16)),
                "value": to_arrow([c.value for c in cells], self._type),
                "errortype": pa.array([c.errortype for c in cells], pa.string()),
                "errormsg": to_arrow([c.errormsg for c in cells], String),
                "simulated": pa.array([c.simulated for c in cells], pa.bool_()),
            }
        )

    def load(self, *, errors: bool) -> tuple[DigestIndex, DigestIndex]:
        """Which cells the segments hold: those with a result, and those that failed.

        Failures of earlier attempts are left out unless `errors`. Positions are those of `take`.
        """
        import numpy as np
        import pyarrow.compute as pc

        self.close()
        self._loaded = []
        done, failed = DigestIndex(), DigestIndex()
        start = 0
        for path in self._paths():
            segment = self._open(path)
            self._loaded.append(path)
            if segment is None:
                continue
            self._segments.append(segment)
            self.simulated = self.simulated or bool(pc.any(segment["simulated"]).as_py())
            positions = np.arange(start, start + segment.num_rows, dtype=np.int64)
            digests = digests_of(segment["digest"])
            good = segment["errortype"].is_null().to_numpy()
            done.add(digests[good], positions[good])
            if errors or path.name in self._own:
                failed.add(digests[~good], positions[~good])
            start += segment.num_rows
        return done, failed

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at `int64[n]` positions, in that order: columns digest, value, errortype, errormsg."""
        sizes = [segment.num_rows for segment in self._segments]
        return gathered(positions, sizes, self._segments.__getitem__).drop_columns(["simulated"])

    def close(self) -> None:
        """Lets go of the segments that are open for reading."""
        self._segments = []
        if self._fetched is not None:
            shutil.rmtree(self._fetched, ignore_errors=True)
            self._fetched = None

    def remove(self) -> None:
        """Removes what was loaded: it is in the column's file. Segments that another run wrote since then stay."""
        self.close()
        for path in self._loaded:
            remove(path)
        with suppress(OSError):  # not empty
            self.directory.fs.rmdir(self.directory.path)

    def _paths(self) -> Iterator[UPath]:
        if self.directory.exists():
            yield from sorted(
                (
                    p
                    for p in self.directory.iterdir()
                    if p.name.endswith(".arrow") and not p.name.startswith(".")
                ),
                key=lambda p: p.name,
            )

    def _open(self, path: UPath) -> pa.Table | None:
        """A segment's table, mapped into memory; None for one that is torn or of another type."""
        import pyarrow as pa

        try:
            segment = pa.ipc.open_file(pa.memory_map(str(self._local(path)))).read_all()
        except (pa.ArrowInvalid, OSError) as e:
            _log.warning(
                "Dropped the journal segment %s: it was cut short (%s); its cells are computed anew.", path, e
            )
            return None
        return segment if segment.schema.field("value").type == self._type.arrow() else None

    def _local(self, path: UPath) -> Path:
        if is_local(path):
            return Path(path.path)
        if self._fetched is None:
            self._fetched = tempfile.mkdtemp(prefix="pxt-journal-")
        fetched = Path(self._fetched) / path.name
        path.fs.get_file(path.path, str(fetched))
        return fetched
