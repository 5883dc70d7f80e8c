"""How connections are opened and given, on a loop whose time the test makes."""

import asyncio

import pytest

from pxt_assets.api.wire.errors import NOT_SENT, APITimeoutError, unconnected
from pxt_assets.api.wire.gate import Gate
from pxt_assets.api.wire.pool import Pool
from tests.virtual_time import run


class Dial:
    """Opens connections in `seconds`, as many at once as they are wanted."""

    def __init__(self, seconds: float = 0.01, fails: int = 0) -> None:
        self.seconds, self.fails = seconds, fails
        self.opened = self.at_once = self.most = 0

    async def __call__(self, made):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        if self.fails:
            self.fails -= 1
            raise unconnected("Cannot connect")
        self.opened += 1
        return made(None)


def pool_of(dial: Dial, most: int = 1_000) -> Pool:
    return Pool(dial, most)


def test_a_thousand_are_opened_a_few_at_a_time():
    """As many more as were made quickly."""
    dial = Dial(0.1)

    async def main() -> float:
        pool = pool_of(dial)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(pool.wait() for _ in range(1_000)))
        return asyncio.get_running_loop().time() - began

    seconds = run(main())
    assert dial.opened == 1_000
    assert 16 <= dial.most <= 256
    assert seconds < 1.0


def test_the_gate_opens_with_quick_ones_and_closes_with_slow_ones():
    """Never below a few, never above the most."""
    gate = Gate()
    first = gate.at_once
    for _ in range(1_000):
        gate.opened(0.05)
    wide = gate.at_once
    for _ in range(100):
        gate.opened(9.0)
    assert (first, wide, gate.at_once) == (16, 256, 16)


def test_a_connection_that_comes_free_serves_who_waits():
    """Before one that is still being opened."""
    dial = Dial(0.01)

    async def main() -> None:
        pool = pool_of(dial)
        first = await pool.wait()
        dial.seconds = 100.0
        waiting = asyncio.create_task(pool.wait())
        await asyncio.sleep(0.1)
        pool._give(first)
        assert await waiting is first
        await pool.close()

    run(main())


def test_no_more_are_opened_than_allowed():
    """Who comes too many waits for one that is given back."""
    dial = Dial()

    async def main() -> None:
        pool = pool_of(dial, most=3)
        tasks = [asyncio.create_task(pool.wait()) for _ in range(5)]
        await asyncio.sleep(1)
        done = [task for task in tasks if task.done()]
        assert (len(done), dial.opened) == (3, 3)
        for task in done[:2]:
            pool._give(task.result())
        await asyncio.gather(*tasks)

    run(main())


def test_one_that_cannot_be_opened_fails_one_request():
    """The others wait for the next."""
    dial = Dial(fails=1)

    async def main() -> None:
        pool = pool_of(dial)
        found = await asyncio.gather(*(pool.wait() for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(one, APITimeoutError) for one in found) == 1

    run(main())


def test_none_waits_in_a_queue_for_a_server_that_is_not_there():
    """Each fails in the time of a connection or two, not one after the other."""
    dial = Dial(seconds=30.0, fails=10_000)

    async def main() -> float:
        pool = pool_of(dial)
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(*(pool.wait() for _ in range(1_000)), return_exceptions=True)
        assert all(isinstance(one, APITimeoutError) for one in found)
        return asyncio.get_running_loop().time() - began

    assert run(main()) < 70


def test_who_is_cancelled_while_waiting_has_sent_nothing():
    """The note says so to who counts unknown outcomes."""

    async def main() -> None:
        pool = pool_of(Dial(100.0))
        with pytest.raises(TimeoutError) as e:
            async with asyncio.timeout(1):
                await pool.wait()
        assert NOT_SENT in e.value.__cause__.__notes__
        await pool.close()

    run(main())
