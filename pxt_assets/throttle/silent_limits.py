"""What a server means by a 429 that comes without numbers: too many at once, too many a second, or nothing.

First what is in flight is narrowed (`ConcurrencyLimit`). Where requests are rejected although no more are in flight
than were let in before, it is the rate: then requests go as fast as they are let in (`GuessedRate`). Where even that
ends no rejections, they have nothing to do with what is sent, and all go again.
"""

import math
from collections import deque

from pxt_assets.throttle.concurrency import ConcurrencyLimit
from pxt_assets.throttle.guessed_rate import LONGEST_GAP_SECONDS, Grants, GuessedRate

OUTCOMES_REMEMBERED = 60
RATE_SHARE = 0.05
"""Share of unexplained rejections among the latest outcomes, above which it may be the rate."""
SPACING_FACTOR = 2.0
"""While it is in doubt how many may be in flight, requests go at most that many times as fast as answers come: two at
the same moment may be too many where two a moment apart are not."""
LONGEST_SPACING_SECONDS = 0.05
RECENT_ANSWERS = 32
"""Answers over which their rate is measured."""
CUTS_IN_VAIN = 6
"""Cuts of the rate that change nothing, after which rejections are taken for chance."""
CHANCE_SECONDS = 30.0
"""Time for which rejections are then taken for chance."""
SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 1.0
"""The first pause where the server names limits, and none of them is short."""
PAUSE_GROWTH = 1.5
"""Factor on the time since a request was last let in, after which the next is tried: so often does one try that takes
a while, and so much later than it could it goes."""


class SilentLimits:
    """The limits of a server that names none, as its 429s show them. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.concurrency = ConcurrencyLimit()
        self.rate: GuessedRate | None = None
        self._grants = Grants()
        self._answers: deque[float] = deque(maxlen=RECENT_ANSWERS)
        self._granted_at = -math.inf
        self._rejected_at = -math.inf  # grant of the latest that was rejected
        self._unexplained_share = 0.0
        self._chance_until = -math.inf
        self._paused_until = -math.inf
        self._pause = 0.0
        self._gap_since = -math.inf
        self._resumed_at = -math.inf

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds until one request more than `in_flight` may be sent, 0 for now."""
        wait = max(self._paused_until - now, self.concurrency.wait(in_flight + 1, now))
        if self.rate is not None:
            if self.rate.is_over(now):
                self.rate = None
            else:
                wait = max(wait, self.rate.wait(now))
        elif self.concurrency.in_doubt:
            wait = max(wait, self._granted_at + self._spacing(now) - now)
        return max(0.0, wait)

    def take(self, in_flight: int, now: float) -> None:
        """Count a request that is sent; `in_flight` are now, itself included."""
        self._grants.add(now)
        self._granted_at = now
        self.concurrency.take(in_flight, now)
        if self.rate is not None:
            self.rate.take()

    def cancelled(self, granted_at: float) -> None:
        """Return what was taken for a request that was never sent."""
        self._grants.remove(granted_at)
        if self.rate is not None:
            self.rate.give_back()

    def answered(self, in_flight: int, granted_at: float, now: float) -> None:
        """Count a request that was let in; `in_flight` were at its grant, itself included."""
        self.concurrency.answered(in_flight, granted_at)
        self._answers.append(now)
        self._unexplained_share *= 1 - 1 / OUTCOMES_REMEMBERED
        if granted_at > self._rejected_at and self._pause:
            self._pause = 0.0
            self._note_gap(granted_at, now)

    def rejected(
        self,
        in_flight: int,
        granted_at: float,
        left: int,
        now: float,
        *,
        limits_known: bool = False,
        paced: bool = False,
        held: bool = False,
    ) -> bool:
        """Count a 429 while `left` others are in flight; return whether too many at once explain it.

        `limits_known` says that the server names limits, of which none is short; `paced` that requests go at a
        configured rate, so that none is guessed; `held` that the server said how long to wait: no pause besides.
        """
        self._grants.remove(granted_at)
        if now > self._chance_until:
            self.concurrency.by_chance = False
        explained = self.concurrency.rejected(in_flight, granted_at, left, now)
        is_fresh = self._grants.count(self._rejected_at, granted_at) > 0 and granted_at > self._rejected_at
        self._rejected_at = max(self._rejected_at, granted_at)
        if not explained and is_fresh and not self.concurrency.by_chance:
            self._unexplained_share += (1 - self._unexplained_share) / OUTCOMES_REMEMBERED
            if self.rate is None and not paced and self._unexplained_share > RATE_SHARE:
                self._guess_rate(granted_at, now)
        if self.rate is not None and not explained:
            self.rate.rejected(granted_at, self._grants, now)
            if self.rate.cuts_in_vain >= CUTS_IN_VAIN:
                self._take_for_chance(now)
        if left == 0 and not held and now >= self._paused_until:
            self._start_pause(granted_at, now, limits_known=limits_known)
        return explained

    def _spacing(self, now: float) -> float:
        answers = len(self._answers)
        seconds = now - self._answers[0] if answers > 1 else 0.0
        return min(LONGEST_SPACING_SECONDS, seconds / (answers - 1) / SPACING_FACTOR) if seconds else 0.0

    def _guess_rate(self, granted_at: float, now: float) -> None:
        rate = self._grants.rate(granted_at)
        if rate is not None:
            self.rate = GuessedRate(rate, now)

    def _take_for_chance(self, now: float) -> None:
        self.rate = None
        self._unexplained_share = 0.0
        self._chance_until = now + CHANCE_SECONDS
        self.concurrency.take_for_chance()

    def _start_pause(self, granted_at: float, now: float, *, limits_known: bool) -> None:
        """Wait, since nothing is in flight whose answer would be news."""
        if limits_known:
            self._pause = max(FIRST_PAUSE_SECONDS, 2 * self._pause)
        else:
            let_in = self._grants.latest(granted_at)
            since = now - granted_at if let_in is None else now - let_in
            self._pause = max(SHORTEST_PAUSE_SECONDS, (PAUSE_GROWTH - 1) * since, self._pause * PAUSE_GROWTH)
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause)
        self._paused_until = now + self._pause

    def _note_gap(self, granted_at: float, now: float) -> None:
        """Measure the rate from the end of one gap to that of the next."""
        before = self._grants.latest(granted_at - 1e-9)
        if before is None or granted_at - before < LONGEST_GAP_SECONDS:
            return
        if self.rate is not None and self._resumed_at > -math.inf:
            let_in = self._grants.count(self._resumed_at, granted_at)
            self.rate.resumed(max(1, let_in) / (granted_at - self._resumed_at), now)
        self._resumed_at = granted_at
