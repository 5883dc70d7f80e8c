"""The arithmetic of the ledger: rows in, rows out, whatever stores them.

A row is the copy of one of the server's buckets, with everything already taken out of it that is leased to a
process. A lease may take more than the row holds above its reserve; then it begins when that much has flowed in.
So processes that want more than there is queue in the order they asked, and none of them asks twice.
"""

import math
from dataclasses import dataclass, field

from pxt_assets.throttle.bucket import (
    BURST_SECONDS,
    COMPARED_SECONDS,
    LARGEST_DRAIN,
    RESERVE_SECONDS,
    SETTLED_SECONDS,
    followed,
)
from pxt_assets.throttle.ledger.messages import Answer, Ask, Measurement, Request, Standing
from pxt_assets.throttle.pace import DECREASE, LOWEST_RPM, RECOVERY_SECONDS

SLICE_SECONDS = 0.2
"""Refill, in seconds of it, that all the processes of a pool lease ahead together."""
SHARED_RESERVE_SECONDS = 0.5
"""Refill, in seconds of it, that is left in the bucket while several processes draw on it: for jitter, and for
what each tells late of what others took."""
FREE_SHARE = 0.25
"""Part of what is free above the reserve that all processes together lease in one round."""
ACTIVE_SECONDS = 2.0
"""A process that has not been heard of for this long draws on the pool no more, unless it waits for a lease."""
EXPIRY_SECONDS = 5.0
"""Time after which the leases of a process that is not heard of are void."""
SPENT_SECONDS = 1.0
"""Time in which what was leased at a rate that has been cut since is spent."""
RECALL_SECONDS = 60
"""Time for which it is remembered what a process took."""


@dataclass(slots=True)
class Row:
    """One dimension of a pool. Times are the ledger's clock, in seconds."""

    updated: float
    """Time of `level`."""
    limit: float = math.inf
    """Units the full bucket holds; infinite while not known."""
    rate: float = 0.0
    """Units a second that flow in."""
    level: float = 0.0
    """Units at `updated` that are leased to nobody."""
    corrections: float = 0.0
    """Sum of all corrections."""
    leased: float = 0.0
    """Units leased in all."""
    spilled: float = 0.0
    """Units lost in all because the bucket was full."""
    measured: float = -math.inf
    """Time of the latest grant whose measurement was taken in."""
    drain: float = 0.0
    """Units a second that others take who do not share the ledger, as the corrections of late tell."""
    foreign: float = 0.0
    """Units that they took since `compared`."""
    compared: float = -math.inf
    """Time of the grant since whose measurement that is added up."""
    configured: float | None = None
    """For a pace, the rate it climbs to; `measured` is then the time of the latest cut."""

    def most(self, outstanding: float) -> float:
        """Return the level at which it is full: the server holds what is leased and not taken, a pace does not."""
        return self.limit if self.configured is not None else self.limit - outstanding


@dataclass(slots=True)
class Holding:
    """What one process has of a pool."""

    seen: float
    """Time of its last exchange."""
    until: float = -math.inf
    """Time at which the last of its leases has flowed in."""
    outstanding: dict[str, float] = field(default_factory=dict)
    """Units leased and not known to be taken, by dimension."""
    taken: dict[str, dict[int, float]] = field(default_factory=dict)
    """Units taken, by dimension and second."""
    rejected: dict[int, int] = field(default_factory=dict)
    """429s by second."""


@dataclass(slots=True)
class PoolRows:
    """All that a ledger holds of one pool."""

    rows: dict[str, Row] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    held_until: float = -math.inf

    def outstanding(self, dimension: str) -> float:
        """Units of a dimension leased to anybody and not known to be taken."""
        return sum(holding.outstanding.get(dimension, 0.0) for holding in self.holdings.values())

    def taken(self, dimension: str, since: float) -> float:
        """Units of a dimension that all processes together have told of taking since a time."""
        return sum(
            units
            for holding in self.holdings.values()
            for second, units in holding.taken.get(dimension, {}).items()
            if second > since
        )

    def active(self, now: float) -> int:
        """The number of processes that draw on the pool."""
        return sum(
            max(holding.seen, holding.until) > now - ACTIVE_SECONDS for holding in self.holdings.values()
        )


def exchange(pool: PoolRows, process: str, request: Request, now: float) -> Answer:
    """Take in what `process` tells, lease it what it may have, and change `pool` accordingly."""
    for dimension, row in pool.rows.items():
        advance(row, pool.outstanding(dimension), now)
    _expire(pool, now)
    holding = pool.holdings.setdefault(process, Holding(now))
    holding.seen = max(holding.seen, now)
    second = int(now)
    if request.rejected:
        holding.rejected[second] = holding.rejected.get(second, 0) + request.rejected
    pool.held_until = max(pool.held_until, now + request.hold)
    processes = pool.active(now)
    standings = {}
    for ask in request.asks:
        row = pool.rows.setdefault(ask.dimension, Row(now))
        if ask.spent:
            taken = holding.taken.setdefault(ask.dimension, {})
            taken[second] = taken.get(second, 0.0) + ask.spent
        standings[ask.dimension] = _settle(pool, row, holding, ask, processes, now)
    for dimension, row in pool.rows.items():
        if dimension not in standings:
            standings[dimension] = _standing(pool, row, dimension, holding, row.leased, 0.0, 0.0)
    return Answer(standings, max(0.0, pool.held_until - now), processes)


def _settle(pool: PoolRows, row: Row, holding: Holding, ask: Ask, processes: int, now: float) -> Standing:
    """Settle what was leased to a process with what it took, and give it its next lease."""
    before = row.leased
    # What it held by the row and did not hold by its own word (an answer that was lost, a lease that expired).
    row.level += holding.outstanding.get(ask.dimension, 0.0) - (ask.unspent + ask.spent)
    overspent = max(0.0, -ask.unspent)
    row.level -= overspent
    row.leased += overspent
    holding.outstanding[ask.dimension] = max(0.0, ask.unspent)
    if ask.configured is not None:
        _pace(row, ask, now)
    if ask.measured is not None:
        own = holding.outstanding[ask.dimension]
        _measure(row, ask.measured, before, own, pool.outstanding(ask.dimension) - own, now)
    row.level = min(row.level, row.most(pool.outstanding(ask.dimension)))
    lowest = -pool.outstanding(ask.dimension) - pool.taken(ask.dimension, now - SETTLED_SECONDS - 1)
    if row.level < lowest and row.limit < math.inf:
        row.corrections += lowest - row.level
        row.level = lowest
    lease, reserve = 0.0, _reserve(row, processes)
    if row.limit < math.inf and ask.cost <= row.limit:
        lease = _lease(row, ask, reserve, processes)
        row.level -= lease
        row.leased += lease
        holding.outstanding[ask.dimension] += lease
        if lease:
            holding.until = max(holding.until, now + _clear_in(row, reserve))
    return _standing(pool, row, ask.dimension, holding, before, lease, _clear_in(row, reserve))


def _lease(row: Row, ask: Ask, reserve: float, processes: int) -> float:
    """Return the units to lease: what is wanted up to a slice, or a part of what is free, but what is needed."""
    free = max(0.0, row.level - reserve)
    most = max(SLICE_SECONDS * row.rate, FREE_SHARE * free) / processes
    return max(ask.need, min(ask.want, most))


def _measure(
    row: Row, measured: Measurement, leased_before: float, own: float, others: float, now: float
) -> None:
    """Correct a row by as little as a measurement demands, unless a later one has been taken in.

    `own` is what the process that measured holds, `others` what the others do.
    """
    granted = now - measured.age
    if granted < row.measured - BURST_SECONDS:
        return
    row.measured = max(row.measured, granted)
    since = max(0.0, leased_before - measured.leased)  # leased by others
    low, high, present = measured.low, measured.high, row.corrections
    if measured.opening:
        low, high, present = low - since - others, high - since, row.level + own
    elif measured.others is None:
        high += since * measured.part
    else:
        high += measured.others * measured.part
    if row.limit == math.inf:
        row.level = min(measured.limit, low + others) - own
    else:
        correction = min(max(present, low), max(low, high)) - present
        row.corrections += correction
        row.level += correction
        row.foreign -= correction
    if row.limit != measured.limit:
        row.compared = -math.inf
    row.limit, row.rate = measured.limit, measured.rate
    _follow_drain(row, granted)


def _follow_drain(row: Row, granted: float) -> None:
    """Average what others take, second by second, as a bucket of one process does."""
    seconds = granted - row.compared
    if seconds == math.inf:
        row.compared, row.foreign = granted, 0.0
    elif seconds >= COMPARED_SECONDS:
        row.drain = followed(row.drain, row.foreign, seconds, row.rate)
        row.compared, row.foreign = granted, 0.0
    row.drain = min(row.drain, LARGEST_DRAIN * row.rate)


def _pace(row: Row, ask: Ask, now: float) -> None:
    """Follow the configured rate of a pace, and halve its rate for a 429 of a request granted since the last cut."""
    if row.configured != ask.configured:
        row.rate, row.configured = ask.configured or 0.0, ask.configured
        if row.limit == math.inf:
            row.level = 1.0
    if ask.rejected_age is not None and now - ask.rejected_age > row.measured + SPENT_SECONDS:
        row.measured = now
        row.rate = max(min(row.rate, LOWEST_RPM / 60), row.rate * DECREASE)
    row.limit = 1 + BURST_SECONDS * row.rate


def advance(row: Row, outstanding: float, now: float) -> None:
    """Let flow in what has come since the row was last touched.

    The server's bucket spills when it is full, and it holds what is leased and not taken.
    """
    elapsed = now - row.updated
    if elapsed <= 0:
        return
    row.updated = now
    row.foreign += row.drain * elapsed
    level = row.level + (row.rate - row.drain) * elapsed
    if row.configured is not None and row.rate < row.configured:
        climbed = min(row.configured, row.rate + row.configured / RECOVERY_SECONDS * elapsed)
        level += (climbed - row.rate) / 2 * elapsed
        row.rate, row.limit = climbed, 1 + BURST_SECONDS * climbed
    most = max(row.level, row.most(outstanding))
    if level > most:
        row.spilled += level - most
        level = most
    row.level = level


def _expire(pool: PoolRows, now: float) -> None:
    """Return the leases of processes that are gone, and forget what is too long ago to tell of."""
    oldest = now - RECALL_SECONDS
    for process, holding in list(pool.holdings.items()):
        if max(holding.seen, holding.until) < now - EXPIRY_SECONDS:
            for dimension, units in holding.outstanding.items():
                if dimension in pool.rows:
                    pool.rows[dimension].level += units
            holding.outstanding = {}
        for taken in holding.taken.values():
            _forget(taken, oldest)
        _forget(holding.rejected, oldest)
        if holding.seen < oldest:
            del pool.holdings[process]


def _forget(counts: dict[int, int] | dict[int, float], oldest: float) -> None:
    for second in [second for second in counts if second < oldest]:
        del counts[second]


def _standing(
    pool: PoolRows, row: Row, dimension: str, holding: Holding, before: float, lease: float, clear_in: float
) -> Standing:
    others = pool.outstanding(dimension) - holding.outstanding.get(dimension, 0.0)
    return Standing(
        limit=row.limit,
        rate=row.rate,
        drain=row.drain,
        level=row.level,
        corrections=row.corrections,
        others=others,
        leased_before=before,
        leased=row.leased,
        lease=lease,
        clear_in=clear_in,
        spilled=row.spilled,
    )


def _reserve(row: Row, processes: int) -> float:
    if row.configured is not None:
        return 0.0
    return (RESERVE_SECONDS if processes == 1 else SHARED_RESERVE_SECONDS) * row.rate


def _clear_in(row: Row, reserve: float) -> float:
    """Return the seconds until all that is leased has flowed in, and the reserve."""
    return max(0.0, reserve - row.level) / (row.rate - row.drain) if row.rate else 0.0
