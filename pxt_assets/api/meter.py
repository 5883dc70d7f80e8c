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
from pxt_assets.values.wording import counted


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
    """US dollars of the answers whose price is known; None where there are only others."""
    rows_unpriced: int = 0
    """Rows whose answer has no price that is known, or that were paid for without an answer that says how much."""
    limit_utilization: float | None = None
    """Share of what the limits allowed that was used meanwhile, 0 to 1, None where no limit is known."""
    limit_usage: LimitUtilization = field(default_factory=LimitUtilization)
    """What this process has used of the limits since the first request."""
    ways: set[Processing] = field(default_factory=set)
    """How requests were processed whose answers came later."""
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
        self,
        model: str,
        usage: Usage | None,
        latency: float | None,
        processing: Processing = "standard",
        tier: str | None = None,
        rows: int = 1,
    ) -> float | None:
        """Counts one answer.

        Args:
            model: the model that answered.
            usage: what the answer states that it used, None where it states nothing.
            latency: seconds from sending the request, None where that says nothing.
            processing: how the request was processed.
            tier: the service tier that the answer states.
            rows: how many rows it is counted for where its price is unknown; 0 for those that are counted already.

        Returns:
            What it cost in US dollars, None where that is unknown.
        """
        if usage is not None:
            self.usage += usage
        if processing != "standard":
            self.ways.add(processing)
        if latency is not None:
            self.latencies.append(latency)
        cost = cost_usd(model, usage, processing, tier)
        self.rows_unpriced += rows if cost is None else 0
        known = (self.cost_usd or 0.0) + (cost or 0.0)
        is_unknown = cost is None or self.cost_usd is None
        self.cost_usd = None if is_unknown and not known else known
        return cost

    def latency_quantile(self, share: float) -> float | None:
        """The latency in seconds that `share` (0 to 1) of the answers do not exceed, None without an answer."""
        return self.latencies.quantile(share)


def total_cost(meters: Iterable[Meter]) -> float | None:
    """The known cost of several computations in US dollars; None where something was paid, and no price is known."""
    costs = [meter.cost_usd for meter in meters]
    known = sum(cost for cost in costs if cost is not None)
    return None if None in costs and not known else known


def spent_text(meters: Iterable[Meter]) -> str:
    """What several computations cost: `$0.12`, `$0.12 and 3 rows of unknown price`, `cost unknown`."""
    meters = list(meters)
    return priced_text(total_cost(meters), sum(meter.rows_unpriced for meter in meters))


def priced_text(cost: float | None, unpriced: int, noun: str = "row") -> str:
    """A known cost and how much has none: `$0.12 and 3 rows of unknown price`; `cost unknown` where none is known."""
    if cost is None or not unpriced:
        return cost_text(cost)
    return f"{cost_text(cost)} and {counted(unpriced, noun)} of unknown price"


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
