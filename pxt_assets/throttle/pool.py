"""A rate-limit pool: the requests that draw on one set of limits, and what is known of those limits.

A pool is one account's limits for one kind of endpoint and one group of models. Its state is plain numbers
and belongs to no event loop, so that one loop after another, or several at once, continue from the same
levels.
"""

import math
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pxt_assets.throttle.admission import Admission, RequestTooLarge, Sized, counted
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.pace import Pace
from pxt_assets.throttle.probe import Probe
from pxt_assets.throttle.ramp import Growth, Ramp
from pxt_assets.throttle.share import Gauge, Share, SharedBucket, SharedPace, Unshared
from pxt_assets.throttle.tariff import Tariff

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
ANSWERS_REMEMBERED = 20
OVERLOADED_SHARE = 0.15
"""Share of the answers remembered that say the server is overloaded, above which the rate is cut: four of 20."""


Result = TypeVar("Result")


class Queue(Protocol):
    """Whoever waits for a pool."""

    @property
    def waiting(self) -> int:
        """Requests that wait."""

    def wake(self) -> None:
        """See whether the pool allows more now. May be called from any thread."""


class Pool:
    """The buckets of one pool, and until when it is held.

    `rpm` is the rate, in requests/minute, that is kept as long as the endpoint reports no limit of
    requests; None to go by the headers alone. Until a header or a rate is known, the pool probes: a few
    requests may be under way, and more with each answer and each second. An endpoint that turns out to report no limits
    is not throttled until it rejects a request; then it is held, and a rate that it allows is sought.

    `share` is what keeps the buckets: this process alone by default, or a ledger.

    Times are seconds on one monotonic clock. The methods are thread-safe.
    """

    def __init__(self, *, rpm: float | None = None, share: Share | None = None) -> None:
        self._share = share or Unshared()
        self._lock = self._share.lock
        self._buckets: dict[str, SharedBucket] = self._share.buckets
        self._pace: SharedPace | None = None if rpm is None else self._share.pace(rpm)
        self._rpm = rpm
        self._tariff = Tariff()
        self._probe = Probe()
        self._ramp = Ramp()
        self._overloaded = 0.0  # share of the latest answers
        self._pauses = 0  # in a row
        self._paused_at = -math.inf
        self._queues: weakref.WeakSet[Queue] = weakref.WeakSet()
        self._share.join(_weak(self.wake, None), _weak(self._waiting, 0))

    def join(self, queue: Queue) -> None:
        """Wake `queue`, for as long as there is one, when others leave more to take."""
        with self._lock:
            self._queues.add(queue)

    def wake(self) -> None:
        """Let all who wait see whether more may go now: the share has news."""
        with self._lock:
            self._probe.measured |= any(bucket.known for bucket in self._buckets.values())
            requests = self._buckets.get("requests")
            if requests is not None and requests.known:
                self._pace = None
            queues = list(self._queues)
        for queue in queues:
            queue.wake()

    def _waiting(self) -> int:
        return sum(queue.waiting for queue in list(self._queues))

    @property
    def buckets(self) -> Mapping[str, Any]:
        """The buckets by dimension. For looking at; those whose limit is not `known` let all pass."""
        return self._buckets

    @property
    def rpm(self) -> float | None:
        """The configured rate, requests/minute."""
        return self._rpm

    @rpm.setter
    def rpm(self, rpm: float | None) -> None:
        with self._lock:
            if rpm != self._rpm:
                bucket = self._buckets.get("requests")
                by_header = bucket is not None and bucket.known
                self._rpm, self._pace = rpm, None if rpm is None or by_header else self._share.pace(rpm)

    def admit(
        self, costs: Mapping[str, float], now: float, in_flight: int, sized: Sized | None = None
    ) -> Admission | float:
        """Let a request pass, or return the seconds until it may (infinite: not before another answer).

        `costs` is what the request takes, by dimension; what it takes of the others that its size `sized` tells
        of is learned. `in_flight` is the number of requests of the caller that are under way. Raises
        `RequestTooLarge` if it can never pass.
        """
        with self._lock:
            for dimension in (*costs, "tokens") if sized else costs:
                if dimension not in self._buckets:
                    self._buckets[dimension] = self._share.bucket(now)
            wait = max(0.0, self._share.held_until - now, self._share.wait(now))
            taken = self._costs(costs, sized)
            for dimension, cost in taken.items():
                wait = max(wait, self._buckets[dimension].wait(cost, now))
            requests = costs.get("requests", 1.0)
            wait = max(wait, self._ramp.wait(requests, now))
            if self._pace is not None:
                wait = max(wait, self._pace.wait(requests, now))
            elif not self._probe.over:
                wait = max(wait, self._probe.wait(in_flight, self._share.processes, now))
            if wait > 0:
                return wait
            if self._pace is not None:
                self._pace.take(requests, now)
            self._probe.granted(now)
            self._ramp.take(requests, now)
            grants, marks = {}, {}
            for dimension, cost in taken.items():
                bucket = self._buckets[dimension]
                grants[dimension] = bucket.take(cost, now)
                if mark := self._tariff.granted(dimension, cost, sized, now, bucket.others):
                    marks[dimension] = mark
            return Admission(taken, grants, now, sized, marks)

    def too_large(self, costs: Mapping[str, float], sized: Sized | None = None) -> RequestTooLarge | None:
        """Return the error of a request that can never pass, or None if it can for all that is known."""
        with self._lock:
            try:
                self._costs(costs, sized)
            except RequestTooLarge as error:
                return error
            return None

    def answered(self, admission: Admission, readings: Mapping[str, Reading], now: float) -> bool:
        """Take in what an answer reported; return whether a limit changed or became known."""
        with self._lock:
            if admission.at >= self._paused_at:
                self._pauses = 0
            changed = self._observe(admission, readings, now, charged=True)
            self._probe.answered()
            self._overloaded *= 1 - 1 / ANSWERS_REMEMBERED
            if self._pace is not None:
                self._pace.accept()
            return changed

    def overloaded(self, admission: Admission, now: float) -> None:
        """Take note of an answer that says the server is overloaded; more than a stray one cut the rate."""
        with self._lock:
            self._overloaded += (1 - self._overloaded) / ANSWERS_REMEMBERED
            if self._overloaded > OVERLOADED_SHARE:
                self._ramp.cut(admission.at, now, Growth.OVERLOADED)

    def slowed(self, admission: Admission, now: float) -> None:
        """Take note of a 429 that asks for slower growth: cut the rate at once."""
        with self._lock:
            self._ramp.cut(admission.at, now, Growth.SLOW_DOWN)

    def rejected(
        self,
        admission: Admission,
        readings: Mapping[str, Reading],
        retry_after: float | None,
        now: float,
        short: str | None = None,
    ) -> bool:
        """Take in what a 429 reported, and hold the pool; return whether a limit changed or became known.

        `short` is the dimension that fell short, where the server says so. The hold lasts `retry_after` seconds. Without that, and if the readings do not show the request to
        be more than what was left, the cause is one that no number tells: then the pool pauses, twice as
        long each time, up to a minute, that it is rejected again.
        """
        with self._lock:
            self._tariff.rejected(admission, readings, retry_after, short)
            changed = self._observe(admission, readings, now, charged=False)
            for dimension, grant in admission.grants.items():
                if dimension not in readings:
                    self._buckets[dimension].give_back(grant, now)
            if self._pace is None and not self._probe.measured:
                self._pace = Pace(60 * self._probe.answers_per_second(now), guessed=True)
            paced = self._pace is not None and not self._pace.guessed
            if self._pace is not None:
                self._pace.reject(admission.at, now)
            if not retry_after and not paced and not _explained(admission, readings):
                retry_after = self._next_pause(admission, now)
            self._share.rejected(now + (retry_after or 0.0), now)
            return changed

    def cancelled(self, admission: Admission, now: float) -> None:
        """Return what was taken for a request that was never sent."""
        with self._lock:
            self._tariff.not_charged(admission)
            for dimension, grant in admission.grants.items():
                self._buckets[dimension].give_back(grant, now)
            if self._pace is not None:
                self._pace.give_back(admission.costs.get("requests", 1.0))

    def totals(self, now: float) -> dict[str, tuple[float, float]]:
        """Return the units taken, and those lost because the bucket was full, by dimension, up to now."""
        with self._lock:
            return {name: (gauge.taken, gauge.spilled) for name, gauge in self._gauges(now)}

    def utilization(self, since: Mapping[str, tuple[float, float]], until: float, now: float) -> float | None:
        """Return the share, 0 to 1, that was taken of what the limit allowed: of the dimension used most.

        Allowed is what the bucket held at `since` (an earlier answer of `totals`) and what flowed in from
        then to the time `until`, less what others took. That is: what was taken, what was lost
        because the bucket was full, and what was left at `until`. None while no limit is known.
        """
        shares = []
        with self._lock:
            for name, gauge in self._gauges(now):
                taken, spilled = since.get(name) or since.get(counted(name)) or (0.0, 0.0)
                taken = gauge.taken - taken
                if taken > 0 and gauge.rate > 0:
                    # What flowed in since `until` is in the bucket or was lost: no matter which.
                    unused = gauge.level + gauge.spilled - spilled - gauge.rate * max(0.0, now - until)
                    shares.append(taken / (taken + max(0.0, unused)))
        return max(shares, default=None)

    def _costs(self, costs: Mapping[str, float], sized: Sized | None) -> dict[str, float]:
        """Return what a request takes of each dimension, no more than there can be. Raises `RequestTooLarge`."""
        taken = {}
        for dimension, bucket in self._buckets.items():
            cost = self._tariff.cost(dimension, costs, sized)
            if cost is None:
                continue
            if cost > bucket.limit:
                least = self._tariff.least(dimension, cost, sized)
                if least > bucket.limit:
                    raise RequestTooLarge(dimension, least, bucket.limit)
                cost = bucket.limit
            taken[dimension] = cost
        return taken

    def _gauges(self, now: float) -> list[tuple[str, Gauge]]:
        """Return the buckets and the pace by name, with their numbers up to now."""
        gauges: list[tuple[str, Gauge]] = [*self._buckets.items()]
        if self._pace is not None and not self._pace.guessed:
            gauges.append(("pace", self._pace))
        for _, gauge in gauges:
            gauge.advance(now)
        return gauges

    def _observe(
        self, admission: Admission, readings: Mapping[str, Reading], now: float, *, charged: bool
    ) -> bool:
        for dimension in readings:
            if dimension not in self._buckets and (base := counted(dimension)) in self._buckets:
                self._buckets[dimension] = self._share.sibling(self._buckets[base], now)
        changed = False
        for dimension, reading in readings.items():
            grant = admission.grants.get(dimension) or admission.grants.get(counted(dimension))
            if grant is not None:
                part = self._tariff.answered(dimension, admission, reading) if charged else 1.0
                if self._buckets[dimension].observe(grant, reading, now, charged=charged, part=part):
                    changed = self._probe.measured = True
                    if dimension == "requests" or (self._pace is not None and self._pace.guessed):
                        self._pace = None
        return changed

    def _next_pause(self, admission: Admission, now: float) -> float | None:
        """Return the seconds of the next pause; None if the request was under way when the last began."""
        if admission.at <= self._paused_at:
            return None
        self._paused_at = now
        self._pauses += 1
        return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self._pauses - 1))


class PoolRegistry:
    """The pools of a process, by key: its own, or its `share` in those of a ledger. Thread-safe."""

    def __init__(self, share: Callable[[tuple[str, ...]], Share] | None = None) -> None:
        self._share = share
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, ...], Pool] = {}

    def get(self, key: tuple[str, ...], *, rpm: float | None = None) -> Pool:
        """Return the pool of `key`, the same one each time; its configured rate is now `rpm`.

        The key names everything that makes limits separate: a fingerprint of the account, and the kind of
        endpoint and group of models.
        """
        with self._lock:
            if key not in self._pools:
                self._pools[key] = Pool(rpm=rpm, share=self._share and self._share(key))
            pool = self._pools[key]
        pool.rpm = rpm
        return pool


def _weak(method: Callable[[], Result], otherwise: Result) -> Callable[[], Result]:
    """Return a function that calls a bound method, and returns `otherwise` once its object is gone."""
    reference = weakref.WeakMethod(method)

    def call() -> Result:
        bound = reference()
        return otherwise if bound is None else bound()

    return call


def _explained(admission: Admission, readings: Mapping[str, Reading]) -> bool:
    """Whether the readings of a 429 show that less was left than the request takes."""
    return any(
        admission.costs.get(dimension, admission.costs.get(counted(dimension), 0.0)) > reading.remaining
        for dimension, reading in readings.items()
    )
