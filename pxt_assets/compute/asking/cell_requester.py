"""Asks for every cell of a partition that is not finished, and journals the values as they arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from contextvars import copy_context
from typing import Any

from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Request
from pxt_assets.compute.asking.asked_row import AskedRow, Asking
from pxt_assets.compute.asking.cell_calls import CellCalls
from pxt_assets.compute.asking.later_cells import LaterCells
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.row_admission import AdmittedRows, RowAdmission
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_outcomes import RowOutcomes
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.partition.column import FAILURES_KEPT, Column, cells_failed_error
from pxt_assets.compute.partition.plan import ReadyCall, models_asked
from pxt_assets.errors import CellError, RunError
from pxt_assets.local.threads import await_to_end, run_in_thread

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

    `later` makes what deals with cells whose answers come later: of these, only those are asked for that it leaves. A
    `meter` of an earlier pass over the partition counts on.
    """

    def __init__(
        self,
        column: Column,
        cells: FinishedCells,
        journal: Journal,
        run_state: RunState,
        on_admitted: Callable[[], None],
        *,
        later: Callable[[RowOutcomes, RowCounts, Meter], LaterCells] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.meter = meter or Meter(budget=column.budget, answer_sizes=run_state.in_flight.answer_sizes)
        self.meter.stopped = False
        self.budget = column.budget
        self.counts = RowCounts()
        self.rows = RowAdmission(column, cells, self.counts, self._note_failure)
        self._column = column
        self._journal = journal
        self._run_state = run_state
        self._in_flight = run_state.in_flight
        self._on_admitted = on_admitted
        self._client = run_state.client
        self._workers = run_state.row_workers
        self._calls = CellCalls(
            run_state.client, self.meter, run_state.batch_sizes, run_state.server_name, run_state.workers
        )
        self._outcomes = RowOutcomes(
            column.column_type,
            self.counts,
            journal,
            run_state.client,
            run_state.server_name,
            self._note_failure,
        )
        self.later = None if later is None else later(self._outcomes, self.counts, self.meter)
        self._asking = self._new_asking()
        self.meter.on_rest = self._workers.note_rest
        self._open_rows = 0
        """Rows that are asked for and have not ended."""
        self._ended = asyncio.Event()
        """Set once nothing is left to wait for."""
        self._stop_error: BaseException | None = None
        self._dropping = False
        self._aborted = False
        """Whether a failed row ends the run."""
        self._failures: list[tuple[int, CellError]] = []
        self._admitting = True
        self._all_admitted = False
        """Whether every row's cell is finished or asked for."""
        self._started = time.monotonic()

    async def run(self) -> None:
        """Asks for all cells that are missing."""
        with (
            self._run_state.call_on_stop(self._stop_with),
            self._run_state.display.track(self._column.label, self.progress),
            self._in_flight.counting(self._journal),
        ):
            await self._run()
        if self._aborted:
            untried = self._column.total - self.counts.done
            raise cells_failed_error(self._column, self._failures, self.rows.errors, untried=untried)

    async def _run(self) -> None:
        admission = asyncio.create_task(self._admit())
        admission.add_done_callback(self._note_admitted)
        flushing = asyncio.create_task(self._journal.keep_flushing())
        flushing.add_done_callback(self._note_end)
        try:
            await self._ended.wait()
            if self._stop_error is not None:
                raise self._stop_error
        except asyncio.CancelledError:
            admission.cancel()
            self._cancel_unsent()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self._ended.wait()
            raise
        finally:
            self._cancel_unsent()
            rest = [flushing, admission, *self._asking.tasks, *self._calls.tasks]
            for task in rest:
                task.cancel()
            try:
                await asyncio.gather(*rest, return_exceptions=True)
            finally:  # whatever interrupts that
                self._calls.close()
                await await_to_end(run_in_thread(self._flush_rest))
            self.meter.limit_utilization = self.meter.limit_usage.utilization
            self.counts.settle(self.rows.digests, self.rows.refused_rows.errors)

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

    async def _admit(self) -> None:
        async with aclosing(self.rows.batches()) as batches:
            async for rows in batches:
                self._note_earlier_answers(rows.finished_cells)
                if self.later is not None:
                    await self.later.take_over(rows)
                may_stop = self.later is None or self._stop_error is not None  # answers are taken to the end
                if not await self._ask_for(rows) and may_stop:
                    return
                await asyncio.sleep(0)
        self._all_admitted = True
        if self.later is not None:
            self.later.is_complete = True

    async def _ask_for(self, rows: AdmittedRows) -> bool:
        """Asks for the cells that are to be asked for; returns whether the run has not stopped."""
        for i in rows.to_ask:
            packed = cell.request.max_cells if isinstance(cell := rows.cells[i], ReadyCall) else 1
            while self._in_flight.is_full(packed) and not self._stopping:
                await self._in_flight.wait_for_change()
            if self._stopping:
                return False
            self._start(rows.first + i, rows.digests[i], cell, failed_before=bool(rows.failed_before[i]))
            rows.cells[i] = cell = None
        return True

    @property
    def _stopping(self) -> bool:
        return self._aborted or self._stop_error is not None

    def _note_earlier_answers(self, finished: Iterator[Any]) -> None:
        """Tells the client which models have answered, as these finished cells show."""
        if self._client is not None:
            for model in {model for cell in finished for model in models_asked(cell)}:
                self._client.note_earlier_answer(*model)

    def _new_asking(self) -> Asking:
        return Asking(
            self._column.plan,
            self._calls,
            self._outcomes,
            copy_context(),
            set(),
            self._note_row_end,
            self._note_error,
        )

    def _start(self, row: int, digest: bytes, cell: Any, *, failed_before: bool) -> None:
        """Has a row asked for: by a worker, in a request of many cells, or by a task of its own for calls that depend."""
        held = self._in_flight.acquire(cell)
        self._open_rows += 1
        if self.later is not None:
            posted = self.later.background_row(
                self._asking, row, digest, cell, held, failed_before=failed_before
            )
            if posted is not None:
                self._workers.add(posted)
                return
        asked = AskedRow(self._asking, row, digest, cell, held, failed_before=failed_before)
        if not isinstance(cell, ReadyCall) or not isinstance(cell.request, Request):
            task = asyncio.get_running_loop().create_task(asked.ask_for_calls())
            self._asking.tasks.add(task)
            task.add_done_callback(self._asking.tasks.discard)
        elif cell.request.max_cells == 1:
            self._workers.add(asked)
        else:
            try:
                self._calls.gather(cell.request, asked, failed_before=failed_before)
            except Exception as e:  # a bug, which must leave no row waiting
                asked.set_exception(e)

    def _note_row_end(self, row: AskedRow) -> None:
        self._in_flight.release(row.held)
        self._open_rows -= 1
        if self._stopping and not self._dropping:
            self._cancel_tasks()
        self._note_if_ended()

    def _note_admitted(self, admission: asyncio.Task[None]) -> None:
        self._on_admitted()
        self._admitting = False
        self._note_end(admission)
        self._note_if_ended()

    def _note_if_ended(self) -> None:
        if not self._admitting and not self._open_rows:
            self._ended.set()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note_error(error)

    def _note_error(self, error: BaseException) -> None:
        """Stops the run for an error that is not a cell's, a bug of this program included."""
        if self._stop_error is None:
            self._stop_error = error
        self._cancel_unsent()
        self._in_flight.notify()

    def _stop_with(self, reason: BaseException) -> None:
        """Stops asking; `run` raises `reason`, or an earlier error, once what is in flight is finished.

        Does nothing if all missing cells are in flight already: the partition will be complete.
        """
        unsent = self.meter.unsent_tasks or self._workers.waits(self._asking.context)
        if self._all_admitted and not unsent:
            return
        self._stop_error = self._stop_error or reason
        self._cancel_unsent()
        self._in_flight.notify()

    def _note_failure(self, row: int, error: CellError) -> None:
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append((row, error.without_frames()))
        if self._column.options.on_error == "abort":
            self._aborted = True
            self._cancel_unsent()
            self._in_flight.notify()

    def _cancel_unsent(self) -> None:
        """Has nothing more sent, what is to be sent again included; what is in flight goes on."""
        self.meter.stopped = self._dropping = True
        for row in self._workers.drop(self._asking.context):
            row.cancel()
        self._calls.drop_gathered()
        self._dropping = False
        self._cancel_tasks()

    def _cancel_tasks(self) -> None:
        """Cancels the tasks that have not sent their request, some of which were rejected meanwhile."""
        for task in list(self.meter.unsent_tasks):
            if not task.cancelling():
                task.cancel()

    def progress(self) -> Progress:
        """How far the partition is."""
        seconds = time.monotonic() - self._started
        counts, total = self.counts, self._column.total
        return Progress(
            self._column.label, counts.done, total, seconds, self.meter, counts.failed, counts.found
        )
