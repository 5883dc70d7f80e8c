"""Claims that an earlier version left beside a column's file on an object store."""

import asyncio
import json

import pytest
from upath import UPath

from pxt_assets.compute.claims.claim import BEAT_SECONDS, DEAD_SECONDS, hold_claim
from pxt_assets.compute.claims.owner import ClaimedError
from pxt_assets.storage.layout import journal_folder, stored_file
from pxt_assets.storage.parquet import ParquetFile
from tests.compute.claims.owners_elsewhere import ENOUGH, Time, leave, remote


@pytest.fixture
def file() -> ParquetFile:
    return stored_file(remote().parent, ("tickets", "c"), "c")


async def obtain(file: ParquetFile, time: Time) -> None:
    async with hold_claim(file, "mine", clock=time.clock, pause=time.pause):
        pass


def test_one_that_beats_is_respected(file: ParquetFile) -> None:
    """Its owner computes the partition."""
    time = Time()
    theirs = leave(file.path)
    time.at[3.0] = lambda: leave(file.path, beat=2)
    with pytest.raises(ClaimedError, match="run-1"):
        asyncio.run(obtain(file, time))
    assert theirs.exists()
    assert not journal_folder(file).exists()


def test_one_that_stands_still_is_removed(file: ParquetFile) -> None:
    """As any other of a dead owner, after as long."""
    time = Time()
    theirs = leave(file.path)
    asyncio.run(obtain(file, time))
    assert DEAD_SECONDS <= time.now <= DEAD_SECONDS + BEAT_SECONDS
    assert not theirs.exists()


def test_an_owner_that_was_suspended_is_told_again(file: ParquetFile) -> None:
    """It wrote its claim once more after that was removed, and sees nothing of the one that took over."""
    time = Time(end=DEAD_SECONDS + BEAT_SECONDS)
    theirs = leave(file.path)

    def resume() -> UPath:
        return leave(file.path, beat=2, held=True)

    async def run() -> None:
        async with hold_claim(file, "mine", clock=time.clock, pause=time.pause) as check:
            assert not theirs.exists()
            resume()
            check()
            assert not theirs.exists()

    asyncio.run(asyncio.wait_for(run(), ENOUGH))


def test_ours_is_where_it_belongs(file: ParquetFile) -> None:
    """Out of the folder that readers open."""
    time = Time()

    async def run() -> list[str]:
        async with hold_claim(file, "mine", clock=time.clock, pause=time.pause):
            assert not file.path.parent.exists()
            return [json.loads(path.read_bytes())["run_id"] for path in journal_folder(file).iterdir()]

    assert asyncio.run(run()) == ["mine"]
