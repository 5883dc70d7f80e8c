"""Computes the partitions of one run: each is committed and reported as it finishes.

The next one's rows are asked for as soon as all of the last one's are, so that its stragglers hold nothing up and the
limits are used from the first request to the last. A partition that cannot be computed does not lose the others; what
concerns them all, such as a wrong key or a spent budget, ends the run once what is in flight is finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import Shared, StoppedError
from pxt_assets.compute.compute_partition import compute
from pxt_assets.compute.partition.column import Column, Outcome
from pxt_assets.errors import PartitionError
from pxt_assets.local.threads import DaemonThreadPool, run_in_thread

_OPEN = 64
"""Partitions at once: each holds its journal, its claim and some tasks."""
_ROWS_OPEN = 1_000_000
"""Of partitions at once, if there are more than two: the digests of each one's rows are held until it is stored."""
_GRACE_SECONDS = 1.0
"""How long an interrupted run waits for what it has to report."""

Partition = str | None
"""A partition's key, None for all of an asset without partitions."""


@dataclass(frozen=True)
class Reports:
    """Who is told what; all but `log` are called from one thread of their own, in the order of what happens."""

    log: Callable[[str], None]
    """A line for the run's log."""
    finished: Callable[[Partition, Outcome], None]
    """A partition is computed, and stored unless it is a trial."""
    failed: Callable[[Partition, Progress | None, BaseException], None]
    """A partition was not finished: what it took, if it had begun to ask, and why."""


class Ended(NamedTuple):
    """How a run ended."""

    failures: Mapping[Partition, PartitionError]
    """Why partitions could not be computed."""
    error: BaseException | None
    """What ended it before all were tried."""


async def compute_partitions(
    partitions: Sequence[Partition],
    open_column: Callable[[Partition], Column],
    shared: Shared,
    reports: Reports,
) -> Ended:
    """Computes all partitions, in this order; `open_column` opens the rows of one."""
    return await _Run(open_column, shared, reports).of(partitions)


class _Run:
    def __init__(self, open_column: Callable[[Partition], Column], shared: Shared, reports: Reports) -> None:
        self._open_column = open_column
        self._shared = shared
        self._reports = reports
        self._reporting = DaemonThreadPool(1)
        self._computing: set[asyncio.Task[None]] = set()
        self._rows: dict[Partition, int] = {}
        """Of the partitions that are open."""
        self._logging: set[asyncio.Future[None]] = set()
        self._failures: dict[Partition, PartitionError] = {}
        self._errors: dict[Partition, BaseException] = {}
        self._log_error: BaseException | None = None

    async def of(self, partitions: Sequence[Partition]) -> Ended:
        telling = asyncio.create_task(self._shared.board.keep_telling(self._log))
        try:
            for partition in partitions:
                while self._is_full:
                    await asyncio.wait(self._computing, return_when=asyncio.FIRST_COMPLETED)
                if self._shared.is_stopped:
                    break
                admitted = asyncio.Event()
                task = asyncio.create_task(self._compute(partition, admitted))
                self._computing.add(task)
                task.add_done_callback(self._computing.discard)
                await admitted.wait()
            while self._computing:
                await asyncio.wait(self._computing)
        finally:
            await self._end(telling)
        failures = {key: self._failures[key] for key in partitions if key in self._failures}
        errors = (self._errors[key] for key in partitions if key in self._errors)
        return Ended(failures, next(errors, self._log_error))

    @property
    def _is_full(self) -> bool:
        several = len(self._computing) > 1
        return len(self._computing) >= _OPEN or (several and sum(self._rows.values()) >= _ROWS_OPEN)

    async def _end(self, telling: asyncio.Task[None]) -> None:
        """Waits for what goes on still: after an interrupt this is cancelled, and has a second."""
        rest = [telling, *self._computing]
        for task in rest:
            task.cancel()
        try:
            await asyncio.gather(*rest, return_exceptions=True)
        finally:
            last = asyncio.wrap_future(self._reporting.submit(lambda: None))
            await asyncio.wait([last], timeout=_GRACE_SECONDS)
            self._reporting.shutdown(wait=last.done())

    async def _compute(self, partition: Partition, admitted: asyncio.Event) -> None:
        """Computes one partition, and keeps what goes wrong: no task of these ends with an error."""
        label = None
        try:
            column = await run_in_thread(self._open_column, partition)
            label = column.label
            self._rows[partition] = column.total
            outcome = await compute(column, self._shared, admitted.set)
        except BaseException as e:
            admitted.set()
            progress = self._shared.board.last(label) if label else None
            failed = self._reporting.submit(self._reports.failed, partition, progress, e)
            if isinstance(e, asyncio.CancelledError):
                raise
            if isinstance(e, PartitionError):
                self._failures[partition] = e
            elif not isinstance(e, StoppedError):
                self._fail(partition, e)
            await self._reported(partition, failed)
        else:
            await self._reported(
                partition, self._reporting.submit(self._reports.finished, partition, outcome)
            )
        finally:
            self._rows.pop(partition, None)
            admitted.set()

    async def _reported(self, partition: Partition, report: Future[None]) -> None:
        try:
            await asyncio.wrap_future(report)
        except Exception as e:
            self._fail(partition, e)

    def _fail(self, partition: Partition, error: BaseException) -> None:
        """Ends the run. Several partitions may meet what ends it: the first of them, in their order, is told of."""
        self._errors.setdefault(partition, error)
        self._shared.stop()

    def _log(self, line: str) -> None:
        logged = asyncio.wrap_future(self._reporting.submit(self._reports.log, line))
        self._logging.add(logged)
        logged.add_done_callback(self._note_logged)

    def _note_logged(self, logged: asyncio.Future[None]) -> None:
        self._logging.discard(logged)
        if not logged.cancelled() and logged.exception() is not None:
            self._log_error = logged.exception()
            self._shared.stop()
