"""What goes on in a pool's place when the pool itself fails: no fault of accounting costs an answer or a run.

A pool whose methods raise, or give a number that is none, is replaced once by a plain one of this process alone with
the limits that were known. If that fails too, requests are spaced evenly, few at once, with no accounting at all.
"""

import logging
import math
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pxt_assets.throttle.admission import Admission, Rejection, RequestTooLarge, SizedRequest
from pxt_assets.throttle.bucket import Bucket
from pxt_assets.throttle.dimension import MINUTE
from pxt_assets.throttle.headers import Reading, read_rate_limits, retry_after
from pxt_assets.throttle.pool import Pool
from pxt_assets.throttle.queue import Queue
from pxt_assets.throttle.share import LocalShare
from pxt_assets.throttle.spaced_pool import SpacedPool

_log = logging.getLogger("pxt_assets.throttle")
Result = TypeVar("Result")
_HELD_AT_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _LaterAdmission(Admission):
    """An admission by a pool that replaced another."""

    pools_before: int = 0


class GuardedPool:
    """A pool, or what replaced it. It has the methods of `Pool`, and raises nothing but `RequestTooLarge`."""

    def __init__(self, pool: Pool) -> None:
        self.fault: str | None = None
        """What failed, and what goes on in its place; None while nothing has. For people to read."""
        self._lock = threading.Lock()
        self._current: tuple[Pool | SpacedPool, int] = (pool, 0)  # and how many were replaced before it
        self._queues: weakref.WeakSet[Queue] = weakref.WeakSet()
        self._now = 0.0

    def join(self, queue: Queue) -> None:
        """Wake `queue`, while it exists, when others leave more to take."""
        with self._lock:
            self._queues.add(queue)
            self._current[0].join(queue)

    def admit(
        self,
        costs: Mapping[str, float],
        now: float,
        in_flight: int,
        sized: SizedRequest | None = None,
        **more: Any,
    ) -> Admission | float:
        """Let a request pass, or return the seconds until it may, as `Pool.admit` does."""
        self._now = now
        while True:
            pool, before = self._current
            try:
                admission = pool.admit(costs, now, in_flight, sized, **more)
                if isinstance(admission, Admission):
                    return admission if before == 0 else _later(admission, before)
                if admission >= 0:
                    return admission
                raise ArithmeticError(f"a wait of {admission} seconds")
            except RequestTooLarge:
                raise
            except Exception as error:
                if not self._replace(before, error):
                    return Admission({}, {}, now)

    def too_large_error(
        self, costs: Mapping[str, float], sized: SizedRequest | None = None
    ) -> RequestTooLarge | None:
        """Return the error of a request that is too large, as `Pool.too_large_error` does."""
        error: RequestTooLarge | None = self._call("too_large_error", None, costs, sized)
        return error

    def answered(self, admission: Admission, *arguments: Any, **more: Any) -> bool:
        """Apply what an answer reported, as `Pool.answered` does."""
        return bool(self._report("answered", admission, arguments, more))

    def rejected(self, admission: Admission, *arguments: Any, **more: Any) -> Rejection:
        """Apply what a 429 reported, as `Pool.rejected` does."""
        rejection: Rejection | None = self._report("rejected", admission, arguments, more)
        return rejection or Rejection(changed=False, own_wait=0.0)

    def refused(self, admission: Admission, *arguments: Any, **more: Any) -> None:
        """Apply that a server refused a request as too large, as `Pool.refused` does."""
        self._report("refused", admission, arguments, more)

    def overloaded(self, admission: Admission, *arguments: Any, **more: Any) -> None:
        """Count an answer that says the server is overloaded."""
        self._report("overloaded", admission, arguments, more)

    def slow_down(self, admission: Admission, *arguments: Any, **more: Any) -> None:
        """Cut the rate."""
        self._report("slow_down", admission, arguments, more)

    def lost(self, admission: Admission, *arguments: Any, **more: Any) -> None:
        """Count a request whose outcome is unknown."""
        self._report("lost", admission, arguments, more)

    def cancelled(self, admission: Admission, *arguments: Any, **more: Any) -> None:
        """Return what was taken for a request that was never sent."""
        self._report("cancelled", admission, arguments, more)

    def wants_reading(self, now: float) -> bool:
        """Return whether the headers of an answer that comes now are to be read."""
        pool = self._current[0]
        return isinstance(pool, SpacedPool) or pool.sampling.wants_reading(now)

    def read(self, headers: Mapping[str, str]) -> dict[str, Reading]:
        """Return what the headers of an answer say of limits: nothing, where reading them fails."""
        return self._read(read_rate_limits, headers) or {}

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Return the seconds that the headers of an answer ask to wait, None where reading them fails."""
        return self._read(retry_after, headers)

    def _read(self, read: Callable[[Mapping[str, str]], Result], headers: Mapping[str, str]) -> Result | None:
        try:
            return read(headers)
        except Exception as error:
            self._tell(error, "requests go on without what the headers say")
            return None

    def totals(self, now: float) -> dict[str, tuple[float, float]]:
        """Return the units taken and lost, as `Pool.totals` does."""
        totals: dict[str, tuple[float, float]] = self._call("totals", {}, now)
        return totals

    def utilization(self, *arguments: Any) -> float | None:
        """Return the used share of the limits, as `Pool.utilization` does."""
        share: float | None = self._call("utilization", None, *arguments)
        return share if share is None or math.isfinite(share) else None

    def __getattr__(self, name: str) -> Any:
        """Return what else the pool has: an attribute, or a method that returns None where it fails."""
        pool, _ = self._current
        found = getattr(pool, name, None) if isinstance(pool, SpacedPool) else getattr(pool, name)
        if found is None and isinstance(pool, SpacedPool):
            return lambda *_arguments, **_more: None
        if not callable(found):
            return found
        return lambda *arguments, **more: self._call(name, None, *arguments, **more)

    def _report(
        self, name: str, admission: Admission, arguments: tuple[Any, ...], more: Mapping[str, Any]
    ) -> Any:
        """Call a method about an admission, unless the pool that gave it is gone."""
        before = admission.pools_before if isinstance(admission, _LaterAdmission) else 0
        if before != self._current[1]:
            return None
        return self._call(name, None, admission, *arguments, **more)

    def _call(self, name: str, otherwise: Any, *arguments: Any, **more: Any) -> Any:
        pool, before = self._current
        try:
            result = getattr(pool, name)(*arguments, **more)
            for bucket in list(pool.buckets.values()):
                if bucket.level != bucket.level:
                    raise ArithmeticError("the level of a bucket is no number")
        except Exception as error:
            self._replace(before, error)
            return otherwise
        return result

    def _replace(self, before: int, error: Exception) -> bool:
        """Replace the pool after `before` others, unless that has been done; return whether there is another now."""
        with self._lock:
            pool, now_before = self._current
            if now_before != before:
                return True
            if isinstance(pool, SpacedPool):
                return False
            following, instead = _following(pool, before, self._now)
            self._current = following, before + 1
            queues = list(self._queues)
            for queue in queues:
                following.join(queue)
            pool.leave(queues)
        self._tell(error, instead)
        for queue in queues:
            queue.wake()
        return True

    def _tell(self, error: Exception, instead: str) -> None:
        """Log a fault with its trace, the first one only, and keep it for the metadata."""
        where, first = _place(error), self.fault is None
        self.fault = f"{where}; {instead}"
        _log.log(
            logging.ERROR if first else logging.DEBUG,
            "The limiter has met a fault of its own, %s. No request is lost by it: %s. Please report it.",
            where,
            instead,
            exc_info=error if first else None,
        )


def guarded(pool: Pool) -> GuardedPool:
    """Return what guards a pool, the same one each time."""
    if pool.guard is None:
        pool.guard = GuardedPool(pool)
    guard: GuardedPool = pool.guard
    return guard


def _following(pool: Pool, before: int, now: float) -> tuple[Pool | SpacedPool, str]:
    """Return what replaces a pool, and says so in words."""
    if before == 0:
        try:
            return _plain_pool(pool, now), "a plain bucket of this process alone goes on in its place"
        except Exception:  # what it is to be made of is broken too
            _log.debug("No plain pool can be made.", exc_info=True)
    return SpacedPool(pool.rpm), "requests go on evenly spaced, few at once"


def _plain_pool(pool: Pool, now: float) -> Pool:
    """Return a pool of this process alone with what another knows: its limits, and this process's part of the rest."""
    share, processes = LocalShare(), max(1, pool._share.processes)
    for dimension, bucket in list(pool.buckets.items()):
        limit, rate, level = bucket.limit, bucket.rate, bucket.level
        if not 0 < limit < math.inf:
            continue
        if not 0 < rate <= limit / MINUTE:
            rate = limit / MINUTE / processes
        if rate <= 0:
            continue
        level = max(0.0, min(level, limit / processes)) if math.isfinite(level) else 0.0
        share.buckets[dimension] = Bucket(
            limit, level, rate, now, taken=_number(bucket.taken), spilled=_number(bucket.spilled)
        )
    if pool._share.held_until > now:
        share.held_until = min(pool._share.held_until, now + _HELD_AT_MOST_SECONDS)
    plain = Pool(rpm=pool.rpm, share=share)
    plain.wake()
    return plain


def _later(admission: Admission, before: int) -> _LaterAdmission:
    values = {one.name: getattr(admission, one.name) for one in fields(Admission)}
    return _LaterAdmission(**values, pools_before=before)


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _place(error: BaseException) -> str:
    """Return the class of an error and where it was raised, without its text, which may quote anything."""
    while error.__cause__ is not None:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
