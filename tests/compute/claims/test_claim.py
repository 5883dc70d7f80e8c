"""Claims by object: one attempt at a time computes a partition, and a dead one's claim does not outlive it for long."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from pxt_assets.compute.claims import claim as claim_module
from pxt_assets.compute.claims.claim import BEAT_SECONDS, DEAD_SECONDS, hold_claim
from pxt_assets.compute.claims.owner import ClaimedError, owner_record
from pxt_assets.storage.layout import journal_folder
from pxt_assets.storage.parquet import ParquetFile
from tests.compute.claims.owners_elsewhere import (
    ENOUGH,
    SharedTime,
    Time,
    beats,
    claim_of,
    claims,
    leave,
    remote,
)


@pytest.fixture(params=["remote", "without locks"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UPath:
    """A column's file on an object store, and on the local disk of a system that has no locks."""
    if request.param == "remote":
        return remote()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    return UPath(tmp_path / "c.parquet")


async def obtained(file: UPath, time: Time) -> bool:
    try:
        async with claim_of(file, time):
            return True
    except ClaimedError:
        return False


def test_a_second_attempt_is_refused_and_told_whose_it_is(file: UPath) -> None:
    """By run, process and host; once the first has ended it is let in, and nothing of the claims is left."""

    async def both() -> None:
        time = SharedTime(2)
        async with claim_of(file, time, "run-17"):
            with pytest.raises(ClaimedError, match=f"run-17 .*{os.getpid()}"):
                async with claim_of(file, time, "other"):
                    pass
        assert await obtained(file, Time())

    asyncio.run(both())
    assert not journal_folder(ParquetFile(file)).exists()


def test_other_partitions_are_not_claimed() -> None:
    """A claim is on one column and partition."""
    a = remote()

    async def both() -> bool:
        async with claim_of(a, Time()):
            return await obtained(a.with_name("b.parquet"), Time())

    assert asyncio.run(both())


def test_a_claim_that_stands_still_is_a_dead_owners(file: UPath) -> None:
    """A host that crashed is waited for as long as it takes to be sure, then its claim is removed."""
    time = Time()
    theirs = leave(file)
    assert asyncio.run(obtained(file, time))
    assert DEAD_SECONDS <= time.now <= DEAD_SECONDS + BEAT_SECONDS
    assert not theirs.exists()


@given(st.floats(0.1, DEAD_SECONDS - 1.5))
@settings(max_examples=20, derandomize=True)
def test_a_claim_that_beats_is_respected(when: float) -> None:
    """At whatever moment of the wait it does."""
    file, time = remote(), Time()
    leave(file)
    time.at[when] = lambda: leave(file, beat=2)
    assert not asyncio.run(obtained(file, time))
    assert time.now <= when + 2


def test_a_claim_that_goes_away_is_not_waited_for() -> None:
    """Its owner has finished."""
    file, time = remote(), Time()
    theirs = leave(file)
    time.at[3.0] = theirs.unlink
    time.end = 3.0
    assert asyncio.run(obtained(file, time))


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for() -> None:
    """Its number tells."""
    file, time = remote(), Time(end=0.0)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    leave(file, **{**owner_record("run-1"), "pid": int(gone.stdout)})
    assert asyncio.run(obtained(file, time))


def test_an_owner_in_another_container_is_waited_for() -> None:
    """Its process number means nothing here, though host name and network address are the same."""
    file, time = remote(), Time()
    owner = {**owner_record("run-1"), "pid": 999_999_999, "pid_namespace": "pid:[1]"}
    leave(file, **owner)
    time.at[10.0] = lambda: leave(file, beat=2, **owner)
    assert not asyncio.run(obtained(file, time))


def test_an_owner_shows_that_it_lives_though_its_event_loop_is_busy(file: UPath) -> None:
    """Several times within the time after which it would be taken for dead."""
    assert BEAT_SECONDS * 3 < DEAD_SECONDS
    time = Time(end=5 * BEAT_SECONDS)

    async def run() -> None:
        async with claim_of(file, time):
            while beats(file) < 6:
                pass  # the loop does nothing else meanwhile

    asyncio.run(asyncio.wait_for(run(), ENOUGH))
    assert time.now == time.end


@pytest.mark.parametrize("step", ["pipe_file", "ls"])
def test_a_beat_that_fails_is_not_the_last(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a store's client raises: botocore's errors of a connection are no OSErrors."""

    class EndpointConnectionError(Exception):
        pass

    file, time = remote(), Time(end=5 * BEAT_SECONDS)
    real, failed = getattr(file.fs, step), threading.Event()

    def broken(*args: Any, **kwargs: Any) -> Any:
        failed.set()
        monkeypatch.setattr(file.fs, step, real)
        raise EndpointConnectionError

    time.at[2 * BEAT_SECONDS] = lambda: monkeypatch.setattr(file.fs, step, broken)

    async def run() -> None:
        async with claim_of(file, time):
            assert await asyncio.to_thread(time.stands_still.wait, ENOUGH)
            assert beats(file) >= 6  # of 7, the one that asked included

    asyncio.run(run())
    assert failed.is_set()


def test_a_cancelled_attempt_leaves_no_claim(file: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that is cancelled while it looks whether it is alone: the next would wait for it."""
    real = claim_module._Claim._claims

    async def run() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        cancelled = threading.Event()

        def cancel() -> None:
            task.cancel()
            loop.call_soon(cancelled.set)

        def looking(self: Any) -> Any:
            found = real(self)
            if found and not cancelled.is_set():
                loop.call_soon_threadsafe(cancel)
                cancelled.wait(ENOUGH)
            return found

        monkeypatch.setattr(claim_module._Claim, "_claims", looking)
        async with claim_of(file, Time()):
            pass

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert not journal_folder(ParquetFile(file)).exists()
    assert asyncio.run(obtained(file, Time(end=0.0)))


def test_a_cancelled_attempt_does_not_wait_for_a_dead_one() -> None:
    """It leaves that one's claim to others."""
    file = remote()
    theirs = leave(file)

    async def run() -> None:
        waiting = threading.Event()

        def pause(stop: threading.Event, _: float) -> None:
            waiting.set()
            stop.wait()

        async def attempt() -> None:
            async with hold_claim(ParquetFile(file), "mine", pause=pause):
                pass

        task = asyncio.create_task(attempt())
        await asyncio.to_thread(waiting.wait, ENOUGH)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(run(), ENOUGH))
    assert claims(file) == [theirs]


def test_a_claim_that_cannot_be_removed_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was computed under it is stored; the next run waits until it has stood still for long enough."""
    file = remote()

    def refused(path: str) -> None:
        raise ConnectionError(path)

    monkeypatch.setattr(file.fs, "rm_file", refused)
    assert asyncio.run(obtained(file, Time()))
    assert len(claims(file)) == 1


def test_no_thread_outlives_its_claim() -> None:
    """It has ended when the block has, so that it writes no more."""
    others = {*threading.enumerate()}

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with claim_of(remote(), Time()):
            (own,) = {*threading.enumerate()} - others
        assert not own.is_alive()
        assert loop.is_running()

    asyncio.run(run())


def test_of_several_at_once_one_has_it_at_most() -> None:
    """Each sees the others' claims, as listings show what was written before."""
    ever = 0
    for _ in range(10):
        file, time = remote(), SharedTime(3)
        inside: list[int] = []
        most: list[int] = []

        async def attempt(
            number: int, file: UPath, time: SharedTime, inside: list[int], most: list[int]
        ) -> None:
            try:
                async with claim_of(file, time, str(number)):
                    inside.append(number)
                    most.append(len(inside))
                    if number == 0:
                        until = time.now + 2 * DEAD_SECONDS
                        assert await asyncio.to_thread(time.reach, until, ENOUGH)
                    inside.remove(number)
            except ClaimedError:
                pass
            finally:
                time.leave()

        async def all_of_them(*shared: Any, attempt: Any = attempt) -> None:
            await asyncio.gather(*(attempt(number, *shared) for number in range(3)))

        asyncio.run(asyncio.wait_for(all_of_them(file, time, inside, most), ENOUGH))
        assert max(most, default=0) <= 1
        assert not journal_folder(ParquetFile(file)).exists()
        ever += len(most)
    assert ever


def test_what_is_no_claim_is_taken_for_a_dead_ones() -> None:
    """A half-written object says nothing of its owner."""
    file, time = remote(), Time()
    leave(file).write_bytes(b"\xff{")
    assert asyncio.run(obtained(file, time))
