"""The lead of one request among those with the same cached prefix, which wait for its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pxt_assets.api.prompt_cache import LIFETIME_SECONDS

HOLD_SECONDS = 30.0
"""How long the others wait at most, from when the first one was sent: by then its prompt has been read."""
_MOST_FAILED = 3
"""Requests that fail one after the other until all others go."""


@dataclass(eq=False)
class Prefix:
    """What is known of one prefix."""

    fresh_until: float = float("-inf")
    """Until when it is in the cache, by the loop's clock; at least as long as it is not known to have gone."""
    was_cached: bool = False
    is_read_again: bool = False
    """Whether it was still there when its time was up."""
    leader: PrefixLead | None = None
    failed: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def lead_or_wait(self) -> PrefixLead | None:
        """Returns when a request may go: with the lead if it goes first, which it must tell how it ends."""
        loop = asyncio.get_running_loop()
        while loop.time() >= self.fresh_until:
            if self.leader is None:
                self.leader = PrefixLead(self)
                return self.leader
            turn = loop.create_future()
            self.waiting.append(turn)
            await turn
        return None


class PrefixLead:
    """The right of a request to go first. It ends with its first answer or failure, or when it has taken too long."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._sent_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def sent(self) -> None:
        """Notes that the request is on its way."""
        if self._sent_at is None and self._is_leading:
            loop = asyncio.get_running_loop()
            self._sent_at = loop.time()
            self._timer = loop.call_later(HOLD_SECONDS, self._end, LIFETIME_SECONDS)

    def answered(self, *, wrote: bool) -> None:
        """Notes its answer, which `wrote` the prefix to the cache or not.

        One that read it there when its time was up has not prolonged that: the next one goes first, too.
        """
        if not self._is_leading:
            return
        prefix = self._prefix
        prefix.is_read_again = prefix.was_cached and not wrote and not prefix.is_read_again
        self._end(0.0 if prefix.is_read_again else LIFETIME_SECONDS)

    def failed(self) -> None:
        """Notes that it has no answer, or none yet: another one goes first."""
        if not self._is_leading:
            return
        self._prefix.failed += 1
        self._end(LIFETIME_SECONDS if self._prefix.failed >= _MOST_FAILED else None)

    @property
    def _is_leading(self) -> bool:
        return self._prefix.leader is self

    def _end(self, fresh_seconds: float | None) -> None:
        """Lets the others go, for that many seconds from when it was sent; None if one of them is to go first."""
        prefix, now = self._prefix, asyncio.get_running_loop().time()
        if self._timer is not None:
            self._timer.cancel()
        prefix.leader = None
        if fresh_seconds is not None:
            prefix.failed, prefix.was_cached = 0, True
            prefix.fresh_until = (now if self._sent_at is None else self._sent_at) + fresh_seconds
        waiting, prefix.waiting = prefix.waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)
