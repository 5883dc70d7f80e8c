"""The client: sends requests through the limiter, retries what may be retried, counts everything."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

import httpx2

from pxt_assets.api.answer import Answer
from pxt_assets.api.answer_encoding import AnswerEncodings
from pxt_assets.api.failure import Failure, failure_of, relevant_headers, verdict_of
from pxt_assets.api.meter import Meter
from pxt_assets.api.permits import Permits, settle
from pxt_assets.api.read_answer import download_rest, parse_answer
from pxt_assets.api.refusals import Refusal, Refusals, Turn
from pxt_assets.api.request import ParsedAnswer, Request
from pxt_assets.api.request_tracker import RequestTracker
from pxt_assets.api.telemetry import find_telemetry
from pxt_assets.errors import CellError, RunError
from pxt_assets.throttle import (
    CircuitBreaker,
    FailureKind,
    InFlightWindow,
    LimitUtilization,
    OutageError,
    Permit,
    Pool,
    Verdict,
    backoff_seconds,
)

if TYPE_CHECKING:
    from pxt_assets.api.transport import Transport

_log = logging.getLogger("pxt_assets")
SIMULATED_HEADER = "x-pxt-simulated"
_LONG_WAIT_SECONDS = 60.0
"""Waits that a server asks for are logged from this on."""


class Client:
    """Sends requests to one account of the API, within one event loop.

    `transport` makes one attempt. `pool_of(request)` gives the limits that the request falls under. `timeout` is the
    seconds for a whole answer, `outage_timeout` those for an outage of the server, which is reported to `say`.
    `retry_unknown` is how often a costly request whose answer was lost is sent again. `secrets` are replaced in what
    error messages quote.
    """

    def __init__(
        self,
        transport: Transport,
        pool_of: Callable[[Request], Pool],
        *,
        max_in_flight: int,
        max_retries: int,
        timeout: float,
        outage_timeout: float,
        retry_unknown: int = 1,
        max_batch: int | None = None,
        say: Callable[[str], None] = _log.warning,
        secrets: tuple[str, ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._permits = Permits(pool_of)
        self.max_in_flight = max_in_flight
        self.max_batch = max_batch
        """How many cells a request may carry at most, None for as many as the endpoint takes."""
        self._window = InFlightWindow(max_in_flight)
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._say = say
        self._breaker = CircuitBreaker(outage_timeout, self._random.random, say)
        self._refusals = Refusals()
        self._encodings = AnswerEncodings()
        self._send_count = 0
        self._telemetry = find_telemetry()
        self._wait_reported_until = -math.inf
        self._max_retries = max_retries
        self._retry_unknown = retry_unknown
        self._secrets = secrets
        self._timeout = timeout
        self._has_answered = False
        self.simulated: bool | None = None
        """Whether the server is a simulator, None before its first answer."""

    async def send(self, request: Request, meter: Meter, *, failed_before: bool = False) -> Answer:
        """The answer to a request, of a row that `failed_before`, in an earlier run, or not.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached, BudgetReachedError when the budget is spent.
        """
        task = asyncio.current_task()
        assert task is not None
        self._send_count += 1
        with RequestTracker(
            request, meter, task, self._send_count, self._telemetry, failed_before
        ) as tracker:
            return tracker.answered(await self._send(tracker))

    async def _send(self, tracker: RequestTracker) -> Answer:
        tracker.request = self._encodings.encoded(tracker.request)
        answer: Answer | None = None
        with self._refusals.of(tracker.request.endpoint.path, tracker.request.model).turn() as turn:
            try:
                answer = await self._send_until_answered(tracker, turn)
            finally:
                if tracker.refused_before_trial is not None:
                    self._encodings.trial_ended(tracker.request, answered=answer is not None)
        return answer

    async def _send_until_answered(self, tracker: RequestTracker, turn: Turn) -> Answer:
        faults = 0
        while True:
            await turn.wait()
            probe = await self._wait_for_breaker()
            try:
                async with self._window:
                    outcome = await self._send_until_admitted(tracker, turn, probe=probe)
            except BaseException:
                if probe:
                    self._breaker.abandoned()
                raise
            if isinstance(outcome, Answer):
                turn.model.note_answer()
                return outcome
            if outcome is not None:
                failure, verdict = outcome
                if verdict.kind in (FailureKind.CELL, FailureKind.REFUSED):
                    await self._handle_refusal(tracker, turn, failure, verdict.kind)
                    faults = 0
                    continue
                self._check_lost_answers(tracker, failure)
                if failure.unreadable and not turn.model.answered and not tracker.unreadable:
                    tracker.unreadable = True
                    await turn.judge(self._refusal(failure, tracker))
            if outcome is None and probe:
                self._breaker.abandoned()
            if outcome is None or self._breaker.open:  # an outage is no fault of this request
                faults = 0
                continue
            if faults >= self._most_faults(tracker.request, failure):
                self._check_reachable(failure)
                if failure.status is None or failure.status < 500:
                    raise failure.cell_error(divisible=failure.unreadable is not None)
                await self._handle_refusal(tracker, turn, failure, FailureKind.CELL)
                faults = 0
                continue
            await asyncio.sleep(backoff_seconds(faults, self._random.random, verdict.retry_after))
            if verdict.kind is not FailureKind.RATE_LIMITED:
                faults += 1
                tracker.retried()

    def _most_faults(self, request: Request, failure: Failure) -> int:
        """How many faults of a request are retried: some servers answer 500 to more cells than they take."""
        return min(1, self._max_retries) if request.cells > 1 and failure.status == 500 else self._max_retries

    async def _handle_refusal(
        self, tracker: RequestTracker, turn: Turn, failure: Failure, kind: FailureKind
    ) -> None:
        """Returns if the request is to be sent in another encoding. Raises CellError, or RunError if all are refused."""
        if kind is FailureKind.CELL:
            if await self._encodings.change(tracker, failure, answered=turn.model.answered):
                return
        elif tracker.request.cells == 1:  # of several, single ones are asked for next
            await turn.judge(self._refusal(failure, tracker))
        raise (tracker.refused_before_trial or failure).cell_error(
            divisible=True, refused=kind is FailureKind.REFUSED
        )

    def _refusal(self, failure: Failure, tracker: RequestTracker) -> Refusal:
        if failure.unreadable:
            error = failure.wrong_server_error(self._api_url)
            return Refusal(error, counts_alone=failure.unreadable == "page", is_of_server=True)
        return Refusal(failure.fatal_error(self._api_url), is_news=not tracker.failed_before)

    async def _send_until_admitted(
        self, tracker: RequestTracker, turn: Turn, *, probe: bool
    ) -> Answer | tuple[Failure, Verdict] | None:
        """Sends a request until it is not rejected for the rate.

        Returns its answer; or a failure, and what to do about it; or None if it was not sent because of an outage.
        """
        meter = tracker.meter
        requeued = False
        while True:
            permit = await self._permits.acquire(tracker, requeued=requeued)
            if meter.stopped or (self._breaker.open and not probe) or not turn.start():
                permit.cancel()
                tracker.release_budget()
                if meter.stopped:
                    raise asyncio.CancelledError
                return None
            tracker.sent(self._transport.base_url)
            try:
                outcome = await self._exchange(tracker, permit)
            finally:
                tracker.release_budget()
            if isinstance(outcome, Answer):
                return outcome
            failure = outcome
            meter.unsent_tasks.add(tracker.task)
            verdict = verdict_of(failure)
            soon = tracker.may_be_sent_again_soon(failure)
            if settle(permit, failure, verdict.kind, again_soon=soon):
                self._note_server_alive()
            if verdict.kind is FailureKind.FATAL:
                raise failure.fatal_error(self._api_url)
            if verdict.kind in (FailureKind.CELL, FailureKind.REFUSED):
                return failure, verdict
            self._report_long_wait(verdict.retry_after)
            if verdict.kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
                tracker.rate_limited()
                if not soon:
                    if permit.own_wait:
                        await asyncio.sleep(permit.own_wait)
                    requeued = True
                    continue
            else:
                self._note_fault(tracker.number, failure, turn, probe=probe)
            return failure, verdict

    async def _exchange(self, tracker: RequestTracker, permit: Permit) -> Answer | Failure:
        """Sends a request once. The cost of its answer is counted even if the answer is of no use."""
        request = tracker.request
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._transport.post(request)
        except BaseException as e:
            failure = self._failure(e) if isinstance(e, Exception) else None
            if failure is None or failure.is_lost:
                tracker.lost_answers += 1
                tracker.meter.requests_unknown += 1
                if tracker.meter.budget is not None:
                    tracker.meter.budget.charge_lost_answer(request)
            if failure is None:
                permit.lost()
                raise
            return failure
        headers, latency = relevant_headers(response.headers), loop.time() - sent
        self._has_answered = True
        self.simulated = headers.get(SIMULATED_HEADER) == "true"
        try:
            parsed = parse_answer(request, response.content, headers, self._secrets)
        except CellError:
            self._note_answered(permit, headers)
            if tracker.meter.budget is not None:
                tracker.meter.budget.charge_lost_answer(request)
            raise
        if isinstance(parsed, Failure):
            return parsed
        self._note_answered(permit, headers)
        return await self._answer(tracker, parsed, headers, latency)

    def _note_answered(self, permit: Permit, headers: Mapping[str, str]) -> None:
        permit.answered(headers)
        self._note_server_alive()

    def expect_requests(self) -> AbstractContextManager[None]:
        """Within the block more requests are still to come: a lone refusal waits for how these are answered."""
        return self._refusals.expect_requests()

    def note_earlier_answer(self, path: str, model: str) -> None:
        """Notes that the model answered in an earlier run, at the endpoint with that path."""
        self._refusals.of(path, model).note_earlier_answer()

    async def is_simulated(self) -> bool:
        """Whether the server is a simulator, as its answers say; asks for the list of models if none came yet."""
        if self.simulated is None:
            self.simulated = False
            with suppress(Exception):  # a server without that list is no simulator
                response = await self._transport.get("/models")
                self.simulated = response.headers.get(SIMULATED_HEADER) == "true"
        return self.simulated

    def limit_usage(self) -> LimitUtilization:
        """Measures what is used of all limits from now on."""
        return self._permits.limit_usage()

    async def _answer(
        self, tracker: RequestTracker, parsed: ParsedAnswer, headers: Mapping[str, str], latency: float
    ) -> Answer:
        request, meter = tracker.request, tracker.meter
        cost = meter.count_answer(parsed.model or request.model, parsed.usage, latency)
        if meter.budget is not None:
            meter.budget.charge(request, parsed.usage, cost)
        request_id = headers.get("x-request-id")
        if parsed.values_with_downloads is not None:
            parsed = await download_rest(self._transport.download, request, parsed, request_id)
        return Answer(parsed.values, parsed.usage, parsed.model, cost, request_id, latency, tracker.attempts)

    def _failure(self, error: Exception) -> Failure | None:
        failure = failure_of(error, self._secrets)
        if isinstance(error.__cause__, httpx2.DecodingError):  # the headers came whole
            self._has_answered = True
        if failure is not None and failure.status is not None:
            self.simulated = failure.headers.get(SIMULATED_HEADER) == "true"
            self._has_answered = True
        return failure

    @property
    def _api_url(self) -> str:
        url = self._transport.base_url
        return f"{url.scheme}://{url.netloc.decode().rpartition('@')[2]}{url.path}"

    async def _wait_for_breaker(self) -> bool:
        try:
            return await self._breaker.wait_turn()
        except OutageError as e:
            msg = (
                f"the API at {self._api_url} {e}. Finished cells are kept; materialize again when it answers, to go on with "
                "the rest. outage_timeout of the OpenAIResource says how long an outage is waited for."
            )
            raise RunError(msg) from e

    def _note_server_alive(self) -> None:
        self._window.answered()
        self._breaker.answered()

    def _note_fault(self, number: int, failure: Failure, turn: Turn, *, probe: bool) -> None:
        self._window.failed()
        # what cannot be read may come from another server, not from one in trouble
        known = turn.model.answered or not failure.unreadable
        if self._has_answered and (known or probe):  # else nobody knows that there is such a server at all
            self._breaker.failed(number, f"{failure.name}: {failure.message}", probe=probe)

    def _report_long_wait(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        if seconds is not None and seconds > _LONG_WAIT_SECONDS and now > self._wait_reported_until:
            self._wait_reported_until = now + seconds
            self._say(f"the API at {self._api_url} asks to wait {seconds:.0f} s before the next request")

    def _check_lost_answers(self, tracker: RequestTracker, failure: Failure) -> None:
        """Raises CellError for a costly request whose answers were lost too often: each may have been paid for."""
        may_be_paid = tracker.request.endpoint.costly and failure.is_lost
        if not may_be_paid or tracker.lost_answers <= self._retry_unknown:
            return
        self._check_reachable(failure)
        raise failure.lost_answers_error(tracker.lost_answers)

    def _check_reachable(self, failure: Failure) -> None:
        """Raises RunError if the server never answered, which is no row's fault."""
        if failure.status is None and not self._has_answered:
            raise failure.unreachable_error(self._api_url)
