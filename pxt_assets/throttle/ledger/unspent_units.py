"""The units that a process has leased: some can be taken now, others flow in later."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

_INSTANT = 1e-6  # a wait of less than this many seconds is none: clocks and floats are no finer


class IncomingLease(NamedTuple):
    """A lease that has not wholly flowed in."""

    end: float
    """Time at which the last of it flows in."""
    units: float
    rate: float
    """Units a second that flow in until `end`."""


@dataclass(slots=True)
class UnspentUnits:
    """Units leased and not taken. Below zero when more was taken than leased."""

    units: float = 0.0
    incoming: list[IncomingLease] = field(default_factory=list)
    """Leases that end in the future, in the order of their ends."""

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` is there: 0 for now, infinite if it is more than was leased."""
        spare = self.units - cost
        if spare < -1e-9 * cost:
            return math.inf
        if not self.incoming:
            return 0.0
        later = 0.0
        for end, units, rate in reversed(self.incoming):
            if later + units > spare:
                wait = end - (spare - later) / rate - now
                return wait if wait > _INSTANT else 0.0
            later += units
        return 0.0

    def add(self, units: float, end: float, rate: float, now: float) -> None:
        """Add a lease that has wholly flowed in at `end`."""
        self.units += units
        if end > now:
            self.incoming.append(IncomingLease(end, units, rate))

    def bring_forward(self, end: float, now: float) -> None:
        """Have everything flowed in by `end`, and drop the leases that have flowed in."""
        self.incoming = [
            IncomingLease(min(lease.end, end), lease.units, lease.rate)
            for lease in self.incoming
            if lease.end > now
        ]
