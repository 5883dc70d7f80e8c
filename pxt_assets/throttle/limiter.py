"""The queue before a pool: who may send a request, and when.

A request acquires a permit, and reports its outcome to it:

    permit = await limiter.acquire({"requests": 1, "tokens": 250})
    response = await send()
    if response.status_code == 429:
        permit.rejected(response.headers)  # and acquire anew, with requeued=True
    else:
        permit.answered(response.headers)
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from pxt_assets.throttle.admission import Admission, RequestTooLarge, SizedRequest
from pxt_assets.throttle.oversize import PATIENCE_SECONDS
from pxt_assets.throttle.permit import Permit
from pxt_assets.throttle.pool import Pool
from pxt_assets.throttle.pool_usage import PoolUsage
from pxt_assets.throttle.utilization import Statistics


class _QueuedRequest(NamedTuple):
    costs: Mapping[str, float]
    sized: SizedRequest | None
    since: float
    """Time at which it was queued."""
    divisible: bool
    """Whether its parts can be sent instead if it is believed too large."""


class Limiter(PoolUsage):
    """Grants the requests of one event loop in the order they came, as a pool allows.

    Make it in a running event loop, and use it in that one only; the pool outlives it. `clock` returns
    seconds and must agree with the clock of other users of the pool. By default it is the loop's own, which
    is `time.monotonic`.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(pool, clock or self._loop.time)
        self._requeued: OrderedDict[asyncio.Future[Permit], _QueuedRequest] = OrderedDict()
        self._waiting: OrderedDict[asyncio.Future[Permit], _QueuedRequest] = OrderedDict()
        self._too_large: OrderedDict[asyncio.Future[Permit], _QueuedRequest] = OrderedDict()
        self._tries = 0  # requests in flight that were believed too large
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._rate_limited = 0
        self._seconds_throttled = 0.0
        self._totals: dict[str, tuple[float, float]] | None = None
        pool.join(self)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a permit."""
        return len(self._requeued) + len(self._waiting) + len(self._too_large)

    def wake(self) -> None:
        """Serve the queue, since the pool may allow more now. May be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._serve)

    def acquire_at_once(self, costs: Mapping[str, float], sized: SizedRequest | None = None) -> Permit | None:
        """Return the permit of a request that need not wait, None of one that must: it is to `acquire` its permit."""
        if self._requeued or self._waiting:
            return None
        now = self._clock()
        if self._totals is None:
            self._totals = self.totals()
        try:
            admission = self.pool.admit(costs, now, self._in_flight, sized)
        except RequestTooLarge:
            return None
        return self._granted(admission, now) if isinstance(admission, Admission) else None

    async def acquire(
        self,
        costs: Mapping[str, float],
        *,
        sized: SizedRequest | None = None,
        requeued: bool = False,
        divisible: bool = False,
    ) -> Permit:
        """Wait until a request that takes `costs`, by dimension, may be sent, and return its permit.

        What `sized` costs in tokens or in images is learned, and estimated when the request is granted.
        Requests are granted strictly in the order they came, those that are `requeued` (sent before, and
        rejected) before all others. A cancelled wait takes nothing.

        One that is believed too large holds up no other: it is sent alone, once nothing else waits or is in flight and
        the bucket is full, or after a minute. Raises `RequestTooLarge` for it if the server has just refused one that is
        no larger, or if it is `divisible`, so that its parts can be sent instead.
        """
        start = self._clock()
        if self._totals is None:
            self._totals = self.totals()
        queued = _QueuedRequest(costs, sized, start, divisible)
        queue = self._requeued if requeued else self._waiting
        try:
            if not self._requeued and (requeued or not self._waiting):
                permit = self._admit(queued, start)
                if isinstance(permit, Permit):
                    return permit
                self._set_timer(permit)
            elif error := self.pool.too_large_error(costs, sized):
                raise error
        except RequestTooLarge as error:
            self._check_size(queued, error)
            queue = self._too_large
        granted: asyncio.Future[Permit] = self._loop.create_future()
        queue[granted] = queued
        if queue is self._too_large:
            self._serve()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                for queue in self._queues:
                    queue.pop(granted, None)
                self._serve()
            elif granted.exception() is None:  # cancelled in the moment between the grant and here
                granted.result().cancel()
            raise
        finally:
            self._seconds_throttled += self._clock() - start

    def statistics(self) -> Statistics:
        """Return what this limiter has counted since it was made."""
        utilization = None
        if self._totals is not None:
            utilization = self.utilization(self._totals)
        return Statistics(self._rate_limited, self._seconds_throttled, utilization)

    def _answered(
        self,
        admission: Admission,
        headers: Mapping[str, str],
        *,
        overloaded: bool = False,
        failed: bool = False,
    ) -> None:
        self._end(admission)
        if overloaded:
            self.pool.overloaded(admission, self._clock())
        now = self._clock()
        reads = admission.too_large is not None or self.pool.wants_reading(now)
        changed = self.pool.answered(admission, self.pool.read(headers) if reads else {}, now, failed=failed)
        if changed or admission.too_large is not None:
            self._sort_by_size()
        self._serve()

    def _rejected(
        self,
        admission: Admission,
        headers: Mapping[str, str],
        short_dimension: str | None,
        *,
        slow_down: bool,
    ) -> float:
        self._end(admission)
        self._rate_limited += 1
        if slow_down:
            self.pool.slow_down(admission, self._clock())
        changed, own_wait = self.pool.rejected(
            admission,
            self.pool.read(headers),
            self.pool.retry_after(headers),
            self._clock(),
            short_dimension,
            in_flight=self._in_flight,
        )
        if changed:
            self._sort_by_size()
        self._serve()
        return own_wait

    def _refused(self, admission: Admission, headers: Mapping[str, str], words: str) -> None:
        self._end(admission)
        self.pool.refused(admission, self.pool.read(headers), words, self._clock())
        self._sort_by_size()
        self._serve()

    def _lost(self, admission: Admission) -> None:
        self._end(admission)
        self.pool.lost(admission, self._clock())
        self._serve()

    def _cancelled(self, admission: Admission) -> None:
        self._end(admission)
        self.pool.cancelled(admission, self._clock())
        self._serve()

    def _end(self, admission: Admission) -> None:
        self._in_flight -= 1
        self._tries -= admission.too_large is not None

    def _admit(
        self,
        queued: _QueuedRequest,
        now: float,
        too_large: RequestTooLarge | None = None,
        patience: float = 0.0,
    ) -> Permit | float:
        admission = self.pool.admit(
            queued.costs, now, self._in_flight, queued.sized, too_large=too_large, patience=patience
        )
        return self._granted(admission, now) if isinstance(admission, Admission) else admission

    def _granted(self, admission: Admission, now: float) -> Permit:
        self._in_flight += 1
        self._granted_at = now
        return Permit(self, admission)

    def _serve(self) -> None:
        """Grant for as long as the pool allows, and set the timer for the next."""
        if self._timer is None and not self.waiting:
            return
        while True:
            delay = self._serve_in_order()
            if not self._too_large:
                break
            fitting = len(self._waiting)
            delay = min(delay, self._serve_too_large())
            if len(self._waiting) == fitting:
                break
        if self.waiting:
            self._set_timer(delay)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _serve_in_order(self) -> float:
        """Grant from the head of the queue for as long as the pool allows; return the seconds until it may again."""
        while queue := self._requeued or self._waiting:
            granted, queued = next(iter(queue.items()))
            if not granted.done():  # else cancelled just now
                try:
                    permit = self._admit(queued, self._clock())
                except RequestTooLarge as error:
                    self._set_aside(granted, queued, error)
                except Exception as error:  # the waiting request gets it, a fault of this program too
                    granted.set_exception(error)
                else:
                    if not isinstance(permit, Permit):
                        return permit
                    granted.set_result(permit)
            queue.pop(granted, None)
        return math.inf

    def _serve_too_large(self) -> float:
        """Grant to what is believed too large, one after the other; return the seconds until one may be sent.

        What is believed to fit by now goes to the end of the other queue.
        """
        while self._too_large:
            granted, queued = next(iter(self._too_large.items()))
            if not granted.done():
                now = self._clock()
                try:
                    error = self.pool.too_large_error(queued.costs, queued.sized)
                    if error is None:
                        self._waiting[granted] = queued
                    else:
                        permit = self._try_too_large(queued, error, now)
                        if not isinstance(permit, Permit):
                            return permit
                        granted.set_result(permit)
                except Exception as refusal:  # as above
                    granted.set_exception(refusal)
            del self._too_large[granted]
        return math.inf

    def _try_too_large(self, queued: _QueuedRequest, error: RequestTooLarge, now: float) -> Permit | float:
        """Return the permit of a request that is believed too large, or the seconds until it may be sent."""
        self._check_size(queued, error)
        patience = queued.since + PATIENCE_SECONDS - now
        if self._tries:
            return math.inf
        if patience > 0 and (self._in_flight or self._requeued or self._waiting):
            return patience
        permit = self._admit(queued, now, error, max(0.0, patience))
        if isinstance(permit, Permit):
            self._tries += 1
        return permit

    def _check_size(self, queued: _QueuedRequest, error: RequestTooLarge) -> None:
        """Raise the error of a request that is believed too large, if it need not be sent to know."""
        refusal = self.pool.size_refusal(error, queued.sized, self._clock())
        if queued.divisible or refusal is not None:
            raise RequestTooLarge(error.dimension, error.cost, error.limit, refusal)

    def _set_aside(
        self, granted: asyncio.Future[Permit], queued: _QueuedRequest, error: RequestTooLarge
    ) -> None:
        """Let a request that is believed too large wait apart from the others, or fail it."""
        try:
            self._check_size(queued, error)
        except RequestTooLarge as refusal:
            granted.set_exception(refusal)
        else:
            self._too_large[granted] = queued

    def _set_timer(self, delay: float) -> None:
        """Serve in `delay` seconds, or earlier if the timer is set so already: serving sets it again."""
        when = self._loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
            self._timer = None
        if delay < math.inf:
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()

    def _sort_by_size(self) -> None:
        """Set the waiting requests aside that exceed a limit which has just become known, and queue those that fit."""
        for queue in self._queues:
            for granted, queued in list(queue.items()):
                error = self.pool.too_large_error(queued.costs, queued.sized)
                if (error is None) == (queue is not self._too_large):
                    continue
                del queue[granted]
                if granted.done():
                    continue
                if error is None:
                    self._waiting[granted] = queued
                else:
                    self._set_aside(granted, queued, error)

    @property
    def _queues(self) -> tuple[OrderedDict[asyncio.Future[Permit], _QueuedRequest], ...]:
        return self._requeued, self._waiting, self._too_large
