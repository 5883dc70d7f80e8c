"""A pace that is leased from a ledger."""

from collections.abc import Callable

from pxt_assets.throttle.ledger.leased_units import LeasedUnits
from pxt_assets.throttle.ledger.messages import LeaseRequest, RowState
from pxt_assets.throttle.pace import Pace


class LeasedPace(LeasedUnits):
    """A pace shared by all processes; a `Pace` stands in for the ledger while it cannot be reached."""

    def __init__(self, schedule: Callable[[float], None], now: float, rpm: float) -> None:
        super().__init__(schedule, now)
        self._pace = Pace(rpm)
        self.configured_rate = rpm / 60
        self._rejected_at: float | None = None
        self._stand_in: Pace | None = None

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass; infinite while the ledger is asked."""
        if self._stand_in is not None:
            return self._stand_in.wait(cost, now)
        return self._wait(cost, now)

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""
        self._spend(cost)
        if self._stand_in is not None:
            self._stand_in.take(cost, now)

    def give_back(self, cost: float) -> None:
        """Return what was taken for a request that was never sent."""
        self._spend(-cost)
        if self._stand_in is not None:
            self._stand_in.give_back(cost)

    def reject(self, granted_at: float, now: float) -> None:
        """Report a 429 to the ledger, which lowers the rate for all."""
        self._rejected_at = max(granted_at, self._rejected_at or granted_at)
        if self._stand_in is not None:
            self._stand_in.reject(granted_at, now)
        self.schedule(now)

    def request(self, dimension: str, now: float, waiting: int, *, keep: bool) -> LeaseRequest:
        """Return what to report to the ledger and to request from it."""
        rejected, self._rejected_at = self._rejected_at, None
        age = None if rejected is None else now - rejected
        spent, unspent, cost, want = self.demand(now, waiting, keep=keep)
        return LeaseRequest(dimension, spent, unspent, cost, want, None, self.configured_rate, age)

    def apply_answer(
        self, lease_request: LeaseRequest | None, state: RowState, processes: int, sent: float, now: float
    ) -> None:
        """Apply the answer of the ledger."""
        self.settle(lease_request, state, sent, now)
        self._processes, self._stand_in = processes, None

    def stand_alone(self, now: float) -> None:
        """Go on without the ledger, at this process's part of the rate."""
        if self._stand_in is None:
            self._stand_in = Pace(60 * (self.rate or self.configured_rate / self._processes))
            self._stand_in.advance(now)
