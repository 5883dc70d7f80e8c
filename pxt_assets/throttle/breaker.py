"""A circuit breaker: during an outage requests pause and single probes go; a long outage is an error."""

import asyncio
from collections import deque
from collections.abc import Callable

OUTAGE_FAULTS = 20
"""Faults in a row that make an outage."""
OUTAGE_REQUESTS = 10
"""Requests that these faults must come from: one request that always fails is no outage."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class OutageError(Exception):
    """The server has not answered within the timeout. The text says for how long, and names the last fault."""


class CircuitBreaker:
    """Holds requests back while a server answers nothing but faults.

    After a pause that doubles each time, one request is let through as a probe; the first answer lets all go
    on. After `timeout` seconds of outage all waiting requests get an `OutageError`. For one event loop.
    `random` gives a number in [0, 1); `report` is told of the outage's beginning, of each probe, and of its
    end.
    """

    def __init__(self, timeout: float, random: Callable[[], float], report: Callable[[str], None]) -> None:
        self._timeout = timeout
        self._random = random
        self._report = report
        self._faults = 0
        self._requests: set[int] = set()
        self._faults_since = 0.0
        self._pauses = 0  # in a row; 0 while the breaker is closed
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._probe_due = False  # a probe may go, and nobody waits
        self._outage_error: OutageError | None = None

    @property
    def open(self) -> bool:
        """Whether requests are held back."""
        return self._pauses > 0

    @property
    def lets_all_go(self) -> bool:
        """Whether any request may be sent at once, and none would be a probe."""
        return not self._pauses and self._outage_error is None

    async def wait_turn(self) -> bool:
        """Wait until a request may be sent; return whether it is a probe. Raises OutageError.

        A probe must be followed by `answered`, `failed`, or `abandoned`.
        """
        if self._outage_error is not None:
            raise self._outage_error
        if not self.open:
            return False
        if self._probe_due:
            self._probe_due = False
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None and waiter.result():
                self.abandoned()
            raise

    def answered(self) -> None:
        """Count an answer that is no fault of the server's, which ends an outage."""
        if not self._faults:
            return
        self._faults = 0
        self._requests.clear()
        if self.open:
            seconds = asyncio.get_running_loop().time() - self._faults_since
            self._report(f"the API answers again after {seconds:.0f} s, requests go on")
            self._pauses, self._probe_due = 0, False
            if self._timer is not None:
                self._timer.cancel()
            self._release(lambda waiter: waiter.set_result(False))

    def failed(self, request: int, fault: str, *, probe: bool = False) -> None:
        """Count a fault: a timeout, a dropped connection, a 5xx. `request` is the number of the request."""
        now = asyncio.get_running_loop().time()
        if not self._faults:
            self._faults_since = now
        self._faults += 1
        if self.open:
            if probe:
                self._prolong(now, fault)
            return
        self._requests.add(request)
        if self._faults >= OUTAGE_FAULTS and len(self._requests) >= OUTAGE_REQUESTS:
            self._report(
                f"the API answers nothing but faults, {self._faults} in a row ({fault}): requests wait, and single "
                f"ones are tried, for at most {self._timeout:.0f} s"
            )
            self._pause()

    def abandoned(self) -> None:
        """Let another probe go in place of one that was not sent."""
        if self.open and self._outage_error is None:
            self._release_probe()

    def _prolong(self, now: float, fault: str) -> None:
        seconds = now - self._faults_since
        if seconds < self._timeout:
            self._report(f"the API still does not answer after {seconds:.0f} s ({fault})")
            self._pause()
            return
        self._outage_error = over = OutageError(
            f"has not answered for {seconds:.0f} s; it last said: {fault}"
        )
        self._release(lambda waiter: waiter.set_exception(over))

    def _pause(self) -> None:
        seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._pauses)
        self._pauses += 1
        loop = asyncio.get_running_loop()
        left = max(0.0, self._faults_since + self._timeout - loop.time())
        self._timer = loop.call_later(
            min(seconds * (1 + self._random()) / 2, max(left, FIRST_PAUSE_SECONDS / 2)), self._release_probe
        )

    def _release_probe(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return
        self._probe_due = True

    def _release(self, wake: Callable[[asyncio.Future[bool]], None]) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                wake(waiter)
