"""Requests that are believed to take more than a whole limit, before a server that decides; on a virtual clock."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pxt_assets.throttle import Limiter, Permit, Pool, RequestSize, RequestTooLarge, SizedRequest
from pxt_assets.throttle.oversize import PATIENCE_SECONDS, REFUSAL_SECONDS
from tests.throttle.ledger.virtual import MemoryLedger, Process
from tests.virtual_time import run

ONE = {"requests": 1.0}
LIMIT = 60_000
SMALL, LARGE = RequestSize(100.0), RequestSize(100_000.0)


def now() -> float:
    return asyncio.get_running_loop().time()


def headers(limit: float, remaining: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-tokens": f"{limit:.0f}",
        "x-ratelimit-remaining-tokens": f"{remaining:.0f}",
        "x-ratelimit-reset-tokens": f"{(limit - remaining) / limit * 60:.3f}s",
    }


def acquire(limiter: Limiter, size: RequestSize, **options: Any) -> Coroutine[Any, Any, Permit]:
    return limiter.acquire(ONE, sized=SizedRequest("/chat", size), **options)


async def limited(limiter: Limiter | None = None, remaining: float = LIMIT) -> Limiter:
    """A limiter whose pool knows the limit."""
    limiter = limiter or Limiter(Pool())
    (await acquire(limiter, SMALL)).answered(headers(LIMIT, remaining))
    return limiter


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def played(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(test())


class TestAlone:
    def test_it_is_sent_when_nothing_else_is_in_flight(self):
        """Nothing but its own size is then measured."""

        async def main() -> None:
            limiter = await limited()
            other = await acquire(limiter, SMALL)
            large = asyncio.ensure_future(acquire(limiter, LARGE))
            await asyncio.sleep(5)
            assert not large.done()
            other.answered(headers(LIMIT, LIMIT - 100))
            permit = await large
            assert "about 100,000 tokens, and the limit is 60,000" in str(permit.too_large)

        played(main)

    def test_it_waits_for_a_full_bucket(self):
        """Else a refusal would not tell whether it is the size."""

        async def main() -> None:
            limiter = await limited(remaining=LIMIT // 2)
            await acquire(limiter, LARGE)
            assert now() == pytest.approx(0.45 * 60, abs=1)

        played(main)

    def test_it_holds_up_no_other(self):
        """Requests that fit pass before it for as long as they come, at the whole rate."""

        async def main() -> None:
            limiter = await limited(remaining=0)
            large = asyncio.ensure_future(acquire(limiter, LARGE))
            sent = 0
            while now() < 50:
                (await acquire(limiter, SMALL)).answered({})
                sent += 1
            assert sent >= 0.97 * 50 * LIMIT / 60 / 100
            assert not large.done()

        played(main)

    def test_it_waits_a_minute_at_most(self):
        """However busy the pool is: whoever waits takes up the room of another."""

        async def main() -> None:
            limiter = await limited()
            await acquire(limiter, SMALL)
            await acquire(limiter, LARGE)
            assert now() == PATIENCE_SECONDS

        played(main)

    def test_one_is_sent_at_a_time(self):
        """The first one's answer may decide about all."""

        async def main() -> None:
            limiter = await limited()
            first = await acquire(limiter, LARGE)
            second = asyncio.ensure_future(acquire(limiter, LARGE))
            await asyncio.sleep(2 * PATIENCE_SECONDS)
            assert not second.done()
            first.cancel()
            await second

        played(main)

    def test_a_request_of_several_is_divided_first(self):
        """Its parts may fit."""

        async def main() -> None:
            limiter = await limited()
            with pytest.raises(RequestTooLarge):
                await acquire(limiter, LARGE, divisible=True)
            await acquire(limiter, SMALL)
            with pytest.raises(RequestTooLarge):
                await acquire(limiter, LARGE, divisible=True)

        played(main)

    @pytest.mark.parametrize("processes", [1, 3])
    def test_processes_that_share_a_ledger_try_too(self, processes):
        """A limit that another process measured is believed no more than one's own."""

        async def main() -> None:
            ledger = MemoryLedger()
            limiters = [Process.start(ledger, str(n)).limiter for n in range(processes)]
            for limiter in limiters:
                await limited(limiter)
            await asyncio.sleep(1)
            for limiter in limiters:
                async with asyncio.timeout(PATIENCE_SECONDS + 1):
                    permit = await acquire(limiter, LARGE)
                assert permit.too_large is not None
                permit.answered(headers(LIMIT, LIMIT - 100))

        played(main)


class TestLimitRaised:
    def test_others_then_pass_at_once(self):
        """The answer's limit is taken over, and none of them is too large any more."""

        async def main() -> None:
            limiter = await limited()
            waiting = [asyncio.ensure_future(acquire(limiter, LARGE)) for _ in range(3)]
            await settle()
            assert [one.done() for one in waiting] == [True, False, False]
            (await waiting[0]).answered(headers(10 * LIMIT, 10 * LIMIT - 100_000))
            assert [(await one).too_large for one in waiting[1:]] == [None, None]
            assert now() < 1

        played(main)

    def test_the_answer_to_any_other_request_tells_it(self):
        """What waits apart is queued again."""

        async def main() -> None:
            limiter = await limited()
            small = await acquire(limiter, SMALL)
            large = asyncio.ensure_future(acquire(limiter, LARGE))
            await settle()
            small.answered(headers(10 * LIMIT, 10 * LIMIT - 100))
            assert (await large).too_large is None
            assert now() < 1

        played(main)


class TestCheaperThanBelieved:
    def test_one_answer_teaches_the_price(self):
        """What a full bucket lost is what the request took: others like it are believed to fit."""

        async def main() -> None:
            limiter = await limited()
            size = RequestSize(100.0, images=100.0)
            permit = await acquire(limiter, size)
            assert permit.too_large is not None
            permit.answered(headers(LIMIT, LIMIT - 8_600))
            others = [await acquire(limiter, size) for _ in range(3)]
            assert [one.too_large for one in others] == [None] * 3
            assert now() < 1

        played(main)

    def test_without_headers_others_as_small_are_no_longer_doubted(self):
        """That it was let in is enough."""

        async def main() -> None:
            limiter = await limited()
            (await acquire(limiter, LARGE)).answered({})
            assert (await acquire(limiter, RequestSize(90_000.0))).too_large is None

        played(main)


class TestRefused:
    def test_others_as_large_are_refused_for_a_minute(self):
        """In the server's words; a smaller one is sent."""

        async def main() -> None:
            limiter = await limited()
            (await acquire(limiter, LARGE)).refused(headers(LIMIT, LIMIT), "Request too large for us")
            with pytest.raises(RequestTooLarge, match="Request too large for us"):
                await acquire(limiter, RequestSize(120_000.0))
            smaller = await acquire(limiter, RequestSize(70_000.0))
            assert smaller.too_large is not None
            smaller.cancel()
            await asyncio.sleep(REFUSAL_SECONDS)
            assert (await acquire(limiter, LARGE)).too_large is not None

        played(main)

    def test_those_that_wait_are_refused_with_it(self):
        """None of them takes up room for longer."""

        async def main() -> None:
            limiter = await limited()
            first = await acquire(limiter, LARGE)
            waiting = asyncio.ensure_future(acquire(limiter, LARGE))
            await settle()
            first.refused(headers(LIMIT, LIMIT), "too large")
            with pytest.raises(RequestTooLarge):
                await waiting

        played(main)

    def test_a_changed_limit_is_tried_anew(self):
        """The refusal was under another one."""

        async def main() -> None:
            limiter = await limited()
            (await acquire(limiter, LARGE)).refused(headers(LIMIT, LIMIT), "too large")
            (await acquire(limiter, SMALL)).answered(headers(LIMIT + 1, LIMIT))
            assert (await acquire(limiter, LARGE)).too_large is not None

        played(main)

    def test_nothing_was_charged_and_nothing_is_held(self):
        """The others go on as if it had not been sent."""

        async def main() -> None:
            limiter = await limited()
            (await acquire(limiter, LARGE)).refused({}, "too large")
            assert limiter.pool.buckets["tokens"].level == pytest.approx(LIMIT, abs=200)
            await acquire(limiter, SMALL)
            assert now() < 1

        played(main)

    @pytest.mark.parametrize(
        ("limit", "remaining", "is_refused"),
        [
            (LIMIT, LIMIT, True),
            (LIMIT, LIMIT - 100, True),
            (LIMIT, LIMIT // 2, False),
            (10 * LIMIT, 0, False),
        ],
        ids=["full", "nearly full", "in use", "raised"],
    )
    def test_headers_tell_whether_it_is_the_size(self, limit, remaining, is_refused):
        """Where others used the limit, or it was raised, the rate may be the reason."""

        async def main() -> None:
            permit = await acquire(await limited(), LARGE)
            assert permit.is_refused_for_size(headers(limit, remaining)) is is_refused
            assert not permit.is_refused_for_size({})

        played(main)


def test_a_limit_that_shrinks_sets_those_aside_that_no_longer_fit():
    """And no others."""

    async def main() -> None:
        limiter = await limited(remaining=0)
        large = asyncio.ensure_future(acquire(limiter, RequestSize(40_000.0)))
        small = asyncio.ensure_future(acquire(limiter, SMALL))
        other = await acquire(limiter, SMALL, requeued=True)
        other.answered(headers(30_000, 0))
        assert (await small).too_large is None
        assert not large.done()
        small.result().answered(headers(30_000, 0))
        assert (await large).too_large is not None

    played(main)


def test_a_cancelled_one_is_forgotten():
    """Wherever it waits."""

    async def main() -> None:
        limiter = await limited()
        await acquire(limiter, SMALL)
        large = asyncio.ensure_future(acquire(limiter, LARGE))
        await settle()
        assert limiter.waiting == 1
        large.cancel()
        await settle()
        assert limiter.waiting == 0

    played(main)
