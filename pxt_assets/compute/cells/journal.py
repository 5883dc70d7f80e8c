"""The journal: finished cells on disk before their partition is complete, in segments that are written once.

Segments sort by name in the order of writing. A cell is found by its digest; of several cells with one digest the last
one counts. A segment that a crash cut short is dropped with a warning.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.answered_by import is_other_mask
from pxt_assets.compute.cells.cell import RESULT_COLUMNS, Cell, provenance_schema, table_of_cells
from pxt_assets.compute.cells.digest_index import DigestIndex, digests_of
from pxt_assets.compute.cells.failed_answers import failed_answers, is_marked, mark_checked
from pxt_assets.compute.cells.merging import Merging
from pxt_assets.compute.cells.scratch_file import local_folder
from pxt_assets.compute.cells.segments import SUFFIX, Segments
from pxt_assets.compute.cells.waiting_cells import WaitingCells
from pxt_assets.errors import PartitionError, RunError
from pxt_assets.local.threads import DaemonThreadPool, run_in_thread, short_turns
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.types import Array, ColumnType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from upath import UPath

    from pxt_assets.api.request import Endpoint

FLUSH_SECONDS = 0.25
"""From a cell's `append` until it is on disk, as far as the disk or the store is that fast."""
_SPARE_SECONDS = 0.05
"""Of FLUSH_SECONDS: a busy machine lets a thread wait."""
_FIRST_TAKES = 0.1
"""Seconds that the first flush is taken to take."""
_FADING = 0.8
"""What one slow flush still counts for at the next."""
_SHORTEST_PAUSE = 0.05
"""Seconds between flushes that each take longer than FLUSH_SECONDS."""
_BYTES_AT_ONCE = 4 * 2**20
"""Bytes of waiting values that are written at once: many more would take longer than FLUSH_SECONDS."""
_BYTES_A_SEGMENT = 32 * 2**20
"""Bytes of large values after which a segment ends."""
_LISTINGS = 5
"""How often the journal's folder is listed if what it lists is gone."""
REFRESH_SUFFIX = ".refresh"
_log = logging.getLogger("pxt_assets.compute.journal")


def _age_to_flush(took: float) -> float:
    """How many seconds cells may wait if writing them takes as long as it lately did.

    A cell that comes just after a flush began is on disk FLUSH_SECONDS later, as long as `took` is shorter than half of that.
    """
    age = FLUSH_SECONDS - _SPARE_SECONDS - 2 * took
    return max(age, min(FLUSH_SECONDS, _SHORTEST_PAUSE))


class UnstorableError(RunError):
    """A cell whose value Arrow cannot hold."""


class Journal:
    """The finished cells of one column and partition, in the folder `directory`; `run_id` marks what this run appends.

    Those in the folder `earlier`, if there is one, are found too. With an `endpoint`, they are its answers; the segments `own` count as written by this attempt. `clock_ns` gives the wall-clock time in nanoseconds that orders segments.
    """

    def __init__(
        self,
        directory: UPath,
        column_type: type[ColumnType],
        *,
        earlier: UPath | None = None,
        endpoint: Endpoint | None = None,
        run_id: str | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        waiting: WaitingCells | None = None,
        own: Collection[str] = (),
    ) -> None:
        self.simulated = False
        """Whether any cell in it comes from a simulator."""
        self.servers: set[str | None] = set()
        """Which servers answered its cells, once it is loaded."""
        self.on_written: Callable[[], None] | None = None
        """Called, in whatever thread, when `pending_bytes` has fallen."""
        self._scratch = local_folder(directory.parent)
        self.earlier_failures = DigestIndex(self._scratch)
        """Cells that failed in earlier attempts, once it is loaded."""
        self._segments = Segments(directory, earlier)
        self._type = Array if issubclass(column_type, Array) else column_type  # vectors of any length
        self._endpoint = endpoint
        self._run_id = run_id
        self._clock_ns = clock_ns
        self._last_ns = 0
        self._waiting = WaitingCells() if waiting is None else waiting
        self._merging = Merging(self._segments)
        self._own = frozenset(own)
        self._write_lock = threading.Lock()
        self._loaded_segments: list[str] = []
        self._refresh_marker = ""

    def is_empty(self) -> bool:
        """Whether no earlier attempt has left anything in it."""
        return not self._segments.names() and not self._segments.names(REFRESH_SUFFIX)

    @property
    def pending_bytes(self) -> int:
        """Bytes of the values that were appended and are not on disk yet, as their cells count them."""
        return self._waiting.bytes

    @property
    def own_segments(self) -> frozenset[str]:
        """The segments of this attempt: a failure in them is not tried again."""
        return self._own | frozenset(self._merging.names)

    @property
    def refreshes_since(self) -> float | None:
        """Since when a refresh that has not ended computes every cell anew, in seconds since 1970; None for no refresh."""
        markers = self._segments.names(REFRESH_SUFFIX)
        return int(markers[0].partition("-")[0]) / 1e9 if markers else None

    def append(self, cell: Cell) -> None:
        """Adds a finished cell; it is on disk after the next `flush`."""
        self._waiting.append(cell, _BYTES_AT_ONCE)

    def flush(self) -> None:
        """Writes the cells appended since the last flush as a segment, or as several if their values are large.

        Raises RunError if writing fails; the cells stay pending.
        """
        with self._write_lock:
            left = self._waiting.begin_write()
            while left:
                cells = self._waiting.first(left, _BYTES_A_SEGMENT)
                left -= len(cells)
                try:
                    self._write(cells)
                except UnstorableError:  # the other cells are written
                    self._drop(cells)
                    raise
                self._drop(cells)

    def _drop(self, cells: list[Cell]) -> None:
        self._waiting.drop(cells)
        if self.on_written is not None:
            self.on_written()

    def merge(self) -> None:
        """Merges small segments that this journal has written, if there are many; may run beside `flush`."""
        self._merging.merge()

    def _write(self, cells: list[Cell]) -> None:
        name = self._new_name(SUFFIX)
        try:
            table = mark_checked(table_of_cells(cells, self._type, self._run_id))
        except Exception as e:  # one bad cell must not keep the others from being written
            if len(cells) == 1 and cells[0].provenance != Provenance():
                self._write([replace(cells[0], provenance=Provenance())])
                return
            if len(cells) == 1:
                msg = f"an answer that is paid for cannot be stored as {self._type.__name__} ({type(e).__name__}: {e})"
                raise UnstorableError(msg) from e
            self._write_halves(cells)
            return
        try:
            size = self._segments.write(name, table)
        except Exception as e:  # a full disk, or whatever a store's client raises
            msg = (
                f"cannot write the journal at {self._segments.directory}: {type(e).__name__}: {e}. What was finished "
                f"before is kept; {len(self._waiting)} finished cells are not on disk"
            )
            raise RunError(msg) from e
        self._merging.add(name, size)

    def _write_halves(self, cells: list[Cell]) -> None:
        """Writes cells some of which cannot be stored: first all that can, then raises UnstorableError."""
        middle = len(cells) // 2
        refused: UnstorableError | None = None
        for part in (cells[:middle], cells[middle:]):
            try:
                self._write(part)
            except UnstorableError as e:
                refused = refused or e
        if refused is not None:
            raise refused

    def _new_name(self, suffix: str) -> str:
        self._last_ns = max(self._clock_ns(), self._last_ns + 1)
        return f"{self._last_ns:020d}-{uuid.uuid4().hex[:8]}{suffix}"

    def follow(self, seconds: float) -> None:
        """Makes new names sort after what was kept at that time since 1970, by whatever host's clock."""
        self._last_ns = max(self._last_ns, int(seconds * 1e9) + 1_000_000)

    def _advance_clock(self, names: list[str]) -> None:
        """Makes new names sort after these, even if another host's clock was ahead."""
        for name in names:
            written_ns = name.partition("-")[0]
            if written_ns.isdecimal():
                self._last_ns = max(self._last_ns, int(written_ns))

    async def keep_flushing(self) -> None:
        """Flushes by the age of the oldest waiting cell, or as soon as large values wait, until cancelled.

        Both in threads of their own, which an event loop with a backlog does not hold up: it flushes, and merges small
        segments. Raises what `flush` raises.
        """
        try:
            with short_turns():
                await run_in_thread(self._flush_when_due)
        finally:
            self._merging.end()
            self._waiting.end()

    def _flush_when_due(self) -> None:
        merger = DaemonThreadPool(1)
        merging: Future[None] | None = None
        age, took = _age_to_flush(_FIRST_TAKES), 0.0
        try:
            while self._waiting.wait_until_due(age, _BYTES_AT_ONCE):
                began = self._waiting.clock()
                self.flush()
                took = max(self._waiting.clock() - began, _FADING * took)
                age = _age_to_flush(took)
                if self._merging.is_due and (merging is None or merging.done()):
                    merging = merger.submit(self.merge)
        finally:
            merger.shutdown(wait=False)

    def begin_refresh(self) -> None:
        """Begins a refresh: every cell is computed anew.

        If a refresh was interrupted, continues it: what it computed is not computed again.
        """
        markers = self._segments.names(REFRESH_SUFFIX)
        if not markers:
            self._advance_clock(self._segments.names())
            markers = [self._new_name(REFRESH_SUFFIX)]
            path = self._segments.directory / markers[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            self._segments.directory.fs.pipe_file(path.path, b"")
        self._refresh_marker = markers[0]

    def end_refresh(self) -> None:
        """Ends a refresh: the next one begins anew."""
        self._segments.remove(self._segments.names(REFRESH_SUFFIX))

    def load(
        self, *, errors: bool, since_refresh: bool = False, leave_out: Callable[[str], bool] | None = None
    ) -> tuple[DigestIndex, DigestIndex]:
        """Two indexes of the segments' cells: those with a result, and those that failed. Positions are those of `take`.

        Failures of earlier attempts are left out unless `errors`. With `since_refresh`, all cells computed before the
        refresh began are left out; so are those of the servers whose names `leave_out` is true of.
        """
        with self._merging.lock:
            for _ in range(_LISTINGS):
                with suppress(FileNotFoundError):  # another run's journal, which merged segments meanwhile
                    return self._load(errors, since_refresh, leave_out)
        msg = f"cannot read the journal at {self._segments.directory}: another run writes it; try again when it has ended"
        raise PartitionError(msg)

    def _load(
        self, errors: bool, since_refresh: bool, leave_out: Callable[[str], bool] | None
    ) -> tuple[DigestIndex, DigestIndex]:
        import numpy as np
        import pyarrow.compute as pc

        self._segments.forget()
        self._loaded_segments = self._segments.names()
        self._advance_clock([*self._segments.names(REFRESH_SUFFIX), *self._loaded_segments])
        wanted = [name for name in self._loaded_segments if not since_refresh or name > self._refresh_marker]
        self._segments.fetch(wanted)
        done, failed = DigestIndex(self._scratch), DigestIndex(self._scratch)
        start = 0
        for name in wanted:
            segment = self._read_segment(name)
            if segment is None:
                continue
            self._segments.add(name, segment.num_rows)
            self.simulated = self.simulated or bool(pc.any(segment["simulated"]).as_py())
            positions = np.arange(start, start + segment.num_rows, dtype=np.int64)
            digests = digests_of(segment["digest"])
            has_error = segment["errortype"].is_valid().to_numpy()
            has_result = ~has_error
            if self._endpoint is not None and not is_marked(segment.schema.metadata):
                has_result &= ~failed_answers(segment["value"], self._endpoint)
            self.servers.update(pc.unique(segment["server"]).to_pylist())
            if leave_out is not None:
                is_left = is_other_mask(segment["server"], leave_out)
                has_result &= ~is_left
                has_error &= ~is_left
            done.add(digests[has_result], positions[has_result])
            is_own = name in self.own_segments
            if errors or is_own:
                failed.add(digests[has_error], positions[has_error])
            if not is_own:
                self.earlier_failures.add(digests[has_error], positions[has_error])
            start += segment.num_rows
        return done, failed

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at `int64[n]` positions, in that order: columns digest, value, errortype, errormsg, server."""
        return self._take(positions, (*RESULT_COLUMNS, "server"))

    def provenance(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Where the cells at `int64[n]` positions come from, in that order: digest and `provenance_schema`."""
        return self._take(positions, ("digest", *provenance_schema().names))

    def _take(self, positions: npt.NDArray[np.int64], columns: tuple[str, ...]) -> pa.Table:
        try:
            return self._segments.take(positions, columns)
        except FileNotFoundError as e:
            msg = (
                f"segments of the journal at {self._segments.directory} are gone: another run computes this partition at "
                "the same time; materialize again when it has ended: what is finished is not computed again"
            )
            raise PartitionError(msg) from e

    def close(self) -> None:
        """Closes the segments that are open for reading."""
        self._segments.close()

    def remove(self) -> None:
        """Removes the loaded segments, whose cells are in the column's file now. Segments that another run wrote stay."""
        self._segments.forget()
        self._segments.remove([*self._segments.names(REFRESH_SUFFIX), *self._loaded_segments])

    def _read_segment(self, name: str) -> pa.Table | None:
        """A segment's table; None for one that is torn or of another type."""
        if (segment := self._segments.read_whole(name)) is None:
            return None
        if not set(segment.schema.names) >= {*RESULT_COLUMNS, "simulated", *provenance_schema().names}:
            self._loaded_segments.remove(
                name
            )  # what is in it is paid for: `remove` leaves it to who can read it
            _log.warning("Left the journal segment %s as it is: another release wrote it.", name)
            return None
        return segment if segment.schema.field("value").type == self._type.arrow() else None
