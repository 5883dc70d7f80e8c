"""Asks for every cell of a partition that is not finished yet, and journals the values as they come."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pxt_assets.client import Client
from pxt_assets.compute.cells import Cells
from pxt_assets.compute.column import FAILURES_KEPT, Column, cells_failed
from pxt_assets.compute.journal import Cell, Journal
from pxt_assets.compute.pack import Packer
from pxt_assets.compute.plan import cell_digest, held
from pxt_assets.compute.progress import Progress, report
from pxt_assets.digest import DIGEST_BYTES, simulated_digest
from pxt_assets.errors import CellError
from pxt_assets.local import IN_FLIGHT, LocalCall
from pxt_assets.meter import Meter
from pxt_assets.request import Asked, Request, pack
from pxt_assets.threads import Threads
from pxt_assets.types import ImageData, ImageList, is_media

if TYPE_CHECKING:
    from pxt_assets.compute.digests import Digests

_CELLS_OUTSTANDING = 16_384
_BYTES_OUTSTANDING = 32 * 2**20
"""Images and sounds of cells that are asked for, which each takes several times while it is on its way."""
_LOG_SECONDS = 10.0
_REPORT_SECONDS = 0.2
_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Sync functions that run at once."""
NO_DIGEST = b"\0" * DIGEST_BYTES
"""Stands for the digest of a cell that has none: a null, or a row that makes no request."""


class Asker:
    """The asking of one partition. `await run()` returns when every cell is finished or has failed.

    Raises CellsFailedError under on_error="abort", FatalApiError and RunError as the client does. Whatever was
    finished or in flight by then is in the journal: what was sent has been paid for, and is waited for.
    """

    def __init__(
        self,
        column: Column,
        cells: Cells,
        journal: Journal,
        client: Client | None,
        log: Callable[[str], None],
    ) -> None:
        self.meter = Meter()
        self.asked_rows = 0
        """Rows whose cell was not finished before."""
        self.null_rows = 0
        """Rows that are null because a required input is: they make no request."""
        self.refused: dict[int, CellError] = {}
        """Rows that make no request, because a function cannot take their values."""
        self._column = column
        self._cells = cells
        self._journal = journal
        self._client = client
        self._log = log
        self._api = Packer(self._send)
        self._local = Packer(self._run)
        self._local_slots = asyncio.Semaphore(IN_FLIGHT)
        self._threads = Threads(_THREADS)
        self._held = 0
        self._digests = bytearray()
        self._asked: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._stop: BaseException | None = None
        self._failures: list[tuple[int, CellError]] = []
        self._failed = 0
        self._failed_names: set[bytes] = set()
        self._done = 0
        self._started = time.monotonic()

    @property
    def digests(self) -> Digests:
        """Each row's digest, `S16[rows]`; `NO_DIGEST` where it has none."""
        import numpy as np

        return np.frombuffer(bytes(self._digests), "S16")

    @property
    def failed_rows(self) -> int:
        """Rows that were asked for and failed."""
        import numpy as np

        if not self._failed_names:
            return 0
        return int(np.isin(self.digests, np.array(list(self._failed_names), "S16")).sum())

    async def run(self) -> None:
        """Asks for all that is missing."""
        admission = asyncio.create_task(self._admit())
        self._tasks.add(admission)
        background = [asyncio.create_task(self._journal.keep_flushing()), asyncio.create_task(self._watch())]
        for task in (admission, *background):
            task.add_done_callback(self._note_end)
        try:
            while self._tasks:
                await self._task_ends()
            if self._stop is not None:
                raise self._stop
        finally:
            rest = [*background, *self._tasks]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._journal.flush()
            if self._client is not None:
                self.meter.limit_utilization = self._client.utilization()
            report(self._progress())
        if self._aborting:
            raise cells_failed(self._column, self._failures, self._failed)

    @property
    def _aborting(self) -> bool:
        return self._failed > 0 and self._column.options.on_error == "abort"

    async def _admit(self) -> None:
        import numpy as np

        first = 0
        inputs = self._column.inputs
        batches = inputs.batches(inputs.batch_rows, self._column.total)
        while (rows := await self._next(batches)) is not None:
            prepared = [self._prepare(first + i, row) for i, row in enumerate(rows)]
            names = [NO_DIGEST if cell is None else cell_digest(cell) for cell in prepared]
            joined = b"".join(names)
            self._digests += joined
            missing = self._cells.missing(np.frombuffer(joined, "S16"))
            for i, (cell, name) in enumerate(zip(prepared, names, strict=True)):
                if cell is None or not missing[i]:
                    self.null_rows += cell is None and first + i not in self.refused
                    self._done += 1
                    continue
                self.asked_rows += 1
                if name in self._asked:
                    self._done += 1
                    continue
                while self._full and not self._stopping:
                    await self._task_ends()
                if self._stopping:
                    return
                self._asked.add(name)
                self._start(first + i, name, cell)
            first += len(rows)
            await asyncio.sleep(0)

    async def _next(self, batches: Iterator[list[Sequence[Any]]]) -> list[Sequence[Any]] | None:
        """The next rows; where these are read from as many files, off the event loop."""
        if self._column.inputs.holds_media:
            return await asyncio.to_thread(next, batches, None)
        return next(batches, None)

    @property
    def _full(self) -> bool:
        return len(self._tasks) > _CELLS_OUTSTANDING or self._held > _BYTES_OUTSTANDING

    @property
    def _stopping(self) -> bool:
        return self._stop is not None or self._aborting

    def _prepare(self, row: int, values: Any) -> Any:
        try:
            return self._column.plan.prepare(values)
        except CellError as e:
            self.refused[row] = e.to_keep()
            self._note_failure(row, e)
            return None

    def _start(self, row: int, name: bytes, cell: Any) -> None:
        size = held(cell)
        self._held += size
        task = asyncio.get_running_loop().create_task(self._finish(row, name, cell, size))
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    async def _finish(self, row: int, name: bytes, cell: Any, size: int) -> None:
        value = errortype = errormsg = None
        try:
            value = await self._column.plan.finish(cell, self._ask)
        except CellError as e:
            self._note_failure(row, e)
            self._failed_names.add(name)
            value, errortype, errormsg = e.value, e.errortype, e.message
        finally:
            self._held -= size
        simulated = self._client is not None and bool(self._client.simulated)
        stored_name = simulated_digest(name) if simulated else name
        self._journal.append(Cell(stored_name, value, errortype, errormsg, simulated, self._held_by(value)))
        self._done += 1

    def _held_by(self, value: Any) -> int:
        column_type = self._column.column_type
        return held(value) if column_type in (ImageData, ImageList) or is_media(column_type) else 0

    async def _ask(self, asked: Asked) -> Any:
        packer = self._local if isinstance(asked, LocalCall) else self._api
        return asked.settled(await packer.ask(asked))

    async def _send(self, requests: Sequence[Request]) -> Sequence[Any]:
        assert self._client is not None
        request = requests[0] if requests[0].max_cells == 1 else pack(requests)
        return (await self._client.send(request, self.meter)).values

    async def _run(self, calls: Sequence[LocalCall]) -> Sequence[Any]:
        task = asyncio.current_task()
        assert task is not None
        self.meter.unsent.add(task)
        try:
            async with self._local_slots:
                self.meter.unsent.discard(task)
                return await calls[0].function.run([call.arguments for call in calls], self._threads)
        finally:
            self.meter.unsent.discard(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Makes room; an error that is no cell's stops everything, a fault of this program included."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._stop is None:
            self._stop = task.exception()
        if self._stopping:
            self._cancel_unsent()
        self._ended.set()

    async def _task_ends(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    def _note_failure(self, row: int, error: CellError) -> None:
        self._failed += 1
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append((row, error.to_keep()))
        if self._aborting:
            self._cancel_unsent()

    def _cancel_unsent(self) -> None:
        for task in list(self.meter.unsent):
            task.cancel()

    async def _watch(self) -> None:
        logged = time.monotonic()
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            progress = self._progress()
            report(progress)
            if time.monotonic() - logged >= _LOG_SECONDS:
                logged = time.monotonic()
                self._log(progress.line())

    def _progress(self) -> Progress:
        seconds = time.monotonic() - self._started
        return Progress(self._column.label, self._done, self._column.total, seconds, self.meter)
