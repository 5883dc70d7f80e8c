"""The tracker of one request: counts its attempts in the meter, and tells telemetry of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pxt_assets.api.answer import Answer
from pxt_assets.api.failure import Failure
from pxt_assets.api.meter import Meter
from pxt_assets.api.prefix_lead import PrefixLead
from pxt_assets.api.request import Request
from pxt_assets.api.telemetry import RequestSpan, Telemetry
from pxt_assets.throttle import Permit

if TYPE_CHECKING:
    from pxt_assets.api.transport import Transport

SIZE_TRIES = 3
"""How often a request that is believed too large is sent, if its 429s do not tell whether it is."""


@dataclass(eq=False, slots=True)
class RequestTracker:
    """A request that is being sent, once or more often.

    Its methods are told of each event: an attempt, a 429, a retry, the answer or the error in its place.
    """

    request: Request
    meter: Meter
    task: asyncio.Task[object]
    number: int
    telemetry: Telemetry | None = None
    failed_before: bool = False
    """Whether its row failed in an earlier run too."""
    lead: PrefixLead | None = None
    """That of the others with the same cached prefix, which wait for its answer."""
    refused_before_trial: Failure | None = None
    """Why another encoding of the answer is being tried."""
    unreadable: bool = False
    """Whether a page or nothing came in place of an answer."""
    unpriced: bool = False
    """Whether an answer came whose price is unknown."""
    size_tries: int = 0
    """Attempts that were believed too large, and rejected for a reason that is not clear."""
    _limited_in_answer: bool = False
    _rests: bool = False
    attempts: int = 0
    lost_answers: int = 0
    """Attempts whose answers were lost."""
    span: RequestSpan | None = None
    """The span from the first attempt on, None without telemetry."""

    def may_be_sent_again_soon(self, failure: Failure) -> bool:
        """Whether a rate limit inside an answer, without a wait, is the request's first: its provider's, not the server's.

        Such a request goes again after a backoff, and the others meanwhile; a second one slows all down.
        """
        again_soon = (
            failure.in_answer and not self._limited_in_answer and "retry-after" not in failure.headers
        )
        self._limited_in_answer = self._limited_in_answer or failure.in_answer
        return again_soon

    def judge_size(self, failure: Failure, permit: Permit) -> Failure:
        """The failure of an attempt, as one for its size if it was believed too large and the 429 shows that it is.

        That is clear where as good as nothing of the limit was in use; else it is assumed at the third time.
        """
        if permit.too_large is None or failure.status != 429 or failure.too_large:
            return failure
        self.size_tries += 1
        if self.size_tries < SIZE_TRIES and not permit.is_refused_for_size(failure.headers):
            return failure
        return replace(failure, size_note=str(permit.too_large))

    def sent(self, transport: Transport) -> None:
        """Counts an attempt."""
        self.meter.unsent_tasks.discard(self.task)
        self.meter.requests += 1
        self.attempts += 1
        if self.lead is not None:
            self.lead.sent()
        if self.telemetry is not None and self.span is None:
            self.span = RequestSpan(self.telemetry, self.request, transport.base_url)

    def rest(self) -> None:
        """Notes that it is not answered at once: from now on it may use nothing for a while."""
        if not self._rests:
            self._rests = True
            self.meter.on_rest(1)

    def end(self) -> None:
        """Notes that it is answered, or given up."""
        if self.lead is not None:
            self.lead.failed()
        self.meter.unsent_tasks.discard(self.task)
        if self._rests:
            self.meter.on_rest(-1)

    def release_budget(self) -> None:
        """Returns what the budget reserved for an attempt."""
        if self.meter.budget is not None:
            self.meter.budget.release(self.request)

    def rejected(self) -> None:
        """Counts an answer that nothing can be made of, and that may have been paid for all the same."""
        if not self.unpriced:
            self.unpriced = True
            self.meter.count_answer(self.request.model, None, None, rows=self.request.cells)

    def retried(self) -> None:
        """Counts a retry after a fault."""
        self.meter.retries += 1
        if self.span is not None:
            self.span.retried()

    def rate_limited(self) -> None:
        """Counts a 429."""
        self.meter.rate_limited += 1
        if self.span is not None:
            self.span.rate_limited()

    def answered(self, answer: Answer) -> None:
        """Ends the span with the answer."""
        if self.lead is not None:
            self.lead.answered(wrote=answer.usage is not None and answer.usage.cache_write_tokens > 0)
        if self.span is not None:
            self.span.answered(answer)

    def failed(self, error: BaseException) -> None:
        """Ends the span with the error."""
        if self.span is not None:
            self.span.failed(error)
