"""A request on its way, and what it is answered with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pxt_assets.api.answer import Answer
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Request
from pxt_assets.api.telemetry import RequestSpan, Telemetry

if TYPE_CHECKING:
    import httpx2


@dataclass(eq=False)
class RequestTracker:
    """A request on its way: within the block it is sent, as often as it takes."""

    request: Request
    meter: Meter
    task: asyncio.Task[object]
    number: int
    telemetry: Telemetry | None = None
    attempts: int = 0
    lost_answers: int = 0
    """Attempts whose answers were lost."""
    span: RequestSpan | None = None
    """From the first attempt on, where there is telemetry."""

    def __enter__(self) -> Self:
        self.meter.unsent_tasks.add(self.task)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.meter.unsent_tasks.discard(self.task)
        if self.span is not None and error is not None:
            self.span.failed(error)

    def sent(self, server: httpx2.URL) -> None:
        """Notes an attempt."""
        self.meter.unsent_tasks.discard(self.task)
        self.meter.requests += 1
        self.attempts += 1
        if self.telemetry is not None and self.span is None:
            self.span = RequestSpan(self.telemetry, self.request, server)

    def retried(self) -> None:
        """Notes that it is sent again after a fault."""
        self.meter.retries += 1
        if self.span is not None:
            self.span.retried()

    def rate_limited(self) -> None:
        """Notes a 429."""
        self.meter.rate_limited += 1
        if self.span is not None:
            self.span.rate_limited()

    def answered(self, answer: Answer) -> Answer:
        """Notes how it ended, and gives it back."""
        if self.span is not None:
            self.span.answered(answer)
        return answer
