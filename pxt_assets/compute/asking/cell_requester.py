"""Asks for every cell of a partition that is not finished yet, and journals the values as they come."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Asked
from pxt_assets.compute.asking.cell_calls import Calls
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import Shared
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.digest_index import NO_DIGEST, DigestSet
from pxt_assets.compute.cells.finished_cells import Cells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.refused_rows import Refused
from pxt_assets.compute.partition.column import FAILURES_KEPT, Column, cells_failed
from pxt_assets.compute.partition.made_from import MadeFrom
from pxt_assets.compute.partition.plan import Ask, cell_digest, held
from pxt_assets.errors import CellError, RunError
from pxt_assets.local.threads import await_to_end, run_in_thread
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.digest import simulated_digest
from pxt_assets.values.types import ImageData, ImageList, is_media

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pxt_assets.compute.cells.digest_index import Digests

_GRACE_SECONDS = 2.0
"""How long an interrupted run waits for what it has sent, most of which is paid for; Dagster's step processes take some
seconds more to end, of five in all."""
_LAST_ATTEMPTS = 3
"""How often what waits at the end is tried to be written: it is paid for."""


class Asker:
    """The asking of one partition. `await run()` returns when every cell is finished or has failed.

    Raises CellsFailedError under on_error="abort", FatalApiError and RunError as the client does. Whatever was
    finished or in flight by then is in the journal: what was sent has been paid for, and is waited for. `admitted` is
    called when no more rows will be asked for: the next partition may begin.
    """

    def __init__(
        self,
        column: Column,
        cells: Cells,
        journal: Journal,
        shared: Shared,
        admitted: Callable[[], None],
    ) -> None:
        self.meter = Meter(budget=column.budget)
        self.asked_rows = 0
        """Rows whose cell was not finished before."""
        self.refused = Refused()
        """Rows that make no request, because a function cannot take their values."""
        self.made_from = None if column.inputs.holds_media else MadeFrom(column)
        """Complete once every row was read. None where it would not tell: files that are named may change."""
        self._column = column
        self._cells = cells
        self._journal = journal
        self._shared = shared
        self._room = shared.room
        self._all_admitted = admitted
        self._client = shared.client
        self._calls = Calls(shared.client, self.meter)
        self._digests = bytearray()
        self._is_first = bytearray()
        self._seen = DigestSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._stop: BaseException | None = None
        self._failures: list[tuple[int, CellError]] = []
        self._failed_names = bytearray()
        self._failed_types: list[str] = []
        self._done = 0
        self._admitted = False
        """Whether every row's cell is finished or asked for."""
        self._started = time.monotonic()

    @property
    def digests(self) -> Digests:
        """Each row's digest, `S16[rows]`; `NO_DIGEST` where it has none. To be asked for when all rows are admitted."""
        import numpy as np

        return np.frombuffer(self._digests, "S16")

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        """Which rows are the first ones with their digest, `bool[rows]`; none without one."""
        import numpy as np

        return np.frombuffer(self._is_first, bool)

    @property
    def failed_rows(self) -> int:
        """Rows that were asked for and failed."""
        return self._errors_of_asked().total()

    @property
    def errors(self) -> Counter[str]:
        """Rows that failed by error type, those that were refused included."""
        return self._errors_of_asked() + self.refused.errors

    def _errors_of_asked(self) -> Counter[str]:
        import numpy as np

        found: Counter[str] = Counter()
        if not self._failed_names:
            return found
        names, of_name = np.unique(np.frombuffer(bytes(self._failed_names), "S16"), return_index=True)
        digests = self.digests
        at = np.minimum(np.searchsorted(names, digests), len(names) - 1)
        for i, rows in enumerate(np.bincount(at[names[at] == digests], minlength=len(names)).tolist()):
            found[self._failed_types[of_name[i]]] += rows
        return found

    async def run(self) -> None:
        """Asks for all that is missing."""
        with (
            self._shared.stoppable(self._stop_for),
            self._shared.board.showing(self._column.label, self.progress),
        ):
            await self._run()
        if self._aborting:
            raise cells_failed(self._column, self._failures, self.errors, all_tried=self._admitted)

    async def _run(self) -> None:
        admission = asyncio.create_task(self._admit())
        admission.add_done_callback(lambda _: self._all_admitted())
        self._tasks.add(admission)
        flushing = asyncio.create_task(self._journal.keep_flushing())
        for task in (admission, flushing):
            task.add_done_callback(self._note_end)
        try:
            while self._tasks:
                await self._task_ends()
            if self._stop is not None:
                raise self._stop
        except asyncio.CancelledError:
            self.meter.stopped = True
            admission.cancel()
            self._cancel_unsent()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
            raise
        finally:
            rest = [flushing, *self._tasks]
            for task in rest:
                task.cancel()
            try:
                await asyncio.gather(*rest, return_exceptions=True)
            finally:  # whatever interrupts that
                self._calls.close()
                await await_to_end(run_in_thread(self._flush_rest))
            self.meter.limit_utilization = self.meter.used.share

    def _flush_rest(self) -> None:
        """Writes what waits in memory. Raises RunError; of two errors the first is told with the other."""
        for attempt in range(_LAST_ATTEMPTS):
            try:
                self._journal.flush()
            except RunError as e:
                if attempt + 1 < _LAST_ATTEMPTS:
                    continue
                if isinstance(self._stop, RunError) and str(self._stop) != str(e):
                    self._stop.args = (f"{self._stop} Besides, {e}",)
                    raise self._stop from e
                raise
            return

    @property
    def done(self) -> int:
        """Rows that are finished, reused ones included."""
        return self._done

    @property
    def _aborting(self) -> bool:
        failed = bool(self._failed_types) or bool(self.refused)
        return failed and self._column.options.on_error == "abort"

    async def _admit(self) -> None:
        import numpy as np

        first = 0
        inputs = self._column.inputs
        self._seen.add(np.array([NO_DIGEST], "S16"))
        seen = None if self.made_from is None else self.made_from.add
        batches = inputs.batches(inputs.batch_rows, self._column.total, seen)
        while (rows := await self._next(batches)) is not None:
            prepared = [self._prepare(first + i, row) for i, row in enumerate(rows)]
            names = [NO_DIGEST if cell is None else cell_digest(cell) for cell in prepared]
            joined = b"".join(names)
            self._digests += joined
            is_first = self._seen.add(np.frombuffer(joined, "S16"))
            self._is_first += is_first.tobytes()
            missing = self._cells.missing(np.frombuffer(joined, "S16"))
            missing &= np.fromiter((cell is not None for cell in prepared), bool, len(prepared))
            self.asked_rows += int(missing.sum())
            to_ask = np.flatnonzero(missing & is_first)
            self._done += len(prepared) - len(to_ask)
            for i in to_ask.tolist():
                together = cell.asked.max_cells if isinstance(cell := prepared[i], Ask) else 1
                while self._room.is_full(together) and not self._stopping:
                    await self._room.changes()
                if self._stopping:
                    return
                self._start(first + i, names[i], cell)
                prepared[i] = cell = None
            first += len(rows)
            await asyncio.sleep(0)
        self._seen = DigestSet()  # takes as much memory as the digests
        self._admitted = True

    async def _next(self, batches: Iterator[list[Sequence[Any]]]) -> list[Sequence[Any]] | None:
        """The next rows; where these are read from as many files, off the event loop."""
        if self._column.inputs.holds_media:
            return await run_in_thread(next, batches, None)
        return next(batches, None)

    @property
    def _stopping(self) -> bool:
        return self._stop is not None or self._aborting

    def _prepare(self, row: int, values: Any) -> Any:
        try:
            return self._column.plan.prepare(values)
        except CellError as e:
            self.refused.note(row, e)
            self._note_failure(row, e)
            return None

    def _start(self, row: int, name: bytes, cell: Any) -> None:
        size = held(cell)
        self._room.take(size)
        task = asyncio.get_running_loop().create_task(self._finish(row, name, cell))
        self._tasks.add(task)
        task.add_done_callback(partial(self._note_cell, size))

    async def _finish(self, row: int, name: bytes, cell: Any) -> None:
        value = errortype = errormsg = None
        provenance = Provenance()

        async def ask(asked: Asked) -> Any:
            nonlocal provenance
            value, taken = await self._calls.answer(asked, is_cell=isinstance(cell, Ask))
            provenance += taken
            return asked.settled(value)

        try:
            value = await self._column.plan.finish(cell, ask)
        except CellError as e:
            self._failed_names += name
            self._failed_types.append(e.errortype)
            self._note_failure(row, e)
            value, errortype, errormsg = e.value, e.errortype, e.message
            if provenance.request_id is None:
                provenance = replace(provenance, request_id=e.request_id)
        simulated = self._client is not None and bool(self._client.simulated)
        stored_name = simulated_digest(name) if simulated else name
        held = self._held_by(value)
        self._journal.append(
            Cell(stored_name, value, errortype, errormsg, simulated, held, provenance, time.time_ns())
        )
        self._done += 1

    def _held_by(self, value: Any) -> int:
        column_type = self._column.column_type
        if column_type in (ImageData, ImageList) or is_media(column_type):
            return held(value)
        return int(getattr(value, "nbytes", 0))

    def _note_cell(self, size: int, task: asyncio.Task[None]) -> None:
        self._room.give_back(size)
        self._note_end(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """An error that is no cell's stops everything, a fault of this program included."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._stop is None:
            self._stop = task.exception()
        if self._stopping:
            self._cancel_unsent()
            self._room.change()
        self._ended.set()

    def _stop_for(self, reason: BaseException) -> None:
        """Ends the asking, once what is in flight is finished, with that error if there is no other.

        If all that is missing is in flight, there is nothing to end: the partition will be complete.
        """
        if self._admitted and not self.meter.unsent:
            return
        self._stop = self._stop or reason
        self._cancel_unsent()
        self._room.change()

    async def _task_ends(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    def _note_failure(self, row: int, error: CellError) -> None:
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append((row, error.to_keep()))
        if self._aborting:
            self._cancel_unsent()
            self._room.change()

    def _cancel_unsent(self) -> None:
        for task in list(self.meter.unsent):
            task.cancel()

    def progress(self) -> Progress:
        """How far it is."""
        seconds = time.monotonic() - self._started
        return Progress(self._column.label, self._done, self._column.total, seconds, self.meter)
