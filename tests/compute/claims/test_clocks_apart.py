"""Claims of hosts whose clocks differ: what counts is whether a claim changes, never what time it is where."""

import asyncio

import pytest

from pxt_assets.compute.claims.claim import BEAT_SECONDS, DEAD_SECONDS, hold_claim
from pxt_assets.compute.claims.owner import ClaimedError
from pxt_assets.storage.parquet import ParquetFile
from tests.compute.claims.owners_elsewhere import Time, leave, remote


@pytest.fixture(params=[-3_600.0, -60.0, 60.0, 3_600.0], ids=lambda apart: f"{apart:+g} s")
def apart(request: pytest.FixtureRequest) -> float:
    """By how many seconds our clock differs from the other owner's."""
    return float(request.param)


async def obtain(file: ParquetFile, time: Time, apart: float) -> None:
    async with hold_claim(file, "mine", clock=lambda: time.clock() + apart, pause=time.pause):
        pass


def test_an_owner_that_beats_is_respected(apart: float) -> None:
    time, file = Time(), ParquetFile(remote())
    theirs = leave(file.path)
    time.at[3.0] = lambda: leave(file.path, beat=2)
    with pytest.raises(ClaimedError, match="run-1"):
        asyncio.run(obtain(file, time, apart))
    assert theirs.exists()


def test_one_that_stands_still_is_taken_over_after_as_long_as_ever(apart: float) -> None:
    time, file = Time(), ParquetFile(remote())
    theirs = leave(file.path)
    asyncio.run(obtain(file, time, apart))
    assert DEAD_SECONDS <= time.now <= DEAD_SECONDS + BEAT_SECONDS
    assert not theirs.exists()
