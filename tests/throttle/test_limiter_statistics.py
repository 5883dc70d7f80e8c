"""What a limiter says of its waits and of how much of the limits it used."""

import asyncio

import pytest

from pxt_assets.throttle import Limiter, LimitUtilization, Pool
from tests.throttle.measured import ONE, headers, measured
from tests.virtual_time import run


class TestStatistics:
    def test_nothing_done_is_nothing_seen(self):
        """A limiter that granted nothing reports no waits and no share."""

        async def main() -> None:
            statistics = Limiter(Pool()).statistics()
            assert (statistics.rate_limited, statistics.seconds_throttled) == (0, 0)
            assert statistics.utilization is None

        run(main())

    def test_waits_are_summed(self):
        """Three requests that wait 1.3, 2.3 and 3.3 s were throttled for 6.9 s."""

        async def main() -> float:
            limiter = await measured()
            await asyncio.gather(*(limiter.acquire(ONE) for _ in range(3)))
            return limiter.statistics().seconds_throttled

        assert run(main()) == pytest.approx(6.9)

    def test_utilization_is_what_was_taken_of_what_was_allowed(self):
        """Ten of the 60 there and the 30 that flowed in meanwhile and were lost are 11 %."""

        async def main() -> float | None:
            limiter = Limiter(Pool())
            (await limiter.acquire(ONE)).answered(headers(60, 59))
            await asyncio.sleep(31)
            for _ in range(9):
                (await limiter.acquire(ONE)).lost()
            await asyncio.sleep(1000)
            return limiter.statistics().utilization

        assert run(main()) == pytest.approx(10 / 91)

    def test_utilization_is_of_this_limiter(self):
        """What an earlier limiter took of the pool is not counted, nor what others took."""

        async def main() -> float | None:
            pool = (await measured(limit=60, remaining=59)).pool
            limiter = Limiter(pool)
            await asyncio.sleep(100)
            (await limiter.acquire({"requests": 20.0})).answered(headers(60, 20))
            return limiter.statistics().utilization

        assert run(main()) == pytest.approx(0.5)

    def test_utilization_without_limits_is_unknown(self):
        """An endpoint that reports none has no share to tell."""

        async def main() -> float | None:
            limiter = Limiter(Pool())
            (await limiter.acquire(ONE)).answered({})
            return limiter.statistics().utilization

        assert run(main()) is None


def test_utilization_is_counted_anew_after_a_restart():
    """What was left unused before a measurement begins is no part of it."""

    async def main() -> tuple[float | None, float | None]:
        limiter = await measured(limit=600, remaining=600)
        for _ in range(10):
            (await limiter.acquire({"requests": 1.0})).lost()
        before = limiter.statistics().utilization
        used = LimitUtilization([limiter])
        for _ in range(585):
            (await limiter.acquire({"requests": 1.0})).lost()
        return before, used.utilization

    before, after = run(main())
    assert before is not None
    assert after is not None
    assert before < 0.05 < 0.95 < after
