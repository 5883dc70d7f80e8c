"""Which answers' headers are read: all of them where units are short, some of them where there are plenty."""

import math
from collections.abc import Mapping

from pxt_assets.throttle.headers import Reading

PLENTY_SHARE = 0.5
"""Share of each limit that is left where units are plenty: what is sent until the next reading takes little of it."""
SPACING_SECONDS = 0.02
"""Time after a reading in which no other is needed then: bursts are longer, and costs are learned no faster."""
READ_AT_FIRST = 200
"""Readings in a row that are taken from every answer first: costs are learned from them."""


class Sampling:
    """Says whether an answer's headers are worth reading. Times are seconds on one clock."""

    __slots__ = ("_at_first", "_next_at")

    def __init__(self) -> None:
        self._at_first = READ_AT_FIRST
        self._next_at = -math.inf

    def wants_reading(self, now: float) -> bool:
        """Whether the headers of an answer that comes now are to be read."""
        return now >= self._next_at

    def note(self, readings: Mapping[str, Reading], now: float, *, changed: bool) -> None:
        """Note what an answer reported, and whether a limit `changed` or became known by it."""
        if changed or any(one.remaining < PLENTY_SHARE * one.limit for one in readings.values()):
            self.read_all()
        elif self._at_first > 0:
            self._at_first -= 1
        elif readings:
            self._next_at = now + SPACING_SECONDS

    def read_all(self) -> None:
        """Read the next answers' headers all, since something has happened."""
        self._at_first, self._next_at = READ_AT_FIRST, -math.inf
