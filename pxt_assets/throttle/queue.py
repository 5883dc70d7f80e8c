"""What waits for a pool."""

from typing import Protocol


class Queue(Protocol):
    """Requests that wait for a pool."""

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""

    def wake(self) -> None:
        """Try again to send, since the pool may allow more now. May be called from any thread."""
