"""Cells made of answers that came later: read, priced and stored as the same answers are that come at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pxt_assets.api.batches import LineAnswer, parse_line
from pxt_assets.api.budget import Budget
from pxt_assets.api.failure import Failure, name_or_none
from pxt_assets.api.meter import Meter
from pxt_assets.api.prefix_turns import MARK_NAMED
from pxt_assets.api.processing import Processing
from pxt_assets.api.read_answer import download_rest
from pxt_assets.api.request import CellRequest, ParsedAnswer, Request, Usage
from pxt_assets.api.stated_usage import stated_usage
from pxt_assets.compute.partition.plan import Plan, ReadyCall
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance


class Made(NamedTuple):
    """A cell that was made of an answer: its value, or its error."""

    value: Any
    error: CellError | None
    provenance: Provenance


class Unfinished(NamedTuple):
    """A cell of which more is to be done than reading its answer: it links to downloads, or is made around the answer."""

    request: Request
    parsed: ParsedAnswer
    provenance: Provenance


class LaterAnswers:
    """Reads the answers of one partition. `server` is what its cells' provenance names.

    `download` fetches what an answer links to; `secrets` are replaced in what errors quote. `budget` is charged with what
    answers cost.
    """

    def __init__(
        self,
        plan: Plan,
        meter: Meter,
        *,
        server: str | None,
        download: Callable[[str], Awaitable[bytes]],
        budget: Budget | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._plan = plan
        self._meter = meter
        self._processing: Processing = "batch"
        self._counts = True
        self._server = server
        self._download = download
        self._budget = budget
        self._secrets = secrets

    def read(
        self,
        cell: Any,
        request: Request,
        answer: LineAnswer,
        processing: Processing = "batch",
        *,
        counts: bool = True,
    ) -> Made | Unfinished:
        """What an answer makes of a cell, whose only request it answers; synchronous, and for any thread.

        One that does not count is counted by another partition, and costs this one nothing.

        An error that would meet every request is its row's here: the others are answered already.
        """
        self._processing = processing
        self._counts = counts
        self._meter.requests += counts and processing == "batch"  # others were counted when they were sent
        try:
            parsed = parse_line(request, answer, self._secrets)
        except CellError as e:
            provenance = self._useless(request, answer, is_paid=True)
            return Made(None, e, provenance)
        if isinstance(parsed, Failure):
            is_paid = parsed.unreadable is not None
            error = parsed.cell_error()
            if request.prefix is not None and MARK_NAMED in parsed.message.lower():
                error.message += '. Materialize again: what failed is asked for without the mark; cache="off" leaves it out of all rows'
            return Made(None, error, self._useless(request, answer, is_paid=is_paid))
        model = parsed.model if parsed.model == request.model else name_or_none(parsed.model, self._secrets)
        usage = parsed.usage
        cost = self._count(request, model, usage, parsed.tier)
        provenance = Provenance(
            answer.request_id,
            model,
            usage.input_tokens if usage else None,
            usage.output_tokens if usage else None,
            usage.cached_tokens if usage else None,
            request.tokens,
            cost,
            None,
            1,
            self._server,
        )
        if parsed.values_with_downloads is not None or not isinstance(cell, ReadyCall):
            return Unfinished(request, parsed, provenance)
        try:
            value = self._plan.stored_form(request.cell_value(parsed.values[0]))
        except CellError as e:
            return Made(None, e, provenance)
        return Made(value, None, provenance)

    async def finish(self, cell: Any, begun: Unfinished) -> Made:
        """Does the rest."""
        parsed, provenance = begun.parsed, begun.provenance
        try:
            if parsed.values_with_downloads is not None:
                parsed, _ = await download_rest(self._download, begun.request, parsed, provenance.request_id)
            value = parsed.values[0]

            async def answer(asked: CellRequest) -> Any:
                return asked.cell_value(value)

            return Made(await self._plan.finish(cell, answer), None, provenance)
        except CellError as e:
            return Made(None, e, provenance)

    def _useless(self, request: Request, answer: LineAnswer, *, is_paid: bool) -> Provenance:
        """Counts what an answer cost that is no result, and says where it comes from."""
        stated, cost = stated_usage(answer.body, request.body), None
        if stated is not None:
            shown = name_or_none(stated.model, self._secrets)
            cost = self._count(request, shown, stated.usage, stated.tier)
        elif is_paid and self._counts:
            cost = self._meter.count_answer(request.model, None, None, self._processing)
            if cost is None and self._budget is not None:
                self._budget.charge_lost_answer(request)
        return Provenance(
            answer.request_id, estimated_tokens=request.tokens, cost_usd=cost, attempts=1, server=self._server
        )

    def _count(
        self, request: Request, model: str | None, usage: Usage | None, tier: str | None
    ) -> float | None:
        """Counts what an answer cost, in US dollars."""
        if not self._counts:
            return 0.0
        cost = self._meter.count_answer(model or request.model, usage, None, self._processing, tier)
        if self._budget is not None:
            self._budget.charge(request, usage, cost, tier)
        return cost
