"""A pace that is leased from a ledger."""

from collections.abc import Callable

from pxt_assets.throttle.ledger.leased import Leased
from pxt_assets.throttle.ledger.messages import Ask, Standing
from pxt_assets.throttle.pace import Pace


class LeasedPace(Leased):
    """A pace as `Pace` is, shared by all processes; one of this process alone stands in for the ledger."""

    guessed = False

    def __init__(self, ask: Callable[[float], None], now: float, rpm: float) -> None:
        super().__init__(ask, now)
        self._pace = Pace(rpm)
        self.configured = rpm / 60
        self._rejected_at: float | None = None
        self._alone: Pace | None = None

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass; infinite while the ledger is asked."""
        if self._alone is not None:
            return self._alone.wait(cost, now)
        return self._wait(cost, now)

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self._spend(cost)
        if self._alone is not None:
            self._alone.take(cost, now)

    def give_back(self, cost: float) -> None:
        """Return what was taken for a request that was never sent."""
        self._spend(-cost)
        if self._alone is not None:
            self._alone.give_back(cost)

    def reject(self, granted_at: float, now: float) -> None:
        """Tell the ledger of a 429, which lowers the rate for all."""
        self._rejected_at = max(granted_at, self._rejected_at or granted_at)
        if self._alone is not None:
            self._alone.reject(granted_at, now)
        self.ask(now)

    def accept(self) -> None:
        """Nothing follows from a request that was not rejected: the rate climbs by itself."""

    def request(self, dimension: str, now: float, waiting: int, *, keep: bool) -> Ask:
        """Return what to tell the ledger and to want of it."""
        rejected, self._rejected_at = self._rejected_at, None
        age = None if rejected is None else now - rejected
        spent, unspent, cost, want = self.demand(now, waiting, keep=keep)
        return Ask(dimension, spent, unspent, cost, want, None, self.configured, age)

    def settled(self, ask: Ask | None, standing: Standing, processes: int, sent: float, now: float) -> None:
        """Take in what the ledger answered."""
        self.settle(ask, standing, sent, now)
        self._processes, self._alone = processes, None

    def stand_alone(self, now: float) -> None:
        """Go on without the ledger, at this process's part of the rate."""
        if self._alone is None:
            self._alone = Pace(60 * (self.rate or self.configured / self._processes))
            self._alone.advance(now)
