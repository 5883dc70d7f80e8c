"""An event loop on which time passes only by waiting for it, so that hours are tested in milliseconds."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(Exception):
    """Nothing is ready and no timer is set: what is awaited will never come."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: moves the clock by as long as it was asked to wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError(f"nothing is ready and no timer is set at {self.now} s")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock starts at 0 s and jumps to the next timer instead of waiting.

    For code that awaits timers and futures only: it looks at no socket and waits for no thread.
    """

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop of its own and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
