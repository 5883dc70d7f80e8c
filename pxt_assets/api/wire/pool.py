"""The connections of a wire: those that are idle, those that are being opened, and who waits for one."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pxt_assets.api.wire.connection import Connection
from pxt_assets.api.wire.dial import CONNECT_SECONDS
from pxt_assets.api.wire.errors import NOT_SENT, APITimeoutError, unconnected
from pxt_assets.api.wire.gate import Gate
from pxt_assets.api.wire.rest import Rest

Dial = Callable[[Callable[[socket.socket], Connection]], Awaitable[Connection]]


class _Waiting(NamedTuple):
    since: float
    future: asyncio.Future[Connection]


class Pool:
    """Up to `most` connections, which `dial` opens; idle ones are kept until the server closes them."""

    def __init__(self, dial: Dial, most: int) -> None:
        self._dial, self._most = dial, most
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, None] = {}
        self._all: set[Connection] = set()
        self._waiting: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._gate = Gate()
        self._rest = Rest()
        self._resting: dict[Connection, asyncio.TimerHandle] = {}
        self._last_opened = self._loop.time()
        self._is_closed = False

    def take(self) -> Connection | None:
        """The connection that was used last, if one is idle."""
        return self._idle.popitem()[0] if self._idle else None

    async def wait(self) -> Connection:
        """A connection, new or free again. Raises APITimeoutError if none can be opened."""
        future: asyncio.Future[Connection] = self._loop.create_future()
        self._waiting.append(_Waiting(self._loop.time(), future))
        self._open()
        try:
            return await future
        except asyncio.CancelledError as e:
            e.add_note(NOT_SENT)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            raise

    async def close(self) -> None:
        """Ends all connections, also those with requests under way."""
        self._is_closed = True
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()
        await asyncio.gather(*opening, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes sockets in the loop's next turn

    def _open(self) -> None:
        """Opens connections, as many as are wanted and may be opened now."""
        coming = len(self._resting) if self._rest.is_hopeful else 0
        while (
            len(self._opening) < min(self._gate.at_once, len(self._waiting) - coming)
            and len(self._all) + len(self._opening) < self._most
            and not self._is_closed
        ):
            task = self._loop.create_task(self._open_one())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open_one(self) -> None:
        began = self._loop.time()
        try:
            connection = await self._dial(self._made)
        except APITimeoutError as e:
            self._gate.failed()
            self._fail(e)
        else:
            self._last_opened = self._loop.time()
            self._gate.opened(self._last_opened - began)
            self._all.add(connection)
            self._give(connection)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._open()

    def _made(self, sock: socket.socket) -> Connection:
        return Connection(sock, self._answered, self._lost)

    def _answered(self, connection: Connection) -> None:
        """A connection has brought an answer, and may be used again."""
        if self._rest.is_needed:
            self._resting[connection] = self._loop.call_later(self._rest.seconds, self._rested, connection)
        else:
            self._give(connection)

    def _rested(self, connection: Connection) -> None:
        del self._resting[connection]
        if not connection.is_open:  # the loop is about to say so
            return
        self._rest.outlived()
        self._give(connection)
        while self._resting and not self._rest.is_needed:
            other, timer = self._resting.popitem()
            timer.cancel()
            self._give(other)

    def _give(self, connection: Connection) -> None:
        """Gives a connection to who waits longest, or keeps it."""
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_result(connection)
                return
        self._idle[connection] = None

    def _lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._all.discard(connection)
        timer = self._resting.pop(connection, None)
        if timer is not None:
            timer.cancel()
        self._rest.ended(connection.dropped_after)
        self._open()

    def _fail(self, error: BaseException) -> None:
        """One who waits meets the error of one that could not be opened; all who wait too long do, if none could be."""
        now, is_first = self._loop.time(), True
        too_long = now - CONNECT_SECONDS
        while self._waiting:
            head = self._waiting[0]
            if not (is_first or max(head.since, self._last_opened) <= too_long):
                return
            self._waiting.popleft()
            if not head.future.done():
                head.future.set_exception(error if is_first else unconnected(str(error.__cause__ or error)))
                is_first = False
