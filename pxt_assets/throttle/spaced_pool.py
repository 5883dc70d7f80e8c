"""The last resort where accounting fails: requests evenly spaced, and few of them at once."""

import math
from collections.abc import Mapping
from typing import Any

from pxt_assets.throttle.admission import Admission, Rejection

MOST_IN_FLIGHT = 16
"""Requests in flight at once."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class SpacedPool:
    """Has the methods of `Pool` that a limiter calls, and counts nothing.

    Requests are sent at `rpm` requests/minute, as fast as answers come where that is None; a 429 has all of them wait
    for a pause that doubles, up to a minute. Times are seconds.
    """

    def __init__(self, rpm: float | None) -> None:
        self.rpm = rpm
        self.buckets: Mapping[str, Any] = {}
        self._next_at = -math.inf
        self._pauses = 0  # in a row
        self._paused_at = -math.inf

    def join(self, queue: object) -> None:
        """Do nothing: an answer, or time, lets requests pass."""

    def admit(
        self,
        costs: Mapping[str, float],
        now: float,
        in_flight: int,
        sized: object = None,  # noqa: ARG002
        **_more: object,
    ) -> Admission | float:
        """Let a request pass, or return the seconds until it may: infinite until the next answer."""
        if in_flight >= MOST_IN_FLIGHT:
            return math.inf
        if now < self._next_at:
            return self._next_at - now
        self._next_at = now + (60 / self.rpm if self.rpm else 0.0)
        return Admission(dict(costs), {}, now)

    def lost(self, admission: Admission, now: float) -> None:
        """Do nothing: nothing is counted."""

    def answered(self, admission: Admission, *_arguments: object, **_more: object) -> bool:
        """Count an answer."""
        if admission.at > self._paused_at:
            self._pauses = 0
        return False

    def rejected(
        self,
        admission: Admission,
        _readings: object,
        retry_after: float | None,
        now: float,
        *_arguments: object,
        **_more: object,
    ) -> Rejection:
        """Pause for a 429, once for the requests that were in flight at the time."""
        if admission.at > self._paused_at:
            self._pauses += 1
            self._paused_at = now
            pause = max(retry_after or 0.0, FIRST_PAUSE_SECONDS * 2.0 ** min(self._pauses - 1, 10))
            self._next_at = max(self._next_at, now + min(pause, LONGEST_PAUSE_SECONDS))
        return Rejection(changed=False, own_wait=0.0)

    def too_large_error(self, *_arguments: object) -> None:
        """Return None: no limit is known."""

    def size_refusal(self, *_arguments: object) -> None:
        """Return None: nothing is remembered."""

    def refused(self, admission: Admission, *_arguments: object) -> None:
        """Do nothing: no limit is known."""

    def overloaded(self, admission: Admission, now: float) -> None:
        """Do nothing: requests are few already."""

    def slow_down(self, admission: Admission, now: float) -> None:
        """Do nothing: the 429 that asked for it pauses."""

    def cancelled(self, admission: Admission, now: float) -> None:
        """Do nothing: nothing was taken."""

    def hold(self, now: float) -> None:
        """Return None: a pause of its own is all that holds it."""

    def totals(self, now: float) -> dict[str, tuple[float, float]]:  # noqa: ARG002
        """Return nothing: nothing is counted."""
        return {}

    def utilization(self, *_arguments: object) -> None:
        """Return None: no limit is known."""
