"""How many requests may be in flight: as many as configured, fewer while a server cannot cope."""

import asyncio
from collections import deque

TROUBLED_SHARE = 0.25
"""Share of faults among the latest answers above which the window narrows."""
REMEMBERED = 20
"""Answers over which that share is averaged."""
NARROWED = 0.5
"""Factor on the window when it narrows."""
REOPENED_AFTER = 50
"""Windows full of good answers in which a closed window would open again."""


class Window:
    """Lets requests pass in the order they came, `size` of them at once.

    Example:
        ```python
        window = Window(100)
        async with window:
            ok = await send()
            window.answered() if ok else window.failed()
        ```
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = float(most)
        """Requests that may be in flight now: narrowed by faults, opened again by good answers."""
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._troubled = 0.0
        self._until_next = 0

    async def __aenter__(self) -> None:
        if self.in_flight < int(self.size) and not self._waiting:
            self.in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come
                self._leave()
            raise

    async def __aexit__(self, *_error: object) -> None:
        self._leave()

    def answered(self) -> None:
        """Take note of an answer that is no fault."""
        self._troubled *= 1 - 1 / REMEMBERED
        self._until_next -= 1
        if self.size < self.most:
            self.size = min(self.most, self.size + max(1.0, self.most / REOPENED_AFTER) / self.size)
            self._admit()

    def failed(self) -> None:
        """Take note of a timeout, a dropped connection or a 5xx; many of them narrow the window, once a window."""
        self._troubled += (1 - self._troubled) / REMEMBERED
        self._until_next -= 1
        if self._troubled > TROUBLED_SHARE and self._until_next <= 0:
            self.size = max(1.0, min(self.size, float(self.in_flight)) * NARROWED)
            self._until_next = self.in_flight

    def _leave(self) -> None:
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
