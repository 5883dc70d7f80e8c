"""Reports of the ledger's pools, for people to read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pxt_assets.throttle.ledger.arithmetic import RECALL_SECONDS, advance
from pxt_assets.throttle.ledger.in_flight_row import IN_FLIGHT
from pxt_assets.throttle.ledger.pool_rows import PoolRows, follow_clock

RATE_SECONDS = 10
"""Time over which the rate in use is averaged; of the second in which it begins, a part counts."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """The present state of one dimension of one pool."""

    key: tuple[str, ...]
    """Key of the pool: a fingerprint of the account, and the group of models."""
    dimension: str
    limit: float | None
    """Units the full bucket holds; None while not known."""
    limit_per_minute: float | None
    """Units that flow in a minute; None while not known."""
    remaining: float | None
    """Units there now, leased or not; None while the limit is not known."""
    per_minute: float
    """Rate in use, units a minute, over the last 10 s."""
    processes: int
    """Processes that draw on the pool."""
    rejected: int
    """429s that the pool met in the last minute."""
    held_seconds: float = 0.0
    """Seconds for which no request is sent because of a 429, but for those that try whether it is over."""
    idle_seconds: float = 0.0
    """Seconds since a process last drew on the pool."""

    @property
    def group(self) -> str:
        """The group of models."""
        return self.key[-1]


def report(key: tuple[str, ...], pool: PoolRows, now: float) -> Iterator[PoolReport]:
    """Yield a report of each dimension of a pool."""
    follow_clock(pool, now)
    processes = pool.active_processes(now)
    rejected = sum(
        count
        for holding in pool.processes.values()
        for second, count in holding.rejected.items()
        if second > now - RECALL_SECONDS
    )
    used = [row.updated_at for row in pool.buckets.values()]
    used += [holding.seen_at for holding in pool.processes.values()]
    idle_seconds = max(0.0, now - max(used, default=now))
    whole = math.floor(now)
    for dimension, row in sorted(pool.buckets.items()):
        outstanding = pool.outstanding(dimension)
        advance(row, outstanding, now)
        if dimension == IN_FLIGHT:
            in_use = sum(one.outstanding.get(IN_FLIGHT, 0.0) for one in pool.processes.values())
            yield PoolReport(
                key, dimension, row.limit, None, max(0.0, row.limit - in_use), 0.0, processes, rejected
            )
            continue
        known = row.limit < math.inf
        taken = pool.taken_since(dimension, whole - RATE_SECONDS)
        oldest = pool.taken_since(dimension, whole - RATE_SECONDS - 1) - taken
        yield PoolReport(
            key,
            dimension,
            row.limit if known else None,
            row.rate * 60 if known else None,
            min(row.limit, max(0.0, row.level + outstanding)) if known else None,
            (taken + oldest * (1 - (now - whole))) * 60 / RATE_SECONDS,
            processes,
            rejected,
            max(0.0, pool.held_until - now),
            idle_seconds,
        )
