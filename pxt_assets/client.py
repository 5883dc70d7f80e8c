"""The client: sends requests through the limiter, retries what may be retried, counts everything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.errors import CellError, FatalApiError, RunError
from pxt_assets.failure import Failure, failure_of, plain
from pxt_assets.meter import Meter
from pxt_assets.request import Parsed, Request
from pxt_assets.throttle import Kind, Limiter, Pool, RequestTooLarge, Sized, backoff, classify

if TYPE_CHECKING:
    from pxt_assets.wire import Wire

_ONE_REQUEST = {"requests": 1.0}
SIMULATED_HEADER = "x-pxt-simulated"
UNREACHED_IN_A_ROW = 20
"""Requests that failed without an answer, all their retries included, with none answered between: an outage."""


class Client:
    """Sends requests to one account of the API, within one event loop.

    `wire` makes one attempt; `pool_of(request)` gives the state of the limits that the request falls under; `timeout`
    is in seconds, for a whole answer; `secrets` are replaced in whatever an error message quotes.
    """

    def __init__(
        self,
        wire: Wire,
        pool_of: Callable[[Request], Pool],
        *,
        max_in_flight: int,
        max_retries: int,
        timeout: float,
        secrets: tuple[str, ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._wire = wire
        self._pool_of = pool_of
        self._limiters: dict[int, Limiter] = {}
        self._asked: dict[tuple[str, str], Limiter] = {}
        self._slots = asyncio.Semaphore(max_in_flight)
        self._max_retries = max_retries
        self._secrets = secrets
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._timeout = timeout
        self._answered = False
        self._unreached = 0
        self.simulated: bool | None = None
        """Whether the server is a simulator, None before its first answer."""

    async def send(self, request: Request, meter: Meter) -> Parsed:
        """The answer to a request.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached at all.
        """
        task = asyncio.current_task()
        assert task is not None
        meter.unsent.add(task)
        try:
            async with self._slots:
                return await self._send(request, meter, task)
        finally:
            meter.unsent.discard(task)

    async def _send(self, request: Request, meter: Meter, task: asyncio.Task[object]) -> Parsed:
        limiter = self._limiter(request)
        loop = asyncio.get_running_loop()
        sized = Sized(request.endpoint.path, request.size)
        faults = 0
        requeued = False
        while True:
            queued = loop.time()
            try:
                permit = await limiter.acquire(_ONE_REQUEST, sized=sized, requeued=requeued)
            except RequestTooLarge as e:
                raise CellError("RequestTooLarge", str(e), divisible=True) from e
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
                return await self._answer(request, response.content, headers, loop.time() - sent, meter)
            verdict = classify(failure.status, failure.type, failure.code, failure.headers)
            if verdict.kind is Kind.RATE_LIMITED and failure.too_large:
                permit.cancel()
                raise CellError("RequestTooLarge", failure.message, failure.request_id, divisible=True)
            if verdict.kind is Kind.RATE_LIMITED:
                permit.rejected(failure.headers)
                meter.rate_limited += 1
                meter.unsent.add(task)
                requeued = True
                continue
            if failure.status is None:
                permit.lost()
            else:
                permit.answered(failure.headers)
            if verdict.kind is Kind.FATAL:
                raise FatalApiError(self._fatal_message(failure))
            if verdict.kind is Kind.CELL or faults >= self._max_retries:
                self._check_reached(failure)
                refused = verdict.kind is Kind.CELL
                raise CellError(failure.name, failure.message, failure.request_id, divisible=refused)
            meter.unsent.add(task)
            await asyncio.sleep(backoff(faults, self._random.random, verdict.retry_after))
            faults += 1
            meter.retries += 1

    async def is_simulated(self) -> bool:
        """Whether the server is a simulator, as its answers say; asks for the list of models if none came yet."""
        if self.simulated is None:
            self.simulated = False
            with suppress(Exception):  # a server without that list is no simulator
                response = await self._wire.get("/models")
                self.simulated = response.headers.get(SIMULATED_HEADER) == "true"
        return self.simulated

    def utilization(self) -> float | None:
        """Share, 0 to 1, of what the limits allowed that was used; None where no limit is known."""
        shares = [limiter.statistics().utilization for limiter in self._limiters.values()]
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
        self._unreached = 0
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
            self._unreached = 0
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

    def _check_reached(self, failure: Failure) -> None:
        """A server that never answered, or no longer does, is no row's fault. Raises RunError."""
        if failure.status is not None:
            return
        self._unreached += 1
        if self._answered and self._unreached < UNREACHED_IN_A_ROW:
            return
        msg = (
            f"cannot reach the API at {self._where}: {failure.name}: {failure.message}. "
            "Check base_url of the OpenAIResource, the network and the proxy settings."
        )
        raise RunError(msg)
