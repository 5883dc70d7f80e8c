"""A rate that grows slowly because the server asked for it, though the limits allow more."""

import math
from enum import Enum

MEASURED_SECONDS = 10.0
"""Time over which the present rate is averaged."""
CUT_FACTOR = 0.5
"""Factor on the present rate at a cut."""
RECOVERED_FACTOR = 2.0
"""Factor on the rate before the cut at which the ramp ends."""
LOWEST_RATE = 0.1
"""Requests a second that are always let through: enough to see within seconds that the server has recovered."""
BURST_SECONDS = 0.1
"""How late a timer may fire without losing rate."""


_LONG_SECONDS = 10_000.0  # after so long any growth has ended, and powers of it have not overflowed


class Growth(Enum):
    """How fast a rate grows again, as a factor a second."""

    SLOW_DOWN = 1.5 ** (1 / 900)
    """By half in 15 minutes: what the API documents as the most that it follows.
    (https://platform.openai.com/docs/guides/error-codes)"""
    OVERLOADED = 2 ** (1 / 60)
    """Twice in a minute: an overload is the server's, and passes."""


class Ramp:
    """Lets all requests pass until it is cut; then half of the latest rate, growing slowly.

    It has the `wait` and `take` of a bucket. Times are seconds on one monotonic clock.
    """

    __slots__ = (
        "_cut_at",
        "_end_rate",
        "_first_at",
        "_growth_factor",
        "_level",
        "_level_at",
        "_recent_at",
        "_recent_requests",
        "rate",
    )

    def __init__(self) -> None:
        self.rate = math.inf
        """Requests a second that may pass; infinite while there is no ramp."""
        self._level = 0.0
        self._level_at = -math.inf
        self._growth_factor = 1.0
        self._end_rate = math.inf
        self._cut_at = -math.inf
        self._recent_requests = 0.0  # requests, each counting less as it ages
        self._recent_at = 0.0
        self._first_at = math.inf

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass, 0 for now."""
        if self.rate == math.inf:
            return 0.0
        self._advance(now)
        if self.rate == math.inf:
            return 0.0
        missing = min(cost, self._capacity) - self._level
        return missing / self.rate if missing > 1e-6 * self.rate else 0.0

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self._recent_requests = (
            self._recent_requests * math.exp((self._recent_at - now) / MEASURED_SECONDS) + cost
        )
        self._recent_at = now
        self._first_at = min(self._first_at, now)
        if self.rate < math.inf:
            self._advance(now)
            self._level -= cost

    def cut(self, granted_at: float, now: float, growth: Growth) -> None:
        """Halve the rate, once for all requests that were in flight at the last cut."""
        if granted_at <= self._cut_at:
            return
        self._cut_at = now
        present = min(self._present_rate(now), self.rate)
        self.rate = max(LOWEST_RATE, present * CUT_FACTOR)
        self._end_rate = max(present * RECOVERED_FACTOR, LOWEST_RATE * RECOVERED_FACTOR)
        self._growth_factor = growth.value
        self._level, self._level_at = 0.0, now

    @property
    def _capacity(self) -> float:
        return 1 + BURST_SECONDS * self.rate

    def _present_rate(self, now: float) -> float:
        """Return the requests a second, averaged over the last seconds."""
        seconds = max(1.0, now - self._first_at)
        recent = self._recent_requests * math.exp((self._recent_at - now) / MEASURED_SECONDS)
        return recent / (MEASURED_SECONDS * -math.expm1(-seconds / MEASURED_SECONDS))

    def _advance(self, now: float) -> None:
        elapsed = now - self._level_at
        if elapsed <= 0:
            return
        self._level_at = now
        higher_rate = self.rate * self._growth_factor ** min(elapsed, _LONG_SECONDS)
        self._level = min(self._capacity, self._level + (self.rate + higher_rate) / 2 * elapsed)
        self.rate = higher_rate if higher_rate < self._end_rate else math.inf
