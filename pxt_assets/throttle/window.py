"""How many requests may be in flight: the configured number, fewer while the server faults."""

import asyncio
from collections import deque

HIGHEST_FAULT_SHARE = 0.25
"""Share of faults among the latest answers above which the window narrows."""
ANSWERS_REMEMBERED = 20
"""Answers over which that share is averaged."""
NARROWING = 0.5
"""Factor on the window when it narrows."""
REOPENING_WINDOWS = 50
"""Windows full of good answers in which a window opens from nothing to its full size."""


class InFlightWindow:
    """Lets requests pass in the order they came, `size` of them at once.

    Example:
        ```python
        window = InFlightWindow(100)
        async with window:
            ok = await send()
            window.answered() if ok else window.failed()
        ```
    """

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.size = float(max_size)
        """Requests that may be in flight now: faults narrow it, good answers open it again."""
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._fault_share = 0.0
        self._until_narrowing = 0

    async def __aenter__(self) -> None:
        if not self.enter_at_once():
            await self.enter()

    async def __aexit__(self, *_error: object) -> None:
        self.leave()

    def enter_at_once(self) -> bool:
        """Let a request pass if there is room and none waits; return whether it passed. It must leave then."""
        if self._waiting or self.in_flight >= int(self.size):
            return False
        self.in_flight += 1
        return True

    async def enter(self) -> None:
        """Wait until a request may pass, which must leave then."""
        if self.enter_at_once():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # its turn had come
                self.leave()
            raise

    def leave(self) -> None:
        """Let a request go that has passed."""
        self.in_flight -= 1
        if self._waiting:
            self._admit()

    def answered(self) -> None:
        """Count an answer that is no fault."""
        self._fault_share *= 1 - 1 / ANSWERS_REMEMBERED
        self._until_narrowing -= 1
        if self.size < self.max_size:
            self.size = min(
                self.max_size, self.size + max(1.0, self.max_size / REOPENING_WINDOWS) / self.size
            )
            self._admit()

    def failed(self) -> None:
        """Count a timeout, a dropped connection or a 5xx; many of them narrow the window, once a window."""
        self._fault_share += (1 - self._fault_share) / ANSWERS_REMEMBERED
        self._until_narrowing -= 1
        if self._fault_share > HIGHEST_FAULT_SHARE and self._until_narrowing <= 0:
            self.size = max(1.0, min(self.size, float(self.in_flight)) * NARROWING)
            self._until_narrowing = self.in_flight

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self.size):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)
