"""Packs cells into requests, where a request can carry many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.errors import CellError

GATHER_SECONDS = 0.02
"""How long a request that is not full waits for more cells."""

Send = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""Answers some cells at once, with a value for each. Raises CellError, `divisible` if one cell may be at fault."""


@dataclass(eq=False)
class _OpenPack:
    """A request that still takes cells."""

    cells: list[tuple[CellRequest, asyncio.Future[Any]]] = field(default_factory=list)
    tokens: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Packer:
    """Answers single cells through `send`; `await packer.ask(asked)` gives the value. Raises CellError, RunError.

    A request that is refused, or could never pass the API's limits, is halved until the cell at fault is alone, so that
    one bad row costs its neighbours nothing.
    """

    def __init__(self, send: Send) -> None:
        self._send_all = send
        self._open: defaultdict[bytes, _OpenPack] = defaultdict(_OpenPack)
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, asked: CellRequest) -> Any:
        """The value of one cell."""
        if asked.max_cells == 1:
            return (await self._send_all([asked]))[0]
        return await self._add(asked)

    def _add(self, asked: CellRequest) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        key = asked.pack_key
        pending = self._open[key]
        if pending.cells and pending.tokens + asked.tokens > asked.max_tokens:
            self._dispatch(key)
            pending = self._open[key]
        if pending.timer is None:
            pending.timer = loop.call_later(GATHER_SECONDS, self._dispatch, key)
        future: asyncio.Future[Any] = loop.create_future()
        pending.cells.append((asked, future))
        pending.tokens += asked.tokens
        if len(pending.cells) == asked.max_cells:
            self._dispatch(key)
        return future

    def _dispatch(self, key: bytes) -> None:
        pending = self._open.pop(key)
        if pending.timer is not None:
            pending.timer.cancel()
        try:
            self._start(pending.cells)
        except Exception as e:  # a timer has nobody else to tell
            _fail(pending.cells, e)

    def _start(self, cells: Sequence[tuple[CellRequest, asyncio.Future[Any]]]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(cells))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, cells: Sequence[tuple[CellRequest, asyncio.Future[Any]]]) -> None:
        wanted = [(asked, future) for asked, future in cells if not future.done()]
        if not wanted:
            return
        try:
            values = await self._send_all([asked for asked, _ in wanted])
            for (_, future), value in zip(wanted, values, strict=True):
                if not future.done():
                    future.set_result(value)
        except CellError as e:
            if len(wanted) == 1:
                _fail(wanted, e)
            elif e.divisible:
                middle = len(wanted) // 2
                self._start(wanted[:middle])
                self._start(wanted[middle:])
            else:
                _fail(wanted, e)
        except BaseException as e:
            _fail(wanted, e)
            if isinstance(e, asyncio.CancelledError):
                raise


def _fail(cells: Sequence[tuple[CellRequest, asyncio.Future[Any]]], error: BaseException) -> None:
    for _, future in cells:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
