"""What a process and the ledger tell each other in one exchange.

Every time in it is a duration in seconds, so that the clocks of hosts need not agree.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one answer says about a server's bucket, as bounds of the sum of all corrections of its row."""

    limit: float
    """Units the full bucket holds."""
    rate: float
    """Units a second that flow in."""
    low: float = 0.0
    """The corrections are at least this."""
    high: float = 0.0
    """The corrections are at most this, and what others leased before the request was granted."""
    age: float = 0.0
    """Seconds since the request was granted."""
    leased: float = math.inf
    """Units leased in all until the exchange before the grant, and by this process since; infinite if unknown."""
    others: float | None = None
    """Units that others leased between the exchanges before and after the grant; None when this is the latter."""
    part: float = 1.0
    """Part of the time between those exchanges that had passed at the grant."""
    opening: bool = False
    """Whether the limit was unknown at the grant. Then the bounds are those of the server's level now."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process tells and wants of one dimension."""

    dimension: str
    spent: float
    """Units taken since the last exchange."""
    unspent: float
    """Units leased and not taken; below zero if more was taken than leased."""
    cost: float = 0.0
    """Units that the next request takes."""
    want: float = 0.0
    """Units that would be of use by and by."""
    measured: Measurement | None = None
    """The newest measurement since the last exchange."""
    configured: float | None = None
    """For a pace: the configured rate, units a second."""
    rejected_age: float | None = None
    """For a pace: seconds since the latest request was granted that has been rejected since the last exchange."""

    @property
    def need(self) -> float:
        """Units without which the next request cannot go."""
        return max(0.0, self.cost - max(0.0, self.unspent))


@dataclass(frozen=True, slots=True)
class Request:
    """What a process tells and wants of one pool."""

    asks: tuple[Ask, ...]
    rejected: int = 0
    """429s since the last exchange."""
    hold: float = 0.0
    """Seconds for which the pool is to be held."""


class Standing(NamedTuple):
    """One dimension after an exchange."""

    limit: float
    """Infinite while not known."""
    rate: float
    drain: float
    """Units a second that others take who do not share the ledger."""
    level: float
    """Units in the row, without what is leased; below the reserve while leases begin in the future."""
    corrections: float
    """Sum of all corrections."""
    others: float
    """Units that others have leased and, as far as they have told, not taken."""
    leased_before: float
    """Units leased in all until this exchange."""
    leased: float
    """The same with this exchange."""
    lease: float
    """Units leased to the process now."""
    clear_in: float
    """Seconds until all that is leased has flowed in, this lease the last of it."""
    spilled: float
    """Units lost in all because the bucket was full."""


class Answer(NamedTuple):
    """What the ledger says of one pool."""

    standings: dict[str, Standing]
    hold: float
    """Seconds for which the pool is held."""
    processes: int
    """Processes that draw on it, this one included."""


class LedgerUnavailable(Exception):  # noqa: N818
    """The ledger cannot be reached now."""
