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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from pxt_assets.throttle.admission import Admission, SizedRequest
from pxt_assets.throttle.headers import read_rate_limits, retry_after
from pxt_assets.throttle.pool import Pool


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a limiter has counted so far."""

    rate_limited: int
    """Requests rejected with a 429."""
    seconds_throttled: float
    """Seconds that requests waited for the limit, summed over all requests."""
    utilization: float | None
    """Share, 0 to 1, of what the limit allowed between the first and the last grant that was used, of the
    dimension used most. What others took on the same account does not count as allowed. None while no limit
    is
    known."""


class _QueuedRequest(NamedTuple):
    costs: Mapping[str, float]
    sized: SizedRequest | None


class Permit:
    """Permission to send one request. Its outcome is reported by calling exactly one of its methods.

    Further calls do nothing, so that `cancel` may stand in a `finally`.
    """

    __slots__ = ("_admission", "_limiter", "_settled", "own_wait")

    def __init__(self, limiter: "Limiter", admission: Admission) -> None:
        self._limiter = limiter
        self._admission = admission
        self._settled = False
        self.own_wait = 0.0
        """Seconds after which a rejected request may be queued again, while others go on."""

    def answered(self, headers: Mapping[str, str]) -> None:
        """Report an answer of any status but 429, by its headers."""
        if self._settle():
            self._limiter._answered(self._admission, headers)

    def rejected(
        self, headers: Mapping[str, str], short_dimension: str | None = None, *, slow_down: bool = False
    ) -> None:
        """Report a 429, which was not charged, by its headers, and hold the pool until its retry-after.

        `short_dimension` is the dimension that fell short, if the error says so. With `slow_down` the server
        asked for slower growth, and the rate is cut. Then `own_wait` says how long this request alone has to wait.
        """
        if self._settle():
            if slow_down:
                self._limiter.pool.slow_down(self._admission, self._limiter._clock())
            self.own_wait = self._limiter._rejected(self._admission, headers, short_dimension)

    def overloaded(self, headers: Mapping[str, str]) -> None:
        """Report an answer that says the server is overloaded, by its headers."""
        if self._settle():
            self._limiter.pool.overloaded(self._admission, self._limiter._clock())
            self._limiter._answered(self._admission, headers)

    def lost(self) -> None:
        """Report that the outcome is unknown: the request may have been charged."""
        if self._settle():
            self._limiter._lost()

    def cancel(self) -> None:
        """Report that the request was never sent, and return what it took."""
        if self._settle():
            self._limiter._cancelled(self._admission)

    def _settle(self) -> bool:
        unsettled, self._settled = not self._settled, True
        return unsettled


class Limiter:
    """Grants the requests of one event loop in the order they came, as a pool allows.

    Make it in a running event loop, and use it in that one only; the pool outlives it. `clock` returns
    seconds and must agree with the clock of other users of the pool. By default it is the loop's own, which
    is `time.monotonic`.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] | None = None) -> None:
        self.pool = pool
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._requeued: OrderedDict[asyncio.Future[Permit], _QueuedRequest] = OrderedDict()
        self._waiting: OrderedDict[asyncio.Future[Permit], _QueuedRequest] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._rate_limited = 0
        self._seconds_throttled = 0.0
        self._totals: dict[str, tuple[float, float]] | None = None
        self._granted_at = 0.0
        pool.join(self)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a permit."""
        return len(self._requeued) + len(self._waiting)

    def wake(self) -> None:
        """Serve the queue, since the pool may allow more now. May be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._serve)

    async def acquire(
        self, costs: Mapping[str, float], *, sized: SizedRequest | None = None, requeued: bool = False
    ) -> Permit:
        """Wait until a request that takes `costs`, by dimension, may be sent, and return its permit.

        What `sized` costs in tokens or in images is learned, and estimated when the request is granted.
        Requests are granted strictly in the order they came, those that are `requeued` (sent before, and
        rejected) before all others. Raises `RequestTooLarge` as soon as it is known that the request can
        never pass. A cancelled wait takes nothing.
        """
        start = self._clock()
        if self._totals is None:
            self._totals = self.totals()
        queued = _QueuedRequest(costs, sized)
        if not self._requeued and (requeued or not self._waiting):
            permit = self._admit(queued, start)
            if isinstance(permit, Permit):
                return permit
            self._set_timer(permit)
        elif error := self.pool.too_large_error(costs, sized):
            raise error
        queue = self._requeued if requeued else self._waiting
        granted: asyncio.Future[Permit] = self._loop.create_future()
        queue[granted] = queued
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.cancelled():
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

    def totals(self) -> dict[str, tuple[float, float]]:
        """Return the units taken and lost of each dimension up to now, for `utilization`."""
        return self.pool.totals(self._clock())

    def utilization(self, since: Mapping[str, tuple[float, float]]) -> float | None:
        """Return the used share, 0 to 1, of what the limit allowed from `since`, a `totals`, to the last grant."""
        return self.pool.utilization(since, self._granted_at, self._clock())

    def _answered(self, admission: Admission, headers: Mapping[str, str]) -> None:
        self._in_flight -= 1
        if self.pool.answered(admission, read_rate_limits(headers), self._clock()):
            self._refuse_too_large()
        self._serve()

    def _rejected(
        self, admission: Admission, headers: Mapping[str, str], short_dimension: str | None
    ) -> float:
        self._in_flight -= 1
        self._rate_limited += 1
        changed, own_wait = self.pool.rejected(
            admission,
            read_rate_limits(headers),
            retry_after(headers),
            self._clock(),
            short_dimension,
            in_flight=self._in_flight,
        )
        if changed:
            self._refuse_too_large()
        self._serve()
        return own_wait

    def _lost(self) -> None:
        self._in_flight -= 1
        self._serve()

    def _cancelled(self, admission: Admission) -> None:
        self._in_flight -= 1
        self.pool.cancelled(admission, self._clock())
        self._serve()

    def _admit(self, queued: _QueuedRequest, now: float) -> Permit | float:
        admission = self.pool.admit(queued.costs, now, self._in_flight, queued.sized)
        if not isinstance(admission, Admission):
            return admission
        self._in_flight += 1
        self._granted_at = now
        return Permit(self, admission)

    def _serve(self) -> None:
        """Grant from the head of the queue for as long as the pool allows, and set the timer for the next."""
        while queue := self._requeued or self._waiting:
            granted, queued = next(iter(queue.items()))
            if not granted.done():  # else cancelled just now
                try:
                    permit = self._admit(queued, self._clock())
                except Exception as error:  # the waiting request gets it, a fault of this program too
                    granted.set_exception(error)
                else:
                    if not isinstance(permit, Permit):
                        self._set_timer(permit)
                        return
                    granted.set_result(permit)
            del queue[granted]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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

    def _refuse_too_large(self) -> None:
        """Fail the waiting requests that exceed a limit which has just become known."""
        for queue in (self._requeued, self._waiting):
            for granted, queued in list(queue.items()):
                error = self.pool.too_large_error(queued.costs, queued.sized)
                if error is not None:
                    del queue[granted]
                    if not granted.done():
                        granted.set_exception(error)


class LimitUtilization:
    """How much of the limits of some limiters is used, of each since it was added.

    Example: `used = LimitUtilization([limiter])`, and some requests later `used.utilization`, such as 0.98.
    """

    def __init__(self, limiters: Iterable[Limiter] = ()) -> None:
        self._since = {limiter: limiter.totals() for limiter in limiters}

    def add(self, limiter: Limiter) -> None:
        """Measure this limiter from now on, unless it is measured already."""
        if limiter not in self._since:
            self._since[limiter] = limiter.totals()

    @property
    def utilization(self) -> float | None:
        """The used share, 0 to 1, of what the limit allowed, of the limiter used most; None while no limit is known."""
        shares = [limiter.utilization(since) for limiter, since in self._since.items()]
        return max((share for share in shares if share is not None), default=None)
