"""Units that a process leases from a ledger, of a bucket or a pace."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pxt_assets.throttle.ledger.messages import Ask, Standing
from pxt_assets.throttle.ledger.unspent_units import Wallet

LEAD_SECONDS = 0.05
"""The next lease is asked for when what is left lasts for this long: several round trips to a database."""
AHEAD_SECONDS = 0.3
"""A lease that nothing stands in the way of lasts for this long."""
SHORTEST_SECONDS = 0.02
"""The least time by which the rate of taking is judged."""


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
        level = standing.level + (standing.rate - standing.drain) * (now - self.at)
        return min(level, max(standing.level, standing.limit - standing.others - self.leased_now))


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
            net = standing.rate - standing.drain
            self.wallet.add(standing.lease, now + standing.clear_in, net, now)
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
