"""The buckets of the lean server."""

import math
import time


class Bucket:
    """Up to a minute's units, refilled all the time."""

    def __init__(self, limit: float, level: float) -> None:
        self.limit, self.held, self._at = limit, limit * level, time.monotonic()

    def level(self, now: float) -> float:
        """Units in it."""
        self.held = min(self.limit, self.held + (now - self._at) * self.limit / 60)
        self._at = now
        return self.held

    def take(self, amount: float) -> None:
        """Takes units, which are there."""
        self.held -= amount

    def reset(self) -> bytes:
        """Until it is full, as the API writes it."""
        seconds = (self.limit - self.held) * 60 / self.limit
        if seconds < 1:
            return b"%dms" % math.ceil(seconds * 1000)
        minutes, rest = divmod(seconds, 60)
        return b"%dm%ds" % (minutes, rest) if minutes else b"%.3fs" % rest
