"""The first request of a cached prefix goes alone, on a virtual clock."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

import pytest

from pxt_assets.api.prefix_lead import HOLD_SECONDS, Prefix
from pxt_assets.api.prompt_cache import LIFETIME_SECONDS
from tests.virtual_time import run

LATENCY = 2.0


class Cache:
    """Sends requests of prefixes; a prefix is in the cache from its first answer on, for a time."""

    def __init__(self, lifetime: float = LIFETIME_SECONDS, latency: float = LATENCY) -> None:
        self.prefixes: defaultdict[str, Prefix] = defaultdict(Prefix)
        self.lifetime, self.latency = lifetime, latency
        self.until: dict[str, float] = {}
        self.written = 0
        self.sent: list[float] = []
        self.fails: Callable[[int], bool] = lambda _number: False

    async def ask(self, prefix: str = "a") -> float:
        """The seconds of the answer. Raises OSError for a request that fails."""
        lead = await self.prefixes[prefix].lead_or_wait()
        now = asyncio.get_running_loop().time
        try:
            if lead is not None:
                lead.sent()
            self.sent.append(now())
            number, is_cached = len(self.sent), self.until.get(prefix, -1.0) > now()
            await asyncio.sleep(self.latency)
            if self.fails(number):
                raise OSError
            if not is_cached:
                self.written += 1
                self.until[prefix] = now() - self.latency + self.lifetime
            if lead is not None:
                lead.answered(wrote=not is_cached)
            return now()
        finally:
            if lead is not None:
                lead.failed()


async def ask_all(cache: Cache, count: int, prefix: str = "a") -> list[float | BaseException]:
    return await asyncio.gather(*(cache.ask(prefix) for _ in range(count)), return_exceptions=True)


def test_a_prefix_is_written_once():
    """All others wait for the first answer, and are then sent at once: one answer's time in all."""
    cache = Cache()
    assert run(ask_all(cache, 100)) == [LATENCY] + [2 * LATENCY] * 99
    assert cache.written == 1


def test_prefixes_wait_for_their_own_alone():
    """Each has a first one."""

    async def both(cache: Cache) -> None:
        await asyncio.gather(ask_all(cache, 10, "a"), ask_all(cache, 10, "b"))

    cache = Cache()
    run(both(cache))
    assert cache.written == 2
    assert cache.sent == [0.0] * 2 + [LATENCY] * 18


def test_nobody_waits_while_it_is_in_the_cache():
    """Until its time is up; then one goes first again."""

    async def steadily(cache: Cache) -> None:
        await cache.ask()
        async with asyncio.TaskGroup() as group:
            for _ in range(400):
                await asyncio.sleep(10.0)
                for _ in range(3):
                    group.create_task(cache.ask())

    cache = Cache()
    run(steadily(cache))
    assert cache.written == 1 + 4_000 // LIFETIME_SECONDS


@pytest.mark.parametrize("lifetime", [LIFETIME_SECONDS + 1, 24 * 3600.0])
def test_one_that_stays_longer_than_promised_is_not_waited_for_again_and_again(lifetime):
    """The first after its time reads it; so does the next; from then on it is there. A little later it is written once."""

    async def twice(cache: Cache) -> list[float]:
        await cache.ask()
        await asyncio.sleep(LIFETIME_SECONDS - LATENCY)
        await ask_all(cache, 50)
        return cache.sent[1:]

    cache = Cache(lifetime)
    started = LIFETIME_SECONDS
    times = run(twice(cache))
    assert times == [started, started + LATENCY] + [started + 2 * LATENCY] * 48
    assert cache.written == (2 if lifetime < LIFETIME_SECONDS + LATENCY else 1)


def test_a_late_first_answer_holds_the_others_for_half_a_minute():
    """By then its prompt has been read, and is in the cache, whatever is still to be written."""
    cache = Cache(latency=300.0)
    run(ask_all(cache, 3))
    assert cache.sent == [0.0, HOLD_SECONDS, HOLD_SECONDS]


def test_another_one_goes_first_where_the_first_fails():
    """A refused row, a fault or an interrupt is no answer."""
    cache = Cache()
    cache.fails = lambda number: number == 1
    answers = run(ask_all(cache, 10))
    assert [type(one) for one in answers] == [OSError] + [float] * 9
    assert cache.sent == [0.0, LATENCY] + [2 * LATENCY] * 8


def test_failures_do_not_make_all_go_one_by_one():
    """After three in a row the others go at once."""
    cache = Cache()
    cache.fails = lambda _number: True
    run(ask_all(cache, 10))
    assert cache.sent == [0.0, LATENCY, 2 * LATENCY] + [3 * LATENCY] * 7


def test_one_that_is_cancelled_leaves_its_place():
    """Whether it goes first or waits."""

    async def cancel(cache: Cache, which: int) -> None:
        tasks = [asyncio.create_task(cache.ask()) for _ in range(4)]
        await asyncio.sleep(LATENCY / 2)
        tasks[which].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[which]
        await asyncio.gather(*(one for one in tasks if one is not tasks[which]))

    first, waiting = Cache(), Cache()
    run(cancel(first, 0))
    run(cancel(waiting, 2))
    assert first.sent == [0.0, LATENCY / 2] + [1.5 * LATENCY] * 2
    assert waiting.sent == [0.0] + [LATENCY] * 2
