"""What a budget leaves for requests whose answers come later: all that is on its way is set aside until it is answered."""

from __future__ import annotations

from collections import defaultdict

from pxt_assets.api.budget import Budget, BudgetReachedError
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request
from pxt_assets.values.wording import counted, dollars


class LaterBudget:
    """What of a run's budget is set aside for requests that are answered later, partition by partition.

    As many are admitted as fit at the price of that way, before the first of them is submitted; what is on its way
    already counts, whoever submitted it. Raises RunError for a model of which no price is known.
    """

    def __init__(self, budget: Budget, processing: Processing) -> None:
        self.budget = budget
        self._processing = processing
        self._set_aside: defaultdict[str | None, float] = defaultdict(float)
        self._dearest = 0.0

    def begin(self, partition: str | None) -> None:
        """Forgets what was set aside for a partition, all of whose rows are looked at anew."""
        self.budget.later_usd -= self._set_aside.pop(partition, 0.0)

    def note_on_its_way(self, partition: str | None, request: Request) -> None:
        """Sets aside what a request may cost that is on its way, whether there is room for it or not."""
        self._add(partition, self.budget.most_usd(request, self._processing))

    def admits(self, partition: str | None, request: Request) -> bool:
        """Whether the budget has room for a request, for which that is then set aside."""
        most = self.budget.most_usd(request, self._processing)
        self._dearest = max(self._dearest, most)
        if most > self.budget.left_usd():
            return False
        self._add(partition, most)
        return True

    def _add(self, partition: str | None, most_usd: float) -> None:
        self._set_aside[partition] += most_usd
        self.budget.later_usd += most_usd

    def error(self, name: str, rows: int) -> BudgetReachedError:
        """The error for rows that have no room, though nothing more comes back of what is set aside."""
        error = self.budget.spent_error()
        error.args = (
            f"{name}: {counted(rows, 'row')} have no room in max_cost_usd={error.max_cost_usd:g}: {dollars(error.spent_usd)} are "
            f"spent, {dollars(self.budget.later_usd)} set aside for what is on its way, and a row may cost "
            f"{dollars(self._dearest)}. What is finished and on its way is kept: materialize again with a higher "
            "max_cost_usd, or let answers be shorter (max_tokens), to go on with the others.",
        )
        return error
