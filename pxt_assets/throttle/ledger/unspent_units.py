"""The units that a process has leased: some there to take, some that flow in at a time of their own."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

_INSTANT = 1e-6  # a wait of less than this many seconds is none: clocks and floats are no finer


class Flow(NamedTuple):
    """A lease that has not all begun."""

    end: float
    """Time at which the last of it is there."""
    units: float
    rate: float
    """Units a second that flow in until `end`."""


@dataclass(slots=True)
class Wallet:
    """Units leased and not taken. Below zero when more was taken than leased."""

    units: float = 0.0
    flows: list[Flow] = field(default_factory=list)
    """Leases that end in the future, in the order of their ends."""

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` is there: 0 for now, infinite if it is more than was leased."""
        spare = self.units - cost
        if spare < -1e-9 * cost:
            return math.inf
        if not self.flows:
            return 0.0
        later = 0.0
        for end, units, rate in reversed(self.flows):
            if later + units > spare:
                wait = end - (spare - later) / rate - now
                return wait if wait > _INSTANT else 0.0
            later += units
        return 0.0

    def add(self, units: float, end: float, rate: float, now: float) -> None:
        """Put in a lease, the last of which is there at `end`."""
        self.units += units
        if end > now:
            self.flows.append(Flow(end, units, rate))

    def clear(self, end: float, now: float) -> None:
        """Have everything there by `end`, and forget of flows that have ended."""
        self.flows = [
            Flow(min(flow.end, end), flow.units, flow.rate) for flow in self.flows if flow.end > now
        ]
