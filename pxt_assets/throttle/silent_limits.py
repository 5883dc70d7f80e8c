"""What a server means by a 429 that comes without numbers: too many at once, too many a second, or nothing.

First what is in flight is narrowed (`ConcurrencyLimit`). Where requests are rejected although no more are in flight
than were let in before, it is the rate: then requests go as fast as they are let in (`GuessedRate`). Where even that
ends no rejections, they have nothing to do with what is sent, and all go again.
"""

import math
from enum import Enum

from pxt_assets.throttle.concurrency import ConcurrencyLimit
from pxt_assets.throttle.guessed_rate import FEWEST_GRANTS, Grants, GuessedRate
from pxt_assets.throttle.scatter import MOST_REJECTED, Scatter

SURE_RUN_BEYOND = 2
"""Rejections in a row, with nothing let in between, that show a limit where more are in flight than were let in before."""
SURE_RUN = 3
"""The same where as many have been let in before."""
LONG_RUN = 8
"""The same where there is another reason for rejections: a rate, or chance."""
OUTCOMES_REMEMBERED = 60
RATE_SHARE = 0.1
"""Share of unexplained rejections among the latest outcomes, above which it may be the rate."""
LONGEST_SPACING_SECONDS = 0.5
"""While it is in doubt how many may be in flight, requests go half an answer's time apart, at most so long: two at the
same moment may be too many where two a moment apart are not."""
LATENCIES_REMEMBERED = 20
CUTS_IN_VAIN = 4
"""Cuts of the rate that change nothing, after which rejections are taken for chance."""
CHANCE_SECONDS = 30.0
"""Time for which rejections are then taken for chance."""
FIRST_NO_CHANCE_SECONDS = 10.0
LONGEST_NO_CHANCE_SECONDS = 120.0
"""Time for which they are not, after it has proved wrong: twice as long each time."""
SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 1.0
"""The first pause where the server names limits, and none of them is short."""
PAUSE_GROWTH = 1.5
"""Factor on the time since a request was last let in, after which the next is tried: so often does one try that takes
a while, and so much later than it could it goes."""
GAP_SECONDS = 0.25
"""Time in which nothing is let in, from which on the server is taken to count by fixed windows."""


class Blame(Enum):
    """What a 429 is taken for."""

    CONCURRENCY = "too many in flight"
    UNSURE = "too many in flight, if the next one in its place is rejected too"
    OTHER = "something else"


class SilentLimits:
    """The limits of a server that names none, as its 429s show them. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.concurrency = ConcurrencyLimit()
        self.rate: GuessedRate | None = None
        self._grants = Grants()
        self._scatter = Scatter(self._grants)
        self._granted_at = -math.inf
        self._latency = 0.0  # averaged
        self._rejected_at = -math.inf  # grant of the latest that was rejected
        self._run = 0  # of rejections, in the order of the grants
        self._blame = Blame.CONCURRENCY  # of the latest
        self._rejected_share = 0.0  # of outcomes as they come, rejections first
        self._unexplained_share = 0.0
        self._chance_until = -math.inf
        self._no_chance_until = -math.inf
        self._no_chance_seconds = FIRST_NO_CHANCE_SECONDS
        self._paused_until = -math.inf
        self._pause = 0.0
        self._resumed_at: float | None = None

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds until one request more than `in_flight` may be sent, 0 for now."""
        wait = max(self._paused_until - now, self.concurrency.wait(in_flight + 1, now))
        if self.rate is not None and self.rate.is_over(now):
            self.rate = None
        if self.rate is not None:
            wait = max(wait, self.rate.wait(now))
        elif self.concurrency.in_doubt:
            spacing = min(LONGEST_SPACING_SECONDS, self._latency / self.concurrency.size / 2)
            wait = max(wait, self._granted_at + spacing - now)
        return max(0.0, wait)

    def refuses_all(self, left: int) -> bool:
        """Whether the latest 429 was for all, while `left` others are in flight: nothing else has been let in."""
        return left == 0 or self._run >= (SURE_RUN if self.rate is None else LONG_RUN)

    def take(self, in_flight: int, now: float) -> float:
        """Count a request that is sent, and return the time of its grant: no other has the same.

        `in_flight` are now, itself included.
        """
        self._granted_at = self._grants.add(now)
        self.concurrency.take(in_flight, now)
        if self.rate is not None:
            self.rate.take()
        return self._granted_at

    def cancelled(self, granted_at: float) -> None:
        """Return what was taken for a request that was never sent."""
        self._grants.remove(granted_at)
        if self.rate is not None:
            self.rate.give_back()

    def answered(self, in_flight: int, granted_at: float, now: float) -> None:
        """Count a request that was let in; `in_flight` were at its grant, itself included."""
        self.concurrency.answered(in_flight, granted_at)
        self._unexplained_share *= 1 - 1 / OUTCOMES_REMEMBERED
        self._rejected_share *= 1 - 1 / OUTCOMES_REMEMBERED
        self._latency += (now - granted_at - self._latency) / LATENCIES_REMEMBERED
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
    ) -> bool:
        """Count a 429 while `left` others are in flight; return whether too many at once explain it.

        `limits_known` says that the server names limits, of which none is short; `paced` that requests go at a
        configured rate, so that none is guessed.
        """
        self._grants.remove(granted_at)
        self._scatter.add(granted_at)
        self._rejected_share += (1 - self._rejected_share) / OUTCOMES_REMEMBERED
        is_fresh = self._grants.count(self._rejected_at, granted_at) > 0
        if granted_at > self._rejected_at:  # else they overtook each other
            self._rejected_at, self._run = granted_at, 1 if is_fresh else self._run + 1
        before, self._blame = self._blame, self._judge(in_flight, granted_at, left, now)
        if is_fresh and not self._by_chance(now):
            unexplained = (before is Blame.UNSURE) + (self._blame is Blame.OTHER)
            self._unexplained_share += unexplained * (1 - self._unexplained_share) / OUTCOMES_REMEMBERED
        if self._blame is not Blame.CONCURRENCY and not paced:
            self._blame_rate(in_flight, granted_at, left, now)
        if left == 0 and now >= self._paused_until:
            self._start_pause(granted_at, now, limits_known=limits_known)
        return self._blame is Blame.CONCURRENCY

    def _by_chance(self, now: float) -> bool:
        """Whether a part of all requests is known to be rejected, whatever is sent."""
        return now < self._chance_until

    def _most_are_rejected(self, now: float) -> bool:
        """Whether more are rejected than chance would: of many sent at once the rejected are known first."""
        share = self._scatter.share
        return share > MOST_REJECTED or (not self._by_chance(now) and self._rejected_share > MOST_REJECTED)

    def _judge(self, in_flight: int, granted_at: float, left: int, now: float) -> Blame:
        """Return what a 429 is taken for, and narrow what is in flight if that may be it."""
        concurrency = self.concurrency
        if concurrency.is_under_way(granted_at):
            concurrency.cut(in_flight, granted_at, left, now)
            return Blame.CONCURRENCY
        beyond = concurrency.is_beyond(in_flight)
        if self._by_chance(now) or (self.rate is not None and (not beyond or self.rate.is_climbing(now))):
            beyond, sure_run = False, LONG_RUN
        else:
            sure_run = SURE_RUN_BEYOND if beyond else SURE_RUN
        if self._most_are_rejected(now) or (
            self._run >= sure_run and self._run >= self._scatter.run_beyond_chance()
        ):
            if self._by_chance(now):
                self._chance_until, self._no_chance_until = -math.inf, now + self._no_chance_seconds
                self._no_chance_seconds = min(LONGEST_NO_CHANCE_SECONDS, 2 * self._no_chance_seconds)
            concurrency.cut(in_flight, granted_at, left, now)
            return Blame.CONCURRENCY if beyond else Blame.OTHER
        return Blame.UNSURE if beyond else Blame.OTHER

    def _blame_rate(self, in_flight: int, granted_at: float, left: int, now: float) -> None:
        if self.rate is None and self._unexplained_share > RATE_SHARE:
            self._guess_rate(self._grants.rate(granted_at), now)
        if self.rate is not None:
            self.rate.rejected(granted_at, self._grants, now)
            if self.rate.cuts_in_vain >= CUTS_IN_VAIN:
                self._give_up_rate(in_flight, granted_at, left, now)

    def _give_up_rate(self, in_flight: int, granted_at: float, left: int, now: float) -> None:
        """Take the rejections for chance; where that was wrong before, try again with fewer in flight."""
        self.rate, self._unexplained_share = None, 0.0
        if now < self._no_chance_until or self._most_are_rejected(now):
            self.concurrency.cut(in_flight, granted_at, left, now)
        else:
            self._chance_until = now + CHANCE_SECONDS
            self.concurrency.trust()

    def _guess_rate(self, rate: float | None, now: float) -> None:
        if rate is not None:
            self.rate = GuessedRate(rate, now)

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
        if before is None or granted_at - before < GAP_SECONDS:
            return
        if self._resumed_at is not None:
            let_in = max(1, self._grants.count(self._resumed_at, granted_at))
            rate = let_in / (granted_at - self._resumed_at)
            self.rate = self.rate or GuessedRate(rate, now)
            if let_in >= FEWEST_GRANTS:
                self.rate.resumed(rate, now)
        self._resumed_at = granted_at
