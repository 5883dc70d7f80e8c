"""A wait that a server asks for: bounded, with single requests let through, and told to people."""

import asyncio

import pytest

from pxt_assets.throttle import Limiter, LimitUtilization, Permit, Pool, Reading
from pxt_assets.throttle.admission import Admission
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.retry import backoff_seconds
from tests.throttle.ledger.virtual import MemoryLedger, Process
from tests.throttle.measured import now
from tests.virtual_time import run

ONE = {"requests": 1.0}
HEADERS = {"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "990"}


async def first_again(headers: dict[str, str]) -> float:
    """Have the first request rejected with these headers; return when the next one may go."""
    limiter = Limiter(Pool())
    (await limiter.acquire(ONE)).rejected(headers)
    await limiter.acquire(ONE)
    return now()


@pytest.mark.parametrize("headers", [{}, HEADERS], ids=["alone", "with readings"])
@pytest.mark.parametrize(
    "asked",
    [
        {"retry-after": "3600"},
        {"retry-after": "Fri, 01 Jan 2099 00:00:00 GMT"},
        {"retry-after": "1e300"},
        {"retry-after-ms": "1e18"},
    ],
    ids=str,
)
def test_a_long_wait_lets_a_single_request_through_after_ten_seconds(asked, headers):
    """An hour, or the year 2099, is not taken at its word."""
    assert run(first_again(asked | headers)) == pytest.approx(10)


@pytest.mark.parametrize("asked", ["-5", "nan", "inf", "1e999", "soon", "", "-1e400"])
def test_what_is_no_wait_asks_for_none(asked):
    """Then the next request goes when it would after a 429 without one."""
    assert run(first_again({"retry-after": asked})) == run(first_again({}))


def test_a_short_wait_is_kept():
    """To the millisecond."""
    assert run(first_again({"retry-after": "7"})) == pytest.approx(7)


def test_single_requests_go_at_growing_distance_until_one_is_answered():
    """However many wait, one goes after 10, 20, 40 and 60 s; an answer lets all go."""

    async def main() -> tuple[list[float], float]:
        limiter = Limiter(Pool())
        (await limiter.acquire(ONE)).rejected({"retry-after": "86400"})
        waiting: list[asyncio.Task[Permit]] = [asyncio.create_task(limiter.acquire(ONE)) for _ in range(10)]
        times = []
        for _ in range(5):
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1
            times.append(now())
            waiting = list(pending)
            permit = done.pop().result()
            if len(times) < 5:
                permit.rejected({"retry-after": "86400"})
        permit.answered({})
        await asyncio.gather(*waiting)
        return times, now()

    times, all_gone = run(main())
    assert times == pytest.approx([10, 30, 70, 130, 190])
    assert all_gone < 195


def test_a_limit_that_is_used_up_is_waited_for_as_long_as_that_takes():
    """Where readings show that the day's limit is used up, no single request goes in vain."""
    pool = Pool()
    admission = pool.admit(ONE, 0.0, 0)
    assert isinstance(admission, Admission)
    pool.rejected(admission, {"requests-day": Reading(200, 0, 86_400.0, 86_400.0)}, 3600.0, 0.0)
    assert pool.admit(ONE, 100.0, 0) == pytest.approx(432 - 100, abs=1)


def test_an_answer_ends_the_hold_in_all_processes():
    """What one process has found out, the others need not wait for."""

    async def main() -> float:
        ledger = MemoryLedger()
        first, second = (Process.start(ledger, str(n)) for n in range(2))
        permit = await first.limiter.acquire(ONE)
        (await second.limiter.acquire(ONE)).answered({})
        permit.rejected({"retry-after": "50"})
        await asyncio.sleep(1)
        assert second.pool.hold(now()) is not None
        (await first.limiter.acquire(ONE)).answered({})
        assert isinstance(second.pool._share, LedgerShare)
        await second.limiter.acquire(ONE)
        return now()

    assert run(main()) == pytest.approx(10, abs=1.5)


def test_it_is_told():
    """For how long, and what the server asked for."""

    async def main() -> str:
        limiter = Limiter(Pool())
        usage = LimitUtilization([limiter])
        assert usage.hold is None
        (await limiter.acquire(ONE)).rejected({"retry-after": "3600"})
        await asyncio.sleep(3)
        return str(usage.hold)

    assert run(main()) == (
        "held by the server for 57 s more at most (Retry-After 3,600 s; single requests try meanwhile)"
    )


def test_a_retry_waits_a_minute_at_most():
    """Of a 503 that asks for an hour too."""
    assert backoff_seconds(0, lambda: 0.0, 3600.0) == 60
    assert backoff_seconds(0, lambda: 0.0, 7.0) == 7


def test_after_a_hold_was_cleared_the_next_one_begins_anew():
    """Its first single request goes after ten seconds, however far apart those of the last one had come."""

    async def main() -> float:
        limiter = Limiter(Pool())
        for _ in range(4):  # at 0, 10, 30 and 70 s
            (await limiter.acquire(ONE)).rejected({"retry-after": "86400"})
        limiter.pool._share.release(now())  # as where another process has cleared it
        (await limiter.acquire(ONE)).rejected({"retry-after": "20"})
        cleared = now()
        assert (
            str(limiter.hold())
            == "held by the server for 20 s more at most (Retry-After 20 s; single requests try meanwhile)"
        )
        await limiter.acquire(ONE)
        return now() - cleared

    assert run(main()) == pytest.approx(10)
