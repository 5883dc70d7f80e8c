"""Deadlines of requests that are under way: all last equally long, so that one timer serves them all."""

from __future__ import annotations

import asyncio


class Deadline:
    """The time by which a task's request is to be answered."""

    __slots__ = ("_cancelling", "at", "is_over", "task")

    def __init__(self, task: asyncio.Task[object], at: float) -> None:
        self.task = task
        self.at = at
        self.is_over = False
        """Whether the task was cancelled because the time was over."""
        self._cancelling = task.cancelling()

    def explain(self, error: BaseException) -> BaseException:
        """What ended the task's wait: TimeoutError in place of the cancellation by this deadline."""
        if (
            self.is_over
            and self.task.uncancel() <= self._cancelling
            and type(error) is asyncio.CancelledError
        ):
            timeout = TimeoutError()
            timeout.__cause__ = error
            return timeout
        return error


class Deadlines:
    """Cancels tasks whose requests take longer than `seconds`. For one event loop.

    What begins later ends later, so that only the oldest is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object], now: float) -> Deadline:
        """Begins the time of a task's request; it must be ended."""
        deadline = Deadline(task, now + self._seconds)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(deadline.at, self._on_timer)
        return deadline

    def end(self, deadline: Deadline) -> None:
        """Ends the time of a request, which has ended."""
        self._open.pop(deadline, None)

    def _on_timer(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._open:
            oldest = next(iter(self._open))
            if oldest.at > now:
                self._timer = loop.call_at(oldest.at, self._on_timer)
                return
            del self._open[oldest]
            oldest.is_over = True
            oldest.task.cancel()
