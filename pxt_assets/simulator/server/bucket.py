"""Continuous token buckets as the API keeps them, and the way it writes durations.

A bucket holds up to one minute of its limit and refills at limit/60 units per second, all the time. From a
level follow the three headers: `remaining` is its floor, `reset` the seconds until it is *full*.
"""

import math

WINDOW = 60.0
"""Seconds in which an empty bucket fills."""

# Levels are sums of floats: without a tolerance, a client that waits exactly as long as it was told would
# sometimes find the bucket short by 1e-9 of its limit.
_TOLERANCE = 1e-9


class Bucket:
    """One limit: `limit` units per minute, at most `limit` at once. Times are in seconds."""

    __slots__ = ("_level", "_updated_at", "limit")

    def __init__(self, limit: float, *, level: float, now: float) -> None:
        self.limit = limit
        self._level = level
        self._updated_at = now

    @property
    def _tolerance(self) -> float:
        return _TOLERANCE * (self.limit + 1000)

    def level(self, now: float) -> float:
        """Units in the bucket at `now`, from 0 to `limit`."""
        elapsed = now - self._updated_at
        if elapsed > 0:
            self._level = min(self.limit, self._level + elapsed * self.limit / WINDOW)
            self._updated_at = now
        return self._level

    def restore(self, level: float, at: float) -> None:
        """Set what was in the bucket at a time: others have taken from it, or it has filled, since it was last seen."""
        self._level = min(max(level, 0.0), self.limit)
        self._updated_at = at

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` units are there: 0 for now, infinite for never."""
        if amount > self.limit:
            # A limit below one unit a minute still admits a request whenever it is full.
            if amount > max(self.limit, 1.0):
                return math.inf
            amount = self.limit
        missing = amount - self.level(now)
        return missing * WINDOW / self.limit if missing > self._tolerance else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take `amount` units; call `wait` before."""
        self._level = max(0.0, self.level(now) - amount)

    def change_limit(self, limit: float, now: float) -> None:
        """Change the limit and its refill from `now` on; the level stays, up to the new limit."""
        self._level = min(self.level(now), limit)
        self.limit = limit

    def remaining(self, now: float) -> int:
        """Whole units left."""
        return int(self.level(now) + self._tolerance)

    def seconds_to_full(self, now: float) -> float:
        """Seconds until the bucket is full again, if nothing is taken."""
        return (self.limit - self.level(now)) * WINDOW / self.limit


def format_duration(seconds: float) -> str:
    """Seconds as the API writes them, floored to milliseconds: `0s`, `12ms`, `58.891s`, `1h6m0s`."""
    milliseconds = int(seconds * 1000 + 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    text = f"{milliseconds // 1000}"
    if milliseconds % 1000:
        text += f".{milliseconds % 1000:03d}".rstrip("0")
    if minutes < 60:
        return f"{minutes}m{text}s" if minutes else f"{text}s"
    return f"{minutes // 60}h{minutes % 60}m{text}s"
