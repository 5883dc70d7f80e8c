"""Packs cells into requests, where a request can carry many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.compute.asking.batch_size import BatchSize, BatchSizes
from pxt_assets.compute.asking.dividing import Cells, Waiting, divide, halves
from pxt_assets.errors import TOO_LARGE, CellError

GATHER_SECONDS = 0.02
"""How long a request that is not full waits for more cells."""

Send = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""Answers some cells at once, with a value for each. Raises CellError, `divisible` if one cell may be at fault."""


@dataclass(eq=False)
class _OpenPack:
    """A request that still takes cells."""

    cells: list[tuple[CellRequest, Waiting]] = field(default_factory=list)
    tokens: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Packer:
    """Answers single cells through `send`; `await packer.ask(asked)` gives the value. Raises CellError, RunError.

    A request that is refused, or could never pass the API's limits, is divided until the cell at fault is alone, so that
    one bad row costs its neighbours nothing. With `sizes`, how many cells the server takes is learned from that, and a
    server that answers nothing is not asked for every cell.
    """

    def __init__(self, send: Send, sizes: BatchSizes | None = None) -> None:
        self._send_all = send
        self._sizes = sizes
        self._open: defaultdict[bytes, _OpenPack] = defaultdict(_OpenPack)
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, asked: CellRequest) -> Any:
        """The value of one cell."""
        if asked.max_cells == 1:
            return (await self._send_all([asked]))[0]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.add(asked, future)
        return await future

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """The tasks that send what was packed."""
        return self._sending

    def drop(self) -> None:
        """Cancels the cells whose requests have not begun to be sent, as they are not full."""
        while self._open:
            _, pending = self._open.popitem()
            if pending.timer is not None:
                pending.timer.cancel()
            _fail(pending.cells, asyncio.CancelledError())

    def add(self, asked: CellRequest, waiting: Waiting) -> None:
        """Adds a cell to a request; `waiting` is told what comes of it."""
        key = asked.pack_key
        pending = self._open[key]
        if pending.cells and pending.tokens + asked.tokens > asked.max_tokens:
            self._dispatch(key)
            pending = self._open[key]
        if pending.timer is None:
            loop = asyncio.get_running_loop()
            pending.timer = loop.call_later(GATHER_SECONDS, self._dispatch, key)
        pending.cells.append((asked, waiting))
        pending.tokens += asked.tokens
        if len(pending.cells) >= self._most(asked):
            self._dispatch(key)

    def _most(self, asked: CellRequest) -> int:
        """How many such cells a request should carry."""
        return asked.max_cells if self._sizes is None else self._size(asked, self._sizes).limit

    def _size(self, asked: CellRequest, sizes: BatchSizes) -> BatchSize:
        return sizes.of(asked.pack_key, asked.max_cells)

    def _dispatch(self, key: bytes) -> None:
        pending = self._open.pop(key)
        if pending.timer is not None:
            pending.timer.cancel()
        try:
            self._start(pending.cells)
        except Exception as e:  # a timer has nobody else to tell
            _fail(pending.cells, e)

    def _start(self, cells: Cells) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(cells))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _settle(self, cells: Cells) -> None:
        """Answers the cells, or starts what answers them."""
        try:
            parts = await self._send(cells)
            for part in parts:
                self._start(part)
        except BaseException as e:
            _fail(cells, e)
            if isinstance(e, asyncio.CancelledError):
                raise

    async def _send(self, cells: Cells) -> Sequence[Cells]:
        """Sends cells that nobody has answered yet; returns the parts that are to be sent on their own."""
        wanted = [(asked, waiting) for asked, waiting in cells if not waiting.done()]
        if not wanted:
            return []
        if self._sizes is None:
            error = await self._try(wanted)
            return halves(wanted) if error is not None and error.divisible and len(wanted) > 1 else []
        size = self._size(wanted[0][0], self._sizes)
        if size.lock.locked() and len(wanted) > size.answered:
            async with size.lock:  # what it finds holds for these too
                pass
        if len(wanted) > size.limit:
            return _chunks(wanted, size.limit)
        error = await self._try(wanted, size)
        if error is None or not error.divisible or len(wanted) == 1:
            return []
        if error.errortype == TOO_LARGE:  # for its tokens: that tells nothing of how many cells are taken
            return halves(wanted)
        if size.searched or len(wanted) <= size.answered:
            return await self._divide(wanted, error, size)
        async with size.lock:
            if len(wanted) > size.limit:
                return _chunks(wanted, size.limit)
            return await self._divide(wanted, error, size)

    async def _divide(self, cells: Cells, error: CellError, size: BatchSize) -> Sequence[Cells]:
        return await divide(cells, error, size, lambda part: self._try(part, size))

    async def _try(self, cells: Cells, size: BatchSize | None = None) -> CellError | None:
        """Sends cells as one request. Returns the error if there is one; it is the cells' own unless it is divisible."""
        try:
            values = await self._send_all([asked for asked, _ in cells])
        except CellError as e:
            if len(cells) == 1 or not e.divisible:
                _fail(cells, e)
            return e
        for (_, waiting), value in zip(cells, values, strict=True):
            if not waiting.done():
                waiting.set_result(value)
        if size is not None:
            size.note_answered(len(cells))
        return None


def _chunks(cells: Cells, most: int) -> Sequence[Cells]:
    return [cells[i : i + most] for i in range(0, len(cells), most)]


def _fail(cells: Cells, error: BaseException) -> None:
    for _, waiting in cells:
        if waiting.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            waiting.cancel()
        else:
            waiting.set_exception(error)
