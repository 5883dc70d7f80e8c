"""What one partition's computation used: requests, tokens, money, time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pxt_assets.api.answer_sizes import AnswerSizes
from pxt_assets.api.budget import Budget
from pxt_assets.api.latencies import Latencies
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Usage
from pxt_assets.throttle import LimitUtilization


def _ignore(_change: int) -> None:
    pass


@dataclass
class Meter:
    """Counts what a computation used, as it happens, failures included."""

    requests: int = 0
    """Requests sent, retries included."""
    retries: int = 0
    """Requests sent again after a fault (5xx, timeout, dropped connection)."""
    rate_limited: int = 0
    """429 answers met."""
    requests_unknown: int = 0
    """Requests whose answer was lost after they were sent: they may have been paid for."""
    seconds_throttled: float = 0.0
    """Time that requests waited for the limiter, added up over the requests in flight."""
    usage: Usage = field(default_factory=Usage)
    """Tokens that the answers state."""
    cost_usd: float | None = 0.0
    """US dollars, None as soon as one answer's price is unknown."""
    limit_utilization: float | None = None
    """Share of what the limits allowed that was used meanwhile, 0 to 1, None where no limit is known."""
    limit_usage: LimitUtilization = field(default_factory=LimitUtilization)
    """What this process has used of the limits since the first request."""
    latencies: Latencies = field(default_factory=Latencies)
    """Seconds from sending a request to its answer, of each answer."""
    budget: Budget | None = None
    """What the run may cost, None for no limit."""
    answer_sizes: AnswerSizes = field(default_factory=AnswerSizes)
    """How large the answers of the run are."""
    stopped: bool = False
    """Whether nothing more may be sent, as the run is being stopped."""
    on_rest: Callable[[int], object] = _ignore
    """Called with +1 once a request rests between two attempts, or waits for what becomes of others, and with -1 when it
    has ended."""
    unsent_tasks: set[asyncio.Task[object]] = field(default_factory=set)
    """Tasks that have not sent their request: cancelling them costs nothing."""

    def count_answer(
        self, model: str, usage: Usage | None, latency: float | None, processing: Processing = "standard"
    ) -> float | None:
        """Counts one answer; `usage` is None where it states none, `latency` where nobody waited for it.

        Returns its cost, None where that is unknown.
        """
        self.usage += usage or Usage()
        if latency is not None:
            self.latencies.append(latency)
        cost = cost_usd(model, usage, processing)
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        return cost

    def latency_quantile(self, share: float) -> float | None:
        """The latency in seconds that `share` (0 to 1) of the answers do not exceed, None without an answer."""
        return self.latencies.quantile(share)


def total_cost(meters: Iterable[Meter]) -> float | None:
    """The cost of several computations in US dollars, None as soon as one price is unknown."""
    costs = [meter.cost_usd for meter in meters]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def cost_text(cost: float | None) -> str:
    """A cost as text: `$12.34`, `$0.00`; of less than a dollar three digits, `$0.000527`; `cost unknown`."""
    if cost is None:
        return "cost unknown"
    if cost == 0 or cost >= 0.995:
        return f"${cost:,.2f}"
    if cost >= 0.0995:
        return f"${cost:.2f}"
    digits = 2 - math.floor(math.log10(cost))
    return f"${cost:.{digits}f}".rstrip("0")
