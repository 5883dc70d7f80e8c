"""The units of a bucket or a pace that a process leases from a ledger."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pxt_assets.throttle.ledger.messages import LeaseRequest, RowState
from pxt_assets.throttle.ledger.unspent_units import UnspentUnits

LEAD_SECONDS = 0.05
"""The next lease is requested when the units left last for this long: several round trips to a database."""
AHEAD_SECONDS = 0.3
"""How long the units of an unconstrained lease last."""
SHORTEST_SECONDS = 0.02
"""The shortest time over which the rate of spending is measured."""


@dataclass(slots=True, eq=False)
class RowEstimate:
    """What a process knows of a row between two exchanges."""

    state: RowState
    sent_at: float
    """Time at which the earlier exchange began."""
    at: float
    """Time at which it ended."""
    own_leased: float
    """Units that this process has leased in all."""
    unspent: float
    """Units that this process had leased and not taken right after the exchange."""
    ended_at: float | None = None
    """Time of the next exchange."""
    leased_by_others: float | None = None
    """Units that others leased between the two exchanges; None before the second."""

    def level(self, now: float) -> float:
        """Return the level that the row has now if nobody has leased since."""
        state = self.state
        level = state.level + (state.rate - state.drain) * (now - self.at)
        return min(level, max(state.level, state.limit - state.held_by_others - self.unspent))


class LeasedUnits:
    """Units of one dimension: those leased and not yet taken, and the row at the last exchange.

    `schedule` has an exchange made at the time it is given.
    """

    def __init__(self, schedule: Callable[[float], None], now: float) -> None:
        self.schedule = schedule
        self.row: RowEstimate | None = None
        self.unspent = UnspentUnits()
        self.taken = 0.0
        self.spilled = 0.0
        self._spent = 0.0  # `taken`, and the units of requests that the server did not charge
        self._spent_told = 0.0  # the part of `_spent` that the ledger knows of
        self._leased = 0.0
        self._exchanged_at = now
        self._cost_waited_for = 0.0
        self.level = 0.0
        """Units at the last `advance`: those leased here, and this process's part of those leased to nobody."""
        self._processes = 1
        self._spent_when_sent = 0.0  # `_spent` at the time of the request that is under way

    @property
    def rate(self) -> float:
        """This process's part of the units a second that flow in."""
        return self._rate / self._processes

    def advance(self, now: float) -> None:
        """Bring `level` up to date."""
        self.level = self.unspent.units + (self.row.level(now) if self.row else 0.0) / self._processes

    @property
    def _rate(self) -> float:
        """Units a second that flow in, for all processes."""
        return self.row.state.rate if self.row else 0.0

    def is_idle(self) -> bool:
        """Whether nothing was taken since the last exchange."""
        return self._spent == self._spent_told and self._cost_waited_for == 0

    def has_unsettled(self) -> bool:
        """Whether there are units to give back or to report."""
        return self.unspent.units != 0 or self._spent != self._spent_told

    def demand(self, now: float, waiting: int, *, keep: bool) -> tuple[float, float, float, float]:
        """Return the spent, unspent, cost and wanted of a `LeaseRequest`; without `keep` leases are given back."""
        spent = self._spent - self._spent_told
        self._spent_when_sent = self._spent
        if not keep:
            self.unspent = UnspentUnits(min(0.0, self.unspent.units))
        cost, self._cost_waited_for = self._cost_waited_for, 0.0
        want = max(cost * waiting, self._spending_rate(now) * AHEAD_SECONDS) if cost else 0.0
        return spent, self.unspent.units, cost, want

    def settle(self, lease_request: LeaseRequest | None, state: RowState, sent: float, now: float) -> None:
        """Apply the answer to `lease_request`, which is None if the exchange was about other dimensions only."""
        if self.row is not None:
            self.spilled += (state.spilled - self.row.state.spilled) / self._processes
            self.row.ended_at = now
            self.row.leased_by_others = state.leased_before - self.row.state.leased
        if lease_request is not None:
            overspent = max(0.0, -lease_request.unspent)
            self._leased += state.lease + overspent
            self._spent_told, self._exchanged_at = self._spent_when_sent, now
            self.unspent.units += overspent
            self.unspent.bring_forward(now + state.ready_in, now)
            net = state.rate - state.drain
            self.unspent.add(state.lease, now + state.ready_in, net, now)
        self.row = RowEstimate(state, sent, now, self._leased, self.unspent.units)

    def _spend(self, cost: float) -> None:
        self.unspent.units -= cost
        self._spent += cost
        self.taken += cost

    def _wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` is there, infinite if only an exchange can tell; schedule one in time."""
        wait = self.unspent.wait(cost, now)
        if wait == math.inf or self.unspent.units < cost + self._spending_rate(now) * LEAD_SECONDS:
            self._cost_waited_for = max(self._cost_waited_for, cost)
            self.schedule(now)
        return wait

    def _spending_rate(self, now: float) -> float:
        """Return the units taken a second since the last exchange."""
        return (self._spent - self._spent_told) / max(SHORTEST_SECONDS, now - self._exchanged_at)
