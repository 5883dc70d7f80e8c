"""What one partition's computation used: requests, tokens, money, time."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass, field

from pxt_assets.pricing import cost_usd
from pxt_assets.request import Usage


@dataclass
class Meter:
    """Counts what a computation used. All of it is counted when it happens, failures included."""

    requests: int = 0
    """Requests sent, retries included."""
    retries: int = 0
    """Requests sent again after a fault (5xx, timeout, dropped connection)."""
    rate_limited: int = 0
    """429 answers met."""
    seconds_throttled: float = 0.0
    """Time that requests waited for the limiter, added up over the requests in flight."""
    usage: Usage = field(default_factory=Usage)
    """Tokens that the answers state."""
    cost_usd: float | None = 0.0
    """US dollars, None as soon as one answer's price is unknown."""
    limit_utilization: float | None = None
    """Share of what the limits allowed that was used, 0 to 1, None where no limit is known."""
    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from sending a request to its answer, one for each answer."""
    unsent: set[asyncio.Task[object]] = field(default_factory=set)
    """Tasks that wait to send: those which a stop may cancel at no cost."""

    def answered(self, model: str, usage: Usage | None, latency: float) -> None:
        """Counts one answer; `usage` is None where it states none."""
        self.usage += usage or Usage()
        self.latencies.append(latency)
        cost = cost_usd(model, usage)
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost

    def latency(self, share: float) -> float | None:
        """The latency in seconds below which that share of answers came, None without an answer."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def dollars(cost: float | None) -> str:
    """A cost for people: `$12.34`, `$0.000062`, `cost unknown`."""
    if cost is None:
        return "cost unknown"
    return f"${cost:.2f}" if cost >= 1 or cost == 0 else f"${cost:.6f}"
