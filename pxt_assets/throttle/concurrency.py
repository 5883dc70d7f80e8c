"""How many requests may be in flight at once, where a server names no limit and says 429."""

import math

MOST_DOUBT = 7.0
"""So doubtful a limit grows by one request in 2⁷ answers: of 128 requests one is tried in vain."""
TRIAL_SECONDS = 5.0
"""Where answers come fast, doubt goes on until tries in vain are as far apart."""
DOUBT_PER_ANSWER = 0.05
"""By how much an answer beyond what is proven lowers it."""
DOUBT_PER_SECOND = 0.5
"""By how much a second lowers it in which a request beyond what is proven met no 429."""
EASY_SHARE = 0.5
"""Share of what was let in before a cut up to which the limit grows without doubt."""
TICK_SECONDS = 1.0
"""A 429 comes at once, however long answers take: none in so long means that the limit is not reached."""


class ConcurrencyLimit:
    """The number of requests in flight at which a server says 429, found by the 429s alone.

    Such a server works on so many requests, and rejects one more at once. So when 429s come, what is in flight besides
    the rejected is what it can take. From there the limit grows by each answer, the slower the more often it was
    found too high (its doubt), and by time where answers take long.

    `in_flight` is always the number that includes the request which is spoken of. Times are seconds on one clock.
    """

    __slots__ = (
        "_accepted_since_cut",
        "_cut_at",
        "_doubt",
        "_easy",
        "_proven",
        "_ticked_at",
        "_tried",
        "_tried_at",
        "size",
    )

    def __init__(self) -> None:
        self.size = math.inf
        """Requests that may be in flight."""
        self._proven = 0.0  # as many are known to be let in
        self._easy = 0.0  # up to here the limit grows without doubt
        self._doubt = 0.0
        self._tried = 0  # in flight at the first grant beyond what is proven since the last cut
        self._tried_at = math.inf
        self._cut_at = -math.inf
        self._accepted_since_cut = True
        self._ticked_at = -math.inf

    @property
    def in_doubt(self) -> bool:
        """Whether it was found too high, and has not been exceeded for long since."""
        return self._doubt >= 1

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds until the request may be sent: 0 for now, else when to ask again, unless one is answered."""
        if in_flight <= self.size:
            return 0.0
        if now - self._ticked_at >= TICK_SECONDS:
            if self._tried > self._proven and now - self._tried_at >= TICK_SECONDS:
                self._accepted_since_cut = True
                self._lower_doubt(DOUBT_PER_SECOND, self._tried)
            if in_flight - 1 <= self.size:
                self.size += self.size * 4.0**-self._local_doubt
            self._ticked_at = now
            if in_flight <= self.size:
                return 0.0
        return self._ticked_at + TICK_SECONDS - now

    def take(self, in_flight: int, now: float) -> None:
        """Count a request that is sent."""
        if in_flight > self._proven and self._tried <= self._proven:
            self._tried, self._tried_at = in_flight, now

    def answered(self, in_flight: int, granted_at: float) -> None:
        """Count a request that was let in."""
        if granted_at <= self._cut_at:
            return
        self._accepted_since_cut = True
        if in_flight > self._proven:
            self._lower_doubt(DOUBT_PER_ANSWER, in_flight)
        if in_flight > (self.size - 1 if self.in_doubt else self.size / 2):
            self.size += 2.0**-self._local_doubt

    def is_beyond(self, in_flight: int) -> bool:
        """Whether more are in flight than are known to be let in."""
        return in_flight > self._proven

    def is_under_way(self, granted_at: float) -> bool:
        """Whether a request was granted before the last cut, so that its rejection is no further news."""
        return granted_at <= self._cut_at

    def cut(self, in_flight: int, granted_at: float, left: int, now: float) -> None:
        """Narrow to what is `left` in flight besides a request that met a 429."""
        if not self.is_under_way(granted_at):
            if self.is_beyond(in_flight) or self._accepted_since_cut:
                if self._doubt < MOST_DOUBT or now < self._cut_at + TRIAL_SECONDS:
                    self._doubt += 1
                self._easy = EASY_SHARE * min(self.size, max(left, self._proven))
            else:
                left //= 2
            self._accepted_since_cut = False
            self._cut_at = now
        self.size = self._proven = max(1.0, min(self.size, left))
        self._ticked_at = now
        self._tried = 0

    def trust(self) -> None:
        """Open without doubt from here on."""
        self._doubt, self._cut_at = 0.0, -math.inf

    @property
    def _local_doubt(self) -> float:
        return 0.0 if self.size < self._easy else self._doubt

    def _lower_doubt(self, by: float, in_flight: int) -> None:
        """Note that more were let in than are known to be; without doubt, that is known now."""
        self._doubt = max(0.0, self._doubt - by)
        if self._doubt == 0 or in_flight < self._easy:
            self._proven = max(self._proven, in_flight)
