"""One attempt of a request: it is sent once, its answer read, and what it cost counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pxt_assets.api.answer import Answer
from pxt_assets.api.answer_headers import AnswerHeaders
from pxt_assets.api.deadlines import Deadlines
from pxt_assets.api.failure import Failure, failure_of, is_broken_answer, is_unsent, name_or_none
from pxt_assets.api.read_answer import download_rest, parse_answer
from pxt_assets.api.request import ParsedAnswer, Usage
from pxt_assets.api.request_tracker import RequestTracker
from pxt_assets.api.server_health import ServerHealth
from pxt_assets.api.stated_usage import stated_usage
from pxt_assets.errors import CellError
from pxt_assets.throttle import Permit

if TYPE_CHECKING:
    from pxt_assets.api.transport import Transport

SIMULATED_HEADER = "x-pxt-simulated"


class Exchange:
    """Sends requests once each, by `transport`. `timeout` is the seconds for a whole answer.

    `secrets` are replaced in what failures quote.
    """

    def __init__(
        self, transport: Transport, health: ServerHealth, timeout: float, secrets: tuple[str, ...]
    ) -> None:
        self._transport = transport
        self._health = health
        self._deadlines = Deadlines(timeout)
        self._headers = AnswerHeaders(secrets)
        self._secrets = secrets
        self.simulated: bool | None = None
        """Whether the server is a simulator, None before its first answer."""

    async def send(self, tracker: RequestTracker, permit: Permit) -> Answer | Failure:
        """Sends a request once. The cost of its answer is counted even if the answer is of no use.

        The permit is settled by an answer, and left to the caller with a failure. Raises CellError for an answer that is
        no result.
        """
        request = tracker.request
        now = asyncio.get_running_loop().time
        sent = now()
        deadline = self._deadlines.begin(tracker.task, sent)
        try:
            response = await self._transport.post(request)
        except BaseException as e:
            error = deadline.explain(e)
            failure = self._failure(error) if isinstance(error, Exception) else None
            if failure.is_lost if failure is not None else not is_unsent(error):
                tracker.lost_answers += 1
                tracker.meter.requests_unknown += 1
                if tracker.meter.budget is not None:
                    tracker.meter.budget.charge_lost_answer(request)
            if failure is None:
                permit.lost()
                raise
            return failure
        finally:
            self._deadlines.end(deadline)
        headers, latency = self._headers.read(response.headers), now() - sent
        self._health.has_answered = True
        self.simulated = headers.get(SIMULATED_HEADER) == "true"
        try:
            parsed = parse_answer(request, response.content, headers, self._secrets)
        except CellError:
            self._note_answered(tracker, permit, headers)
            self._count_useless(tracker, response.content, latency, is_paid=True)
            raise
        if isinstance(parsed, Failure):
            self._count_useless(tracker, response.content, latency, is_paid=False)
            return parsed
        self._note_answered(tracker, permit, headers)
        if not parsed.urls:
            tracker.meter.answer_sizes.note(request, len(response.content))
        return await self._answer(tracker, parsed, headers, latency)

    async def is_simulated(self) -> bool:
        """Whether the server is a simulator, as its answers say; asks for the list of models if none came yet."""
        if self.simulated is None:
            self.simulated = False
            with suppress(Exception):  # a server without that list is no simulator
                response = await self._transport.get("/models")
                self.simulated = response.headers.get(SIMULATED_HEADER) == "true"
        return self.simulated

    def _note_answered(self, tracker: RequestTracker, permit: Permit, headers: Mapping[str, str]) -> None:
        permit.answered(headers)
        self._health.note_let_in(tracker.request)
        self._health.note_alive()

    def _count_useless(
        self, tracker: RequestTracker, content: bytes, latency: float, *, is_paid: bool
    ) -> None:
        """Counts what an answer cost that is no result. One that states no usage is paid for all the same, if `is_paid`."""
        request, meter = tracker.request, tracker.meter
        stated = stated_usage(content, request.body)
        if stated is not None:
            model, usage, tier = stated
            cost = self._count(tracker, self._shown(model), usage, latency, tier)
            if meter.budget is not None:
                meter.budget.charge(request, usage, cost, tier)
        elif is_paid:
            cost = self._count(tracker, None, None, None, None)
            if cost is None and meter.budget is not None:
                meter.budget.charge_lost_answer(request)

    def _count(
        self,
        tracker: RequestTracker,
        model: str | None,
        usage: Usage | None,
        latency: float | None,
        tier: str | None,
    ) -> float | None:
        """Counts an answer, and the request's rows once where its price is unknown. Returns its cost."""
        request, rows = tracker.request, 0 if tracker.unpriced else tracker.request.cells
        cost = tracker.meter.count_answer(model or request.model, usage, latency, tier=tier, rows=rows)
        tracker.unpriced = tracker.unpriced or cost is None
        return cost

    def _shown(self, model: str | None) -> str | None:
        """A model's name, which is stored and logged, without secrets."""
        return name_or_none(model, self._secrets)

    async def _answer(
        self, tracker: RequestTracker, parsed: ParsedAnswer, headers: Mapping[str, str], latency: float
    ) -> Answer:
        request, meter = tracker.request, tracker.meter
        model = parsed.model if parsed.model == request.model else self._shown(parsed.model)
        tier = self._shown(parsed.tier)
        cost = self._count(tracker, model, parsed.usage, latency, tier)
        if meter.budget is not None:
            meter.budget.charge(request, parsed.usage, cost, tier)
        request_id = headers.get("x-request-id")
        if parsed.values_with_downloads is not None:
            parsed, size = await download_rest(self._transport.download, request, parsed, request_id)
            meter.answer_sizes.note(request, size)
        return Answer(parsed.values, parsed.usage, model, cost, request_id, latency, tracker.attempts)

    def _failure(self, error: Exception) -> Failure | None:
        failure = failure_of(error, self._secrets)
        if is_broken_answer(error):
            self._health.has_answered = self._health.has_let_in = True
        if failure is not None and failure.status is not None:
            self.simulated = failure.headers.get(SIMULATED_HEADER) == "true"
            self._health.has_answered = True
        return failure
