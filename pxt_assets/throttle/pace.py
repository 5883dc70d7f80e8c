"""A rate, spread evenly, for endpoints that report no limits."""

import math

BURST_SECONDS = 0.1
"""How late a timer may fire without losing rate."""
DECREASE = 0.5
"""Factor on the rate when the server rejects a request."""
RECOVERY_SECONDS = 300.0
"""Time in which the rate would climb from nothing to the configured one."""
LOWEST_RPM = 1.0

_INSTANT = 1e-6  # a wait of less than this many seconds is none: clocks and floats are no finer


class Pace:
    """Lets requests pass at an even rate: halved on a 429, then raised steadily to the configured rate.

    It has the `wait` and `take` of a bucket that holds one request and 0.1 s of the rate.
    Times are seconds on one monotonic clock, rates requests a second.
    """

    __slots__ = (
        "_cut_at",
        "_updated",
        "capacity",
        "configured",
        "level",
        "lowest_rate",
        "rate",
        "spilled",
        "taken",
    )

    def __init__(self, rpm: float) -> None:
        if not 0 < rpm < math.inf:
            raise ValueError(
                f"The rate must be a number of requests/minute above 0, got {rpm!r}. "
                "Use None to follow the server's headers alone."
            )
        self.lowest_rate = min(rpm, LOWEST_RPM) / 60
        self.rate = rpm / 60
        self.configured = self.rate
        self.capacity = 1 + BURST_SECONDS * self.rate
        self.level = self.capacity
        self.taken = 0.0
        self.spilled = 0.0
        self._updated = -math.inf
        self._cut_at = -math.inf

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass: exact, 0 for now."""
        self.advance(now)
        missing = min(cost, self.capacity) - self.level
        if missing <= _INSTANT * self.rate:
            return 0.0
        climb, climbing = self._climb()
        gained = (self.rate + self.configured) / 2 * climbing
        if missing > gained:
            return climbing + (missing - gained) / self.configured
        return (math.sqrt(self.rate**2 + 2 * climb * missing) - self.rate) / climb

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self.advance(now)
        self.level -= cost
        self.taken += cost

    def give_back(self, cost: float) -> None:
        """Return what was taken for a request that was never sent."""
        self.level = min(self.capacity, self.level + cost)
        self.taken -= cost

    def reject(self, granted_at: float, now: float) -> None:
        """Halve the rate for a 429, once for all the requests that were under way at the last halving."""
        if granted_at <= self._cut_at:
            return
        self.advance(now)
        self._cut_at = now
        self.rate = max(self.lowest_rate, self.rate * DECREASE)

    def advance(self, now: float) -> None:
        """Refill, and let the rate climb, for the time since the last call."""
        elapsed, self._updated = now - self._updated, max(now, self._updated)
        if not 0 < elapsed < math.inf:  # infinite at the first call
            return
        climb, climbing = self._climb()
        climbing = min(climbing, elapsed)
        rate = self.configured if climbing < elapsed else self.rate + climb * climbing
        self.level += (self.rate + rate) / 2 * climbing + rate * (elapsed - climbing)
        self.rate = min(rate, self.configured)
        if self.level > self.capacity:
            self.spilled += self.level - self.capacity
            self.level = self.capacity

    def _climb(self) -> tuple[float, float]:
        """Return the climb of the rate, in requests/second², and its remaining seconds."""
        climb = self.configured / RECOVERY_SECONDS
        return climb, (self.configured - self.rate) / climb
