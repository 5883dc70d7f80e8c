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
from pxt_assets.api.failure import Failure, failure_of, plain
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Parsed, Request
from pxt_assets.api.sending import Sending
from pxt_assets.api.telemetry import installed
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
    from pxt_assets.api.wire import Wire

_log = logging.getLogger("pxt_assets")
_ONE_REQUEST = {"requests": 1.0}
SIMULATED_HEADER = "x-pxt-simulated"
_LONG_WAIT_SECONDS = 60.0
"""Waits that a server asks for are logged from this on."""


class Client:
    """Sends requests to one account of the API, within one event loop.

    `wire` makes one attempt; `pool_of(request)` gives the state of the limits that the request falls under; `timeout`
    is in seconds, for a whole answer, and `outage_timeout` for an outage of the server, of which `say` is told;
    `retry_unknown` says how often a costly request is sent again whose answer was lost; `secrets` are replaced in
    whatever an error message quotes.
    """

    def __init__(
        self,
        wire: Wire,
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
        self._wire = wire
        self._pool_of = pool_of
        self._limiters: dict[int, Limiter] = {}
        self._asked: dict[tuple[str, str], Limiter] = {}
        self.max_in_flight = max_in_flight
        self._window = InFlightWindow(max_in_flight)
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._say = say
        self._breaker = CircuitBreaker(outage_timeout, self._random.random, say)
        self._sends = 0
        self._telemetry = installed()
        self._said_until = -math.inf
        self._max_retries = max_retries
        self._retry_unknown = retry_unknown
        self._secrets = secrets
        self._timeout = timeout
        self._answered = False
        self.simulated: bool | None = None
        """Whether the server is a simulator, None before its first answer."""

    async def send(self, request: Request, meter: Meter) -> Answer:
        """The answer to a request.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached at all, or no longer, BudgetReachedError when the money is spent.
        """
        task = asyncio.current_task()
        assert task is not None
        self._sends += 1
        with Sending(request, meter, task, self._sends, self._telemetry) as sending:
            return sending.answered(await self._send(sending))

    async def _send(self, sending: Sending) -> Answer:
        faults = 0
        while True:
            probe = await self._passed()
            try:
                async with self._window:
                    outcome = await self._attempt(sending, probe=probe)
            except BaseException:
                if probe:
                    self._breaker.abandoned()
                raise
            if isinstance(outcome, Answer):
                return outcome
            if outcome is not None:
                self._check_unknown(sending, outcome[0])
            if outcome is None or self._breaker.open:  # an outage is no fault of this request
                faults = 0
                continue
            failure, retry_after = outcome
            if faults >= self._max_retries:
                self._check_reached(failure)
                raise CellError(failure.name, failure.message, failure.request_id)
            await asyncio.sleep(backoff_seconds(faults, self._random.random, retry_after))
            faults += 1
            sending.retried()

    async def _attempt(
        self, sending: Sending, *, probe: bool
    ) -> Answer | tuple[Failure, float | None] | None:
        """Sends a request until it is not rejected for the rate.

        Returns its answer, a fault that may pass and the seconds to wait at least, or None if it was not sent since an
        outage began.
        """
        request, meter = sending.request, sending.meter
        requeued = False
        while True:
            permit = await self._permit(sending, requeued=requeued)
            if meter.stopped or (self._breaker.open and not probe):
                permit.cancel()
                if meter.budget is not None:
                    meter.budget.settle(request)
                if meter.stopped:
                    raise asyncio.CancelledError
                return None
            sending.sent(self._wire.base_url)
            try:
                answered = await self._exchange(sending, permit)
            finally:
                if meter.budget is not None:
                    meter.budget.settle(request)
            if isinstance(answered, Answer):
                return answered
            failure = answered
            meter.unsent.add(sending.task)
            verdict = classify_failure(failure.status, failure.type, failure.code, failure.headers)
            self._settle(permit, failure, verdict.kind)
            if failure.too_large or verdict.kind is FailureKind.CELL:
                name = "RequestTooLarge" if failure.too_large else failure.name
                raise CellError(name, failure.message, failure.request_id, divisible=True)
            if verdict.kind is FailureKind.FATAL:
                raise failure.of_all_requests(self._where)
            self._say_if_long(verdict.retry_after)
            if verdict.kind not in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
                self._went_wrong(sending.number, failure, probe=probe)
                return failure, verdict.retry_after
            sending.rate_limited()
            requeued = True

    async def _permit(self, sending: Sending, *, requeued: bool) -> Permit:
        """The limiter's leave to send a request, and the money for it."""
        request, budget = sending.request, sending.meter.budget
        limiter = self._limiter(request)
        sending.meter.used.add(limiter)
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
                    budget.pass_on()
                if isinstance(e, RequestTooLarge):
                    raise CellError("RequestTooLarge", str(e), divisible=True) from e
                raise
            sending.meter.seconds_throttled += loop.time() - queued
            try:
                if budget is None or budget.take(request):
                    return permit
            except BaseException:
                permit.cancel()
                raise
            permit.cancel()

    async def _exchange(self, sending: Sending, permit: Permit) -> Answer | Failure:
        """Sends a request once. What its answer cost is counted whatever becomes of it."""
        request = sending.request
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._wire.post(request)
        except BaseException as e:
            failure = self._failure(e) if isinstance(e, Exception) else None
            if failure is None or failure.is_lost:
                sending.lost += 1
                sending.meter.requests_unknown += 1
                if sending.meter.budget is not None:
                    sending.meter.budget.unanswered(request)
            if failure is None:
                permit.lost()
                raise
            return failure
        headers = plain(response.headers)
        permit.answered(headers)
        self._went_well()
        return await self._answer(sending, response.content, headers, loop.time() - sent)

    def _settle(self, permit: Permit, failure: Failure, kind: FailureKind) -> None:
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
        self._went_well()

    async def is_simulated(self) -> bool:
        """Whether the server is a simulator, as its answers say; asks for the list of models if none came yet."""
        if self.simulated is None:
            self.simulated = False
            with suppress(Exception):  # a server without that list is no simulator
                response = await self._wire.get("/models")
                self.simulated = response.headers.get(SIMULATED_HEADER) == "true"
        return self.simulated

    def used(self) -> LimitUtilization:
        """What is used of all limits from now on."""
        return LimitUtilization(self._limiters.values())

    def _limiter(self, request: Request) -> Limiter:
        asked = (request.endpoint.path, request.model)
        if asked not in self._asked:
            pool = self._pool_of(request)
            self._asked[asked] = self._limiters.setdefault(id(pool), Limiter(pool))
        return self._asked[asked]

    async def _answer(
        self, sending: Sending, body: bytes, headers: Mapping[str, str], latency: float
    ) -> Answer:
        request, meter = sending.request, sending.meter
        request_id = headers.get("x-request-id")
        self._answered = True
        self.simulated = headers.get(SIMULATED_HEADER) == "true"
        try:
            parsed = request.endpoint.parse(body, request.body)
        except (ValueError, RecursionError) as e:  # any other error is a fault of this program
            if meter.budget is not None:
                meter.budget.unanswered(request)
            msg = f"{request.endpoint.path} answered with something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e
        cost = meter.answered(parsed.model or request.model, parsed.usage, latency)
        if meter.budget is not None:
            meter.budget.answered(request, parsed.usage, cost)
        if parsed.completed is not None:
            parsed = await self._completed(request, parsed, request_id)
        return Answer(parsed.values, parsed.usage, parsed.model, cost, request_id, latency, sending.attempts)

    async def _completed(self, request: Request, parsed: Parsed, request_id: str | None) -> Parsed:
        """The answer with what it links to: paid for already, so the links are all that is tried again."""
        assert parsed.completed is not None
        downloads = (self._wire.download(url) for url in parsed.urls)
        contents: list[bytes] = []
        for content in await asyncio.gather(*downloads, return_exceptions=True):  # none is left running
            if isinstance(content, BaseException):
                raise content
            contents.append(content)
        try:
            return replace(parsed, values=parsed.completed(contents))
        except ValueError as e:
            msg = f"{request.endpoint.path} links to something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e

    def _failure(self, error: Exception) -> Failure | None:
        failure = failure_of(error, self._secrets)
        if failure is not None and failure.status is not None:
            self.simulated = failure.headers.get(SIMULATED_HEADER) == "true"
            self._answered = True
        return failure

    @property
    def _where(self) -> str:
        url = self._wire.base_url
        return f"{url.scheme}://{url.netloc.decode().rpartition('@')[2]}{url.path}"

    async def _passed(self) -> bool:
        try:
            return await self._breaker.wait_turn()
        except OutageError as e:
            msg = (
                f"the API at {self._where} {e}. Cells that are finished are kept; materialize again when it answers, to "
                "go on with the rest. outage_timeout of the OpenAIResource says how long an outage is waited for."
            )
            raise RunError(msg) from e

    def _went_well(self) -> None:
        self._window.answered()
        self._breaker.answered()

    def _went_wrong(self, number: int, failure: Failure, *, probe: bool) -> None:
        self._window.failed()
        if self._answered:  # else nobody knows that there is such a server at all
            self._breaker.failed(number, f"{failure.name}: {failure.message}", probe=probe)

    def _say_if_long(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        if seconds is not None and seconds > _LONG_WAIT_SECONDS and now > self._said_until:
            self._said_until = now + seconds
            self._say(f"the API at {self._where} asks to wait {seconds:.0f} s before the next request")

    def _check_unknown(self, sending: Sending, failure: Failure) -> None:
        """What is costly, and may have been paid for, is not sent again and again. Raises CellError."""
        if not (sending.request.endpoint.costly and failure.is_lost) or sending.lost <= self._retry_unknown:
            return
        self._check_reached(failure)
        raise failure.of_lost_answers(sending.lost)

    def _check_reached(self, failure: Failure) -> None:
        """A server that never answered is no row's fault. Raises RunError."""
        if failure.status is None and not self._answered:
            raise failure.of_server(self._where)
