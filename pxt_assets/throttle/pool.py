"""A rate-limit pool: the requests that draw on one set of limits, and what is known of those limits.

A pool is one account's limits for one kind of endpoint and one group of models. Its state is plain numbers
and belongs to no event loop, so that one loop after another, or several at once, continue from the same
levels.
"""

import weakref
from collections.abc import Container, Iterable, Mapping
from typing import Any

from pxt_assets.throttle.admission import Admission, Rejection, RequestTooLarge, SizedRequest
from pxt_assets.throttle.dimension import unit_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.hold import FIRST_PROBE_SECONDS, Hold, HoldReport
from pxt_assets.throttle.in_flight_search import InFlightSearch
from pxt_assets.throttle.oversize import seconds_until_full
from pxt_assets.throttle.probe import Probe
from pxt_assets.throttle.queue import Queue
from pxt_assets.throttle.ramp import Growth, Ramp
from pxt_assets.throttle.sampling import Sampling
from pxt_assets.throttle.share import LocalShare, Share, SharedBucket, SharedPace
from pxt_assets.throttle.silent_limits import SilentLimits
from pxt_assets.throttle.tariff import Tariff
from pxt_assets.throttle.utilization import gauges, used_share
from pxt_assets.throttle.weak_call import weak_call

_NO_LIMIT = Reading(1e9, 1e9)
ANSWERS_REMEMBERED = 20
OVERLOADED_SHARE = 0.15
"""Share of overloaded answers among the latest, above which the rate is cut: four of 20."""


class Pool:
    """The buckets of one pool, and the time until which it is held.

    `rpm` is the rate, in requests/minute, that applies while the endpoint reports no limit of requests; None
    to go by the headers alone. Until a header or a rate is known, the pool probes: a few requests may be in
    flight, and more with each answer and each second. An endpoint that reports no limits is not throttled
    until it rejects a request; then what it allows is sought, at once and a second (`SilentLimits`). How many it can use
    at once is found by their latency (`InFlightSearch`), with `from_few` from a few upwards.

    `share` keeps the buckets: this process alone by default, or a ledger.

    Times are seconds on one monotonic clock. The methods are thread-safe.
    """

    def __init__(
        self, *, rpm: float | None = None, share: Share | None = None, from_few: bool = False
    ) -> None:
        self._share = share or LocalShare()
        self._lock = self._share.lock
        self._buckets: dict[str, SharedBucket] = self._share.buckets
        self._pace: SharedPace | None = None if rpm is None else self._share.new_pace(rpm)
        self._rpm = rpm
        self._tariff = Tariff()
        self._probe = Probe()
        self._ramp = Ramp()
        self._overloaded_share = 0.0  # share of the latest answers
        self._silent = SilentLimits()
        self.search = InFlightSearch(from_few=from_few and rpm is None)
        self._hold = Hold()
        self.sampling = Sampling()
        self._queues: weakref.WeakSet[Queue] = weakref.WeakSet()
        self.guard: Any = None  # what takes this pool's place should it fail: a `GuardedPool`
        self._share.join(weak_call(self.wake, None), weak_call(self._waiting, 0))

    def join(self, queue: Queue) -> None:
        """Wake `queue`, while it exists, when others leave more to take."""
        with self._lock:
            self._queues.add(queue)

    def leave(self, queues: Iterable[Queue]) -> None:
        """Wake `queues` no longer, and count their requests no longer."""
        with self._lock:
            self._queues.difference_update(queues)

    def wake(self) -> None:
        """Wake all queues, since the share has changed."""
        with self._lock:
            limit_known = any(bucket.limit_known for bucket in self._buckets.values())
            requests = self._buckets.get("requests")
            if requests is not None and requests.limit_known:
                self._pace = None
            elif self._probe.limit_known and not limit_known:  # somebody has emptied the ledger
                self._probe = Probe()
                self._pace = None if self._rpm is None else self._share.new_pace(self._rpm)
            self._probe.limit_known |= limit_known
            self.search.is_off = self._probe.limit_known
            queues = list(self._queues)
        for queue in queues:
            queue.wake()

    def _waiting(self) -> int:
        return sum(queue.waiting for queue in list(self._queues))

    @property
    def buckets(self) -> Mapping[str, Any]:
        """The buckets by dimension, for reading. Those without `limit_known` let all pass."""
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
                by_header = bucket is not None and bucket.limit_known
                self._rpm, self._pace = rpm, None if rpm is None or by_header else self._share.new_pace(rpm)

    def admit(
        self,
        costs: Mapping[str, float],
        now: float,
        in_flight: int,
        sized: SizedRequest | None = None,
        *,
        too_large: RequestTooLarge | None = None,
        patience: float = 0.0,
    ) -> Admission | float:
        """Let a request pass, or return the seconds until it may (infinite: not before another answer).

        `costs` is what the request takes, by dimension; what `sized` takes of the other dimensions is
        learned. `in_flight` is the number of the caller's requests in flight. Raises `RequestTooLarge` if it
        is believed to take more than a limit. Given that error as `too_large`, it passes all the same, with what is
        left of that limit, once that is full or the seconds of `patience` have passed.
        """
        with self._lock:
            for dimension in (*costs, "tokens") if sized else costs:
                if dimension not in self._buckets:
                    self._buckets[dimension] = self._share.new_bucket(now)
            wait = max(self._hold.wait(self._share.held_until, now), self._share.wait(now))
            wait = max(wait, self._silent.wait(in_flight, now), self.search.wait(in_flight))
            taken, from_full = self._tariff.costs(self._buckets, costs, sized, too_large), False
            for dimension, cost in taken.items():
                bucket = self._buckets[dimension]
                if too_large is not None and cost > bucket.limit:
                    seconds, level = seconds_until_full(bucket, self._share.processes, now)
                    if dimension == too_large.dimension:
                        from_full = seconds == 0 and self._share.processes == 1
                    taken[dimension] = min(bucket.limit, max(0.0, level))
                    wait = max(wait, min(seconds, patience))
                else:
                    wait = max(wait, bucket.wait(cost, now))
            requests = costs.get("requests", 1.0)
            wait = max(wait, self._ramp.wait(requests, now))
            if self._pace is not None:
                wait = max(wait, self._pace.wait(requests, now))
            elif not self._probe.is_over:
                wait = max(wait, self._probe.wait(in_flight, self._share.processes, now))
            if wait > 0:
                return wait
            if self._pace is not None:
                self._pace.take(requests, now)
            self._ramp.take(requests, now)
            at = self._silent.take(in_flight + 1, now)
            self._hold.granted(now)
            grants, grant_totals = {}, {}
            for dimension, cost in taken.items():
                bucket = self._buckets[dimension]
                grants[dimension] = bucket.take(cost, now)
                if totals := self._tariff.count(dimension, cost, sized, now, bucket.taken_by_others):
                    grant_totals[dimension] = totals
            return Admission(
                taken,
                grants,
                at,
                sized,
                grant_totals,
                in_flight + 1,
                self.search.take(at),
                too_large=too_large,
                from_full=from_full,
            )

    def too_large_error(
        self, costs: Mapping[str, float], sized: SizedRequest | None = None
    ) -> RequestTooLarge | None:
        """Return the error of a request that is believed too large, None if it is believed to fit."""
        with self._lock:
            try:
                self._tariff.costs(self._buckets, costs, sized)
            except RequestTooLarge as error:
                return error
            return None

    def size_refusal(self, error: RequestTooLarge, sized: SizedRequest | None, now: float) -> str | None:
        """Return the words in which the server has just refused a request that is no larger; None if it has not."""
        with self._lock:
            return self._tariff.size_verdicts.refusal(error, sized, now)

    def answered(
        self, admission: Admission, readings: Mapping[str, Reading], now: float, *, failed: bool = False
    ) -> bool:
        """Apply what an answer reported, or one that says it `failed`; return whether a limit changed or became known."""
        if admission.too_large is not None and (dimension := admission.too_large.dimension) not in readings:
            readings = {
                **readings,
                dimension: _NO_LIMIT,
            }  # the server knows of none that this request exceeds
        with self._lock:
            self._tariff.learn_from_full(admission, readings)
            changed = self._observe(admission, readings, now, charged=True)
            if admission.too_large is not None:
                self._tariff.size_verdicts.note_accepted(admission.too_large, admission)
            self._probe.answered()
            self._silent.answered(admission.in_flight, admission.at, now)
            if failed:
                self.search.ended(admission.at_once, admission.at)
            else:
                self.search.answered(admission.at_once, admission.at, now)
            if self._hold.answered(admission.at):
                self._share.release(now)
            self._overloaded_share *= 1 - 1 / ANSWERS_REMEMBERED
            return changed

    def overloaded(self, admission: Admission, now: float) -> None:
        """Count an answer that says the server is overloaded; several of them cut the rate."""
        with self._lock:
            self._overloaded_share += (1 - self._overloaded_share) / ANSWERS_REMEMBERED
            if self._overloaded_share > OVERLOADED_SHARE:
                self._ramp.cut(admission.at, now, Growth.OVERLOADED)

    def slow_down(self, admission: Admission, now: float) -> None:
        """Cut the rate at once, for a 429 that asks for slower growth."""
        with self._lock:
            self._ramp.cut(admission.at, now, Growth.SLOW_DOWN)

    def rejected(
        self,
        admission: Admission,
        readings: Mapping[str, Reading],
        retry_after: float | None,
        now: float,
        short_dimension: str | None = None,
        *,
        in_flight: int = 0,
    ) -> Rejection:
        """Apply what a 429 reported, and hold the pool for `retry_after` seconds, a minute at most.

        `short_dimension` is the dimension that fell short, if the server says so, and `in_flight` the number of
        the caller's requests that are still in flight. If there are no readings, or none shows that less was left
        than the request takes, the cause is sought; the pool is then held only if nothing else is let in.
        """
        readings = {
            dimension: one for dimension, one in readings.items() if one.limit > 0
        }  # zero is no limit
        with self._lock:
            self.search.ended(admission.at_once, admission.at)
            self._tariff.learn_from_rejection(admission, readings, retry_after, short_dimension)
            changed = self._observe(admission, readings, now, charged=False)
            self._give_back(admission, now, readings)
            too_many_at_once, for_all, seconds = False, True, retry_after or 0.0
            if not (readings if retry_after else admission.falls_short(readings)):
                too_many_at_once = self._silent.rejected(
                    admission.in_flight,
                    admission.at,
                    in_flight,
                    now,
                    limits_known=self._probe.limit_known,
                    paced=self._pace is not None,
                )
                for_all = self._silent.refuses_all(in_flight)
            if self._pace is not None and not too_many_at_once:
                self._pace.reject(admission.at, now)
            self._share.rejected(now + (self._hold.rejected(seconds, now) if for_all else 0.0), now)
            return Rejection(changed, 0.0 if for_all else min(seconds, FIRST_PROBE_SECONDS))

    def refused(self, admission: Admission, readings: Mapping[str, Reading], words: str, now: float) -> None:
        """Apply a 429 for the request's size, in the server's `words`: it was not charged, and nothing is held."""
        readings = {dimension: one for dimension, one in readings.items() if one.limit > 0}
        with self._lock:
            self.search.ended(admission.at_once, admission.at)
            self._tariff.not_charged(admission)
            self._silent.cancelled(admission.at)
            self._observe(admission, readings, now, charged=False)
            self._give_back(admission, now, readings)
            if admission.too_large is not None:
                self._tariff.size_verdicts.note_refused(admission.too_large, admission, words, now)

    def cancelled(self, admission: Admission, now: float) -> None:
        """Return what was taken for a request that was never sent."""
        with self._lock:
            self.search.ended(admission.at_once, admission.at)
            self._tariff.not_charged(admission)
            self._silent.cancelled(admission.at)
            self._give_back(admission, now)
            if self._pace is not None:
                self._pace.give_back(admission.costs.get("requests", 1.0))

    def lost(self, admission: Admission, now: float) -> None:
        """Count a request whose outcome is unknown."""
        with self._lock:
            self.search.lost(admission.at_once, admission.at, now)

    def hold(self, now: float) -> HoldReport | None:
        """Return for how long the server asked to send nothing, None if it did not."""
        with self._lock:
            return self._hold.report(self._share.held_until, now)

    def unreached(self, since: float) -> str | None:
        """Return which ledger was not reached at some time from `since` on, and why; None if it always was."""
        with self._lock:
            return self._share.unreached(since)

    def totals(self, now: float) -> dict[str, tuple[float, float]]:
        """Return the units taken, and the units lost because the bucket was full, by dimension, up to now."""
        with self._lock:
            return {
                name: (gauge.taken, gauge.spilled) for name, gauge in gauges(self._buckets, self._pace, now)
            }

    def utilization(self, since: Mapping[str, tuple[float, float]], until: float, now: float) -> float | None:
        """Return the used share, 0 to 1, of what the limit allowed, of the dimension used most.

        Allowed is what the bucket held at `since` (an earlier result of `totals`) plus the refill from then
        to the time `until`, less what others took. That is: what was taken, what was lost because the bucket
        was full, and what was left at `until`. None while no limit is known.
        """
        with self._lock:
            return used_share(gauges(self._buckets, self._pace, now), since, until, now)

    def _give_back(self, admission: Admission, now: float, but: Container[str] = ()) -> None:
        for dimension, grant in admission.grants.items():
            if dimension not in but:
                self._buckets[dimension].give_back(grant, now)

    def _observe(
        self, admission: Admission, readings: Mapping[str, Reading], now: float, *, charged: bool
    ) -> bool:
        for dimension in readings:
            if dimension not in self._buckets and (base := unit_of(dimension)) in self._buckets:
                self._buckets[dimension] = self._share.sibling_bucket(self._buckets[base], now)
        changed = False
        for dimension, reading in readings.items():
            grant = admission.grants.get(dimension) or admission.grants.get(unit_of(dimension))
            if grant is not None:
                cost_share = self._tariff.learn_from_answer(dimension, admission, reading) if charged else 1.0
                if self._buckets[dimension].observe(
                    grant, reading, now, charged=charged, cost_share=cost_share
                ):
                    if not self._probe.limit_known:
                        self._silent = SilentLimits()
                    changed = self._probe.limit_known = self.search.is_off = True
                    if dimension == "requests":
                        self._pace = None
        self.sampling.note(readings, now, changed=changed or not charged)
        return changed
