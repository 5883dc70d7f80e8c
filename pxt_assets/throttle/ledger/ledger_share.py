"""A pool's share in a ledger: what is leased, and when the ledger is to be asked."""

import logging
import math
import threading
from collections.abc import Callable
from typing import Protocol

from pxt_assets.throttle.ledger.leased_bucket import LeasedBucket
from pxt_assets.throttle.ledger.leased_pace import LeasedPace
from pxt_assets.throttle.ledger.messages import Answer, Request

REPORT_SECONDS = 0.25
"""Time within which the ledger is told what an answer measured."""
IDLE_SECONDS = 1.0
"""Time without a request after which leases are given back."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PACE = "pace"
"""The dimension under which the ledger keeps a pool's pace."""

_log = logging.getLogger(__name__)


class Clerk(Protocol):
    """Whoever runs the exchanges of shares when they are due."""

    def time(self) -> float:
        """Return the seconds of the clock by which shares are due."""

    def notify(self, share: "LedgerShare") -> None:
        """Take note that a share is due earlier. Called with the share's lock held."""


class LedgerShare:
    """The buckets of one pool, leased from a ledger by a clerk."""

    def __init__(self, key: str, clerk: Clerk, ledger: str = "the ledger") -> None:
        self.key = key
        self.lock = threading.Lock()
        self.buckets: dict[str, LeasedBucket] = {}
        self.held_until = -math.inf
        self.processes = 1
        self.due = math.inf
        """Time of the next exchange."""
        self._clerk = clerk
        self._ledger = ledger
        self._pace: LeasedPace | None = None
        self._open = False
        self._exchanging = False
        self._again = math.inf  # when to exchange after the exchange that is under way
        self._rejected = 0
        self._told_rejected = 0
        self._pauses = 0  # in a row
        self._wake: Callable[[], object] = lambda: None
        self._waiting: Callable[[], int] = lambda: 0

    def join(self, wake: Callable[[], None], waiting: Callable[[], int]) -> None:
        """Tell whom to `wake` when more may be taken, and how to learn how many requests are `waiting`."""
        self._wake, self._waiting = wake, waiting

    def wait(self, now: float) -> float:
        """Return 0, or infinity before the first word of the ledger, which is asked for it."""
        if self._open:
            return 0.0
        self.ask(now)
        return math.inf

    def bucket(self, now: float) -> LeasedBucket:
        """Return a bucket of unknown limit."""
        bucket = LeasedBucket(self.ask, now, self._report)
        if self._pauses:
            bucket.stand_alone(now)
        elif self._open:
            self.ask(now)
        return bucket

    def sibling(self, bucket: LeasedBucket, now: float) -> LeasedBucket:
        """Return a bucket of unknown limit that has granted the same requests as `bucket`."""
        self.ask(now)
        return bucket.sibling(now)

    def pace(self, rpm: float) -> LeasedPace:
        """Return the pace of `rpm` requests/minute."""
        now = self._clerk.time()
        self._pace = LeasedPace(self.ask, now, rpm)
        if self._pauses:
            self._pace.stand_alone(now)
        return self._pace

    def rejected(self, held_until: float, now: float) -> None:
        """Tell the other processes of a 429, and hold the pool."""
        self._rejected += 1
        self.held_until = max(self.held_until, held_until)
        self.ask(now)

    def ask(self, when: float) -> None:
        """Have the ledger asked at the time `when`, unless that is set for an earlier time."""
        if self._exchanging or self._pauses:
            self._again = min(self._again, when)
        elif when < self.due:
            self.due = when
            self._clerk.notify(self)

    def request(self, now: float, *, closing: bool = False) -> Request:
        """Return what to ask the ledger, and have nothing due until `settle` or `fail`.

        When `closing`, all that is leased is given back unless somebody waits.
        """
        with self.lock:
            self.due, self._again, self._exchanging = math.inf, math.inf, True
            waiting = self._waiting()
            idle = closing or all(leased.idle() for leased in self._leased().values())
            keep = waiting > 0 or not idle
            asks = tuple(
                leased.request(dimension, now, max(1, waiting), keep=keep)
                for dimension, leased in self._leased().items()
            )
            self._told_rejected = self._rejected
            return Request(asks, self._rejected, max(0.0, self.held_until - now))

    def settle(self, request: Request, answer: Answer, sent: float, now: float) -> None:
        """Take in the answer to a request that was begun at the time `sent`, and let those who wait go on."""
        with self.lock:
            if self._pauses:
                _log.info("Rate limits are shared again through %s.", self._ledger)
            self._open, self._exchanging, self._pauses = True, False, 0
            self._rejected -= self._told_rejected
            self.held_until = max(self.held_until, now + answer.hold)
            self.processes = answer.processes
            asks = {ask.dimension: ask for ask in request.asks}
            for dimension in answer.standings:
                if dimension not in self.buckets and dimension != PACE:
                    self.buckets[dimension] = LeasedBucket(self.ask, now, self._report)
            for dimension, leased in self._leased().items():
                if dimension in answer.standings:
                    standing = answer.standings[dimension]
                    leased.settled(asks.get(dimension), standing, answer.processes, sent, now)
            if any(leased.owes() for leased in self._leased().values()):
                self._again = min(self._again, now + IDLE_SECONDS)
            self._resume()
        self._wake()

    def fail(self, reason: str, now: float, *, closing: bool = False) -> None:
        """Go on without the ledger, and try again after a pause, longer each time; when `closing`, when it is needed."""
        with self.lock:
            if not self._pauses:
                _log.warning(
                    "Rate limits are not shared for now: this process goes on with its part of them by itself, "
                    "and tries again to reach %s (%s).",
                    self._ledger,
                    reason,
                )
            self._open, self._exchanging = True, False
            for leased in self._leased().values():
                leased.stand_alone(now)
            if closing and not self._waiting():
                self._pauses = 0
                return
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._pauses)
            self._pauses += 1
            self.due, self._again = now + pause, math.inf
            self._clerk.notify(self)
        self._wake()

    def _report(self, now: float) -> None:
        self.ask(now + REPORT_SECONDS)

    def _resume(self) -> None:
        due, self._again = self._again, math.inf
        if due < math.inf:
            self.ask(due)

    def _leased(self) -> dict[str, LeasedBucket | LeasedPace]:
        leased: dict[str, LeasedBucket | LeasedPace] = dict(self.buckets)
        if self._pace is not None:
            leased[PACE] = self._pace
        return leased
