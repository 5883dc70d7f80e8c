"""What requests are expected to cost, told at once of those that are like others; what earlier answers say of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from pxt_assets.api.body_template import FilledBody
from pxt_assets.api.client import Client
from pxt_assets.api.estimate import Estimator
from pxt_assets.api.later_budget import LaterBudget
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request
from pxt_assets.compute.cells.usage_history import observed_usage, stored_lengths
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.partition.column import Column
from pxt_assets.throttle.cost import RequestSize

_KINDS = 16_384
"""Kinds of requests that are remembered."""


class ExpectedCosts:
    """Remembers what `cost_usd` says: bodies of one template and one size are expected to cost the same."""

    def __init__(self, cost_usd: Callable[[Request], float | None]) -> None:
        self._cost_usd = cost_usd
        self._known: dict[tuple[object, RequestSize], float | None] = {}

    def of(self, request: Request) -> float | None:
        """What a request is expected to cost in US dollars; None where no price is known."""
        body = request.body
        if type(body) is not FilledBody:
            return self._cost_usd(request)
        kind = body.kind
        if kind not in self._known:
            if len(self._known) >= _KINDS:
                self._known.clear()
            self._known[kind] = self._cost_usd(request)
        return self._known[kind]


def expected_costs(column: Column, processing: Processing) -> ExpectedCosts:
    """What the column's requests are expected to cost, by what its answers used before."""
    estimator = Estimator()
    estimator.learn("", observed_usage(column.file))
    return ExpectedCosts(partial(estimator.cost_usd, processing=processing))


def later_budget(
    column: Column, processing: Processing, client: Client | None, coming: Iterable[BatchRecord]
) -> LaterBudget:
    """What the column's budget has for rows that are answered later, beside what is `coming` for the run's partitions.

    It knows how long the answers are of partitions whose column is defined as it is now.
    """
    budget = column.budget
    assert budget is not None
    simulated = client is not None and bool(client.simulated)
    found = stored_lengths(column.file, column.code_version, simulated=simulated)
    for model, (answers, longest) in found.items():
        budget.note_earlier(model, answers, longest)
    return LaterBudget(budget, processing, sum(record.cost_usd or 0.0 for record in coming))
