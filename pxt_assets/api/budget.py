"""The budget of a run: requests are sent while what is spent, and what is in flight may cost, are within its limit."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from pxt_assets.api.cost_bound import CostBound
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request, Usage
from pxt_assets.errors import RunError
from pxt_assets.values.wording import counted, dollars

FIRST_REQUESTS = 16
"""So many are sent side by side before an answer has shown what one costs."""


class BudgetReachedError(RunError):
    """The budget is spent, and nothing is in flight any more; `lost_usd` of it for answers that were lost."""

    def __init__(self, max_cost_usd: float, spent_usd: float, lost_usd: float = 0.0) -> None:
        spent, most = dollars(spent_usd), dollars(max_cost_usd)
        parts = [f"{spent}: the last request may go over it"] if spent != most else []
        if lost_usd:
            lost = "of it for answers that were lost or unreadable, at the most these may have cost"
            parts.append(f"{dollars(lost_usd)} {lost}")
        more = f" ({'; '.join(parts)})" if parts else ""
        super().__init__(f"The budget of {most} is spent{more}")
        self.max_cost_usd = max_cost_usd
        self.spent_usd = spent_usd
        self.lost_usd = lost_usd

    def with_progress(self, label: str, done: int, total: int) -> BudgetReachedError:
        """The same error, which also says how many rows of a partition are finished and how to go on."""
        error = BudgetReachedError(self.max_cost_usd, self.spent_usd, self.lost_usd)
        are, they = ("is", "It is") if done == 1 else ("are", "They are")
        kept = f". {they} kept and will not be computed again" if done else ""
        error.args = (
            f"{label}: {self}. {done:,} of {counted(total, 'row')} {are} finished{kept}: materialize again with a higher "
            "max_cost_usd, or without one, to go on with the others. The stored column is as it was.",
        )
        return error


class Budget:
    """What one run may cost in US dollars, over all its partitions.

    What a request may cost at most (`CostBound`) is set aside before it is sent, so that all that is in flight fits in
    the budget. Only when nothing is in flight, and something is left, a request is sent that may cost more than that: the
    budget is exceeded by what this one costs beyond it, at most. Raises RunError for a model of which no price is known.
    """

    def __init__(self, max_cost_usd: float) -> None:
        self.spent_usd = 0.0
        self.later_usd = 0.0
        """What is set aside for answers that come later."""
        self._lost_usd = 0.0
        self._max_cost_usd = max_cost_usd
        self._unpriced_model: str | None = None
        """A model whose answer has no known price: the answer is kept, nothing more is sent."""
        self._bound = CostBound()
        self._in_flight: dict[int, tuple[Request, float]] = {}
        """What is in flight, and what is set aside for it in US dollars, by the request's id."""
        self._set_aside_usd = 0.0
        self._waiting: deque[tuple[Request, asyncio.Future[None]]] = deque()

    async def reserve(self, request: Request) -> None:
        """Sets aside what a request may cost that is about to be sent; waits until the budget has room for it.

        Requests are admitted in their order. `release` must follow. Raises BudgetReachedError when none can be paid for
        any more, RunError when the dollars spent are unknown.
        """
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.append((request, admitted))
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            self.release(request)  # it may have been admitted just before
            raise

    def left_usd(self) -> float:
        """What is neither spent nor set aside for what is in flight. Raises RunError when the dollars spent are unknown."""
        if self._unpriced_model is not None:
            raise self._unknown_price_error(self._unpriced_model)
        return self._max_cost_usd - self.spent_usd - self.later_usd - self._set_aside_usd

    @property
    def unspent_usd(self) -> float:
        """US dollars that are not spent yet, whatever of them is set aside."""
        return max(0.0, self._max_cost_usd - self.spent_usd)

    def most_usd(self, request: Request, processing: Processing = "standard") -> float:
        """What a request may cost at most. Raises RunError where no price is known."""
        most = self._bound.most_usd(request, processing)
        if most is None:
            raise self._unknown_price_error(request.model)
        return most

    def note_earlier(self, model: str, answers: int, longest: int) -> None:
        """As `CostBound.note_earlier`."""
        self._bound.note_earlier(model, answers, longest)

    def unknown_output(self, request: Request) -> int | None:
        """As `CostBound.unknown_output`."""
        return self._bound.unknown_output(request)

    def spent_error(self) -> BudgetReachedError:
        """The error for what the budget has no room for."""
        return BudgetReachedError(self._max_cost_usd, self.spent_usd, self._lost_usd)

    def charge(
        self, request: Request, usage: Usage | None, cost: float | None, tier: str | None = None
    ) -> None:
        """Adds what an answer cost to the dollars spent; after None, an unknown cost, nothing more is sent.

        `tier` is the service tier in which it was answered.
        """
        _, set_aside = self._in_flight.get(id(request), (request, math.inf))
        self.release(request, admit=False)
        if cost is None:
            self._unpriced_model = request.model
        else:
            self.spent_usd += cost
            self._bound.learn(request, usage, cost, tier)
            if cost > set_aside:  # what is in flight may cost as much
                for other, _ in list(self._in_flight.values()):
                    self._set_aside(other)
        self._admit()

    def charge_lost_answer(self, request: Request) -> None:
        """Adds what the answer to a request may have cost that was lost: as much as the dearest one that is known.

        As long as none is known, it is what was set aside.
        """
        dearest = self._bound.dearest_usd(request)
        _, set_aside = self._in_flight.get(id(request), (request, 0.0))
        cost = set_aside if dearest is None else dearest
        self.spent_usd += cost
        self._lost_usd += cost
        self.release(request)

    def release(self, request: Request, *, admit: bool = True) -> None:
        """Returns what was set aside for a request, however it ended."""
        _, set_aside = self._in_flight.pop(id(request), (request, 0.0))
        self._set_aside_usd -= set_aside
        if not self._in_flight:
            self._set_aside_usd = 0.0  # not what rounding left
        if admit:
            self._admit()

    def _admit(self) -> None:
        """Admits the requests that wait, as long as there is room; all fail if there is nothing left to wait for."""
        while self._waiting:
            request, admitted = self._waiting[0]
            if not admitted.done():
                try:
                    if not self._has_room(request):
                        return
                    self._set_aside(request)
                except RunError as e:
                    admitted.set_exception(e)
                else:
                    admitted.set_result(None)
            self._waiting.popleft()

    def _has_room(self, request: Request) -> bool:
        if self._unpriced_model is not None:
            raise self._unknown_price_error(self._unpriced_model)
        left = self._max_cost_usd - self.spent_usd - self.later_usd
        if not self._in_flight:
            if left <= 0:
                raise BudgetReachedError(self._max_cost_usd, self.spent_usd, self._lost_usd)
            return True
        if len(self._in_flight) >= FIRST_REQUESTS and self._bound.dearest_usd(request) is None:
            return False  # a server may not keep to what a request allows: an answer tells
        return self._set_aside_usd + self.most_usd(request) <= left

    def _set_aside(self, request: Request) -> None:
        _, before = self._in_flight.get(id(request), (request, 0.0))
        most = max(before, self.most_usd(request))
        self._in_flight[id(request)] = request, most
        self._set_aside_usd += most - before

    def _unknown_price_error(self, model: str) -> RunError:
        of_what, instead = f"what {model!r} answered", "choose a model that has a price"
        if cost_usd(model, Usage(1)) is not None:
            of_what = f"all that {model!r} answers, in its service tier and with the tools that the server runs for it"
            instead = "ask for what has a price"
        return RunError(
            f"max_cost_usd={self._max_cost_usd:g} cannot be kept: no price is known of {of_what}; "
            f"leave max_cost_usd out and bound the run with limit, or {instead}"
        )
