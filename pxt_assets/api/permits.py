"""Permits to send requests: by the limits that a request falls under, and by the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pxt_assets.api.failure import Failure
from pxt_assets.api.request import Request
from pxt_assets.api.request_tracker import RequestTracker
from pxt_assets.errors import TOO_LARGE, CellError
from pxt_assets.throttle import (
    FailureKind,
    Limiter,
    LimitUtilization,
    Permit,
    Pool,
    RequestTooLarge,
    SizedRequest,
)

_ONE_REQUEST = {"requests": 1.0}


def settle(permit: Permit, failure: Failure, kind: FailureKind, *, again_soon: bool) -> bool:
    """Tells the limiter what became of a request that was not answered; returns whether the server is well.

    One that is sent `again_soon` was no request too many.
    """
    if kind in (FailureKind.TRANSIENT, FailureKind.OVERLOADED):
        if failure.status is None:
            permit.lost()
        elif kind is FailureKind.OVERLOADED:
            permit.overloaded(failure.headers)
        else:
            permit.answered(failure.headers, failed=True)
        return False
    if failure.too_large:
        permit.refused(failure.headers, failure.message)
    elif kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN) and not again_soon:
        permit.rejected(failure.headers, failure.type, slow_down=kind is FailureKind.SLOW_DOWN)
    else:
        permit.answered(failure.headers, failed=True)
    return True


class Permits:
    """Gives out permits, within one event loop. `pool_of(request)` gives the limits that the request falls under."""

    def __init__(self, pool_of: Callable[[Request], Pool]) -> None:
        self._pool_of = pool_of
        self._limiters_by_pool: dict[int, Limiter] = {}
        self._limiters_by_model: dict[tuple[str, str], Limiter] = {}

    def acquire_at_once(self, tracker: RequestTracker, *, requeued: bool) -> Permit | None:
        """The same permit, None if it is one that `acquire` has to wait for, or if there is a budget."""
        if requeued or tracker.meter.budget is not None:
            return None
        request = tracker.request
        limiter = self._limiter(request)
        tracker.meter.limit_usage.add(limiter)
        return limiter.acquire_at_once(_ONE_REQUEST, SizedRequest(request.endpoint.path, request.size))

    async def acquire(self, tracker: RequestTracker, *, requeued: bool) -> Permit:
        """The limiter's permit to send a request, once what it may cost is set aside in the budget."""
        request, budget = tracker.request, tracker.meter.budget
        limiter = self._limiter(request)
        tracker.meter.limit_usage.add(limiter)
        sized = SizedRequest(request.endpoint.path, request.size)
        loop = asyncio.get_running_loop()
        if budget is not None:
            await budget.reserve(request)
        queued = loop.time()
        try:
            permit = await limiter.acquire(
                _ONE_REQUEST, sized=sized, requeued=requeued, divisible=request.cells > 1
            )
        except BaseException as e:
            if budget is not None:
                budget.release(request)
            if isinstance(e, RequestTooLarge):
                raise CellError(TOO_LARGE, str(e), divisible=True) from e
            raise
        tracker.meter.seconds_throttled += loop.time() - queued
        return permit

    def limit_usage(self) -> LimitUtilization:
        """Measures what is used of all limits from now on."""
        return LimitUtilization(self._limiters_by_pool.values())

    def _limiter(self, request: Request) -> Limiter:
        key = (request.endpoint.path, request.model)
        known = self._limiters_by_model.get(key)
        if known is None:
            pool = self._pool_of(request)
            known = self._limiters_by_pool.setdefault(id(pool), Limiter(pool))
            self._limiters_by_model[key] = known
        return known
