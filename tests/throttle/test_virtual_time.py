import asyncio
import time

import pytest

from tests.virtual_time import DeadlockError, run


def test_hours_pass_at_once():
    """A sleep takes its time on the loop's clock and none on the wall's."""

    async def main() -> float:
        await asyncio.sleep(7200)
        return asyncio.get_running_loop().time()

    wall = time.perf_counter()
    assert run(main()) == pytest.approx(7200)
    assert time.perf_counter() - wall < 5


def test_timers_fire_in_order():
    """Whoever sleeps less wakes first, whatever the order of starting."""

    async def main() -> list[int]:
        woken: list[int] = []

        async def sleeper(seconds: int) -> None:
            await asyncio.sleep(seconds)
            woken.append(seconds)

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2)))
        return woken

    assert run(main()) == [1, 2, 3]


def test_deadlock_is_an_error():
    """Awaiting what nobody will ever set raises instead of hanging."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(main())
