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

from pxt_assets.errors import CellError, FatalApiError, RunError
from pxt_assets.failure import Failure, failure_of, plain
from pxt_assets.meter import Meter
from pxt_assets.request import Parsed, Request
from pxt_assets.throttle import (
    Breaker,
    Kind,
    Limiter,
    OutageError,
    Permit,
    Pool,
    RequestTooLarge,
    Sized,
    Window,
    backoff,
    classify,
)

if TYPE_CHECKING:
    from pxt_assets.wire import Wire

_log = logging.getLogger("pxt_assets")
_ONE_REQUEST = {"requests": 1.0}
SIMULATED_HEADER = "x-pxt-simulated"
_LONG_WAIT_SECONDS = 60.0
"""Waits that a server asks for are logged from this on."""


class Client:
    """Sends requests to one account of the API, within one event loop.

    `wire` makes one attempt; `pool_of(request)` gives the state of the limits that the request falls under; `timeout`
    is in seconds, for a whole answer, and `outage_timeout` for an outage of the server, of which `say` is told; `secrets` are replaced in whatever an error message quotes.
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
        say: Callable[[str], None] = _log.warning,
        secrets: tuple[str, ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._wire = wire
        self._pool_of = pool_of
        self._limiters: dict[int, Limiter] = {}
        self._asked: dict[tuple[str, str], Limiter] = {}
        self._window = Window(max_in_flight)
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._say = say
        self._breaker = Breaker(outage_timeout, self._random.random, say)
        self._sends = 0
        self._said_until = -math.inf
        self._max_retries = max_retries
        self._secrets = secrets
        self._timeout = timeout
        self._answered = False
        self.simulated: bool | None = None
        """Whether the server is a simulator, None before its first answer."""

    async def send(self, request: Request, meter: Meter) -> Parsed:
        """The answer to a request.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached at all, or no longer.
        """
        task = asyncio.current_task()
        assert task is not None
        meter.unsent.add(task)
        try:
            return await self._send(request, meter, task)
        finally:
            meter.unsent.discard(task)

    async def _send(self, request: Request, meter: Meter, task: asyncio.Task[object]) -> Parsed:
        self._sends += 1
        number = self._sends
        faults = 0
        while True:
            probe = await self._passed()
            try:
                async with self._window:
                    outcome = await self._attempt(request, meter, task, number, probe=probe)
            except BaseException:
                if probe:
                    self._breaker.abandoned()
                raise
            if isinstance(outcome, Parsed):
                return outcome
            if outcome is None or self._breaker.open:  # an outage is no fault of this request
                faults = 0
                continue
            failure, retry_after = outcome
            if faults >= self._max_retries:
                self._check_reached(failure)
                raise CellError(failure.name, failure.message, failure.request_id)
            await asyncio.sleep(backoff(faults, self._random.random, retry_after))
            faults += 1
            meter.retries += 1

    async def _attempt(
        self, request: Request, meter: Meter, task: asyncio.Task[object], number: int, *, probe: bool
    ) -> Parsed | tuple[Failure, float | None] | None:
        """Sends a request until it is not rejected for the rate.

        Returns its answer, a fault that may pass and the seconds to wait at least, or None if it was not sent since an
        outage began.
        """
        limiter = self._limiter(request)
        sized = Sized(request.endpoint.path, request.size)
        loop = asyncio.get_running_loop()
        requeued = False
        while True:
            queued = loop.time()
            try:
                permit = await limiter.acquire(_ONE_REQUEST, sized=sized, requeued=requeued)
            except RequestTooLarge as e:
                raise CellError("RequestTooLarge", str(e), divisible=True) from e
            if self._breaker.open and not probe:
                permit.cancel()
                return None
            meter.unsent.discard(task)
            sent = loop.time()
            meter.seconds_throttled += sent - queued
            meter.requests += 1
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._wire.post(request)
            except BaseException as e:
                failure = self._failure(e) if isinstance(e, Exception) else None
                if failure is None:
                    permit.lost()
                    raise
            else:
                headers = plain(response.headers)
                permit.answered(headers)
                self._went_well()
                return await self._answer(request, response.content, headers, loop.time() - sent, meter)
            meter.unsent.add(task)
            verdict = classify(failure.status, failure.type, failure.code, failure.headers)
            self._settle(permit, failure, verdict.kind)
            if failure.too_large or verdict.kind is Kind.CELL:
                name = "RequestTooLarge" if failure.too_large else failure.name
                raise CellError(name, failure.message, failure.request_id, divisible=True)
            if verdict.kind is Kind.FATAL:
                raise FatalApiError(self._fatal_message(failure))
            self._say_if_long(verdict.retry_after)
            if verdict.kind not in (Kind.RATE_LIMITED, Kind.SLOW_DOWN):
                self._went_wrong(number, failure, probe=probe)
                return failure, verdict.retry_after
            meter.rate_limited += 1
            requeued = True

    def _settle(self, permit: Permit, failure: Failure, kind: Kind) -> None:
        """Tells the limiter what became of a request that was not answered."""
        if kind in (Kind.TRANSIENT, Kind.OVERLOADED):
            if failure.status is None:
                permit.lost()
            elif kind is Kind.OVERLOADED:
                permit.overloaded(failure.headers)
            else:
                permit.answered(failure.headers)
            return
        if failure.too_large:
            permit.cancel()
        elif kind in (Kind.RATE_LIMITED, Kind.SLOW_DOWN):
            permit.rejected(failure.headers, failure.type, slow_down=kind is Kind.SLOW_DOWN)
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

    def utilization(self) -> float | None:
        """Share, 0 to 1, of what the limits allowed that was used since this was last asked; None where no limit is known."""
        shares = [limiter.statistics().utilization for limiter in self._limiters.values()]
        for limiter in self._limiters.values():
            limiter.restart()
        return max((share for share in shares if share is not None), default=None)

    def _limiter(self, request: Request) -> Limiter:
        asked = (request.endpoint.path, request.model)
        if asked not in self._asked:
            pool = self._pool_of(request)
            self._asked[asked] = self._limiters.setdefault(id(pool), Limiter(pool))
        return self._asked[asked]

    async def _answer(
        self,
        request: Request,
        body: bytes,
        headers: Mapping[str, str],
        latency: float,
        meter: Meter,
    ) -> Parsed:
        request_id = headers.get("x-request-id")
        self._answered = True
        self.simulated = headers.get(SIMULATED_HEADER) == "true"
        try:
            parsed = request.endpoint.parse(body, request.body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            msg = f"{request.endpoint.path} answered with something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e
        meter.answered(parsed.model or request.model, parsed.usage, latency)
        return parsed if parsed.completed is None else await self._completed(request, parsed, request_id)

    async def _completed(self, request: Request, parsed: Parsed, request_id: str | None) -> Parsed:
        """The answer with what it links to: paid for already, so the links are all that is tried again."""
        assert parsed.completed is not None
        contents = await asyncio.gather(*(self._wire.download(url) for url in parsed.urls))
        try:
            return replace(parsed, values=parsed.completed(contents))
        except (ValueError, TypeError) as e:
            msg = f"{request.endpoint.path} links to something else than documented: {e}"
            raise CellError("InvalidAnswer", msg, request_id) from e

    def _failure(self, error: Exception) -> Failure | None:
        failure = failure_of(error, self._secrets)
        if failure is not None and failure.status is not None:
            self.simulated = failure.headers.get(SIMULATED_HEADER) == "true"
            self._answered = True
        return failure

    def _fatal_message(self, failure: Failure) -> str:
        what = f"{failure.name} {failure.status}: {failure.message}"
        asked = f" (request {failure.request_id})" if failure.request_id else ""
        return f"the API at {self._where} refuses all requests of this kind: {what}{asked}.{failure.advice}"

    @property
    def _where(self) -> str:
        url = self._wire.base_url
        return f"{url.scheme}://{url.netloc.decode().rpartition('@')[2]}{url.path}"

    async def _passed(self) -> bool:
        try:
            return await self._breaker.passed()
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

    def _check_reached(self, failure: Failure) -> None:
        """A server that never answered is no row's fault. Raises RunError."""
        if failure.status is not None or self._answered:
            return
        msg = (
            f"cannot reach the API at {self._where}: {failure.name}: {failure.message}. "
            "Check base_url of the OpenAIResource, the network and the proxy settings."
        )
        raise RunError(msg)
