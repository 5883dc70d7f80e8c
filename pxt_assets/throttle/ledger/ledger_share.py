"""A pool's share in a ledger: its leases, and when the next exchange is due."""

import logging
import math
import threading
from collections.abc import Callable
from typing import Protocol

from pxt_assets.throttle.in_flight_search import InFlightSearch
from pxt_assets.throttle.ledger.leased_bucket import LeasedBucket
from pxt_assets.throttle.ledger.leased_pace import LeasedPace
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, InFlightReport

REPORT_SECONDS = 0.25
"""Time within which the measurement of an answer is reported to the ledger."""
IDLE_SECONDS = 1.0
"""Time without a request after which leases are given back."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HOLD_SECONDS = 1.0
"""While requests wait for the end of a hold: time after which the ledger is asked whether it still holds."""
PACE = "pace"
"""The dimension under which the ledger keeps a pool's pace."""

_log = logging.getLogger("pxt_assets.throttle.ledger.share")


class ExchangeRunner(Protocol):
    """What runs the exchanges of shares when they are due: a `LeaseWorker`."""

    def time(self) -> float:
        """Return the seconds of the clock by which shares are due."""

    def notify(self, share: "LedgerShare") -> None:
        """Take note that a share is due earlier. Called with the share's lock held."""


class LedgerShare:
    """The buckets and the pace of one pool, leased from a ledger by the exchanges that `runner` runs."""

    def __init__(self, key: str, runner: ExchangeRunner, ledger: str = "the ledger") -> None:
        self.key = key
        self.lock = threading.Lock()
        self.buckets: dict[str, LeasedBucket] = {}
        self.held_until = -math.inf
        self.processes = 1
        self.due = math.inf
        """Time of the next exchange."""
        self._runner = runner
        self._ledger = ledger
        self._pace: LeasedPace | None = None
        self._was_answered = False
        self._exchanging: ExchangeRequest | None = None
        self._answered_at = -math.inf  # time at which the last exchange that was answered began
        self._fault: Exception | None = None
        self._next_due = math.inf  # `due` after the exchange that is under way
        self._rejected = 0
        self._rejected_when_sent = 0
        self._held_until_told = -math.inf  # `held_until` as the ledger knows it
        self._pauses = 0  # in a row
        self._unreached: tuple[str, float] | None = None  # why, and until when: infinite while it lasts
        self._wake: Callable[[], object] = lambda: None
        self._waiting: Callable[[], int] = lambda: 0
        self._search = InFlightSearch()
        self._leads = False  # by the ledger's latest answer

    def join(
        self,
        wake: Callable[[], None],
        waiting: Callable[[], int],
        search: InFlightSearch | None = None,
    ) -> None:
        """Set the callback to `wake` when more may be taken, and the one that counts the `waiting` requests.

        `search` finds what may be in flight; what it found is shared.
        """
        self._wake, self._waiting, self._search = wake, waiting, search or self._search

    def wait(self, now: float) -> float:
        """Return 0, or infinity before the first exchange, which is then scheduled.

        Raises what `fault` was told, so that the pool goes on without this share.
        """
        if self._fault is not None:
            raise self._fault
        if self._was_answered:
            if now < self.held_until:
                self.schedule_exchange(now + HOLD_SECONDS)
            return 0.0
        self.schedule_exchange(now)
        return math.inf

    def new_bucket(self, now: float) -> LeasedBucket:
        """Return a bucket of unknown limit."""
        bucket = LeasedBucket(self.schedule_exchange, now, self._schedule_report)
        if self._pauses:
            bucket.stand_alone(now)
        elif self._was_answered:
            self.schedule_exchange(now)
        return bucket

    def sibling_bucket(self, bucket: LeasedBucket, now: float) -> LeasedBucket:
        """Return a bucket of unknown limit that has granted the same requests as `bucket`."""
        self.schedule_exchange(now)
        return bucket.sibling(now)

    def new_pace(self, rpm: float) -> LeasedPace:
        """Return the pace of `rpm` requests/minute."""
        now = self._runner.time()
        self._pace = LeasedPace(self.schedule_exchange, now, rpm)
        if self._pauses:
            self._pace.stand_alone(now)
        return self._pace

    def rejected(self, held_until: float, now: float) -> None:
        """Report a 429 to the other processes, and hold the pool."""
        self._rejected += 1
        self.held_until = max(self.held_until, held_until)
        self.schedule_exchange(now)

    def release(self, now: float) -> None:
        """End the hold, for the other processes too."""
        self.held_until = min(self.held_until, now)
        self.schedule_exchange(now)

    def unreached(self, since: float) -> str | None:
        """Return which ledger was not reached at some time from `since` on, and why; None if it always was."""
        reason, until = self._unreached or (None, -math.inf)
        return reason if until > since else None

    def schedule_exchange(self, when: float) -> None:
        """Schedule the next exchange at the time `when`, unless it is due earlier."""
        if self._exchanging is not None or self._pauses:
            self._next_due = min(self._next_due, when)
        elif when < self.due:
            self.due = when
            self._runner.notify(self)

    def request(self, now: float, *, closing: bool = False) -> ExchangeRequest:
        """Return the request of an exchange that begins; nothing is due until `settle` or `fail`.

        When `closing`, all leases are given back unless a request waits.
        """
        with self.lock:
            self.due, self._next_due = math.inf, math.inf
            waiting = self._waiting()
            idle = closing or all(one.is_idle() for one in self._leases().values())
            keep = waiting > 0 or not idle
            lease_requests = tuple(
                leases.request(dimension, now, max(1, waiting), keep=keep)
                for dimension, leases in self._leases().items()
            )
            self._rejected_when_sent = self._rejected
            news = self.held_until > self._held_until_told
            self._exchanging = request = ExchangeRequest(
                lease_requests,
                self._rejected,
                max(0.0, self.held_until - now) if news else 0.0,
                released=self.held_until < self._held_until_told,
                since=now - self._answered_at,
                in_flight=self._in_flight_report(waiting),
            )
            self._held_until_told = self.held_until
            return request

    def settle(self, request: ExchangeRequest, answer: ExchangeAnswer, sent: float, now: float) -> None:
        """Apply the answer of an exchange that began at the time `sent`, and wake the waiting requests.

        An answer that comes after the exchange was given up is dropped.
        """
        with self.lock:
            if request is not self._exchanging:
                return
            if self._pauses:
                _log.info("Rate limits are shared again through %s.", self._ledger)
            if self._unreached is not None:
                self._unreached = self._unreached[0], min(self._unreached[1], now)
            self._was_answered, self._exchanging, self._pauses = True, None, 0
            self._answered_at = sent
            self._rejected -= self._rejected_when_sent
            self._follow_hold(answer.hold_seconds, now)
            self.processes = answer.processes
            lease_requests = {one.dimension: one for one in request.lease_requests}
            for dimension in answer.row_states:
                if dimension not in self.buckets and dimension != PACE:
                    self.buckets[dimension] = LeasedBucket(self.schedule_exchange, now, self._schedule_report)
            for dimension, leases in self._leases().items():
                if dimension in answer.row_states:
                    state = answer.row_states[dimension]
                    leases.apply_answer(lease_requests.get(dimension), state, answer.processes, sent, now)
            if answer.in_flight is not None:
                told = request.in_flight
                self._search.share(*answer.in_flight, told.size if told and told.leads else None, now)
                self._leads = answer.in_flight.leads
                if self._search.in_flight:  # else its part would be free
                    self._next_due = min(self._next_due, now + IDLE_SECONDS)
            if any(one.has_unsettled() for one in self._leases().values()):
                self._next_due = min(self._next_due, now + IDLE_SECONDS)
            self._schedule_next()
        self._wake()

    def fail(
        self, reason: str, now: float, *, request: ExchangeRequest | None = None, closing: bool = False
    ) -> None:
        """Go on without the ledger, and try again after a pause that doubles; when `closing`, once it is needed.

        `request` is that of the exchange that failed, None for the one under way. One that ended, or was given up,
        changes nothing.
        """
        with self.lock:
            if request is not None and request is not self._exchanging:
                return
            if not self._pauses:
                _log.warning(
                    "Rate limits are not shared for now: this process goes on with its part of them by itself, "
                    "and tries again to reach %s (%s).",
                    self._ledger,
                    reason,
                )
                self._unreached = f"{self._ledger} ({reason})", math.inf
            self._was_answered, self._exchanging = True, None
            self._held_until_told = -math.inf
            for leases in self._leases().values():
                leases.stand_alone(now)
            if closing and not self._waiting():
                self._pauses = 0
                return
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._pauses)
            self._pauses += 1
            self.due, self._next_due = now + pause, math.inf
            self._runner.notify(self)
        self._wake()

    def fault(self, error: Exception) -> None:
        """Have the pool go on without this share, since its own arithmetic has failed."""
        self._fault = error
        self._wake()

    def _follow_hold(self, seconds: float, now: float) -> None:
        """Take over until when the ledger holds the pool, unless it has not been told of a hold, or of its end."""
        held_until = now + seconds if seconds > 0 else -math.inf
        if self.held_until == self._held_until_told:
            self.held_until = held_until
        self._held_until_told = held_until
        if seconds > 0 and self._waiting():
            self._next_due = min(self._next_due, now + HOLD_SECONDS)

    def _in_flight_report(self, waiting: int) -> InFlightReport | None:
        search = self._search
        if search.is_off or search.size == math.inf:
            return None
        size = search.size if waiting else search.proven  # what is left by a run that ends is no mere try
        return InFlightReport(size, float(search.in_flight + waiting), self._leads)

    def _schedule_report(self, now: float) -> None:
        self.schedule_exchange(now + REPORT_SECONDS)

    def _schedule_next(self) -> None:
        due, self._next_due = self._next_due, math.inf
        if due < math.inf:
            self.schedule_exchange(due)

    def _leases(self) -> dict[str, LeasedBucket | LeasedPace]:
        leases: dict[str, LeasedBucket | LeasedPace] = dict(self.buckets)
        if self._pace is not None:
            leases[PACE] = self._pace
        return leases
