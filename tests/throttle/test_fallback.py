"""Faults of the limiter's own: they cost no answer and no run."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets.throttle import Limiter, LimitUtilization, Pool, RequestTooLarge, fallback
from pxt_assets.throttle.admission import Admission
from pxt_assets.throttle.bucket import Bucket
from pxt_assets.throttle.fallback import guarded
from pxt_assets.throttle.spaced_pool import MOST_IN_FLIGHT, SpacedPool
from tests.throttle.server import Meter, Server
from tests.virtual_time import run

METHODS = ("admit", "answered", "rejected", "cancelled", "overloaded", "slow_down", "totals", "utilization")


def server(rpm: float = 600.0) -> Server:
    return Server({"requests": Meter(rpm, rpm / 10)}, latency=lambda: 0.2)


async def send(limiter: Limiter, to: Server, requests: int) -> float:
    """Send requests, all kinds of outcome among them; return the seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def one(number: int) -> None:
        requeued = False
        while True:
            permit = await limiter.acquire({"requests": 1.0}, requeued=requeued)
            if number % 10 == 0 and not requeued:
                permit.cancel()
                requeued = True
                continue
            status, headers = await to.request({"requests": 1.0})
            if status == 429:
                permit.rejected(headers, slow_down=number % 2 == 0)
                requeued = True
                continue
            (permit.overloaded if number % 7 == 0 else permit.answered)(headers)
            return

    async with asyncio.TaskGroup() as group:
        for number in range(requests):
            group.create_task(one(number))
    limiter.statistics()
    return loop.time() - start


def failing_after(
    calls: int, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Callable[[], Any]
) -> None:
    """Have a method fail from the call after `calls` on."""
    right = getattr(owner, name)
    seen = [0]

    def method(self: object, *arguments: Any, **more: Any) -> Any:
        seen[0] += 1
        return error() if seen[0] > calls else right(self, *arguments, **more)

    monkeypatch.setattr(owner, name, method)


def divide() -> float:
    return 1 / 0


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("calls", [0, 1, 17])
def test_whatever_method_of_a_pool_fails_every_request_is_answered(
    name: str, calls: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool that replaces it fails in the same way here, and so the last resort finishes the work."""
    failing_after(calls, monkeypatch, Pool, name, divide)
    api = server()

    async def main() -> float:
        return await send(Limiter(Pool()), api, 100)

    assert run(main()) < 600
    assert len(api.arrivals) == 100
    assert sum("fault of its own" in record.message for record in caplog.records) <= 2
    assert all(record.exc_info for record in caplog.records if "fault of its own" in record.message)


@pytest.mark.parametrize(
    "wrong", [lambda: math.nan, lambda: -1.0, lambda: None, divide], ids=["nan", "negative", "none", "raises"]
)
@pytest.mark.parametrize("calls", [0, 30])
def test_a_bucket_that_gives_no_time_to_wait_stops_nobody(
    wrong: Callable[[], Any], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no number is a fault like an exception."""
    failing_after(calls, monkeypatch, Bucket, "wait", wrong)
    api = server()

    async def main() -> float:
        return await send(Limiter(Pool()), api, 100)

    assert run(main()) < 600
    assert len(api.arrivals) == 100


def test_the_limits_that_were_known_are_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault on the way: the plain bucket knows the limit, and the rest is used as before."""
    calls = [0]
    right = Bucket.observe

    def observe(self: Bucket, *arguments: Any, **more: Any) -> bool:
        calls[0] += 1
        if calls[0] == 100:
            raise ZeroDivisionError
        return right(self, *arguments, **more)

    monkeypatch.setattr(Bucket, "observe", observe)
    api = server(1200)

    async def main() -> tuple[float, str | None, float | None]:
        limiter = Limiter(Pool())
        used = LimitUtilization([limiter])
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def one() -> None:
            requeued = False
            while True:
                permit = await limiter.acquire({"requests": 1.0}, requeued=requeued)
                status, headers = await api.request({"requests": 1.0})
                if status != 429:
                    return permit.answered(headers)
                permit.rejected(headers)
                requeued = True

        await asyncio.gather(*(one() for _ in range(1_200)))
        return loop.time() - start, used.fault, used.utilization

    seconds, fault, utilization = run(main())
    assert seconds < 54 * 1.05
    assert api.rejections <= 20
    assert fault is not None
    assert fault.startswith("ZeroDivisionError in test_fallback.py, line ")
    assert "a plain bucket of this process alone goes on" in fault
    assert utilization is None or 0 <= utilization <= 1


def test_a_level_that_is_no_number_is_a_fault() -> None:
    """It would let all pass."""
    pool = guarded(Pool())
    admission = pool.admit({"requests": 1.0}, 0.0, 0)
    assert isinstance(admission, Admission)
    pool.buckets["requests"].level = math.nan
    pool.answered(admission, {}, 0.1)
    assert pool.fault is not None
    assert math.isfinite(pool.buckets.get("requests", Bucket()).level)


def test_what_an_earlier_pool_admitted_is_nothing_to_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its grants are those of other buckets."""
    pool = guarded(Pool())
    admission = pool.admit({"requests": 1.0}, 0.0, 0)
    assert isinstance(admission, Admission)
    monkeypatch.setattr(Pool, "totals", lambda *_: divide())
    assert pool.totals(1.0) == {}
    assert pool.answered(admission, {"requests": object()}, 2.0) is False
    later = pool.admit({"requests": 1.0}, 3.0, 0)
    assert isinstance(later, Admission)
    assert pool.answered(later, {}, 3.0) is False


def test_a_request_that_is_too_large_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the row's error, and the pool stays."""
    pool = guarded(Pool())

    def refuse(*_arguments: object, **_more: object) -> None:
        raise RequestTooLarge("tokens", 10.0, 5.0)

    monkeypatch.setattr(Pool, "admit", refuse)
    with pytest.raises(RequestTooLarge):
        pool.admit({"requests": 1.0}, 0.0, 0)
    assert pool.fault is None


def test_the_last_resort_is_even_and_bounded() -> None:
    """It keeps to the configured rate, to few requests at once, and to a pause after a 429 of a minute at most."""
    pool = SpacedPool(60)
    first = pool.admit({"requests": 1.0}, 0.0, 0)
    assert isinstance(first, Admission)
    assert pool.admit({"requests": 1.0}, 0.0, 1) == 1.0
    assert pool.admit({"requests": 1.0}, 10.0, MOST_IN_FLIGHT) == math.inf
    pool.rejected(first, {}, 3600.0, 10.0)
    assert pool.admit({"requests": 1.0}, 10.0, 0) == 60.0


@pytest.mark.parametrize("name", ["read_rate_limits", "retry_after"])
def test_headers_that_cannot_be_read_cost_no_answer(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in reading what an answer's headers say is told once, and requests go on without."""
    monkeypatch.setattr(fallback, name, lambda _headers: divide())
    api = server(60.0)  # so tight that the first requests meet 429s

    async def main() -> str | None:
        limiter = Limiter(Pool())
        await send(limiter, api, 60)
        return limiter.pool.fault

    assert "ZeroDivisionError" in (run(main()) or "")
    assert len(api.arrivals) >= 54  # a tenth is cancelled before it is sent, and sent afterwards
    assert len([record for record in caplog.records if record.exc_info]) == 1
