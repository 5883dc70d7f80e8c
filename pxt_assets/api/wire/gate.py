"""How many connections are opened at once: few at first, more while they are made quickly."""

from __future__ import annotations

_FEWEST, _MOST = 16, 256
_QUICK_SECONDS = 0.25
"""No slower one is a sign of a busy machine or server by itself."""
_SLOW_FACTOR = 4
"""Nor is one that takes less than so many times the quickest."""


class Gate:
    """`at_once` grows with each connection that was made quickly, so that it doubles within the time that one takes.

    A thousand at once would each take as long as all of them: the handshakes share the processors of both sides.
    """

    def __init__(self) -> None:
        self._at_once = float(_FEWEST)
        self._quickest = float("inf")

    @property
    def at_once(self) -> int:
        """How many may be under way."""
        return int(self._at_once)

    def opened(self, seconds: float) -> None:
        """Notes that a connection was made."""
        self._quickest = min(self._quickest, seconds)
        if seconds <= max(_QUICK_SECONDS, _SLOW_FACTOR * self._quickest):
            self._at_once = min(self._at_once + 1, _MOST)
        else:
            self._at_once = max(self._at_once * 0.9, _FEWEST)

    def failed(self) -> None:
        """Notes that one could not be made."""
        self._at_once = max(self._at_once / 2, _FEWEST)
