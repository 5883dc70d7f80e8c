"""The arithmetic of the ledger: it changes the rows of a pool, whatever database stores them.

A row is the copy of one of the server's buckets, less everything that is leased to a process. A lease may
take more than the row holds above its reserve; it then begins when that much has flowed in. So processes that
want more than there is are served in the order they asked, and none of them has to ask twice.
"""

import math

from pxt_assets.throttle.bucket import (
    ARRIVAL_SECONDS,
    BURST_SECONDS,
    COMPARISON_SECONDS,
    LARGEST_DRAIN,
    RESERVE_SECONDS,
    average_drain,
)
from pxt_assets.throttle.ledger.in_flight_row import IN_FLIGHT, share_in_flight
from pxt_assets.throttle.ledger.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    LeaseRequest,
    Measurement,
    RowState,
)
from pxt_assets.throttle.ledger.pool_rows import (
    LONGEST_HOLD_SECONDS,
    BucketRow,
    PoolRows,
    ProcessRow,
    follow_clock,
    follow_leap,
)
from pxt_assets.throttle.pace import DECREASE, LOWEST_RPM, RECOVERY_SECONDS

SLICE_SECONDS = 0.2
"""Refill, in seconds, that all processes of a pool together lease ahead."""
SHARED_RESERVE_SECONDS = 0.5
"""Refill, in seconds, that is left in the bucket while several processes draw on it: for jitter, and because
each process reports late what it took."""
FREE_SHARE = 0.25
"""Share of the units above the reserve that all processes together lease in one round."""
EXPIRY_SECONDS = 5.0
"""Time without an exchange after which the leases of a process are returned."""
SPENT_SECONDS = 1.0
"""Time in which units that were leased before a cut of the rate are spent."""
RECALL_SECONDS = 60
"""Time for which the ledger keeps what a process took."""


def exchange(pool: PoolRows, process: str, request: ExchangeRequest, now: float) -> ExchangeAnswer:
    """Apply the request of `process` to the rows of `pool`, and return its leases."""
    follow_clock(pool, now)
    follow_leap(pool, process, request.since, now)
    for dimension, row in pool.buckets.items():
        advance(row, pool.outstanding(dimension), now)
    _expire_leases(pool, now)
    process_row = pool.processes.setdefault(process, ProcessRow(now))
    process_row.seen_at = max(process_row.seen_at, now)
    second = int(now)
    if request.rejected:
        process_row.rejected[second] = process_row.rejected.get(second, 0) + request.rejected
    if request.released:
        pool.held_until = -math.inf
    if request.hold_seconds > 0:
        pool.held_until = max(pool.held_until, now + min(request.hold_seconds, LONGEST_HOLD_SECONDS))
    processes = pool.active_processes(now)
    in_flight = None
    if request.in_flight is not None:
        in_flight = share_in_flight(pool, process, request.in_flight, now)
    row_states = {}
    for lease_request in request.lease_requests:
        row = pool.buckets.setdefault(lease_request.dimension, BucketRow(now))
        if lease_request.spent:
            taken = process_row.taken.setdefault(lease_request.dimension, {})
            taken[second] = taken.get(second, 0.0) + lease_request.spent
        row_states[lease_request.dimension] = _settle(pool, row, process_row, lease_request, processes, now)
    for dimension, row in pool.buckets.items():
        if dimension not in row_states and dimension != IN_FLIGHT:
            row_states[dimension] = _row_state(pool, row, dimension, process_row, row.leased, 0.0, 0.0)
    return ExchangeAnswer(row_states, max(0.0, pool.held_until - now), processes, in_flight)


def _settle(
    pool: PoolRows,
    row: BucketRow,
    process_row: ProcessRow,
    lease_request: LeaseRequest,
    processes: int,
    now: float,
) -> RowState:
    """Take off what a process took of its leases, and give it its next lease."""
    before = row.leased
    # The row and the process may differ in what was leased: an answer was lost, or a lease expired.
    row.level += process_row.outstanding.get(lease_request.dimension, 0.0) - (
        lease_request.unspent + lease_request.spent
    )
    overspent = max(0.0, -lease_request.unspent)
    row.level -= overspent
    row.leased += overspent
    process_row.outstanding[lease_request.dimension] = max(0.0, lease_request.unspent)
    if lease_request.configured_rate is not None:
        _update_pace(row, lease_request, now)
    if lease_request.measurement is not None:
        own = process_row.outstanding[lease_request.dimension]
        _apply_measurement(
            row, lease_request.measurement, before, own, pool.outstanding(lease_request.dimension) - own, now
        )
    row.level = min(row.level, row.full_level(pool.outstanding(lease_request.dimension)))
    lowest = -pool.outstanding(lease_request.dimension) - pool.taken_since(
        lease_request.dimension, now - ARRIVAL_SECONDS - 1
    )
    if row.level < lowest and row.limit < math.inf:
        row.corrections += lowest - row.level
        row.level = lowest
    lease, reserve = 0.0, _reserve_units(row, processes)
    if row.limit < math.inf and lease_request.cost <= row.limit:
        lease = _lease_units(row, lease_request, reserve, processes)
        row.level -= lease
        row.leased += lease
        process_row.outstanding[lease_request.dimension] += lease
        if lease:
            process_row.leased_until = max(process_row.leased_until, now + _seconds_until_ready(row, reserve))
    return _row_state(
        pool, row, lease_request.dimension, process_row, before, lease, _seconds_until_ready(row, reserve)
    )


def _lease_units(row: BucketRow, lease_request: LeaseRequest, reserve: float, processes: int) -> float:
    """Return the units to lease: those wanted, up to a slice or a share of the free, but at least those needed."""
    free = max(0.0, row.level - reserve)
    most = max(SLICE_SECONDS * row.rate, FREE_SHARE * free) / processes
    return max(lease_request.needed, min(lease_request.wanted, most))


def _apply_measurement(
    row: BucketRow, measurement: Measurement, leased_before: float, own: float, others: float, now: float
) -> None:
    """Correct a row by as little as a measurement demands, unless a later one has been applied.

    `own` is what the measuring process has outstanding, `others` what the other processes have.
    """
    if row.limit == math.inf and not measurement.limit_unknown:
        return  # the ledger was emptied since the grant: its bounds are those of a row that is gone
    granted_at = now - measurement.age
    if granted_at < row.measured_at - BURST_SECONDS:
        return
    row.measured_at = max(row.measured_at, granted_at)
    since = max(0.0, leased_before - measurement.leased)  # leased by others
    low, high, present = measurement.low, measurement.high, row.corrections
    if measurement.limit_unknown:
        low, high, present = low - since - others, high - since, row.level + own
    elif measurement.leased_by_others is None:
        high += since * measurement.elapsed_share
    else:
        high += measurement.leased_by_others * measurement.elapsed_share
    if row.limit == math.inf:
        row.level = min(measurement.limit, low + others) - own
    else:
        correction = min(max(present, low), max(low, high)) - present
        row.corrections += correction
        row.level += correction
        row.taken_by_others -= correction
    if row.limit != measurement.limit:
        row.compared_at = -math.inf
    row.limit, row.rate = measurement.limit, measurement.rate
    _update_drain(row, granted_at)


def _update_drain(row: BucketRow, granted_at: float) -> None:
    """Average what users outside the ledger take, second by second, as `Bucket` does."""
    seconds = granted_at - row.compared_at
    if seconds == math.inf:
        row.compared_at, row.taken_by_others = granted_at, 0.0
    elif seconds >= COMPARISON_SECONDS:
        row.drain = average_drain(row.drain, row.taken_by_others, seconds, row.rate)
        row.compared_at, row.taken_by_others = granted_at, 0.0
    row.drain = min(row.drain, LARGEST_DRAIN * row.rate)


def _update_pace(row: BucketRow, lease_request: LeaseRequest, now: float) -> None:
    """Set the configured rate of a pace, and halve its rate for a 429 granted since the last cut."""
    if row.configured_rate != lease_request.configured_rate:
        row.rate, row.configured_rate = lease_request.configured_rate or 0.0, lease_request.configured_rate
        if row.limit == math.inf:
            row.level = 1.0
    if (
        lease_request.rejected_age is not None
        and now - lease_request.rejected_age > row.measured_at + SPENT_SECONDS
    ):
        row.measured_at = now
        row.rate = max(min(row.rate, LOWEST_RPM / 60), row.rate * DECREASE)
    row.limit = 1 + BURST_SECONDS * row.rate


def advance(row: BucketRow, outstanding: float, now: float) -> None:
    """Add what has flowed in since the row was last updated.

    The server's bucket spills when it is full, and it still holds what is leased and not taken.
    """
    elapsed = now - row.updated_at
    if elapsed <= 0:
        return
    row.updated_at = now
    row.taken_by_others += row.drain * elapsed
    level = row.level + (row.rate - row.drain) * elapsed
    if row.configured_rate is not None and row.rate < row.configured_rate:
        higher_rate = min(row.configured_rate, row.rate + row.configured_rate / RECOVERY_SECONDS * elapsed)
        level += (higher_rate - row.rate) / 2 * elapsed
        row.rate, row.limit = higher_rate, 1 + BURST_SECONDS * higher_rate
    most = max(row.level, row.full_level(outstanding))
    if level > most:
        row.spilled += level - most
        level = most
    row.level = level


def _expire_leases(pool: PoolRows, now: float) -> None:
    """Return the leases of processes that are gone, and delete counts older than `RECALL_SECONDS`."""
    oldest = now - RECALL_SECONDS
    for process, process_row in list(pool.processes.items()):
        if max(process_row.seen_at, process_row.leased_until) < now - EXPIRY_SECONDS:
            for dimension, units in process_row.outstanding.items():
                if dimension in pool.buckets:
                    pool.buckets[dimension].level += units
            process_row.outstanding = {}
        for taken in process_row.taken.values():
            _forget_before(taken, oldest)
        _forget_before(process_row.rejected, oldest)
        if process_row.seen_at < oldest:
            del pool.processes[process]


def _forget_before(counts: dict[int, int] | dict[int, float], oldest: float) -> None:
    for second in [second for second in counts if second < oldest]:
        del counts[second]


def _row_state(
    pool: PoolRows,
    row: BucketRow,
    dimension: str,
    process_row: ProcessRow,
    before: float,
    lease: float,
    ready_in: float,
) -> RowState:
    held_by_others = pool.outstanding(dimension) - process_row.outstanding.get(dimension, 0.0)
    return RowState(
        limit=row.limit,
        rate=row.rate,
        drain=row.drain,
        level=row.level,
        corrections=row.corrections,
        held_by_others=held_by_others,
        leased_before=before,
        leased=row.leased,
        lease=lease,
        ready_in=ready_in,
        spilled=row.spilled,
    )


def _reserve_units(row: BucketRow, processes: int) -> float:
    if row.configured_rate is not None:
        return 0.0
    return (RESERVE_SECONDS if processes == 1 else SHARED_RESERVE_SECONDS) * row.rate


def _seconds_until_ready(row: BucketRow, reserve: float) -> float:
    """Return the seconds until all leases and the reserve have flowed in."""
    return max(0.0, reserve - row.level) / (row.rate - row.drain) if row.rate else 0.0
