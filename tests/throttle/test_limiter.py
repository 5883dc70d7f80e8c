"""When a limiter grants a request: in order, as soon as there is room, told by the server's answers."""

import asyncio

import pytest

from pxt_assets.throttle import Limiter, Permit, Pool
from pxt_assets.throttle.probe import PROBES, PROBES_PER_SECOND
from tests.throttle.measured import ONE, headers, measured, now, settle
from tests.virtual_time import run


def test_what_is_there_is_granted_at_once():
    """A request that fits waits for nothing, not even another task."""

    async def main() -> None:
        limiter = await measured(limit=600, remaining=10)
        with pytest.raises(StopIteration):
            limiter.acquire(ONE).send(None)
        assert now() == 0

    run(main())


def test_what_is_not_there_is_granted_when_it_is():
    """The wait is to the millisecond, with a reserve of 0.3 s of refill."""

    async def main() -> list[float]:
        limiter = await measured()
        times = []
        for _ in range(3):
            await limiter.acquire(ONE)
            times.append(now())
        return times

    assert run(main()) == pytest.approx([1.3, 2.3, 3.3])


def test_requests_are_granted_in_the_order_they_came():
    """A small request behind a large one waits for it."""

    async def main() -> list[str]:
        limiter = await measured()
        granted = []

        async def ask(name: str, cost: float) -> None:
            await limiter.acquire({"requests": cost})
            granted.append(name)

        async with asyncio.TaskGroup() as group:
            for name, cost in [("large", 30), ("small", 1), ("middle", 5)]:
                group.create_task(ask(name, cost))
        return granted

    assert run(main()) == ["large", "small", "middle"]


def test_requeued_requests_go_first():
    """Whoever was rejected goes before all who wait, in the order of coming back."""

    async def main() -> list[str]:
        limiter = await measured()
        granted = []

        async def ask(name: str, requeued: bool) -> None:
            await limiter.acquire(ONE, requeued=requeued)
            granted.append(name)

        async with asyncio.TaskGroup() as group:
            for name, requeued in [("a", False), ("b", False), ("c", True), ("d", True)]:
                group.create_task(ask(name, requeued))
        return granted

    assert run(main()) == ["c", "d", "a", "b"]


def test_a_requeued_request_shortens_the_wait_for_the_head():
    """A small one that goes first is granted at its own time."""

    async def main() -> float:
        limiter = await measured()
        large = asyncio.ensure_future(limiter.acquire({"requests": 30.0}))
        await settle()
        await limiter.acquire(ONE, requeued=True)
        large.cancel()
        return now()

    assert run(main()) == pytest.approx(1.3)


def test_a_correction_wakes_the_queue():
    """An answer that shows more room than thought lets the head go at once."""

    async def main() -> float:
        limiter = await measured(limit=60, remaining=1)
        await asyncio.sleep(0.3)
        permit = await limiter.acquire(ONE)
        waiting = asyncio.ensure_future(limiter.acquire({"requests": 20.0}))
        await asyncio.sleep(1)
        permit.answered(headers(60, 50))
        await waiting
        return now()

    assert run(main()) == pytest.approx(1.3)


def test_nothing_polls():
    """However long the wait, and however many wait, the loop wakes once for each grant."""

    async def main() -> int:
        limiter = await measured()
        loop = asyncio.get_running_loop()
        timers, call_at = [], loop.call_at
        loop.call_at = lambda *args, **kwargs: timers.append(1) or call_at(*args, **kwargs)
        await asyncio.gather(*(limiter.acquire({"requests": 10.0}) for _ in range(20)))
        return len(timers)

    assert run(main()) == 20


class TestProbing:
    def test_the_first_answer_is_awaited_with_few_under_way(self):
        """Before any answer a handful of requests goes; the first reading opens up for the rest."""

        async def main() -> None:
            limiter, permits = Limiter(Pool()), []

            async def ask() -> None:
                permits.append(await limiter.acquire(ONE))

            tasks = [asyncio.ensure_future(ask()) for _ in range(100)]
            await settle()
            assert len(permits) == PROBES
            permits[0].answered({})
            await settle()
            assert len(permits) == PROBES + 3
            permits[1].answered(headers(600, 597))
            await settle()
            assert len(permits) == 100
            await asyncio.gather(*tasks)

        run(main())

    @pytest.mark.parametrize("end", [Permit.lost, Permit.cancel])
    def test_a_request_without_an_answer_makes_room(self, end):
        """A lost or unsent probe lets the next one go."""

        async def main() -> None:
            limiter = Limiter(Pool())
            permits = [await limiter.acquire(ONE) for _ in range(PROBES)]
            waiting = asyncio.ensure_future(limiter.acquire(ONE))
            await settle()
            assert not waiting.done()
            end(permits[0])
            await waiting

        run(main())

    def test_unsettled_probes_block(self):
        """A permit of which nothing is told holds its place until time alone has opened another."""

        async def main() -> float:
            limiter = Limiter(Pool())
            for _ in range(PROBES + 1):
                await limiter.acquire(ONE)
            return now()

        assert run(main()) == pytest.approx(1 / PROBES_PER_SECOND)


class TestRejection:
    def test_the_head_is_held_until_retry_after(self):
        """The rejected request goes again at the server's time, before those that wait."""

        async def main() -> list[tuple[str, float]]:
            limiter = await measured(limit=600, remaining=100)
            granted = []

            async def ask(name: str, requeued: bool) -> None:
                await limiter.acquire(ONE, requeued=requeued)
                granted.append((name, now()))

            permit = await limiter.acquire(ONE)
            permit.rejected({"retry-after-ms": "534", "retry-after": "1"} | headers(600, 50))
            async with asyncio.TaskGroup() as group:
                group.create_task(ask("other", False))
                group.create_task(ask("rejected", True))
            return granted

        assert run(main()) == [("rejected", pytest.approx(0.534)), ("other", pytest.approx(0.534))]

    def test_it_is_counted_and_measured(self):
        """The level is what the server reported."""

        async def main() -> None:
            limiter = await measured(limit=600, remaining=100)
            (await limiter.acquire(ONE)).rejected(headers(600, 0))
            assert limiter.statistics().rate_limited == 1
            assert limiter.pool.buckets["requests"].level == 0

        run(main())


class TestPools:
    def test_one_loop_continues_where_another_ended(self):
        """The levels, and a hold, outlive the loop and its limiter."""
        pool = Pool()

        async def first() -> None:
            (await Limiter(pool).acquire(ONE)).answered(headers(60, 0))

        async def second() -> float:
            await Limiter(pool).acquire(ONE)
            return now()

        run(first())
        assert run(second()) == pytest.approx(1.3)

    def test_a_loop_that_ended_with_requests_under_way_blocks_no_other(self):
        """Probes that were never settled end with the limiter that sent them."""
        pool = Pool()

        async def abandon() -> None:
            limiter = Limiter(pool)
            for _ in range(PROBES):
                await limiter.acquire(ONE)

        run(abandon())
        run(abandon())

    def test_two_limiters_share_a_pool(self):
        """Together they take what the limit allows, not twice that."""

        async def main() -> float:
            limiter = await measured()
            other = Limiter(limiter.pool)
            await asyncio.gather(
                *(each.acquire(ONE) for each in (limiter, other) for _ in range(5)),
            )
            return now()

        assert run(main()) == pytest.approx(10.3)

    def test_a_clock_may_be_given(self):
        """Times come from the clock that is passed in, delays go by the loop."""

        async def main() -> float:
            loop = asyncio.get_running_loop()
            limiter = Limiter(Pool(), clock=lambda: 1e6 + loop.time())
            (await limiter.acquire(ONE)).answered(headers(60, 0))
            await limiter.acquire(ONE)
            assert limiter.pool.buckets["requests"].updated_at > 1e6
            return now()

        assert run(main()) == pytest.approx(1.3, abs=1e-3)
