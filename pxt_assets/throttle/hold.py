"""The time for which a server asked to send nothing: bounded, and with single requests let through."""

import math
from typing import NamedTuple

LONGEST_HOLD_SECONDS = 60.0
"""However long a server asks to wait, after so long it is asked again. Where its headers say that there is nothing left,
the buckets wait as long as that takes."""
FIRST_PROBE_SECONDS = 10.0
"""After so long a single request is let through, and then twice as long after, up to the longest hold."""
_CLEARED_SECONDS = 1.0
"""A hold that ends by so much before its time was ended by hand."""


class HoldReport(NamedTuple):
    """A hold, for people to read."""

    seconds: float
    """For which nothing but single requests is still sent, at most."""
    asked: float | None
    """Seconds that the server asked for; None if another process was told."""

    def __str__(self) -> str:
        asked = "as another process was told" if self.asked is None else f"Retry-After {self.asked:,.0f} s"
        return f"held by the server for {self.seconds:.0f} s more at most ({asked}; single requests try meanwhile)"


class Hold:
    """When single requests go through while a pool is held, and whether the server is well again.

    `until` is the time until which the pool is held, by any process. Times are seconds on one clock.
    """

    def __init__(self) -> None:
        self._asked: float | None = None
        self._asked_until = -math.inf
        self._since: float | None = None
        """Begin of the hold that lasts; None while there is none."""
        self._distance = FIRST_PROBE_SECONDS
        self._probe_at = math.inf
        self._unproven = False
        self._until = -math.inf

    def rejected(self, retry_after: float, now: float) -> float:
        """Note what a 429 asked for; return the seconds for which all processes are to be held.

        A hold that was cut short goes on here until a request is answered, one of which goes at a time.
        """
        seconds = min(retry_after, LONGEST_HOLD_SECONDS)
        if seconds > 0 and self._since is None:
            self._begin(now)
        if retry_after > 0 and now + retry_after > self._asked_until:
            self._asked, self._asked_until = retry_after, now + retry_after
        if retry_after > LONGEST_HOLD_SECONDS:
            self._unproven = True
        return seconds

    def wait(self, until: float, now: float) -> float:
        """Return the seconds until a request may go, 0 for now."""
        if until <= now < self._until - _CLEARED_SECONDS:  # somebody has cleared it in the ledger
            self._forget()
        self._until = until
        if now >= until and not self._unproven:
            self._since = None
            return 0.0
        if self._since is None:
            self._begin(now)
        ends_at = math.inf if self._unproven else until
        return max(0.0, min(ends_at, self._probe_at) - now)

    def _begin(self, now: float) -> None:
        self._since, self._probe_at = now, now + self._distance

    def _forget(self) -> None:
        """End the hold: another one begins anew, with the first distance."""
        self._since, self._unproven = None, False
        self._asked, self._asked_until = None, -math.inf
        self._distance = FIRST_PROBE_SECONDS

    def granted(self, now: float) -> None:
        """Note that a request goes."""
        if self._since is not None:
            self._distance = min(LONGEST_HOLD_SECONDS, 2 * self._distance)
            self._probe_at = now + self._distance

    def answered(self, granted_at: float) -> bool:
        """Return whether an answer ends the hold, since its request went during it."""
        if self._since is None:
            self._distance = FIRST_PROBE_SECONDS
            return False
        if granted_at <= self._since:
            return False
        self._forget()
        return True

    def report(self, until: float, now: float) -> HoldReport | None:
        """Return what there is to say of the hold, None while there is none."""
        if now >= until and not self._unproven:
            return None
        seconds = (until if now < until else max(self._probe_at, now)) - now
        return HoldReport(seconds, self._asked if now < self._asked_until else None)
