"""What a budget leaves for requests whose answers come later: all that is on its way is set aside until it is answered."""

from __future__ import annotations

import math
from collections import defaultdict

from pxt_assets.api.budget import Budget, BudgetReachedError
from pxt_assets.api.cost_bound import ENOUGH_ANSWERS
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request
from pxt_assets.values.wording import counted, dollars

_TRIAL = 20
"""Rows of a trial that tells how long answers are."""


class LaterBudget:
    """What of a run's budget is set aside for requests that are answered later, partition by partition.

    As many are admitted as fit at the price of that way, before the first of them is submitted; what is on its way
    already counts, whoever submitted it: `coming_usd` is expected of it. Raises RunError for a model of which no price is known.
    """

    def __init__(self, budget: Budget, processing: Processing, coming_usd: float = 0.0) -> None:
        self.budget = budget
        self._coming_usd = coming_usd
        """What is expected of what is on its way already, as long as its rows have not been come to."""
        budget.later_usd += coming_usd
        self._processing = processing
        self._begun: set[str | None] = set()
        self._set_aside: defaultdict[str | None, float] = defaultdict(float)
        self._lacking: defaultdict[str | None, float] = defaultdict(float)
        """US dollars that requests may cost that have no room."""
        self._dearest: tuple[float, Request] | None = None
        """What the dearest of them may cost."""

    def begin(self, partition: str | None) -> None:
        """Forgets what was set aside for a partition, all of whose rows are looked at anew."""
        if partition in self._begun:  # all partitions were come to by then
            self._come_to(self._coming_usd)
        self._begun.add(partition)
        self.budget.later_usd -= self._set_aside.pop(partition, 0.0)
        self._lacking.pop(partition, None)
        if not any(self._lacking.values()):
            self._dearest = None

    def note_on_its_way(self, partition: str | None, request: Request) -> None:
        """Sets aside what a request may cost that is on its way, whether there is room for it or not."""
        most = self.budget.most_usd(request, self._processing)
        self._come_to(most)
        self._add(partition, most)

    def _come_to(self, most_usd: float) -> None:
        part = min(most_usd, self._coming_usd)
        self._coming_usd -= part
        self.budget.later_usd -= part

    def admits(self, partition: str | None, request: Request) -> bool:
        """Whether the budget has room for a request, for which that is then set aside."""
        most = self.budget.most_usd(request, self._processing)
        if most > self.budget.left_usd():
            self._lacking[partition] += most
            if self._dearest is None or most > self._dearest[0]:
                self._dearest = most, request
            return False
        self._add(partition, most)
        return True

    def set_aside_usd(self, partition: str | None) -> float:
        """What is set aside for a partition, in US dollars."""
        return self._set_aside.get(partition, 0.0)

    def _add(self, partition: str | None, most_usd: float) -> None:
        self._set_aside[partition] += most_usd
        self.budget.later_usd += most_usd

    def lacking_text(self, rows: int) -> str:
        """What so many rows have no room in, and what a row may cost."""
        error, set_aside = self.budget.spent_error(), self.budget.later_usd
        text = (
            f"{counted(rows, 'row')} {'has' if rows == 1 else 'have'} no room in max_cost_usd={error.max_cost_usd:g}: "
            f"{dollars(error.spent_usd)} are spent, {dollars(set_aside)} set aside for what is on its way"
        )
        if self._dearest is None:
            return text
        most, request = self._dearest
        text += f", and a row may cost {dollars(most)}"
        assumed = self.budget.unknown_output(request)
        if assumed is not None:
            text += (
                f": nothing limits its answer, which may have {assumed:,} tokens as long as fewer than {ENOUGH_ANSWERS} answers "
                "of this column are known"
            )
        return text

    def error(self, name: str, rows: int) -> BudgetReachedError:
        """The error for rows that have no room, though nothing more comes back of what is set aside."""
        error = self.budget.spent_error()
        error.args = (f"{name}: {self.lacking_text(rows)}. {self._advice()}",)
        return error

    def _advice(self) -> str:
        need = _rounded_up(self.budget.spent_usd + self.budget.later_usd + math.fsum(self._lacking.values()))
        room = f"max_cost_usd={need} has room for all"
        kept = "What is finished and on its way is kept."
        request = None if self._dearest is None else self._dearest[1]
        path = "" if request is None else request.endpoint.path
        limit = "max_output_tokens" if path == "/responses" else "max_completion_tokens"
        if request is not None and self.budget.unknown_output(request) is not None:
            return (
                f"Set {limit}, or run a trial first (limit: {_TRIAL}), whose answers tell how long they are, and "
                f"materialize again to go on with these rows; without either {room}. {kept}"
            )
        return f"Materialize again with more to go on with these rows: {room}; or let answers be shorter ({limit}). {kept}"


def _rounded_up(cost: float) -> str:
    """A sum in US dollars, rounded up to three digits, as a number in a config is written: `0.0126`."""
    if cost <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(cost)) - 2)
    return f"{math.ceil(cost / unit * (1 - 1e-12)) * unit:.12f}".rstrip("0").rstrip(".")
