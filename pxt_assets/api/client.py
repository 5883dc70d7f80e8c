"""The client: sends requests through the limiter, retries what may be retried, counts everything."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.api.answer import Answer
from pxt_assets.api.download import download_all
from pxt_assets.api.failure import Failure, failure_of, relevant_headers
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import ParsedAnswer, Request
from pxt_assets.api.request_tracker import RequestTracker
from pxt_assets.api.telemetry import find_telemetry
from pxt_assets.errors import CellError, RunError
from pxt_assets.throttle import (
    CircuitBreaker,
    FailureKind,
    InFlightWindow,
    Limiter,
    LimitUtilization,
    OutageError,
    Permit,
    Pool,
    RequestTooLarge,
    SizedRequest,
    backoff_seconds,
    classify_failure,
)

if TYPE_CHECKING:
    from pxt_assets.api.transport import Transport

_log = logging.getLogger("pxt_assets")
_ONE_REQUEST = {"requests": 1.0}
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
        say: Callable[[str], None] = _log.warning,
        secrets: tuple[str, ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._pool_of = pool_of
        self._limiters_by_pool: dict[int, Limiter] = {}
        self._limiters_by_model: dict[tuple[str, str], Limiter] = {}
        self.max_in_flight = max_in_flight
        self._window = InFlightWindow(max_in_flight)
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._say = say
        self._breaker = CircuitBreaker(outage_timeout, self._random.random, say)
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

    async def send(self, request: Request, meter: Meter) -> Answer:
        """The answer to a request.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached, BudgetReachedError when the budget is spent.
        """
        task = asyncio.current_task()
        assert task is not None
        self._send_count += 1
        with RequestTracker(request, meter, task, self._send_count, self._telemetry) as tracker:
            return tracker.answered(await self._send(tracker))

    async def _send(self, tracker: RequestTracker) -> Answer:
        faults = 0
        while True:
            probe = await self._wait_for_breaker()
            try:
                async with self._window:
                    outcome = await self._send_until_admitted(tracker, probe=probe)
            except BaseException:
                if probe:
                    self._breaker.abandoned()
                raise
            if isinstance(outcome, Answer):
                return outcome
            if outcome is not None:
                self._check_lost_answers(tracker, outcome[0])
            if outcome is None or self._breaker.open:  # an outage is no fault of this request
                faults = 0
                continue
            failure, retry_after = outcome
            if faults >= self._max_retries:
                self._check_reachable(failure)
                raise CellError(failure.name, failure.message, failure.request_id)
            await asyncio.sleep(backoff_seconds(faults, self._random.random, retry_after))
            faults += 1
            tracker.retried()

    async def _send_until_admitted(
        self, tracker: RequestTracker, *, probe: bool
    ) -> Answer | tuple[Failure, float | None] | None:
        """Sends a request until it is not rejected for the rate.

        Returns its answer; or a fault that may pass, with the least seconds to wait; or None if it was not sent because
        of an outage.
        """
        request, meter = tracker.request, tracker.meter
        requeued = False
        while True:
            permit = await self._acquire_permit(tracker, requeued=requeued)
            if meter.stopped or (self._breaker.open and not probe):
                permit.cancel()
                if meter.budget is not None:
                    meter.budget.release(request)
                if meter.stopped:
                    raise asyncio.CancelledError
                return None
            tracker.sent(self._transport.base_url)
            try:
                outcome = await self._exchange(tracker, permit)
            finally:
                if meter.budget is not None:
                    meter.budget.release(request)
            if isinstance(outcome, Answer):
                return outcome
            failure = outcome
            meter.unsent_tasks.add(tracker.task)
            verdict = classify_failure(failure.status, failure.type, failure.code, failure.headers)
            self._settle_permit(permit, failure, verdict.kind)
            if failure.too_large or verdict.kind is FailureKind.CELL:
                name = "RequestTooLarge" if failure.too_large else failure.name
                raise CellError(name, failure.message, failure.request_id, divisible=True)
            if verdict.kind is FailureKind.FATAL:
                raise failure.fatal_error(self._api_url)
            self._report_long_wait(verdict.retry_after)
            if verdict.kind not in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
                self._note_fault(tracker.number, failure, probe=probe)
                return failure, verdict.retry_after
            tracker.rate_limited()
            requeued = True

    async def _acquire_permit(self, tracker: RequestTracker, *, requeued: bool) -> Permit:
        """The limiter's permit to send a request, once its expected cost is reserved in the budget."""
        request, budget = tracker.request, tracker.meter.budget
        limiter = self._limiter(request)
        tracker.meter.limit_usage.add(limiter)
        sized = SizedRequest(request.endpoint.path, request.size)
        loop = asyncio.get_running_loop()
        while True:
            if budget is not None:
                await budget.wait()
            queued = loop.time()
            try:
                permit = await limiter.acquire(_ONE_REQUEST, sized=sized, requeued=requeued)
            except BaseException as e:
                if budget is not None:
                    budget.wake_next()
                if isinstance(e, RequestTooLarge):
                    raise CellError("RequestTooLarge", str(e), divisible=True) from e
                raise
            tracker.meter.seconds_throttled += loop.time() - queued
            try:
                if budget is None or budget.reserve(request):
                    return permit
            except BaseException:
                permit.cancel()
                raise
            permit.cancel()

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
        headers = relevant_headers(response.headers)
        permit.answered(headers)
        self._note_server_alive()
        return await self._read_answer(tracker, response.content, headers, loop.time() - sent)

    def _settle_permit(self, permit: Permit, failure: Failure, kind: FailureKind) -> None:
        """Tells the limiter what became of a request that was not answered."""
        if kind in (FailureKind.TRANSIENT, FailureKind.OVERLOADED):
            if failure.status is None:
                permit.lost()
            elif kind is FailureKind.OVERLOADED:
                permit.overloaded(failure.headers)
            else:
                permit.answered(failure.headers)
            return
        if failure.too_large:
            permit.cancel()
        elif kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
            permit.rejected(failure.headers, failure.type, slow_down=kind is FailureKind.SLOW_DOWN)
        else:
            permit.answered(failure.headers)
        self._note_server_alive()

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
        return LimitUtilization(self._limiters_by_pool.values())

    def _limiter(self, request: Request) -> Limiter:
        key = (request.endpoint.path, request.model)
        if key not in self._limiters_by_model:
            pool = self._pool_of(request)
            self._limiters_by_model[key] = self._limiters_by_pool.setdefault(id(pool), Limiter(pool))
        return self._limiters_by_model[key]

    async def _read_answer(
        self, tracker: RequestTracker, body: bytes, headers: Mapping[str, str], latency: float
    ) -> Answer:
        request, meter = tracker.request, tracker.meter
        request_id = headers.get("x-request-id")
        self._has_answered = True
        self.simulated = headers.get(SIMULATED_HEADER) == "true"
        try:
            parsed = request.endpoint.parse(body, request.body)
        except (ValueError, RecursionError) as e:  # any other error is a fault of this program
            if meter.budget is not None:
                meter.budget.charge_lost_answer(request)
            msg = f"{request.endpoint.path} answered with something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e
        cost = meter.count_answer(parsed.model or request.model, parsed.usage, latency)
        if meter.budget is not None:
            meter.budget.charge(request, parsed.usage, cost)
        if parsed.values_with_downloads is not None:
            parsed = await self._download_rest(request, parsed, request_id)
        return Answer(parsed.values, parsed.usage, parsed.model, cost, request_id, latency, tracker.attempts)

    async def _download_rest(
        self, request: Request, parsed: ParsedAnswer, request_id: str | None
    ) -> ParsedAnswer:
        """The answer with what it links to. It is paid for already, so only the downloads are tried again."""
        assert parsed.values_with_downloads is not None
        contents = await download_all(self._transport.download, parsed.urls)
        try:
            return replace(parsed, values=parsed.values_with_downloads(contents))
        except ValueError as e:
            msg = f"{request.endpoint.path} links to something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e

    def _failure(self, error: Exception) -> Failure | None:
        import httpx2

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
                f"the API at {self._api_url} {e}. Cells that are finished are kept; materialize again when it answers, to "
                "go on with the rest. outage_timeout of the OpenAIResource says how long an outage is waited for."
            )
            raise RunError(msg) from e

    def _note_server_alive(self) -> None:
        self._window.answered()
        self._breaker.answered()

    def _note_fault(self, number: int, failure: Failure, *, probe: bool) -> None:
        self._window.failed()
        if self._has_answered:  # else nobody knows that there is such a server at all
            self._breaker.failed(number, f"{failure.name}: {failure.message}", probe=probe)

    def _report_long_wait(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        if seconds is not None and seconds > _LONG_WAIT_SECONDS and now > self._wait_reported_until:
            self._wait_reported_until = now + seconds
            self._say(f"the API at {self._api_url} asks to wait {seconds:.0f} s before the next request")

    def _check_lost_answers(self, tracker: RequestTracker, failure: Failure) -> None:
        """Raises CellError for a costly request whose answers were lost too often: each may have been paid for."""
        if (
            not (tracker.request.endpoint.costly and failure.is_lost)
            or tracker.lost_answers <= self._retry_unknown
        ):
            return
        self._check_reachable(failure)
        raise failure.lost_answers_error(tracker.lost_answers)

    def _check_reachable(self, failure: Failure) -> None:
        """Raises RunError if the server never answered, which is no row's fault."""
        if failure.status is None and not self._has_answered:
            raise failure.unreachable_error(self._api_url)
