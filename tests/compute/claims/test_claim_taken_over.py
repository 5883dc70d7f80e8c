"""Owners that stood still, and whose partition another attempt has taken over."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from upath import UPath

from pxt_assets.compute.claims.claim import BEAT_SECONDS, DEAD_SECONDS, LostClaimError
from pxt_assets.storage.layout import journal_folder
from pxt_assets.storage.parquet import ParquetFile
from tests.compute.claims.owners_elsewhere import ENOUGH, Time, claim_of, claims, leave, own, remote


async def held_for_ever(file: UPath, time: Time) -> None:
    async with asyncio.timeout(ENOUGH), claim_of(file, time):
        await asyncio.get_running_loop().create_future()


def suspended(file: UPath, time: Time, seconds: float) -> Callable[[], None]:
    """The owner stands still, and is taken for dead by another one, which has its claim from then on."""

    def happens() -> None:
        time.now += seconds
        own(file).unlink()
        leave(file, held=True)

    return happens


def test_an_owner_that_was_taken_for_dead_stops() -> None:
    """It is cancelled when it goes on, says by whom and after how long, and leaves the other's claim alone."""
    file, time = remote(), Time()
    time.at[2 * BEAT_SECONDS] = suspended(file, time, 100.0)
    with pytest.raises(
        LostClaimError, match=r"the run run-1 \(process 7 on elsewhere\) .*for 105 s; .* kept"
    ):
        asyncio.run(held_for_ever(file, time))
    assert [path.name for path in claims(file)] == ["theirs.claim"]


def test_an_owner_whose_successor_has_ended_stops_too() -> None:
    """What it began with is not what is stored now."""
    file, time = remote(), Time()
    time.at[BEAT_SECONDS] = lambda: own(file).unlink()
    with pytest.raises(LostClaimError, match="another run has taken over"):
        asyncio.run(held_for_ever(file, time))
    assert not journal_folder(ParquetFile(file)).exists()


def test_an_owner_finds_out_before_it_commits() -> None:
    """By a look of its own: the next beat may be seconds away."""
    file, time = remote(), Time(end=0.0)

    async def run() -> None:
        async with claim_of(file, time) as check:
            assert await asyncio.to_thread(time.stands_still.wait, ENOUGH)
            check()
            suspended(file, time, 100.0)()
            check()

    with pytest.raises(LostClaimError, match=r"run-1 .*for 100 s"):
        asyncio.run(asyncio.wait_for(run(), ENOUGH))


def test_an_owner_that_wrote_its_claim_after_it_was_taken_over_stops() -> None:
    """It stood still between the look and the write."""
    file, time = remote(), Time()
    time.at[BEAT_SECONDS] = lambda: leave(file, held=True)
    with pytest.raises(LostClaimError, match="run-1"):
        asyncio.run(held_for_ever(file, time))


def test_an_owner_does_not_give_way_to_one_that_it_took_over_from() -> None:
    """Whose late write it removes."""
    file, time = remote(), Time(end=100.0)
    theirs = leave(file)
    time.at[DEAD_SECONDS + 2 * BEAT_SECONDS] = lambda: leave(file, beat=2, held=True)

    async def run() -> None:
        async with claim_of(file, time) as check:
            assert await asyncio.to_thread(time.stands_still.wait, ENOUGH)
            check()

    asyncio.run(asyncio.wait_for(run(), ENOUGH))
    assert not theirs.exists()


def test_an_owner_does_not_give_way_to_one_that_only_asks() -> None:
    """That one sees the owner's claim next, and is refused."""
    file, time = remote(), Time()

    async def run() -> None:
        async with claim_of(file, time) as check:
            leave(file, held=False)
            check()
            assert await asyncio.to_thread(time.stands_still.wait, ENOUGH)
            check()

    asyncio.run(asyncio.wait_for(run(), ENOUGH))


def test_an_interrupt_is_none_the_less_one() -> None:
    """Of a run that is cancelled and taken over at once, the cancellation is what its caller waits for."""
    file, time = remote(), Time()
    time.at[BEAT_SECONDS] = suspended(file, time, 100.0)
    told = threading.Event()

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with claim_of(file, time):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                told.set()
                task.cancel()
                await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert told.is_set()
