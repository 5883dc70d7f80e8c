"""Computes the partitions of one run: each is committed and reported as it finishes.

The next partition begins to ask as soon as all rows of the last one are asked for, so that stragglers hold nothing up
and the limits are used from the first request to the last. A partition that fails does not lose the others; an error
that concerns all of them, such as a wrong key or a spent budget, ends the run once what is in flight is finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Self

from pxt_assets.api.meter import Meter
from pxt_assets.compute.asking.later_partition import CellsWait, LaterPass
from pxt_assets.compute.asking.other_servers import refuse_other_servers
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import RunState, StoppedError
from pxt_assets.compute.compute_partition import compute_pass
from pxt_assets.compute.deferred.record import BatchView
from pxt_assets.compute.partition.column import Column, Outcome
from pxt_assets.errors import PartitionError
from pxt_assets.local.threads import DaemonThreadPool, await_to_end, run_in_thread

_OPEN = 64
"""Partitions computed at once: each holds its journal, its claim and some tasks."""
_ROWS_OPEN = 1_000_000
"""Rows of all open partitions, if there are more than two: the digests of a partition's rows are held until it is stored."""
_GRACE_SECONDS = 1.0
"""How long an interrupted run waits for its callbacks."""

Partition = str | None
"""A partition's key, None for all of an asset without partitions."""


@dataclass(frozen=True)
class RunCallbacks:
    """Called as the run goes on, one after the other, in one thread of their own."""

    log: Callable[[str], None]
    """Writes a line to the run's log."""
    warn: Callable[[str], None]
    """Writes a warning to it."""
    on_finished: Callable[[Partition, Outcome], None]
    """A partition is computed, and stored unless it is a trial."""
    on_failed: Callable[[Partition, Progress | None, BaseException], None]
    """A partition was not finished: its progress, if it had begun to ask, and why."""


@dataclass(frozen=True)
class Waiting:
    """What of a partition waits when a run ends."""

    rows: int
    batches: Sequence[BatchView] = ()
    """What of it is on its way."""
    expected_cost_usd: float | None = None
    """What is expected of its answers in US dollars; None where a price is not known."""
    rows_without_room: int = 0
    """Those of the rows that are not submitted yet, as the queue has no room."""
    rows_without_budget: int = 0
    """Those that are not, as the budget has none."""
    computed: int = 0
    """Rows with a value that this run made; the run that stores the partition counts them as there before."""
    meter: Meter | None = None
    """What these took, and rows that failed; None where nothing was made."""
    set_aside_usd: float = field(default=0.0, kw_only=True)
    """What of the run's budget is set aside for its rows, in US dollars."""
    comes: bool = field(default=True, kw_only=True)
    """Whether anything is on its way, or waits for room in the queue; if not, nobody goes on with it of his own accord."""

    @property
    def has_cost(self) -> bool:
        """Whether answers came, or something was paid."""
        return bool(self.computed) or (
            self.meter is not None and (self.meter.cost_usd != 0 or self.meter.rows_unpriced > 0)
        )


class RunEnd(NamedTuple):
    """How a run ended."""

    failures: Mapping[Partition, PartitionError]
    """Why partitions could not be computed."""
    error: BaseException | None
    """What ended the run before all partitions were tried."""
    waiting: Mapping[Partition, Waiting] = MappingProxyType({})
    """What waits of partitions that are not stored, as answers to them come later."""


async def compute_partitions(
    partitions: Sequence[Partition],
    open_column: Callable[[Partition], Column],
    run_state: RunState,
    callbacks: RunCallbacks,
) -> RunEnd:
    """Computes all partitions, in this order; `open_column` opens the rows of one. Raises OtherServerError before any."""
    await refuse_other_servers(partitions, open_column, run_state)
    async with PartitionsRun(open_column, run_state, callbacks) as run:
        await run.compute(partitions)
    return run.end(partitions)


LaterPassOf = Callable[[Column], LaterPass]
"""How a pass deals with a partition, whose rows are open."""


class PartitionsRun:
    """A run over partitions, in one pass or in several; what it reports goes on in between.

    `async with PartitionsRun(...) as run` ends the reports, and what still runs, with the block.
    """

    def __init__(
        self, open_column: Callable[[Partition], Column], run_state: RunState, callbacks: RunCallbacks
    ) -> None:
        self.waits: dict[Partition, CellsWait] = {}
        """What of a partition waits, since the last pass over it."""
        self._open_column = open_column
        self._run_state = run_state
        self._callbacks = callbacks
        self.log = partial(self._write, callbacks.log)
        self.warn = partial(self._write, callbacks.warn)
        self._callback_thread = DaemonThreadPool(1)
        self._computing: set[asyncio.Task[None]] = set()
        self._open_rows: dict[Partition, int] = {}
        """How many rows each open partition has."""
        self._pending_logs: set[asyncio.Future[None]] = set()
        self._failures: dict[Partition, PartitionError] = {}
        self._errors: dict[Partition, BaseException] = {}
        self._run_error: BaseException | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reporting = asyncio.create_task(self._run_state.display.keep_reporting(self.log, self.warn))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def is_stopped(self) -> bool:
        """Whether an error has ended the run."""
        return self._run_state.is_stopped

    async def compute(self, partitions: Sequence[Partition], later: LaterPassOf | None = None) -> None:
        """A pass over partitions, in this order: of cells whose answers come `later` nothing is asked for."""
        with self._run_state.expect_requests():
            for partition in partitions:
                while self._is_full:
                    await asyncio.wait(self._computing, return_when=asyncio.FIRST_COMPLETED)
                if self._run_state.is_stopped:
                    break
                self.waits.pop(partition, None)  # what is not come to waits as before
                admitted = asyncio.Event()
                task = asyncio.create_task(self._compute(partition, admitted, later))
                self._computing.add(task)
                task.add_done_callback(self._computing.discard)
                await admitted.wait()
        while self._computing:
            await asyncio.wait(self._computing)

    def end(
        self, partitions: Sequence[Partition], waiting: Mapping[Partition, Waiting] | None = None
    ) -> RunEnd:
        """How the run ended."""
        failures = {key: self._failures[key] for key in partitions if key in self._failures}
        errors = (self._errors[key] for key in partitions if key in self._errors)
        return RunEnd(failures, next(errors, self._run_error), waiting or {})

    def fail(self, error: BaseException) -> None:
        """Ends the run for an error that is no partition's."""
        self._run_error = self._run_error or error
        self._run_state.stop()

    @property
    def _is_full(self) -> bool:
        several = len(self._computing) > 1
        return len(self._computing) >= _OPEN or (several and sum(self._open_rows.values()) >= _ROWS_OPEN)

    async def _end(self) -> None:
        """Cancels the tasks that still run, and waits for the callbacks, for _GRACE_SECONDS at most."""
        assert self._reporting is not None
        rest = [self._reporting, *self._computing]
        for task in rest:
            task.cancel()
        try:
            await asyncio.gather(*rest, return_exceptions=True)
        finally:
            await await_to_end(run_in_thread(self._run_state.workers.close))
            self._run_state.display.warn_of_unreached(self.warn)
            last = asyncio.wrap_future(self._callback_thread.submit(lambda: None))
            await asyncio.wait([last], timeout=_GRACE_SECONDS)
            self._callback_thread.shutdown(wait=last.done())

    async def _compute(
        self, partition: Partition, admitted: asyncio.Event, later: LaterPassOf | None
    ) -> None:
        """Computes one partition. Its errors are kept, not raised, but for a cancellation."""
        label = None
        try:
            column = await run_in_thread(self._open_column, partition)
            label = column.label
            self._open_rows[partition] = column.total
            outcome = await compute_pass(
                column, self._run_state, admitted.set, None if later is None else later(column)
            )
        except BaseException as e:
            admitted.set()
            progress = self._run_state.display.last_progress(label) if label else None
            failed = self._callback_thread.submit(self._callbacks.on_failed, partition, progress, e)
            if isinstance(e, asyncio.CancelledError):
                raise
            if isinstance(e, PartitionError):
                self._failures[partition] = e
            elif not isinstance(e, StoppedError):
                self._fail(partition, e)
            await self._await_report(partition, failed)
        else:
            if isinstance(outcome, CellsWait):
                self.waits[partition] = outcome
                return
            await self._await_report(
                partition, self._callback_thread.submit(self._callbacks.on_finished, partition, outcome)
            )
        finally:
            self._open_rows.pop(partition, None)
            admitted.set()

    async def _await_report(self, partition: Partition, report: Future[None]) -> None:
        try:
            await asyncio.wrap_future(report)
        except Exception as e:
            self._fail(partition, e)

    def _fail(self, partition: Partition, error: BaseException) -> None:
        """Stops the run. Where several partitions meet such an error, that of the first one, in their order, is raised."""
        self._errors.setdefault(partition, error)
        self._run_state.stop()

    def _write(self, log: Callable[[str], None], line: str) -> None:
        logged = asyncio.wrap_future(self._callback_thread.submit(log, line))
        self._pending_logs.add(logged)
        logged.add_done_callback(self._after_log)

    def _after_log(self, logged: asyncio.Future[None]) -> None:
        self._pending_logs.discard(logged)
        if not logged.cancelled() and logged.exception() is not None:
            self._run_error = logged.exception()
            self._run_state.stop()
