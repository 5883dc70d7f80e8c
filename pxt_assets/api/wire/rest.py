"""Whether a server may close a connection right after its answer without saying so: then it is not used again at once.

A request that crosses such a close is lost, and whether the server got it is unknown: a reset says nothing of that. So a
connection rests after its answer until the close would have come. The first ones of a client rest too, for a moment; one
that is still there then shows that the server keeps them, and no other rests. One that ended soon after its answer shows
the contrary, until many have outlived their rest.
"""

from __future__ import annotations

_FIRST_SECONDS = 0.01
_SECONDS = 0.05
_SOON_SECONDS = 0.25
"""A server that closes what is idle for long waits longer."""
_MANY = 16


class Rest:
    """How long connections rest after an answer."""

    def __init__(self) -> None:
        self._left = 1
        self.seconds = _FIRST_SECONDS

    @property
    def is_needed(self) -> bool:
        """Whether they rest at all."""
        return self._left > 0

    @property
    def is_hopeful(self) -> bool:
        """Whether nothing speaks for it that one that rests will end."""
        return self.seconds == _FIRST_SECONDS

    def outlived(self) -> None:
        """Notes that one was still there after its rest."""
        self._left -= 1

    def ended(self, seconds: float) -> None:
        """Notes that the server has ended one so many seconds after an answer over it."""
        if seconds <= _SOON_SECONDS:
            self._left, self.seconds = _MANY, _SECONDS
