"""The rate at which a server that names no limit lets requests in, measured by its 429s."""

import math
from bisect import bisect_left, bisect_right

RECENT_GRANTS = 32
"""Requests let in over which the rate is measured."""
FEWEST_GRANTS = 8
"""Of those let in since the last cut, as many tell the rate."""
GRANTS_KEPT = 4_096
CEILING_SHARE = 0.95
"""Share of the measured rate at which requests go after a cut."""
CEILING_STEPS = 4.0
"""Steps in which the rate climbs back to the measured one; from there it climbs slowly at first, then faster."""
STEP_SECONDS = 1.0
SHORTEST_STEP_SECONDS = 0.5
FEWEST_STEP_REQUESTS = 5.0
MOST_STEP_REQUESTS = 100.0
"""A step takes a second, and the time of so many requests at least and at most, but half a second in any case."""
BURST_SECONDS = 0.02
"""How late a timer may fire without losing rate."""
DROPPED_FACTOR = 4.0
"""Factor on the measured rate that, reached without a 429, shows that there is no such limit any more."""

_STEEPNESS = CEILING_STEPS / (1 - CEILING_SHARE) ** (1 / 3)
_INSTANT = 1e-6  # a wait of less than this many seconds is none: clocks and floats are no finer


class Grants:
    """The times of the latest grants that were not rejected, in seconds: those of which nothing is known yet too."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def add(self, now: float) -> float:
        """Note a grant, and return its time: later than any other's, so that their order is known."""
        if self._times:
            now = max(now, math.nextafter(self._times[-1], math.inf))
        self._times.append(now)
        if len(self._times) > 2 * GRANTS_KEPT:
            del self._times[:GRANTS_KEPT]
        return now

    def remove(self, at: float) -> None:
        """Take out a grant that was rejected, or never sent."""
        place = bisect_left(self._times, at)
        if place < len(self._times) and self._times[place] == at:
            del self._times[place]

    def count(self, since: float, until: float) -> int:
        """Return the number of grants after `since`, up to `until`; below zero where that is earlier."""
        return bisect_right(self._times, until) - bisect_right(self._times, since)

    def latest(self, until: float) -> float | None:
        """Return the time of the latest grant up to `until`, if any."""
        place = bisect_right(self._times, until)
        return self._times[place - 1] if place else None

    def rate(self, until: float, latest: int = RECENT_GRANTS) -> float | None:
        """Return the requests let in a second, of so many of the `latest` before `until`; None if there are too few."""
        end = bisect_right(self._times, until)
        first = max(0, end - latest)
        seconds = until - self._times[first] if end > first else 0.0
        return (end - first - 1) / seconds if end - first > 1 and seconds > 0 else None


class GuessedRate:
    """Lets requests pass at the measured rate, and climbs above it until the next 429.

    It has the `wait` and `take` of a bucket. Times are seconds on one clock, rates requests a second.
    """

    __slots__ = ("_cut_at", "_level", "_level_at", "_was_met", "ceiling", "cuts_in_vain")

    def __init__(self, rate: float, now: float) -> None:
        self.ceiling = rate
        """The measured rate."""
        self.cuts_in_vain = 0
        """Cuts in a row that came below the measured rate, at which nothing should have been rejected."""
        self._was_met = False  # until it is, the rate may be far too low
        self._cut_at = now
        self._level = 1.0
        self._level_at = now

    def rate(self, now: float) -> float:
        """Return the rate at this time."""
        step = min(STEP_SECONDS, MOST_STEP_REQUESTS / self.ceiling)
        steps = (now - self._cut_at) / max(SHORTEST_STEP_SECONDS, step, FEWEST_STEP_REQUESTS / self.ceiling)
        if not self._was_met:
            return self.ceiling * math.pow(2.0, min(steps, 30.0))
        return self.ceiling * (1 + math.pow((steps - CEILING_STEPS) / _STEEPNESS, 3))

    def is_climbing(self, now: float) -> bool:
        """Whether the rate is above the measured one, so that a 429 is no surprise."""
        return self.rate(now) >= self.ceiling

    def is_over(self, now: float) -> bool:
        """Whether the rate has grown so far that nothing limits it."""
        return self._was_met and self.rate(now) > DROPPED_FACTOR * self.ceiling

    def wait(self, now: float) -> float:
        """Return the seconds until a request can pass, 0 for now."""
        rate = self.rate(now)
        self._level = min(1 + BURST_SECONDS * rate, self._level + max(0.0, now - self._level_at) * rate)
        self._level_at = now
        missing = 1 - self._level
        return missing / rate if missing > _INSTANT * rate else 0.0

    def take(self) -> None:
        """Let a request pass."""
        self._level -= 1

    def give_back(self) -> None:
        """Return what was taken for a request that was never sent."""
        self._level += 1

    def rejected(self, granted_at: float, grants: Grants, now: float) -> None:
        """Count a 429, and go at the rate that is measured, once there is enough to measure it by."""
        if granted_at <= self._cut_at:
            return
        let_in = grants.count(self._cut_at, granted_at)
        if let_in < FEWEST_GRANTS:
            return
        self.cuts_in_vain = 0 if self.is_climbing(now) else self.cuts_in_vain + 1
        measured = max(let_in / (granted_at - self._cut_at), grants.rate(granted_at, FEWEST_GRANTS) or 0.0)
        self._aim_for(min(measured, self.rate(now)), now)

    def resumed(self, measured: float, now: float) -> None:
        """Go at this rate, since requests are let in again after a gap."""
        self._aim_for(measured, now)

    def _aim_for(self, rate: float, now: float) -> None:
        self.ceiling, self._cut_at, self._was_met = rate, now, True
        self._level = min(self._level, 1.0)
