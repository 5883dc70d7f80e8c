"""The budget of a run: requests are sent while the dollars spent and in flight are below its limit."""

from __future__ import annotations

import asyncio
from collections import deque

from pxt_assets.api.estimate import Estimator, ObservedUsage
from pxt_assets.api.request import Request, Usage
from pxt_assets.errors import RunError


class BudgetReachedError(RunError):
    """The budget is spent, and nothing is in flight any more."""

    def __init__(self, max_cost_usd: float, spent_usd: float) -> None:
        super().__init__(f"max_cost_usd={max_cost_usd:g} is reached: ${spent_usd:.6g} is spent")
        self.max_cost_usd = max_cost_usd
        self.spent_usd = spent_usd

    def with_progress(self, label: str, done: int, total: int) -> BudgetReachedError:
        """The same error, which also says how many rows of a partition are finished and how to go on."""
        error = BudgetReachedError(self.max_cost_usd, self.spent_usd)
        error.args = (
            f"{label}: {self}, and {done:,} of {total:,} rows are finished. They are kept and will not be computed "
            "again: materialize again with a higher max_cost_usd, or without one, to go on with the others. The stored "
            "column is as it was.",
        )
        return error


class Budget:
    """What one run may cost in US dollars, over all its partitions.

    The last requests in flight may exceed the budget by as much as their answers cost more than expected. Raises RunError for a model of which no price is known.
    """

    def __init__(self, max_cost_usd: float) -> None:
        self.spent_usd = 0.0
        self._max_cost_usd = max_cost_usd
        self._unpriced_model: str | None = None
        """A model that answered and has no known price: its answer is kept, nothing more is sent."""
        self._estimator = Estimator()
        self._in_flight: dict[int, float] = {}
        self._in_flight_usd = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def learn(self, observed: ObservedUsage) -> None:
        """Adds what earlier runs used to the estimates."""
        self._estimator.learn("", observed)

    @property
    def _is_open(self) -> bool:
        return self._unpriced_model is None and self.spent_usd + self._in_flight_usd < self._max_cost_usd

    async def wait(self) -> None:
        """Returns when a request can be paid for.

        Raises BudgetReachedError when none can any more, RunError when the dollars spent are unknown.
        """
        while not self._is_open:
            if self._unpriced_model is not None:
                raise self._unknown_price_error(self._unpriced_model)
            if not self._in_flight:
                raise BudgetReachedError(self._max_cost_usd, self.spent_usd)
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def reserve(self, request: Request) -> bool:
        """Reserves the expected cost of a request that is about to be sent; False if the budget has no room for it."""
        if not self._is_open:
            return False
        expected = self._estimator.cost_usd(request)
        if expected is None:
            raise self._unknown_price_error(request.model)
        self._in_flight[id(request)] = expected
        self._in_flight_usd += expected
        self.wake_next()
        return True

    def charge(self, request: Request, usage: Usage | None, cost_usd: float | None) -> None:
        """Adds what an answer cost to the dollars spent; after None, an unknown cost, nothing more is sent."""
        if cost_usd is None:
            self._unpriced_model = request.model
            return
        self.spent_usd += cost_usd
        if usage is not None:
            observed = ObservedUsage(
                1, request.size.least_tokens + request.size.tools, usage.input_tokens, usage.output_tokens
            )
            self._estimator.learn(request.model, observed)

    def charge_lost_answer(self, request: Request) -> None:
        """Adds the expected cost of a request whose answer was lost: it may have been paid for."""
        self.spent_usd += self._in_flight.get(id(request), 0.0)

    def release(self, request: Request) -> None:
        """Releases what was reserved for a request, however it ended."""
        self._in_flight_usd -= self._in_flight.pop(id(request), 0.0)
        if not self._in_flight:
            self._in_flight_usd = 0.0  # not what rounding left
        self.wake_next()

    def wake_next(self) -> None:
        """Wakes the next waiting request, which wakes the one after it; wakes all if there is nothing left to wait for.

        A request that has waited and is then not sent must call this, or those behind it wait for ever.
        """
        while self._waiting and (self._is_open or not self._in_flight or self._unpriced_model is not None):
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                if self._is_open:
                    return

    def _unknown_price_error(self, model: str) -> RunError:
        return RunError(
            f"max_cost_usd={self._max_cost_usd:g} cannot be kept: no price is known of what {model!r} answered; "
            "leave max_cost_usd out and bound the run with limit, or choose a model that has a price"
        )
