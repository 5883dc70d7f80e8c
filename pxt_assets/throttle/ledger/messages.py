"""The messages of one exchange between a process and the ledger.

Every time in them is a duration in seconds, so that the clocks of hosts need not agree.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one answer says about the server's bucket, as bounds of the sum of all corrections of its row."""

    limit: float
    """Units the full bucket holds."""
    rate: float
    """Units a second that flow in."""
    low: float = 0.0
    """The corrections are at least this."""
    high: float = 0.0
    """The corrections are at most this plus what others leased before the request was granted."""
    age: float = 0.0
    """Seconds since the request was granted."""
    leased: float = math.inf
    """Units leased in all until the exchange before the grant, and by this process since; infinite if unknown."""
    leased_by_others: float | None = None
    """Units that others leased between the exchanges before and after the grant; None if this is the one after."""
    elapsed_share: float = 1.0
    """Share, 0 to 1, of the time between those exchanges that had passed at the grant."""
    limit_unknown: bool = False
    """Whether the limit was unknown at the grant. Then the bounds are those of the server's level now."""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a process has spent of one dimension, and what it wants to lease."""

    dimension: str
    spent: float
    """Units taken since the last exchange."""
    unspent: float
    """Units leased and not taken; below zero if more was taken than leased."""
    cost: float = 0.0
    """Units that the next request takes."""
    wanted: float = 0.0
    """Units that it would use soon."""
    measurement: Measurement | None = None
    """The newest measurement since the last exchange."""
    configured_rate: float | None = None
    """For a pace: the configured rate, units a second."""
    rejected_age: float | None = None
    """For a pace: age in seconds of the latest grant that was rejected since the last exchange."""

    @property
    def needed(self) -> float:
        """Units without which the next request cannot be sent."""
        return max(0.0, self.cost - max(0.0, self.unspent))


class InFlightReport(NamedTuple):
    """What a process says of the number in flight, where answers name no limit."""

    size: float
    """What all processes together may have in flight, as it has found, or as it was told."""
    wanted: float
    """What it would have in flight if it might."""
    leads: bool
    """Whether it searches for that number; the others follow."""


class InFlightPart(NamedTuple):
    """What the ledger answers to that."""

    size: float
    """What all processes together may have in flight."""
    part: float
    """What this one may."""
    leads: bool
    """Whether it is to search."""


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a process sends to the ledger about one pool."""

    lease_requests: tuple[LeaseRequest, ...]
    rejected: int = 0
    """429s since the last exchange."""
    hold_seconds: float = 0.0
    """Seconds for which the pool is to be held because of 429s since the last exchange."""
    released: bool = False
    """Whether an answer has shown since the last exchange that the pool need not be held."""
    since: float = math.inf
    """Seconds since the last exchange that was answered began, by the process's own clock; infinite before the first."""
    in_flight: InFlightReport | None = None
    """None where it is not bounded."""


class RowState(NamedTuple):
    """The row of one dimension after an exchange."""

    limit: float
    """Infinite while not known."""
    rate: float
    drain: float
    """Units a second that users outside the ledger take."""
    level: float
    """Units that are leased to nobody; below the reserve while leases begin in the future."""
    corrections: float
    """Sum of all corrections."""
    held_by_others: float
    """Units that other processes have leased and not reported as taken."""
    leased_before: float
    """Units leased in all until this exchange."""
    leased: float
    """Units leased in all, this exchange included."""
    lease: float
    """Units leased to the process now."""
    ready_in: float
    """Seconds until all leases have flowed in, this one last."""
    spilled: float
    """Units lost in all because the bucket was full."""


class ExchangeAnswer(NamedTuple):
    """What the ledger answers about one pool."""

    row_states: dict[str, RowState]
    hold_seconds: float
    """Seconds for which the pool is held."""
    processes: int
    """Processes that draw on it, this one included."""
    in_flight: InFlightPart | None = None


class LedgerUnavailable(Exception):  # noqa: N818
    """The ledger cannot be reached now."""


class LedgerFault(Exception):  # noqa: N818
    """The arithmetic of the ledger has failed, which is a fault of this package; the cause is the exception."""
