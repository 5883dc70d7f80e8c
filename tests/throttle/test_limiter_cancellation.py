"""A wait or a permit that is given up leaves nothing behind in its limiter."""

import asyncio
import gc
import weakref

import pytest

from pxt_assets.throttle import Limiter, Pool
from tests.throttle.measured import ONE, headers, measured, now, settle
from tests.virtual_time import run


class TestCancellation:
    def test_a_cancelled_wait_leaves_nothing_behind(self):
        """No waiter, no timer, no cost, and no reference to the task."""

        async def main() -> None:
            limiter = await measured()
            before = limiter.pool.buckets["requests"].taken
            tasks = [asyncio.ensure_future(limiter.acquire(ONE)) for _ in range(5)]
            await settle()
            references = [weakref.ref(task) for task in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del tasks, task
            await settle()
            gc.collect()
            assert not any(reference() for reference in references)
            assert not limiter._waiting
            assert limiter._timer is None
            assert limiter.pool.buckets["requests"].taken == before

        run(main())

    def test_a_cancelled_head_lets_the_next_go(self):
        """Behind a large request that is cancelled, a small one goes at its own time."""

        async def main() -> float:
            limiter = await measured()
            large = asyncio.ensure_future(limiter.acquire({"requests": 50.0}))
            small = asyncio.ensure_future(limiter.acquire(ONE))
            await asyncio.sleep(0.5)
            large.cancel()
            await small
            return now()

        assert run(main()) == pytest.approx(1.3)

    def test_a_grant_that_meets_a_cancellation_is_returned(self):
        """Cancelled between the grant and the waking, a request gives back what it took."""

        async def main() -> None:
            limiter = await measured(limit=60, remaining=2)
            await asyncio.sleep(0.5)
            permit = await limiter.acquire(ONE)
            task = asyncio.ensure_future(limiter.acquire({"requests": 20.0}))
            other = asyncio.ensure_future(limiter.acquire({"requests": 25.0}))
            await settle()
            permit.answered(headers(60, 30))
            task.cancel()
            await other
            assert task.cancelled()
            assert now() == 0.5
            assert limiter.pool.buckets["requests"].level == 5

        run(main())

    def test_a_permit_not_used_is_returned(self):
        """What was taken for a request that was never sent goes to the next in the queue, once."""

        async def main() -> None:
            limiter = await measured(limit=60, remaining=30)
            permit = await limiter.acquire({"requests": 29.0})
            waiting = asyncio.ensure_future(limiter.acquire({"requests": 20.0}))
            await settle()
            permit.cancel()
            permit.cancel()
            await waiting
            assert now() == 0
            assert limiter.pool.buckets["requests"].level == 10

        run(main())

    def test_the_first_word_on_a_permit_counts(self):
        """Cancelling after the answer does nothing, so that it may stand in a `finally`."""

        async def main() -> None:
            limiter = Limiter(Pool())
            permit = await limiter.acquire(ONE)
            permit.answered(headers(60, 30))
            permit.cancel()
            permit.rejected({"retry-after": "100"})
            permit.lost()
            assert limiter.pool.buckets["requests"].level == 30
            assert limiter.statistics().rate_limited == 0

        run(main())
