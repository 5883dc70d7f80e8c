"""A rate that a server asked to grow slowly, though it is within the limits."""

import math
from enum import Enum

MEASURED_SECONDS = 10.0
"""Time over which the present rate is measured."""
CUT = 0.5
"""Factor on the present rate when it is cut."""
SETTLED = 2.0
"""Factor on the rate at the cut from which nothing is held back any more."""
LOWEST = 0.1
"""Requests a second that are always let through: enough to see within seconds that the server has recovered."""
BURST_SECONDS = 0.1
"""What a timer that fires late by up to this may make up for."""


_LONG_SECONDS = 10_000.0  # after so long any growth has ended, and powers of it have not overflowed


class Growth(Enum):
    """How fast a rate grows again, as a factor a second."""

    SLOW_DOWN = 1.5 ** (1 / 900)
    """By half in 15 minutes: what the API documents as the most that it follows.
    (https://platform.openai.com/docs/guides/error-codes)"""
    OVERLOADED = 2 ** (1 / 60)
    """Twice in a minute: an overload is the server's, and passes."""


class Ramp:
    """Lets all pass until it is cut; then half of what passed of late, growing slowly.

    It has the `wait` and `take` of a bucket. Times are seconds on one monotonic clock.
    """

    __slots__ = (
        "_cut_at",
        "_end",
        "_growth",
        "_level",
        "_measured",
        "_recent",
        "_started",
        "_updated",
        "rate",
    )

    def __init__(self) -> None:
        self.rate = math.inf
        """Requests a second that may pass; infinite while nothing is held back."""
        self._level = 0.0
        self._updated = -math.inf
        self._growth = 1.0
        self._end = math.inf
        self._cut_at = -math.inf
        self._recent = 0.0  # requests, each counting less as it ages
        self._measured = 0.0
        self._started = math.inf

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass, 0 for now."""
        if self.rate == math.inf:
            return 0.0
        self._advance(now)
        if self.rate == math.inf:
            return 0.0
        missing = min(cost, self._capacity) - self._level
        return missing / self.rate if missing > 1e-6 else 0.0

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self._recent = self._recent * math.exp((self._measured - now) / MEASURED_SECONDS) + cost
        self._measured = now
        self._started = min(self._started, now)
        if self.rate < math.inf:
            self._advance(now)
            self._level -= cost

    def cut(self, granted_at: float, now: float, growth: Growth) -> None:
        """Halve the rate, once for all the requests that were under way at the last cut."""
        if granted_at <= self._cut_at:
            return
        self._cut_at = now
        present = min(self._present(now), self.rate)
        self.rate = max(LOWEST, present * CUT)
        self._end = max(present * SETTLED, LOWEST * SETTLED)
        self._growth = growth.value
        self._level, self._updated = 0.0, now

    @property
    def _capacity(self) -> float:
        return 1 + BURST_SECONDS * self.rate

    def _present(self, now: float) -> float:
        """Return the requests a second of late."""
        seconds = max(1.0, now - self._started)
        recent = self._recent * math.exp((self._measured - now) / MEASURED_SECONDS)
        return recent / (MEASURED_SECONDS * -math.expm1(-seconds / MEASURED_SECONDS))

    def _advance(self, now: float) -> None:
        elapsed = now - self._updated
        if elapsed <= 0:
            return
        self._updated = now
        grown = self.rate * self._growth ** min(elapsed, _LONG_SECONDS)
        self._level = min(self._capacity, self._level + (self.rate + grown) / 2 * elapsed)
        self.rate = grown if grown < self._end else math.inf
