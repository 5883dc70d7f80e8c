"""The journal: finished cells on disk before their partition is complete, in segments that are written once.

A segment's name sorts by the time at which it was written. A cell is found by its digest; of several cells with one
digest the last one counts. A segment that a crash cut short is dropped with a warning.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.cell import RESULT, Cell, provenance_schema, table_of_cells
from pxt_assets.compute.cells.digest_index import DigestIndex, digests_of
from pxt_assets.compute.cells.segments import SUFFIX, Segments
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.types import Array, ColumnType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from upath import UPath

FLUSH_SECONDS = 1.0
_SHORTEST_PAUSE = 0.05
"""Seconds between flushes that each take longer than FLUSH_SECONDS."""
_BYTES_A_SEGMENT = 32 * 2**20
"""Large values that are written at once, and that may wait in memory to be."""
_REFRESH = ".refresh"
_log = logging.getLogger(__name__)


def journal_of(column_file: UPath) -> UPath:
    """The folder of a column's journal, beside its file: hidden, as readers of a whole folder expect of what is no data."""
    return column_file.with_name(f".{column_file.stem}.journal")


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


class UnstorableError(RunError):
    """A cell whose value Arrow cannot hold."""


class Journal:
    """The finished cells of one column and partition, in the folder `directory`; `run_id` marks what this run appends.

    `clock_ns` gives the wall-clock time in nanoseconds that orders segments.
    """

    def __init__(
        self,
        directory: UPath,
        column_type: type[ColumnType],
        *,
        run_id: str | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.simulated = False
        """Whether any cell in it was made by a simulator."""
        self._segments = Segments(directory)
        self._type = Array if issubclass(column_type, Array) else column_type  # vectors of any length
        self._run_id = run_id
        self._clock_ns = clock_ns
        self._last_ns = 0
        self._pending: list[Cell] = []
        self._pending_bytes = 0
        """Of what was appended since the last flush began."""
        self._full = asyncio.Event()
        self._writing = threading.Lock()
        self._own: set[str] = set()
        self._loaded: list[str] = []
        self._anew_since = ""

    def is_empty(self) -> bool:
        """Whether there is nothing of an earlier attempt."""
        return not self._segments.names() and not self._segments.names(_REFRESH)

    def append(self, cell: Cell) -> None:
        """Takes a finished cell; it is on disk after the next `flush`."""
        self._pending.append(cell)
        self._pending_bytes += cell.size
        if self._pending_bytes >= _BYTES_A_SEGMENT:
            self._full.set()

    def flush(self) -> None:
        """Writes what was appended since the last flush as a segment, large values as several.

        Raises RunError if writing fails; the cells stay pending.
        """
        with self._writing:
            for count in _parts(self._pending[:]):
                try:
                    self._write(self._pending[:count])
                except UnstorableError:  # all others of them are written
                    del self._pending[:count]
                    raise
                del self._pending[:count]

    def _write(self, cells: list[Cell]) -> None:
        name = self._name(SUFFIX)
        try:
            table = table_of_cells(cells, self._type, self._run_id)
        except Exception as e:  # nothing that one cell holds may cost the others their place
            if len(cells) == 1 and cells[0].provenance != Provenance():
                self._write([replace(cells[0], provenance=Provenance())])
                return
            if len(cells) == 1:
                msg = f"an answer that is paid for cannot be stored as {self._type.__name__} ({type(e).__name__}: {e})"
                raise UnstorableError(msg) from e
            self._write_apart(cells)
            return
        try:
            self._segments.write(name, table)
        except Exception as e:  # a full disk, or whatever a store's client raises
            msg = (
                f"cannot write the journal at {self._segments.directory}: {type(e).__name__}: {e}. What was finished "
                f"before is kept; {len(self._pending)} finished cells are not on disk"
            )
            raise RunError(msg) from e
        self._own.add(name)

    def _write_apart(self, cells: list[Cell]) -> None:
        """Writes cells some of which cannot be: all that can, then raises UnstorableError for the others."""
        middle = len(cells) // 2
        refused: UnstorableError | None = None
        for part in (cells[:middle], cells[middle:]):
            try:
                self._write(part)
            except UnstorableError as e:
                refused = refused or e
        if refused is not None:
            raise refused

    def _name(self, suffix: str) -> str:
        self._last_ns = max(self._clock_ns(), self._last_ns + 1)
        return f"{self._last_ns:020d}-{uuid.uuid4().hex[:8]}{suffix}"

    def _follow(self, names: list[str]) -> None:
        """Lets what is written from here on sort after what there is, though another host's clock may have been ahead."""
        for name in names:
            said = name.partition("-")[0]
            if said.isdecimal():
                self._last_ns = max(self._last_ns, int(said))

    async def keep_flushing(self) -> None:
        """Flushes every FLUSH_SECONDS, or as soon as much waits, off the event loop, until cancelled.

        What comes in just after one began is on disk when the next one ends: FLUSH_SECONDS later, if both take as long.
        """
        loop = asyncio.get_running_loop()
        took = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    max(FLUSH_SECONDS - 2 * took, min(FLUSH_SECONDS, _SHORTEST_PAUSE))
                ):
                    await self._full.wait()
            self._full.clear()
            self._pending_bytes = 0
            began = loop.time()
            await run_in_thread(self.flush)
            took = loop.time() - began

    def begin_refresh(self) -> None:
        """Notes that every cell is computed anew from here on.

        A refresh that was broken off is gone on with: what it computed since it began is not computed again.
        """
        begun = self._segments.names(_REFRESH)
        if not begun:
            self._follow(self._segments.names())
            begun = [self._name(_REFRESH)]
            (self._segments.directory / begun[0]).parent.mkdir(parents=True, exist_ok=True)
            self._segments.directory.fs.pipe_file((self._segments.directory / begun[0]).path, b"")
        self._anew_since = begun[0]

    def end_refresh(self) -> None:
        """Notes that what was to be computed anew is: the next refresh begins afresh."""
        self._segments.remove(self._segments.names(_REFRESH))

    def load(self, *, errors: bool, anew: bool = False) -> tuple[DigestIndex, DigestIndex]:
        """Which cells the segments hold: those with a result, and those that failed.

        Failures of earlier attempts are left out unless `errors`, and if `anew` all that was computed before the
        refresh began. Positions are those of `take`.
        """
        import numpy as np
        import pyarrow.compute as pc

        self._segments.forget()
        self._loaded = self._segments.names()
        self._follow([*self._segments.names(_REFRESH), *self._loaded])
        wanted = [name for name in self._loaded if not anew or name > self._anew_since]
        self._segments.fetch(wanted)
        done, failed = DigestIndex(), DigestIndex()
        start = 0
        for name in wanted:
            segment = self._opened(name)
            if segment is None:
                continue
            self._segments.add(name, segment.num_rows)
            self.simulated = self.simulated or bool(pc.any(segment["simulated"]).as_py())
            positions = np.arange(start, start + segment.num_rows, dtype=np.int64)
            digests = digests_of(segment["digest"])
            good = segment["errortype"].is_null().to_numpy()
            done.add(digests[good], positions[good])
            if errors or name in self._own:
                failed.add(digests[~good], positions[~good])
            start += segment.num_rows
        return done, failed

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at `int64[n]` positions, in that order: columns digest, value, errortype, errormsg."""
        return self._segments.take(positions, RESULT)

    def provenance(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Where the cells at `int64[n]` positions come from, in that order: digest and `provenance_schema`."""
        return self._segments.take(positions, ("digest", *provenance_schema().names))

    def close(self) -> None:
        """Lets go of the segments that are open for reading."""
        self._segments.close()

    def remove(self) -> None:
        """Removes what was loaded: it is in the column's file. Segments that another run wrote since then stay."""
        self._segments.forget()
        self._segments.remove([*self._segments.names(_REFRESH), *self._loaded])

    def _opened(self, name: str) -> pa.Table | None:
        """A segment's table; None for one that is torn or of another type."""
        import pyarrow as pa

        try:
            segment = self._segments.read(name)
        except (pa.ArrowInvalid, OSError) as e:
            _log.warning(
                "Dropped the journal segment %s: it was cut short (%s); its cells are computed anew.", name, e
            )
            return None
        known = set(segment.schema.names) >= {*RESULT, "simulated", *provenance_schema().names}
        return segment if known and segment.schema.field("value").type == self._type.arrow() else None
