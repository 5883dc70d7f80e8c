"""What an outage of the server means for everybody: a pause, single probes, and an end when it lasts."""

import asyncio
from collections import deque
from collections.abc import Callable

FAULTS = 20
"""Faults in a row, with nothing answered between them, that make an outage."""
REQUESTS = 10
"""Requests that they must come from: one that fails each time is no outage."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class OutageError(Exception):
    """The server has not answered for longer than was to be waited for. The text says for how long, and what it last said."""


class Breaker:
    """Holds requests back while a server answers nothing but faults.

    After a pause, longer each time, one request is let through as a probe; the first that is answered lets all go on.
    After `timeout` seconds of outage everybody who waits gets an `OutageError`. For one event loop; `random` gives
    a number in [0, 1) and `say` is told of the outage's beginning, of each probe, and of its end.
    """

    def __init__(self, timeout: float, random: Callable[[], float], say: Callable[[str], None]) -> None:
        self._timeout = timeout
        self._random = random
        self._say = say
        self._faults = 0
        self._requests: set[int] = set()
        self._since = 0.0
        self._pauses = 0  # 0 while the way is free
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._due = False  # a probe may go, and nobody waited
        self._over: OutageError | None = None

    @property
    def open(self) -> bool:
        """Whether requests are held back."""
        return self._pauses > 0

    async def passed(self) -> bool:
        """Wait until a request may go; return whether it is a probe. Raises OutageError.

        A probe must be followed by `answered`, `failed`, or `abandoned`.
        """
        if self._over is not None:
            raise self._over
        if not self.open:
            return False
        if self._due:
            self._due = False
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None and turn.result():
                self.abandoned()
            raise

    def answered(self) -> None:
        """Take note of an answer that is no fault of the server's."""
        if not self._faults:
            return
        self._faults = 0
        self._requests.clear()
        if self.open:
            seconds = asyncio.get_running_loop().time() - self._since
            self._say(f"the API answers again after {seconds:.0f} s, requests go on")
            self._pauses, self._due = 0, False
            if self._timer is not None:
                self._timer.cancel()
            self._release(lambda turn: turn.set_result(False))

    def failed(self, request: int, what: str, *, probe: bool = False) -> None:
        """Take note of a fault: a timeout, a dropped connection, a 5xx. `request` tells requests apart."""
        now = asyncio.get_running_loop().time()
        if not self._faults:
            self._since = now
        self._faults += 1
        if self.open:
            if probe:
                self._prolong(now, what)
            return
        self._requests.add(request)
        if self._faults >= FAULTS and len(self._requests) >= REQUESTS:
            self._say(
                f"the API answers nothing but faults, {self._faults} in a row ({what}): requests wait, and single "
                f"ones are tried, for at most {self._timeout:.0f} s"
            )
            self._pause()

    def abandoned(self) -> None:
        """Let another probe go in place of one that was never sent."""
        if self.open and self._over is None:
            self._let_one_go()

    def _prolong(self, now: float, what: str) -> None:
        lasted = now - self._since
        if lasted < self._timeout:
            self._say(f"the API still does not answer after {lasted:.0f} s ({what})")
            self._pause()
            return
        self._over = over = OutageError(f"has not answered for {lasted:.0f} s; it last said: {what}")
        self._release(lambda turn: turn.set_exception(over))

    def _pause(self) -> None:
        seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._pauses)
        self._pauses += 1
        loop = asyncio.get_running_loop()
        left = max(0.0, self._since + self._timeout - loop.time())
        self._timer = loop.call_later(
            min(seconds * (1 + self._random()) / 2, max(left, FIRST_PAUSE_SECONDS / 2)), self._let_one_go
        )

    def _let_one_go(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._due = True

    def _release(self, tell: Callable[[asyncio.Future[bool]], None]) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                tell(turn)
