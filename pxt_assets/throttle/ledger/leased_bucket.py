"""Buckets whose units are leased from a ledger."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pxt_assets.throttle.bucket import BURST_SECONDS, MINUTE, Bucket, Burst, Grant, level_of, window_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.ledger.leased import SHORTEST_SECONDS, Leased, Span
from pxt_assets.throttle.ledger.messages import Ask, Measurement, Standing

FIRST = 64
"""Answers that are remembered of those to requests granted before the limit was known."""


class LeaseGrant(NamedTuple):
    """What a leased bucket remembers of one request it granted."""

    sequence: int
    """1 for the bucket's first grant, one more for each."""
    level: float
    """Level of the row, and what is leased here and not taken, right after this grant."""
    spent: float
    """Units taken in all, with this grant."""
    cost: float
    at: float
    """Time of the grant."""
    span: Span | None
    """What was known of the row."""
    burst: Burst
    """The requests granted at about the same time, this one among them."""
    earlier: float
    """Units that those of the burst took that were granted before this one."""
    local: Grant | None
    """What the bucket granted that stands in for the ledger."""


class LeasedBucket(Leased):
    """A bucket as `Bucket` is, whose units are leased from a ledger.

    While the ledger cannot be reached, a bucket of this process alone stands in for it: it holds and fills
    by the process's part of the limit. What is taken meanwhile is settled when the ledger is back.
    """

    def __init__(self, ask: Callable[[float], None], now: float, report: Callable[[float], None]) -> None:
        super().__init__(ask, now)
        self.limit = math.inf
        self.granted = 0
        self._report = report
        self._seen = 0
        self._seen_burst: Burst | None = None
        self._burst = Burst(-math.inf)
        self._pending: tuple[LeaseGrant, Measurement] | None = None
        self._telling: tuple[LeaseGrant, Measurement] | None = None
        self._first: deque[tuple[LeaseGrant, float, float]] = deque(maxlen=FIRST)
        self._uncharged: deque[tuple[int, float]] = deque(maxlen=FIRST)  # sequence and cost
        self._inherited = 0  # grants of the bucket that this one is a sibling of
        self._alone: Bucket | None = None

    @property
    def others(self) -> float:
        """Units that others had leased in all at the last exchange."""
        return self.span.standing.leased - self.span.leased_here if self.span else 0.0

    @property
    def known(self) -> bool:
        """Whether the limit is known."""
        return self.limit < math.inf

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` can be taken; infinite while the ledger is asked for it."""
        if self._alone is not None:
            return self._alone.wait(cost, now)
        span = self.span
        if span is not None and not self.known:
            return 0.0
        if span is None or span.standing.limit == math.inf:
            self._cost = max(self._cost, cost)
            self.ask(now)
            return math.inf
        return self._wait(cost, now)

    def take(self, cost: float, now: float) -> LeaseGrant:
        """Take `cost` at once, whether or not it is there, and return what to `observe` the answer with."""
        burst = self._burst
        if now - burst.start > BURST_SECONDS:
            burst = self._burst = Burst(now)
        earlier = burst.cost
        burst.cost += cost
        self.granted += 1
        self._spend(cost)
        span = self.span
        level = self.wallet.units + (span.level(now) if span is not None else 0.0)
        local = self._alone.take(cost, now) if self._alone is not None else None
        if not self.known:
            self._report(now)
        return LeaseGrant(self.granted, level, self._spent, cost, now, span, burst, earlier, local)

    def observe(
        self, grant: LeaseGrant, reading: Reading, now: float, *, charged: bool = True, part: float = 1.0
    ) -> bool:
        """Note what the answer to `grant` reported, for the next exchange; return whether the limit changed."""
        if not charged:
            self.taken -= grant.cost
            if self._blind(grant):
                self._uncharged.append((grant.sequence, grant.cost))
        if self._superseded(grant) or (reading.limit <= 0 and charged):
            return False
        if grant.sequence > self._seen:
            self._seen, self._seen_burst = grant.sequence, grant.burst
        rate = self._rate
        window = window_of(reading, self.limit / rate if rate and self.known else MINUTE)
        level = level_of(reading, window)
        if self._blind(grant):
            self._first.append((grant, level, part))
            self._pending = grant, Measurement(reading.limit, reading.limit / window, opening=True)
        else:
            self._note(grant, self._measurement(grant, reading.limit, window, level, part))
        if self._alone is not None and grant.local is not None:
            self._observe_alone(grant.local, reading, window, now, charged, part)
        changed, self.limit = self.limit != reading.limit, reading.limit
        if changed:
            self.ask(now)
        else:
            self._report(now)
        return changed

    def give_back(self, grant: LeaseGrant, now: float) -> None:
        """Return the cost of a grant that never reached the server, or was rejected without a reading."""
        self.taken -= grant.cost
        if self._superseded(grant):
            return
        self._unspend(grant.cost)
        if self._alone is not None and grant.local is not None:
            self._alone.give_back(grant.local, now)

    def request(self, dimension: str, now: float, waiting: int, *, keep: bool) -> Ask:
        """Return what to tell the ledger and to want of it."""
        self._telling = self._pending
        measured = None if self._pending is None else self._told(*self._pending, now)
        spent, unspent, cost, want = self.demand(now, waiting, keep=keep)
        return Ask(dimension, spent, unspent, cost, want, measured)

    def settled(self, ask: Ask | None, standing: Standing, processes: int, sent: float, now: float) -> None:
        """Take in what the ledger answered."""
        self.settle(ask, standing, sent, now)
        self._processes = processes
        self._alone = None
        if self._pending is self._telling:
            self._pending = None
        if self._pending is None:  # infinite again where somebody emptied the ledger
            self.limit = standing.limit

    def stand_alone(self, now: float) -> None:
        """Go on without the ledger."""
        if self._alone is None:
            self.advance(now)
            self._alone = Bucket(self.limit, max(0.0, self.level) if self.known else 0.0, self.rate, now)

    def sibling(self, now: float) -> "LeasedBucket":
        """Return a bucket of unknown limit that has granted the same requests."""
        sibling = LeasedBucket(self.ask, now, self._report)
        sibling.granted = sibling._inherited = self.granted
        sibling.taken = self.taken
        if self._alone is not None:
            sibling.stand_alone(now)
        return sibling

    def _measurement(
        self, grant: LeaseGrant, limit: float, window: float, level: float, part: float
    ) -> Measurement:
        """Return what an answer says, but for what is known only when it is told.

        What others had leased and not told of taking may all have been taken, or nothing of it. The upper
        bound supposes the former: a level that is too low by so little costs its refill once, one that is
        too high rejections for as long as it is.
        """
        assert grant.span is not None
        standing = grant.span.standing
        error = level - grant.level + standing.corrections
        late = standing.rate * (grant.span.at - grant.span.sent)
        later = grant.burst.cost - grant.earlier - grant.cost
        high = error + later - standing.others
        low = high - part * (grant.earlier + later) - late
        return Measurement(limit, limit / window, low=low, high=high)

    def _told(self, grant: LeaseGrant, measured: Measurement, now: float) -> Measurement:
        """Return a measurement as it is to be told now."""
        if measured.opening:
            low, high = self._first_bounds(measured.rate, now)
            measured = dataclasses.replace(measured, low=low, high=high)
        span = None if grant.sequence <= self._inherited else grant.span
        if span is None:
            return dataclasses.replace(measured, age=now - grant.at)
        leased = span.standing.leased + self._leased - span.leased_here
        part = (grant.at - span.at) / max(SHORTEST_SECONDS, (span.ended or now) - span.at)
        return dataclasses.replace(
            measured, age=now - grant.at, leased=leased, others=span.others_leased, part=min(1.0, part)
        )

    def _first_bounds(self, rate: float, now: float) -> tuple[float, float]:
        """Return the bounds of the server's level now by the answers to requests granted before it was known."""
        low, high = -math.inf, math.inf
        for grant, level, part in self._first:
            before = sum(cost for sequence, cost in self._uncharged if sequence < grant.sequence)
            after = sum(cost for sequence, cost in self._uncharged if sequence > grant.sequence)
            present = level + rate * (now - grant.at) - part * (self._spent - grant.spent - after)
            low = max(low, present - part * max(0.0, grant.earlier - before))
            high = min(high, present + part * (grant.burst.cost - grant.earlier - grant.cost))
        return min(low, high), high

    def _note(self, grant: LeaseGrant, measured: Measurement) -> None:
        """Keep the newest measurement, within the bounds of the others of its burst."""
        if self._pending is not None:
            newest, bounds = self._pending
            if grant.sequence < newest.sequence:
                grant, newest, measured, bounds = newest, grant, bounds, measured
            if grant.span is newest.span and grant.burst is newest.burst:
                low, high = max(measured.low, bounds.low), min(measured.high, bounds.high)
                if low <= high and (low, high) != (measured.low, measured.high):
                    measured = dataclasses.replace(measured, low=low, high=high)
        self._pending = grant, measured

    def _observe_alone(
        self, grant: Grant, reading: Reading, window: float, now: float, charged: bool, part: float
    ) -> None:
        """Correct the bucket that stands in by this process's part of what the answer reported."""
        assert self._alone is not None
        ours = Reading(reading.limit, level_of(reading, window) / self._processes)
        self._alone.observe(grant, ours, now, charged=charged, part=part)
        self._alone.rate = reading.limit / window / self._processes

    def _unspend(self, cost: float) -> None:
        self.wallet.units += cost
        self._spent -= cost

    def _blind(self, grant: LeaseGrant) -> bool:
        """Whether the level of the row was unknown at a grant."""
        span = grant.span
        return span is None or span.standing.limit == math.inf or grant.sequence <= self._inherited

    def _superseded(self, grant: LeaseGrant) -> bool:
        """Whether the reading of a later burst has been seen, which has measured this request too."""
        return grant.sequence <= self._seen and grant.burst is not self._seen_burst
