"""The rows of a pool in the ledger, and how they follow its clock when that is set back."""

import math
from dataclasses import dataclass, field

ACTIVE_SECONDS = 2.0
"""Time without an exchange after which a process is no longer active, unless it waits for a lease."""
LONGEST_HOLD_SECONDS = 60.0
"""The longest that a pool is held for 429s, whoever stored the hold."""
LEAP_SECONDS = 6.0
"""Seconds that the ledger's clock may be ahead of a process's before it counts as set forward: longer than an
exchange may take."""


@dataclass(slots=True)
class BucketRow:
    """One dimension of a pool. Times are the ledger's clock, in seconds."""

    updated_at: float
    """Time of `level`."""
    limit: float = math.inf
    """Units the full bucket holds; infinite while not known."""
    rate: float = 0.0
    """Units a second that flow in."""
    level: float = 0.0
    """Units at `updated_at` that are leased to nobody."""
    corrections: float = 0.0
    """Sum of all corrections."""
    leased: float = 0.0
    """Units leased in all."""
    spilled: float = 0.0
    """Units lost in all because the bucket was full."""
    measured_at: float = -math.inf
    """Time of the latest grant whose measurement was applied."""
    drain: float = 0.0
    """Units a second that users outside the ledger take, averaged from the latest corrections."""
    taken_by_others: float = 0.0
    """Units that users outside the ledger took since `compared_at`."""
    compared_at: float = -math.inf
    """Time of the grant whose measurement `taken_by_others` starts from."""
    configured_rate: float | None = None
    """For a pace, the rate it climbs to; `measured_at` is then the time of the latest cut."""

    def full_level(self, outstanding: float) -> float:
        """Return the level of the full row: less what is leased and not taken, which the server's bucket still holds."""
        return self.limit if self.configured_rate is not None else self.limit - outstanding


@dataclass(slots=True)
class ProcessRow:
    """What one process has leased and taken of a pool."""

    seen_at: float
    """Time of its last exchange."""
    leased_until: float = -math.inf
    """Time at which the last of its leases has flowed in."""
    outstanding: dict[str, float] = field(default_factory=dict)
    """Units leased and not reported as taken, by dimension."""
    taken: dict[str, dict[int, float]] = field(default_factory=dict)
    """Units taken, by dimension and second."""
    rejected: dict[int, int] = field(default_factory=dict)
    """429s by second."""


@dataclass(slots=True)
class PoolRows:
    """All rows of one pool."""

    buckets: dict[str, BucketRow] = field(default_factory=dict)
    processes: dict[str, ProcessRow] = field(default_factory=dict)
    held_until: float = -math.inf

    def outstanding(self, dimension: str) -> float:
        """Return the units of a dimension that are leased to any process and not reported as taken."""
        return sum(process_row.outstanding.get(dimension, 0.0) for process_row in self.processes.values())

    def taken_since(self, dimension: str, since: float) -> float:
        """Return the units of a dimension that all processes have reported as taken since a time."""
        return sum(
            units
            for process_row in self.processes.values()
            for second, units in process_row.taken.get(dimension, {}).items()
            if second > since
        )

    def active_processes(self, now: float) -> int:
        """Return the number of processes that draw on the pool."""
        return sum(self.is_active(process_row, now) for process_row in self.processes.values())

    @staticmethod
    def is_active(process_row: ProcessRow, now: float) -> bool:
        """Whether a process draws on the pool."""
        return max(process_row.seen_at, process_row.leased_until) > now - ACTIVE_SECONDS


def follow_clock(pool: PoolRows, now: float) -> None:
    """Bring times that lie ahead of `now` back to it: the clock was set back since they were stored.

    What lay between the times of one process still does, and a hold still lasts as long after the newest time. It lies
    ahead by its nature, but never by more than `LONGEST_HOLD_SECONDS`.
    """
    times = [row.updated_at for row in pool.buckets.values()]
    newest = max([*times, *(one.seen_at for one in pool.processes.values())], default=now)
    pool.held_until -= max(0.0, newest - now)
    pool.held_until = min(pool.held_until, now + LONGEST_HOLD_SECONDS)
    for row in pool.buckets.values():
        row.updated_at = min(row.updated_at, now)
        row.measured_at = min(row.measured_at, now)
        row.compared_at = min(row.compared_at, now)
    for process_row in pool.processes.values():
        if process_row.seen_at > now:
            _move(process_row, now - process_row.seen_at)


def follow_leap(pool: PoolRows, process: str, since: float, now: float) -> None:
    """Move all times by what the clock was set forward, if more has passed by it than the `since` seconds of `process`.

    Else nothing was used of that time, and the server would be taken to have filled up in it.
    """
    process_row = pool.processes.get(process)
    leap = 0.0 if process_row is None else now - process_row.seen_at - since
    if leap <= LEAP_SECONDS:
        return
    pool.held_until += leap
    for row in pool.buckets.values():
        row.updated_at += leap
        row.measured_at += leap
        row.compared_at += leap
    for one in pool.processes.values():
        _move(one, leap)
    follow_clock(pool, now)


def _move(process_row: ProcessRow, seconds: float) -> None:
    """Move the times of a process."""
    process_row.seen_at += seconds
    process_row.leased_until += seconds
    whole = math.floor(seconds)
    process_row.taken = {
        dimension: {second + whole: units for second, units in taken.items()}
        for dimension, taken in process_row.taken.items()
    }
    process_row.rejected = {second + whole: count for second, count in process_row.rejected.items()}
