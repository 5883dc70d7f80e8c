"""The budget of a run: requests are sent as long as what was spent and what is in flight cost less than it allows."""

from __future__ import annotations

import asyncio
from collections import deque

from pxt_assets.api.estimate import Estimator, Observed
from pxt_assets.api.request import Request, Usage
from pxt_assets.errors import RunError


class BudgetReachedError(RunError):
    """What was spent has reached the budget, and nothing is in flight any more."""

    def __init__(self, max_cost_usd: float, spent_usd: float) -> None:
        super().__init__(f"max_cost_usd={max_cost_usd:g} is reached: ${spent_usd:.6g} is spent")
        self.max_cost_usd = max_cost_usd
        self.spent_usd = spent_usd

    def of(self, label: str, done: int, total: int) -> BudgetReachedError:
        """The same, with how far the computation of a partition came, and how to go on."""
        said = BudgetReachedError(self.max_cost_usd, self.spent_usd)
        said.args = (
            f"{label}: {self}, and {done:,} of {total:,} rows are finished. They are kept and will not be computed "
            "again: materialize again with a higher max_cost_usd, or without one, to go on with the others. The stored "
            "column is as it was.",
        )
        return said


class Budget:
    """What one run may cost in US dollars, over all its partitions.

    An answer may cost more than was expected of it, so the last requests in flight may exceed the budget by as much.
    Raises RunError for a model of which no price is known.
    """

    def __init__(self, max_cost_usd: float) -> None:
        self.spent_usd = 0.0
        self._max_cost_usd = max_cost_usd
        self._unpriced: str | None = None
        """A model that answered at a price which nobody knows: nothing more is sent, though that answer is kept."""
        self._estimator = Estimator()
        self._in_flight: dict[int, float] = {}
        self._in_flight_usd = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def learn(self, observed: Observed) -> None:
        """Takes in what earlier runs used."""
        self._estimator.learn("", observed)

    @property
    def _is_open(self) -> bool:
        return self._unpriced is None and self.spent_usd + self._in_flight_usd < self._max_cost_usd

    async def wait(self) -> None:
        """Returns when there is money for a request.

        Raises BudgetReachedError when there will be none, RunError when nobody knows what was spent.
        """
        while not self._is_open:
            if self._unpriced is not None:
                raise self._unknown(self._unpriced)
            if not self._in_flight:
                raise BudgetReachedError(self._max_cost_usd, self.spent_usd)
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def take(self, request: Request) -> bool:
        """Puts aside what a request that is about to be sent should cost; False if there is no money for it."""
        if not self._is_open:
            return False
        expected = self._estimator.cost_usd(request)
        if expected is None:
            raise self._unknown(request.model)
        self._in_flight[id(request)] = expected
        self._in_flight_usd += expected
        self.pass_on()
        return True

    def answered(self, request: Request, usage: Usage | None, cost_usd: float | None) -> None:
        """Takes in what an answer cost; None, where nobody knows, ends the sending."""
        if cost_usd is None:
            self._unpriced = request.model
            return
        self.spent_usd += cost_usd
        if usage is not None:
            observed = Observed(
                1, request.size.least_tokens + request.size.tools, usage.input_tokens, usage.output_tokens
            )
            self._estimator.learn(request.model, observed)

    def unanswered(self, request: Request) -> None:
        """Counts a request whose answer was lost as paid for: it may have been."""
        self.spent_usd += self._in_flight.get(id(request), 0.0)

    def settle(self, request: Request) -> None:
        """Gives back what was put aside for a request, however it ended."""
        self._in_flight_usd -= self._in_flight.pop(id(request), 0.0)
        if not self._in_flight:
            self._in_flight_usd = 0.0  # not what rounding left
        self.pass_on()

    def pass_on(self) -> None:
        """Lets the next request go on, which lets its next one: or all, if there is nothing left to wait for.

        Whoever has waited and then sends nothing has to, or those behind would wait for ever.
        """
        while self._waiting and (self._is_open or not self._in_flight or self._unpriced is not None):
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                if self._is_open:
                    return

    def _unknown(self, model: str) -> RunError:
        return RunError(
            f"max_cost_usd={self._max_cost_usd:g} cannot be kept: no price is known of what {model!r} answered; "
            "leave max_cost_usd out and bound the run with limit, or choose a model that has a price"
        )
