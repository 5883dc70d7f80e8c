"""Sends cells' requests, many cells to a request where the endpoint takes many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pxt_assets.client import Client
from pxt_assets.errors import CellError
from pxt_assets.meter import Meter
from pxt_assets.request import Request, pack

GATHER_SECONDS = 0.02
"""How long a request that is not full waits for more cells."""


@dataclass(eq=False)
class _Open:
    """A request that still takes cells."""

    cells: list[tuple[Request, asyncio.Future[Any]]] = field(default_factory=list)
    tokens: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Packer:
    """Answers single cells; `await packer.ask(request)` gives the value. Raises CellError, FatalApiError, RunError.

    A request of many cells that the API refuses, or that could never pass its limits, is halved until the cell at
    fault stands alone, so that one bad row costs its neighbours nothing.
    """

    def __init__(self, client: Client, meter: Meter) -> None:
        self._client = client
        self._meter = meter
        self._open: defaultdict[tuple[str, bytes], _Open] = defaultdict(_Open)
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, request: Request) -> Any:
        """The value of the one cell that a request names."""
        if request.endpoint.max_cells == 1:
            answer = await self._client.send(request, self._meter)
            return answer.values[0]
        return await self._add(request)

    def _add(self, request: Request) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        key = (request.endpoint.path, request.packed_with)
        pending = self._open[key]
        if pending.cells and pending.tokens + request.tokens > request.endpoint.max_tokens:
            self._dispatch(key)
            pending = self._open[key]
        if pending.timer is None:
            pending.timer = loop.call_later(GATHER_SECONDS, self._dispatch, key)
        future: asyncio.Future[Any] = loop.create_future()
        pending.cells.append((request, future))
        pending.tokens += request.tokens
        if len(pending.cells) == request.endpoint.max_cells:
            self._dispatch(key)
        return future

    def _dispatch(self, key: tuple[str, bytes]) -> None:
        pending = self._open.pop(key)
        if pending.timer is not None:
            pending.timer.cancel()
        self._start(pending.cells)

    def _start(self, cells: Sequence[tuple[Request, asyncio.Future[Any]]]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(cells))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, cells: Sequence[tuple[Request, asyncio.Future[Any]]]) -> None:
        wanted = [(request, future) for request, future in cells if not future.done()]
        if not wanted:
            return
        try:
            packed = pack([request for request, _ in wanted])
            answer = await self._client.send(packed, self._meter, len(wanted))
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
        else:
            for (_, future), value in zip(wanted, answer.values, strict=True):
                if not future.done():
                    future.set_result(value)


def _fail(cells: Sequence[tuple[Request, asyncio.Future[Any]]], error: BaseException) -> None:
    for _, future in cells:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
