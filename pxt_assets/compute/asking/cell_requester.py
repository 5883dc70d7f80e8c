"""Asks for every cell of a partition that is not finished, and journals the values as they arrive."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from pxt_assets.api.meter import Meter
from pxt_assets.api.request import CellRequest
from pxt_assets.api.server_name import SIMULATOR
from pxt_assets.compute.asking.cell_calls import CellCalls
from pxt_assets.compute.asking.in_flight_bound import Held
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_digests import RowDigests
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.refused_rows import RefusedRows
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.partition.column import FAILURES_KEPT, Column, cells_failed_error
from pxt_assets.compute.partition.input_digest import InputDigest
from pxt_assets.compute.partition.plan import ReadyCall, cell_digest, memory_bytes, models_asked
from pxt_assets.errors import CellError, RunError
from pxt_assets.local.media_threads import prepared_batches
from pxt_assets.local.threads import await_to_end, run_in_thread
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.digest import simulated_digest
from pxt_assets.values.types import ImageData, ImageList, is_media

_GRACE_SECONDS = 2.0
"""How long an interrupted run waits for what it has sent, most of which is paid for. A step process of Dagster has five
seconds to end, of which it needs some itself."""
_LAST_ATTEMPTS = 3
"""How often the last flush is tried: what it writes is paid for."""


class CellRequester:
    """Asks for the cells of one partition. `await run()` returns when every cell is finished or has failed.

    Raises CellsFailedError under on_error="abort", FatalApiError and RunError as the client does. What was finished or
    in flight by then is in the journal: what was sent is paid for, so it is waited for. `on_admitted` is called when no
    more rows will be asked for: the next partition may begin.
    """

    def __init__(
        self,
        column: Column,
        cells: FinishedCells,
        journal: Journal,
        run_state: RunState,
        on_admitted: Callable[[], None],
    ) -> None:
        self.meter = Meter(budget=column.budget, answer_sizes=run_state.in_flight.answer_sizes)
        self.counts = RowCounts()
        self.refused_rows = RefusedRows()
        """Rows without a request, because a function cannot take their values."""
        self.input_digest = None if column.names_files else InputDigest(column)
        """Complete once every row was read. None for rows that name files by their paths, as these may change."""
        self._column = column
        self._cells = cells
        self._journal = journal
        self._run_state = run_state
        self._in_flight = run_state.in_flight
        self._on_admitted = on_admitted
        self._client = run_state.client
        self._calls = CellCalls(run_state.client, self.meter, run_state.batch_sizes, run_state.server_name)
        self._rows = RowDigests(scratch_folder(column.file.path))
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_ended = asyncio.Event()
        self._stop_error: BaseException | None = None
        self._failures: list[tuple[int, CellError]] = []
        self._all_admitted = False
        """Whether every row's cell is finished or asked for."""
        self._started = time.monotonic()

    @property
    def digests(self) -> StoredArray:
        """Each row's digest, `S16[rows]`; `NO_DIGEST` where it has none. Complete when all rows are admitted."""
        return self._rows.digests

    @property
    def is_first(self) -> StoredArray:
        """Which rows are the first ones with their digest, `bool[rows]`; none without one."""
        return self._rows.is_first

    @property
    def errors(self) -> Counter[str]:
        """Failed rows by error type, refused rows included."""
        return self.counts.errors(self.digests) + self.refused_rows.errors

    async def run(self) -> None:
        """Asks for all cells that are missing."""
        with (
            self._run_state.call_on_stop(self._stop_with),
            self._run_state.display.track(self._column.label, self.progress),
            self._in_flight.counting(self._journal),
        ):
            await self._run()
        if self._aborting:
            untried = self._column.total - self.counts.done
            raise cells_failed_error(self._column, self._failures, self.errors, untried=untried)

    async def _run(self) -> None:
        admission = asyncio.create_task(self._admit())
        admission.add_done_callback(lambda _: self._on_admitted())
        self._tasks.add(admission)
        flushing = asyncio.create_task(self._journal.keep_flushing())
        for task in (admission, flushing):
            task.add_done_callback(self._note_end)
        try:
            while self._tasks:
                await self._wait_for_task()
            if self._stop_error is not None:
                raise self._stop_error
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
            self.meter.limit_utilization = self.meter.limit_usage.utilization
            self.counts.settle(self.digests, self.refused_rows.errors)

    def _flush_rest(self) -> None:
        """Writes the cells that wait in memory. Raises RunError; if an error stopped the run, its text comes first."""
        for attempt in range(_LAST_ATTEMPTS):
            try:
                self._journal.flush()
            except RunError as e:
                if attempt + 1 < _LAST_ATTEMPTS:
                    continue
                if isinstance(self._stop_error, RunError) and str(self._stop_error) != str(e):
                    self._stop_error.args = (f"{self._stop_error} Besides, {e}",)
                    raise self._stop_error from e
                raise
            return

    @property
    def _aborting(self) -> bool:
        failed = self.counts.any_failed or bool(self.refused_rows)
        return failed and self._column.options.on_error == "abort"

    async def _admit(self) -> None:
        first, inputs = 0, self._column.inputs
        on_arrays = None if self.input_digest is None else self.input_digest.add
        batches = inputs.batches(inputs.batch_rows, self._column.total, on_arrays)
        async with aclosing(prepared_batches(partial(self._next_rows, batches), self._prepare)) as prepared:
            async for rows in prepared:
                count = len(rows)
                if not await self._admit_rows(first, rows):
                    return
                first += count
                await asyncio.sleep(0)
        self._rows.end()
        self._all_admitted = True

    async def _admit_rows(self, first: int, rows: list[tuple[Any, bytes]]) -> bool:
        """Asks for the cells of prepared rows, which it takes out of the list; returns whether the run has not stopped."""
        import numpy as np

        prepared = [self._note_refused(first + i, cell) for i, (cell, _) in enumerate(rows)]
        digests = [digest for _, digest in rows]
        rows.clear()  # `prepared` lets go of its cells one by one
        joined = b"".join(digests)
        is_first = self._rows.add(joined)
        missing = self._cells.missing_mask(np.frombuffer(joined, "S16"))
        missing &= np.fromiter((cell is not None for cell in prepared), bool, len(prepared))
        to_ask = np.flatnonzero(missing & is_first)
        failed_before = self._cells.failed_before(np.frombuffer(joined, "S16"))
        self.counts.admit(digests, missing, failed_before, to_ask.tolist())
        self._note_earlier_answers(prepared[i] for i in np.flatnonzero(~missing & ~failed_before).tolist())
        for i in to_ask.tolist():
            packed = cell.request.max_cells if isinstance(cell := prepared[i], ReadyCall) else 1
            while self._in_flight.is_full(packed) and not self._stopping:
                await self._in_flight.wait_for_change()
            if self._stopping:
                return False
            self._start(first + i, digests[i], cell, failed_before=bool(failed_before[i]))
            prepared[i] = cell = None
        return True

    async def _next_rows(self, batches: Iterator[list[Sequence[Any]]]) -> list[Sequence[Any]] | None:
        """The next rows, None after the last. Rows of images or sounds are read off the event loop: each is a file."""
        if self._column.inputs.holds_media:
            return await run_in_thread(next, batches, None)
        return next(batches, None)

    @property
    def _stopping(self) -> bool:
        return self._stop_error is not None or self._aborting

    def _prepare(self, values: Any) -> tuple[Any, bytes]:
        """A row's cell, None for a null, or the error of a row without a request; and its digest. Called in threads too."""
        try:
            cell = self._column.plan.prepare(values)
        except CellError as e:
            return e.without_frames(), NO_DIGEST
        return cell, NO_DIGEST if cell is None else cell_digest(cell)

    def _note_refused(self, row: int, cell: Any) -> Any:
        """A row's cell, None if it has none."""
        if not isinstance(cell, CellError):
            return cell
        self.refused_rows.add(row, cell)
        self.counts.refuse()
        self._note_failure(row, cell)
        return None

    def _note_earlier_answers(self, finished: Iterator[Any]) -> None:
        """Tells the client which models have answered, as these finished cells show."""
        if self._client is not None:
            for model in {model for cell in finished for model in models_asked(cell)}:
                self._client.note_earlier_answer(*model)

    def _start(self, row: int, digest: bytes, cell: Any, *, failed_before: bool) -> None:
        held = self._in_flight.acquire(cell)
        finishing = self._finish(row, digest, cell, failed_before=failed_before)
        task = asyncio.get_running_loop().create_task(finishing)
        self._tasks.add(task)
        task.add_done_callback(partial(self._note_cell, held))

    async def _finish(self, row: int, digest: bytes, cell: Any, *, failed_before: bool) -> None:
        value = errortype = errormsg = None
        provenance = Provenance()

        async def ask(asked: CellRequest) -> Any:
            nonlocal provenance
            is_cell = isinstance(cell, ReadyCall)
            value, added = await self._calls.answer(asked, is_cell=is_cell, failed_before=failed_before)
            provenance += added
            return asked.cell_value(value)

        try:
            value = await self._column.plan.finish(cell, ask)
        except CellError as error:
            e = error if self._client is None else error.without_secrets(self._client.scrub)
            self.counts.finish(digest, e.errortype, is_null=False)
            self._note_failure(row, e)
            value, errortype, errormsg = e.value, e.errortype, e.message
            if provenance.request_id is None:
                provenance = replace(provenance, request_id=e.request_id)
        simulated = self._client is not None and bool(self._client.simulated)
        if errortype is not None and self._client is not None and provenance.server is None:
            provenance = replace(provenance, server=SIMULATOR if simulated else self._run_state.server_name)
        stored_digest = simulated_digest(digest) if simulated else digest
        size = self._value_bytes(value)
        self._journal.append(
            Cell(stored_digest, value, errortype, errormsg, simulated, size, provenance, time.time_ns())
        )
        if errortype is None:
            self.counts.finish(digest, None, is_null=value is None)

    def _value_bytes(self, value: Any) -> int:
        column_type = self._column.column_type
        if column_type in (ImageData, ImageList) or is_media(column_type):
            return memory_bytes(value)
        return int(getattr(value, "nbytes", 0))

    def _note_cell(self, held: Held, task: asyncio.Task[None]) -> None:
        self._in_flight.release(held)
        self._note_end(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Stops the run for an error that is not a cell's, a bug of this program included."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._stop_error is None:
            self._stop_error = task.exception()
        if self._stopping:
            self._cancel_unsent()
            self._in_flight.notify()
        self._task_ended.set()

    def _stop_with(self, reason: BaseException) -> None:
        """Stops asking; `run` raises `reason`, or an earlier error, once what is in flight is finished.

        Does nothing if all missing cells are in flight already: the partition will be complete.
        """
        if self._all_admitted and not self.meter.unsent_tasks:
            return
        self._stop_error = self._stop_error or reason
        self._cancel_unsent()
        self._in_flight.notify()

    async def _wait_for_task(self) -> None:
        self._task_ended.clear()
        await self._task_ended.wait()

    def _note_failure(self, row: int, error: CellError) -> None:
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append((row, error.without_frames()))
        if self._aborting:
            self._cancel_unsent()
            self._in_flight.notify()

    def _cancel_unsent(self) -> None:
        for task in list(self.meter.unsent_tasks):
            task.cancel()

    def progress(self) -> Progress:
        """How far the partition is."""
        seconds = time.monotonic() - self._started
        counts, total = self.counts, self._column.total
        return Progress(self._column.label, counts.done, total, seconds, self.meter, counts.failed)
