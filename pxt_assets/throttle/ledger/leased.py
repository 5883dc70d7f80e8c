"""Buckets and paces whose units are leased from a ledger."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pxt_assets.throttle.bucket import BURST_SECONDS, MINUTE, Bucket, Burst, Grant, level_of, window_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.ledger.terms import Ask, Measurement, Standing
from pxt_assets.throttle.ledger.wallet import Wallet
from pxt_assets.throttle.pace import Pace

LEAD_SECONDS = 0.05
"""The next lease is asked for when what is left lasts for this long: several round trips to a database."""
AHEAD_SECONDS = 0.3
"""A lease that nothing stands in the way of lasts for this long."""
SHORTEST_SECONDS = 0.02
"""The least time by which the rate of taking is judged."""
FIRST = 64
"""Answers that are remembered of those to requests granted before the limit was known."""


@dataclass(slots=True, eq=False)
class Span:
    """What is known of a row between two exchanges."""

    standing: Standing
    sent: float
    """Time at which the exchange began."""
    at: float
    """Time at which it ended."""
    leased_here: float
    """Units that this process has leased in all."""
    leased_now: float
    """Units leased here and not taken, right after the exchange."""
    ended: float | None = None
    """Time of the next exchange."""
    others_leased: float | None = None
    """Units that others have leased until the next exchange; None before that."""

    def level(self, now: float) -> float:
        """Return the level of the row if nobody leases."""
        standing = self.standing
        level = standing.level + standing.rate * (now - self.at)
        return min(level, max(standing.level, standing.limit - standing.others - self.leased_now))


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


class Leased:
    """Units of one dimension: what is leased and not yet taken, and what the row was at the last exchange.

    `ask` has the ledger asked at a time that is given.
    """

    def __init__(self, ask: Callable[[float], None], now: float) -> None:
        self.ask = ask
        self.span: Span | None = None
        self.wallet = Wallet()
        self.taken = 0.0
        self.spilled = 0.0
        self._spent = 0.0  # like `taken`, and what was taken for requests that the server did not charge
        self._reported = 0.0  # of `_spent`, told to the ledger
        self._leased = 0.0
        self._since = now  # of the last exchange
        self._cost = 0.0
        self.level = 0.0
        """Units there at the last `advance`: what is leased here, and a part of what is leased to nobody."""
        self._processes = 1
        self._announced = 0.0  # `_spent` at the time of the request that is under way

    @property
    def rate(self) -> float:
        """Units a second that flow in, as this process's part."""
        return self._rate / self._processes

    def advance(self, now: float) -> None:
        """Bring `level` up to date."""
        self.level = self.wallet.units + (self.span.level(now) if self.span else 0.0) / self._processes

    @property
    def _rate(self) -> float:
        """Units a second that flow in, for all processes."""
        return self.span.standing.rate if self.span else 0.0

    def idle(self) -> bool:
        """Whether nothing was taken since the last exchange."""
        return self._spent == self._reported and self._cost == 0

    def owes(self) -> bool:
        """Whether there is something to give back or to tell."""
        return self.wallet.units != 0 or self._spent != self._reported

    def demand(self, now: float, waiting: int, *, keep: bool) -> tuple[float, float, float, float]:
        """Return spent, unspent, cost and want for the ledger; with `keep` false everything is given back."""
        spent = self._spent - self._reported
        self._announced = self._spent
        if not keep:
            self.wallet = Wallet(min(0.0, self.wallet.units))
        cost, self._cost = self._cost, 0.0
        want = max(cost * waiting, self._speed(now) * AHEAD_SECONDS) if cost else 0.0
        return spent, self.wallet.units, cost, want

    def settle(self, ask: Ask | None, standing: Standing, sent: float, now: float) -> None:
        """Take in what the ledger answered to `ask`; None if it was asked of other dimensions only."""
        if self.span is not None:
            self.spilled += (standing.spilled - self.span.standing.spilled) / self._processes
            self.span.ended = now
            self.span.others_leased = standing.leased_before - self.span.standing.leased
        if ask is not None:
            overspent = max(0.0, -ask.unspent)
            self._leased += standing.lease + overspent
            self._reported, self._since = self._announced, now
            self.wallet.units += overspent
            self.wallet.clear(now + standing.clear_in, now)
            self.wallet.add(standing.lease, now + standing.clear_in, standing.rate, now)
        self.span = Span(standing, sent, now, self._leased, self.wallet.units)

    def _spend(self, cost: float) -> None:
        self.wallet.units -= cost
        self._spent += cost
        self.taken += cost

    def _wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` is there, infinite if that is for the ledger to say; ask it in time."""
        wait = self.wallet.wait(cost, now)
        if wait == math.inf or self.wallet.units < cost + self._speed(now) * LEAD_SECONDS:
            self._cost = max(self._cost, cost)
            self.ask(now)
        return wait

    def _speed(self, now: float) -> float:
        """Return the units taken a second since the last exchange."""
        return (self._spent - self._reported) / max(SHORTEST_SECONDS, now - self._since)


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
        self._first: deque[tuple[LeaseGrant, float]] = deque(maxlen=FIRST)
        self._uncharged: deque[tuple[int, float]] = deque(maxlen=FIRST)  # sequence and cost
        self._inherited = 0  # grants of the bucket that this one is a sibling of
        self._alone: Bucket | None = None

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

    def observe(self, grant: LeaseGrant, reading: Reading, now: float, *, charged: bool = True) -> bool:
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
            self._first.append((grant, level))
            self._pending = grant, Measurement(reading.limit, reading.limit / window, opening=True)
        else:
            self._note(grant, self._measurement(grant, reading.limit, window, level))
        if self._alone is not None and grant.local is not None:
            self._observe_alone(grant.local, reading, window, now, charged)
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
        if standing.limit < math.inf and self._pending is None:
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

    def _measurement(self, grant: LeaseGrant, limit: float, window: float, level: float) -> Measurement:
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
        low = error - standing.others - grant.earlier - late
        return Measurement(limit, limit / window, low=low, high=error + later - standing.others)

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
        for grant, level in self._first:
            before = sum(cost for sequence, cost in self._uncharged if sequence < grant.sequence)
            after = sum(cost for sequence, cost in self._uncharged if sequence > grant.sequence)
            present = level + rate * (now - grant.at) - (self._spent - grant.spent - after)
            low = max(low, present - max(0.0, grant.earlier - before))
            high = min(high, present + grant.burst.cost - grant.earlier - grant.cost)
        return min(low, high), high

    def _note(self, grant: LeaseGrant, measured: Measurement) -> None:
        """Keep the newest measurement, within the bounds of the others of its burst."""
        if self._pending is not None:
            newest, bounds = self._pending
            if grant.sequence < newest.sequence:
                grant, newest, measured, bounds = newest, grant, bounds, measured
            if grant.span is newest.span and grant.burst is newest.burst:
                low, high = max(measured.low, bounds.low), min(measured.high, bounds.high)
                if low <= high:
                    measured = dataclasses.replace(measured, low=low, high=high)
        self._pending = grant, measured

    def _observe_alone(
        self, grant: Grant, reading: Reading, window: float, now: float, charged: bool
    ) -> None:
        """Correct the bucket that stands in by this process's part of what the answer reported."""
        assert self._alone is not None
        part = Reading(reading.limit, level_of(reading, window) / self._processes)
        self._alone.observe(grant, part, now, charged=charged)
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


class LeasedPace(Leased):
    """A pace as `Pace` is, shared by all processes; one of this process alone stands in for the ledger."""

    guessed = False

    def __init__(self, ask: Callable[[float], None], now: float, rpm: float) -> None:
        super().__init__(ask, now)
        self._pace = Pace(rpm)
        self.configured = rpm / 60
        self._rejected_at: float | None = None
        self._alone: Pace | None = None

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass; infinite while the ledger is asked."""
        if self._alone is not None:
            return self._alone.wait(cost, now)
        return self._wait(cost, now)

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self._spend(cost)
        if self._alone is not None:
            self._alone.take(cost, now)

    def give_back(self, cost: float) -> None:
        """Return what was taken for a request that was never sent."""
        self._spend(-cost)
        if self._alone is not None:
            self._alone.give_back(cost)

    def reject(self, granted_at: float, now: float) -> None:
        """Tell the ledger of a 429, which lowers the rate for all."""
        self._rejected_at = max(granted_at, self._rejected_at or granted_at)
        if self._alone is not None:
            self._alone.reject(granted_at, now)
        self.ask(now)

    def accept(self) -> None:
        """Nothing follows from a request that was not rejected: the rate climbs by itself."""

    def request(self, dimension: str, now: float, waiting: int, *, keep: bool) -> Ask:
        """Return what to tell the ledger and to want of it."""
        rejected, self._rejected_at = self._rejected_at, None
        age = None if rejected is None else now - rejected
        spent, unspent, cost, want = self.demand(now, waiting, keep=keep)
        return Ask(dimension, spent, unspent, cost, want, None, self.configured, age)

    def settled(self, ask: Ask | None, standing: Standing, processes: int, sent: float, now: float) -> None:
        """Take in what the ledger answered."""
        self.settle(ask, standing, sent, now)
        self._processes, self._alone = processes, None

    def stand_alone(self, now: float) -> None:
        """Go on without the ledger, at this process's part of the rate."""
        if self._alone is None:
            self._alone = Pace(60 * (self.rate or self.configured / self._processes))
            self._alone.advance(now)
