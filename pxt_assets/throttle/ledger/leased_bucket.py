"""Buckets whose units are leased from a ledger."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pxt_assets.throttle.bucket import BURST_SECONDS, Bucket, Burst, Grant, level_of, window_of
from pxt_assets.throttle.dimension import MINUTE
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.ledger.leased_units import SHORTEST_SECONDS, LeasedUnits, RowEstimate
from pxt_assets.throttle.ledger.messages import LeaseRequest, Measurement, RowState

OPENING_ANSWERS = 64
"""How many answers to requests that were granted before the limit was known are remembered."""


class LeaseGrant(NamedTuple):
    """What a leased bucket remembers of one request it granted."""

    sequence: int
    """1 for the bucket's first grant, one more for each."""
    level: float
    """Level of the row plus the units leased here and not taken, right after this grant."""
    spent: float
    """Units taken in all, this grant included."""
    cost: float
    at: float
    """Time of the grant."""
    row: RowEstimate | None
    """What was known of the row."""
    burst: Burst
    """The requests granted at about the same time, this one among them."""
    earlier_cost: float
    """Units that earlier requests of the burst took."""
    stand_in_grant: Grant | None
    """The grant of the bucket that stands in for the ledger."""


class LeasedBucket(LeasedUnits):
    """A `SharedBucket` whose units are leased from a ledger.

    While the ledger cannot be reached, a `Bucket` with this process's part of the limit stands in for it.
    What is taken meanwhile is reported when the ledger is back.
    """

    def __init__(
        self, schedule: Callable[[float], None], now: float, report: Callable[[float], None]
    ) -> None:
        super().__init__(schedule, now)
        self.limit = math.inf
        self.last_granted = 0
        self._schedule_report = report
        self._last_observed = 0
        self._last_observed_burst: Burst | None = None
        self._burst = Burst(-math.inf)
        self._pending_measurement: tuple[LeaseGrant, Measurement] | None = None
        self._sent_measurement: tuple[LeaseGrant, Measurement] | None = None
        self._opening_answers: deque[tuple[LeaseGrant, float, float]] = deque(maxlen=OPENING_ANSWERS)
        self._uncharged: deque[tuple[int, float]] = deque(maxlen=OPENING_ANSWERS)  # sequence and cost
        self._inherited_grants = (
            0  # those of the bucket this is a sibling of, or of a ledger that was emptied since
        )
        self._window = MINUTE  # seconds in which the limit fills, by the latest reading
        self._stand_in: Bucket | None = None
        self._stand_in_since = -math.inf

    @property
    def taken_by_others(self) -> float:
        """Units that others had leased in all at the last exchange."""
        return self.row.state.leased - self.row.own_leased if self.row else 0.0

    @property
    def limit_known(self) -> bool:
        """Whether the limit is known."""
        return self.limit < math.inf

    @property
    def _limit_is_told(self) -> bool:
        """Whether the row has the limit that is known here, and so its rate."""
        return self.row is not None and self.row.state.limit == self.limit < math.inf and self._rate > 0

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` can be taken; infinite while the ledger is asked for it."""
        if self._stand_in is not None:
            return self._stand_in.wait(cost, now)
        row = self.row
        if row is not None and not self.limit_known:
            return 0.0
        if row is None or row.state.limit == math.inf:
            self._cost_waited_for = max(self._cost_waited_for, cost)
            self.schedule(now)
            return math.inf
        return self._wait(cost, now)

    def take(self, cost: float, now: float) -> LeaseGrant:
        """Take `cost` at once, whether or not it is there, and return what to `observe` the answer with."""
        burst = self._burst
        if now - burst.start > BURST_SECONDS:
            burst = self._burst = Burst(now)
        earlier_cost = burst.cost
        burst.cost += cost
        self.last_granted += 1
        self._spend(cost)
        row = self.row
        level = self.unspent.units + (row.level(now) if row is not None else 0.0)
        stand_in_grant = self._stand_in.take(cost, now) if self._stand_in is not None else None
        if not self.limit_known:
            self._schedule_report(now)
        return LeaseGrant(
            self.last_granted, level, self._spent, cost, now, row, burst, earlier_cost, stand_in_grant
        )

    def observe(
        self,
        grant: LeaseGrant,
        reading: Reading,
        now: float,
        *,
        charged: bool = True,
        cost_share: float = 1.0,
    ) -> bool:
        """Keep the reading of the answer to `grant` for the next exchange; return whether the limit changed."""
        if not charged:
            self.taken -= grant.cost
            if self._row_unknown_at(grant):
                self._uncharged.append((grant.sequence, grant.cost))
        if self._is_superseded(grant) or (reading.limit <= 0 and charged):
            return False
        if grant.sequence > self._last_observed:
            self._last_observed, self._last_observed_burst = grant.sequence, grant.burst
        window = window_of(reading, self.limit / self._rate if self._limit_is_told else self._window)
        level = level_of(reading, window)
        self._window = window
        if self._row_unknown_at(grant):
            self._opening_answers.append((grant, level, cost_share))
            self._pending_measurement = (
                grant,
                Measurement(reading.limit, reading.limit / window, limit_unknown=True),
            )
        else:
            self._keep_newest(grant, self._measurement(grant, reading.limit, window, level, cost_share))
        changed, self.limit = self.limit != reading.limit, reading.limit
        if self._stand_in is not None:
            self._observe_stand_in(grant, reading, now, charged, cost_share)
        if changed:
            self.schedule(now)
        else:
            self._schedule_report(now)
        return changed

    def give_back(self, grant: LeaseGrant, now: float) -> None:
        """Return the cost of a grant that never reached the server, or was rejected without a reading."""
        self.taken -= grant.cost
        if self._is_superseded(grant):
            return
        self._unspend(grant.cost)
        if (
            self._stand_in is not None
            and grant.stand_in_grant is not None
            and grant.at >= self._stand_in_since
        ):
            self._stand_in.give_back(grant.stand_in_grant, now)

    def request(self, dimension: str, now: float, waiting: int, *, keep: bool) -> LeaseRequest:
        """Return what to report to the ledger and to request from it."""
        self._sent_measurement = self._pending_measurement
        measurement = (
            None
            if self._pending_measurement is None
            else self._measurement_to_tell(*self._pending_measurement, now)
        )
        spent, unspent, cost, want = self.demand(now, waiting, keep=keep)
        return LeaseRequest(dimension, spent, unspent, cost, want, measurement)

    def apply_answer(
        self, lease_request: LeaseRequest | None, state: RowState, processes: int, sent: float, now: float
    ) -> None:
        """Apply the answer of the ledger."""
        known = self.row is not None and self.row.state.limit < math.inf
        if self.row is not None and (
            (known and state.limit == math.inf) or state.leased_before < self.row.state.leased - 1.0
        ):
            self._forget_row()
        self.settle(lease_request, state, sent, now)
        self._processes = processes
        self._stand_in = None
        if self._pending_measurement is self._sent_measurement:
            self._pending_measurement = None
        if self._pending_measurement is None:  # infinite again where somebody emptied the ledger
            self.limit = state.limit

    def stand_alone(self, now: float) -> None:
        """Go on without the ledger."""
        if self._stand_in is None:
            self._stand_in, self._stand_in_since = Bucket(updated_at=now), now
            if self.limit_known:
                self._limit_stand_in(now)

    def sibling(self, now: float) -> "LeasedBucket":
        """Return a bucket of unknown limit that has granted the same requests."""
        sibling = LeasedBucket(self.schedule, now, self._schedule_report)
        sibling.last_granted = sibling._inherited_grants = self.last_granted
        sibling.taken = self.taken
        if self._stand_in is not None:
            sibling.stand_alone(now)
        return sibling

    def _measurement(
        self, grant: LeaseGrant, limit: float, window: float, level: float, cost_share: float
    ) -> Measurement:
        """Return what an answer says, without the fields that are known only at the exchange.

        Others may have taken all or nothing of what they had leased and not reported. The upper bound assumes
        that they took all: a level that is slightly too low costs its refill once, one that is too high costs
        rejections for as long as it lasts.
        """
        assert grant.row is not None
        state = grant.row.state
        error = level - grant.level + state.corrections
        late = state.rate * (grant.row.at - grant.row.sent_at)
        later = grant.burst.cost - grant.earlier_cost - grant.cost
        high = error + later - state.held_by_others
        low = high - cost_share * (grant.earlier_cost + later) - late
        return Measurement(limit, limit / window, low=low, high=high)

    def _measurement_to_tell(self, grant: LeaseGrant, measurement: Measurement, now: float) -> Measurement:
        """Return a measurement with the fields that are known only now, at the exchange."""
        if measurement.limit_unknown:
            low, high = self._opening_bounds(measurement.rate, now)
            measurement = dataclasses.replace(measurement, low=low, high=high)
        row = None if grant.sequence <= self._inherited_grants else grant.row
        if row is None:
            return dataclasses.replace(measurement, age=now - grant.at)
        leased = row.state.leased + self._leased - row.own_leased
        elapsed_share = (grant.at - row.at) / max(SHORTEST_SECONDS, (row.ended_at or now) - row.at)
        return dataclasses.replace(
            measurement,
            age=now - grant.at,
            leased=leased,
            leased_by_others=row.leased_by_others,
            elapsed_share=min(1.0, elapsed_share),
        )

    def _opening_bounds(self, rate: float, now: float) -> tuple[float, float]:
        """Return bounds of the server's level now, from answers to requests granted before the limit was known."""
        low, high = -math.inf, math.inf
        for grant, level, cost_share in self._opening_answers:
            before = sum(cost for sequence, cost in self._uncharged if sequence < grant.sequence)
            after = sum(cost for sequence, cost in self._uncharged if sequence > grant.sequence)
            present = level + rate * (now - grant.at) - cost_share * (self._spent - grant.spent - after)
            low = max(low, present - cost_share * max(0.0, grant.earlier_cost - before))
            high = min(high, present + cost_share * (grant.burst.cost - grant.earlier_cost - grant.cost))
        return min(low, high), high

    def _keep_newest(self, grant: LeaseGrant, measurement: Measurement) -> None:
        """Keep the newest measurement, narrowed to the bounds of the others of its burst."""
        if self._pending_measurement is not None:
            newest, bounds = self._pending_measurement
            if grant.sequence < newest.sequence:
                grant, newest, measurement, bounds = newest, grant, bounds, measurement
            if grant.row is newest.row and grant.burst is newest.burst:
                low, high = max(measurement.low, bounds.low), min(measurement.high, bounds.high)
                if low <= high and (low, high) != (measurement.low, measurement.high):
                    measurement = dataclasses.replace(measurement, low=low, high=high)
        self._pending_measurement = grant, measurement

    def _limit_stand_in(self, now: float) -> None:
        """Give the bucket that stands in for the ledger the known limit, at this process's part of its rate.

        A limit that the ledger has not been told of yet fills as the reading says that told of it.
        """
        row = self.row
        rate = self._rate if self._limit_is_told else self.limit / self._window
        if row is not None and row.state.limit < math.inf:
            self.advance(now)
            level = self.level
        else:
            level = self._opening_bounds(rate, now)[0] / self._processes if self._opening_answers else 0.0
        stand_in = self._stand_in
        assert stand_in is not None
        stand_in.advance(now)
        correction = max(0.0, min(level, self.limit)) - stand_in.level
        stand_in.limit, stand_in.rate = self.limit, rate / self._processes
        stand_in.level += correction
        stand_in.corrections += correction

    def _observe_stand_in(
        self, grant: LeaseGrant, reading: Reading, now: float, charged: bool, cost_share: float
    ) -> None:
        """Correct the stand-in bucket by this process's part of a reading."""
        assert self._stand_in is not None
        if grant.stand_in_grant is not None and grant.at >= self._stand_in_since:
            ours = Reading(reading.limit, level_of(reading, self._window) / self._processes)
            self._stand_in.observe(grant.stand_in_grant, ours, now, charged=charged, cost_share=cost_share)
            self._stand_in.rate = reading.limit / self._window / self._processes
        elif not self._stand_in.limit_known:
            self._limit_stand_in(now)

    def _forget_row(self) -> None:
        """Take earlier grants for those of a row that was unknown, since somebody has emptied the ledger."""
        self._inherited_grants = self.last_granted
        self._pending_measurement = None
        self._opening_answers.clear()
        self._uncharged.clear()

    def _unspend(self, cost: float) -> None:
        self.unspent.units += cost
        self._spent -= cost

    def _row_unknown_at(self, grant: LeaseGrant) -> bool:
        """Whether the level of the row was unknown at a grant."""
        row = grant.row
        return row is None or row.state.limit == math.inf or grant.sequence <= self._inherited_grants

    def _is_superseded(self, grant: LeaseGrant) -> bool:
        """Whether the reading of a later burst has been seen, which has measured this request too."""
        return grant.sequence <= self._last_observed and grant.burst is not self._last_observed_burst
