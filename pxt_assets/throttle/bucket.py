"""A running copy of one of the server's token buckets.

The API keeps a continuous token bucket for every dimension of a limit: it holds up to `limit` units, fills
at `limit / window` a second, and is charged when a request arrives. An answer reports what was left at that
moment, however long the answer then took. So the copy charges a request when it is granted, remembers the
level it had then, and compares that with what the answer reports. The difference is a correction of the
level now. Requests in flight, other users of the key, misjudged costs, lost requests and a changed limit
all show as a correction, so none of them is tracked.

Corrections that continue in one direction are the traffic of others. Answers that take half a minute report
it half a minute late, so its rate, the drain, is averaged and subtracted from the refill.

Every time is in seconds on one monotonic clock, which the caller passes in.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from pxt_assets.throttle.dimension import MINUTE
from pxt_assets.throttle.headers import Reading

BURST_SECONDS = 0.1
"""Requests granted within this time of each other may arrive in any order."""
RESERVE_SECONDS = 0.3
"""Refill, in seconds, that is left in the bucket, for jitter on the way to the server."""
WINDOWS = (MINUTE, 86_400.0, 2_592_000.0)
"""Seconds in which a limit fills: a minute, a day, or 30 days. All of OpenAI's limits are one of these."""

ARRIVAL_SECONDS = 2.0
"""Time after which a granted request has arrived. The server admits none that it has no units for, so that a level
still below zero is too low: costs were overestimated."""
DRAIN_SECONDS = 10.0
"""Time over which the traffic of others is averaged."""
COMPARISON_SECONDS = 1.0
"""Corrections are added up over this time before they count as the traffic of others."""
LARGEST_DRAIN = 0.5
"""The largest share of the rate that is left to others, so that one who takes all he can gets no more than half."""

_INSTANT = 1e-6  # a wait of less than this many seconds is none: clocks and floats are no finer


@dataclass(slots=True)
class Burst:
    """Requests granted so close together that they may arrive in any order."""

    start: float
    """Time of the first grant."""
    cost: float = 0.0
    """Units taken by all of them."""


class Grant(NamedTuple):
    """What a bucket remembers of one request that it granted."""

    sequence: int
    """1 for the bucket's first grant, one more for each."""
    level: float
    """The bucket's level right after this grant."""
    corrections: float
    """Sum of all corrections until this grant."""
    cost: float
    """Units taken."""
    burst: Burst
    """The requests granted at about the same time, this one among them."""
    earlier_cost: float
    """Units that earlier requests of the burst took."""
    at: float
    """Time of the grant."""
    drained_units: float
    """Estimate of the units that others took until this grant."""

    @property
    def later_cost(self) -> float:
        """Units that later requests of the burst took."""
        return self.burst.cost - self.earlier_cost - self.cost


@dataclass(slots=True)
class Bucket:
    """The copy of one dimension: a level that fills at `rate` up to `limit`.

    A bucket made without arguments knows no limit. It grants everything and still counts what it grants,
    so that its first reading is a correction like any other.
    """

    limit: float = math.inf
    """Units the full bucket holds; infinite while not known."""
    level: float = 0.0
    """Units in the bucket at `updated_at`; below zero when more was taken than was there."""
    rate: float = 0.0
    """Units a second that flow in."""
    updated_at: float = 0.0
    """Time of `level`."""
    corrections: float = 0.0
    """Sum of all corrections."""
    last_granted: int = 0
    """Sequence number of the latest grant."""
    last_observed: int = 0
    """Sequence number of the latest grant whose reading was observed."""
    last_observed_burst: Burst | None = None
    """The burst of that grant."""
    burst: Burst = field(default_factory=lambda: Burst(-math.inf))
    """The burst of the latest grant."""
    taken: float = 0.0
    """Units taken altogether and not given back."""
    spilled: float = 0.0
    """Units that flowed in while the bucket was full, and were lost."""
    drain: float = 0.0
    """Units a second that others take, averaged from the latest corrections."""
    drained_units: float = 0.0
    """Estimate of the units that others took in all."""
    last_rejected: bool = False
    """Whether the latest reading came with a rejection."""
    compared_grant: Grant | None = None
    """The grant whose reading `recent_corrections` starts from."""
    recent_corrections: float = 0.0
    """Sum of the corrections since the reading of `compared_grant`."""

    @property
    def taken_by_others(self) -> float:
        """Units that other processes are known to have taken: none, since they are not known."""
        return 0.0

    @property
    def limit_known(self) -> bool:
        """Whether the limit is known."""
        return self.limit < math.inf

    @property
    def net_rate(self) -> float:
        """Units a second that flow in, less what others are expected to take.

        Where others take half of it or more, units are there for a moment only, and requests that wait as if half
        were left could miss that moment in step, again and again. So after a rejection nothing is subtracted.
        """
        if self.last_rejected and self.drain > 0.99 * LARGEST_DRAIN * self.rate:
            return self.rate
        return self.rate - self.drain

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` can be taken: exact, 0 for now, infinite if it exceeds the limit.

        A reserve stays in the bucket, unless the cost is so near the limit that there is no room for one.
        """
        if cost <= 0 or self.limit == math.inf:
            return 0.0
        if cost > self.limit:
            return math.inf
        self.advance(now)
        needed = min(cost + RESERVE_SECONDS * self.rate, self.limit)
        missing = needed - self.level
        if missing <= _INSTANT * self.rate:
            return 0.0
        net = self.net_rate
        until_arrived = self._arrived_at - now
        return min(missing, needed + net * until_arrived) / net if until_arrived > 0 else missing / net

    def take(self, cost: float, now: float) -> Grant:
        """Take `cost` at once, whether or not it is there, and return what to `observe` the answer with."""
        self.advance(now)
        burst = self.burst
        if now - burst.start > BURST_SECONDS:
            burst = self.burst = Burst(now)
        earlier_cost = burst.cost
        burst.cost += cost
        self.last_granted += 1
        self.level -= cost
        self.taken += cost
        return Grant(
            self.last_granted,
            self.level,
            self.corrections,
            cost,
            burst,
            earlier_cost,
            now,
            self.drained_units,
        )

    def observe(
        self, grant: Grant, reading: Reading, now: float, *, charged: bool = True, cost_share: float = 1.0
    ) -> bool:
        """Correct the level by what the answer to `grant` reported; return whether the limit changed.

        Readings come in any order; one is ignored when that of a later burst has been seen, since that one
        has measured this request too. `charged` is false for a 429: the server did not charge the request,
        and its reading is the level without it. `cost_share` is what such requests are known to cost by now,
        as a share of what the grant took.

        When the server measured, it may not have seen all of the burst that were granted before this
        request, and may have seen some of those granted after. The level is therefore known only within
        bounds, and corrected as little as they demand; the first and the last of a burst make them tight.
        """
        if not charged:
            self.taken -= grant.cost
        if self._is_superseded(grant):
            return False
        if reading.limit <= 0 and charged:  # a request was let in, so this is no limit
            return False
        self.advance(now)
        self.last_rejected = not charged
        if grant.sequence > self.last_observed:
            self.last_observed, self.last_observed_burst = grant.sequence, grant.burst
        expected = grant.level + self.corrections - grant.corrections
        if not charged:
            expected += grant.cost
        window = window_of(reading, self.limit / self.rate if self.rate else MINUTE)
        error = level_of(reading, window) - expected
        highest = error + grant.later_cost
        correction = highest - cost_share * (grant.earlier_cost + grant.later_cost)
        if correction < 0 and self.limit_known:
            correction = max(correction, min(0.0, highest))
        changed = self.limit != reading.limit
        if changed:
            self.compared_grant = None
        self._update_drain(grant, correction)
        if not charged:
            # Given back as a correction, so that the grants made since, whose levels it lowered, rise too.
            correction += grant.cost
        self.corrections += correction
        self.limit, self.rate = reading.limit, reading.limit / window
        self.drain = min(self.drain, LARGEST_DRAIN * self.rate)
        self.level = min(self.limit, self.level + correction)
        if self.level < 0 and now >= self._arrived_at:  # nobody gets there: the limit is a much smaller one
            self.corrections -= self.level
            self.level = 0.0
        return changed

    def give_back(self, grant: Grant, now: float) -> None:
        """Return the cost of a grant that never reached the server, or was rejected without a reading."""
        self.taken -= grant.cost
        if self._is_superseded(grant):
            return
        self.advance(now)
        self.level = min(self.limit, self.level + grant.cost)
        if grant.sequence < self.last_granted:  # grants made since are raised by it
            self.corrections += grant.cost

    def advance(self, now: float) -> None:
        """Add what has flowed in since `updated_at`."""
        elapsed = now - self.updated_at
        if elapsed <= 0:
            return
        arrived_since = now - self._arrived_at
        net = self.net_rate
        self.updated_at = now
        self.drained_units += self.drain * elapsed
        level = self.level + net * elapsed
        if level < net * arrived_since and arrived_since < elapsed and self.limit_known:
            self.corrections += net * arrived_since - level
            level = net * arrived_since
        if level > self.limit:
            self.spilled += level - self.limit
            level = self.limit
        self.level = level

    def _update_drain(self, grant: Grant, correction: float) -> None:
        """Average what others take, second by second: the estimate less the corrections."""
        if self.compared_grant is None:
            self.compared_grant, self.recent_corrections = grant, 0.0
            return
        self.recent_corrections += correction
        seconds = grant.at - self.compared_grant.at
        if seconds < COMPARISON_SECONDS:
            return
        taken = grant.drained_units - self.compared_grant.drained_units - self.recent_corrections
        self.compared_grant, self.recent_corrections = grant, 0.0
        self.drain = average_drain(self.drain, taken, seconds, self.rate)

    @property
    def _arrived_at(self) -> float:
        """Time at which every granted request has arrived."""
        return self.burst.start + BURST_SECONDS + ARRIVAL_SECONDS

    def _is_superseded(self, grant: Grant) -> bool:
        """Whether the reading of a later burst has been seen, which has corrected for this grant too."""
        return grant.sequence <= self.last_observed and grant.burst is not self.last_observed_burst


def average_drain(drain: float, taken: float, seconds: float, rate: float) -> float:
    """Return `drain`, the average of what others take a second, after `seconds` in which they took `taken` units.

    `rate` is the refill a second. More than that is no traffic but a fault or a new limit, and does not
    count.
    """
    if abs(taken) > rate * seconds:
        return drain
    weight = -math.expm1(-seconds / DRAIN_SECONDS)
    return min(max(0.0, drain + weight * (taken / seconds - drain)), LARGEST_DRAIN * rate)


def window_of(reading: Reading, present: float = MINUTE) -> float:
    """Return the seconds in which the limit of `reading` fills; `present` where the reading cannot tell.

    Where the server names the window, it is that.

    An OpenAI server reports `remaining = floor(level)` and `reset = (limit - level) / limit * window`, so
    the two bound the window: loosely near a full bucket, since one request may have taken anything up to
    one unit, and loosely where `reset` is rounded. Of the windows within the bounds `present` is kept, or
    the shortest chosen. Where none fits (fixed windows, one of another length), it is the nearest, or what
    the numbers give when they are far from all; never less than a minute, as servers that count by the
    second still state their limits by the minute.
    """
    if reading.window is not None:
        return reading.window
    used = reading.limit - reading.remaining
    if not reading.reset or used <= 0:
        return present
    rounding = _rounding(reading.reset)
    shortest = (reading.reset - rounding) * reading.limit / used
    longest = (reading.reset + rounding) * reading.limit / (used - 1) if used > 1 else math.inf
    if shortest <= present <= longest:
        return present
    for window in WINDOWS:
        if shortest <= window <= longest:
            return window
    implied = reading.reset * reading.limit / used
    for window in WINDOWS:
        if window / 4 <= implied <= window * 4:
            return window
    return present if implied > WINDOWS[-1] else max(MINUTE, implied)


def level_of(reading: Reading, window: float) -> float:
    """Return the level that a reading stands for: `remaining` plus the fraction of a unit that `reset` gives.

    `remaining` is rounded down to whole units, and where units are scarce most of one is worth a wait.
    """
    whole = min(reading.remaining, reading.limit)
    if reading.reset is None:
        return whole
    level = reading.limit - (reading.reset + _rounding(reading.reset)) * reading.limit / window
    return whole if level <= whole else min(level, whole + 1, reading.limit)


def _rounding(reset: float) -> float:
    """Return by how many seconds a reset may be rounded: some servers send whole seconds."""
    return 1.0 if reset.is_integer() else 0.01
