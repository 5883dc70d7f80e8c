"""States of batches, without their answers: one poll a minute at most, by whomever, and which partitions need a run."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from pxt_assets.compute.deferred.polling import next_poll, poll_states, read_records, ready_partitions
from pxt_assets.compute.deferred.record import BatchRecord, Poll
from tests.compute.deferred.columns import START, World, ask, run, submit

RECORD = BatchRecord(
    "n", "submitted", "/v1/responses", "m", START, 1, 1, partitions={'"p"': False}, submitted_at=START
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_polls_come_after_two_seconds_then_ever_more_rarely_and_once_a_minute_at_last() -> None:
    times, record = [START], RECORD
    for _ in range(10):
        times.append(next_poll(record, times[-1]))
        record = replace(record, poll=Poll(times[-1], "in_progress"))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == [2, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_a_clock_that_was_put_back_delays_no_poll() -> None:
    assert next_poll(replace(RECORD, poll=Poll(START + 86_400, "in_progress")), START) == START


def test_after_a_clock_was_put_back_a_batch_is_still_asked_about_once_a_minute() -> None:
    assert next_poll(replace(RECORD, poll=Poll(START - 3_600, "in_progress")), START - 3_600) == START - 3_540


def test_a_sensor_hears_of_the_end_and_downloads_nothing(world: World) -> None:
    async def heard() -> list[BatchRecord]:
        await submit(world.column(), {"p": [ask("a")]})
        world.api.complete()
        world.clock.now += 60
        return await poll_states(world.folder, world.api, clock=world.clock)

    (record,) = asyncio.run(heard())
    assert (record.state, record.poll.status, record.poll.is_ended) == ("submitted", "completed", True)
    assert "lines" not in world.api.calls
    assert ready_partitions([record], lambda _: True, world.clock.now) == {"p": record.name}


def test_whoever_polls_others_do_not_within_the_minute(world: World) -> None:
    async def polled() -> int:
        await submit(world.column(), {"p": [ask("a")]})
        world.clock.now += 3_600
        for _ in range(12):
            await poll_states(world.folder, world.api, clock=world.clock)
            column = world.column()
            async with column.hold():
                await column.poll()
            world.clock.now += 10
        return world.api.calls.count("retrieve")

    assert asyncio.run(polled()) == 2


def test_each_tick_of_a_minute_asks_though_ticks_are_not_exact(world: World) -> None:
    async def ticks() -> int:
        await submit(world.column(), {"p": [ask("a")]})
        world.clock.now += 3_600
        for pause in (59.2, 60.7, 58.9, 61.0):
            await poll_states(world.folder, world.api, clock=world.clock)
            world.clock.now += pause
        return world.api.calls.count("retrieve")

    assert asyncio.run(ticks()) == 4


def test_what_a_sensor_heard_to_have_ended_is_collected_at_once(world: World) -> None:
    async def collected() -> None:
        await submit(world.column(), {"p": [ask("a")]})
        world.api.complete()
        world.clock.now += 60
        await poll_states(world.folder, world.api, clock=world.clock)
        column = world.column()
        async with column.hold():
            assert len(await column.poll()) == 1

    asyncio.run(collected())


def test_a_poll_that_comes_late_brings_no_record_back(world: World) -> None:
    """A sensor writes what it heard after a run has removed the batch."""

    async def late() -> None:
        await submit(world.column(), {"p": [ask("a")]})
        (record,) = read_records(world.folder)
        column = world.column()
        await run(world, {"p": [ask("a")]})
        column._batches.folder.write_poll(replace(record, poll=Poll(world.clock.now, "in_progress")))
        assert read_records(world.folder) == []
        async with column.hold():
            assert column.records() == []
        assert world.names == []

    asyncio.run(late())


def test_a_partition_needs_no_run_while_one_of_its_batches_is_on_its_way() -> None:
    ended = replace(RECORD, name="a", poll=Poll(START, "completed", ended_at=START))
    assert ready_partitions([ended, RECORD], lambda _: True, START) == {}
    assert list(ready_partitions([ended], lambda _: True, START)) == ["p"]


def test_a_batch_that_somebody_cancelled_is_no_reason_for_a_run_nor_against_one() -> None:
    cancelled = replace(RECORD, poll=Poll(START, "cancelled", ended_at=START))
    ended = replace(RECORD, name="b", poll=Poll(START, "completed", ended_at=START))
    assert ready_partitions([cancelled], lambda _: True, START) == {}
    assert ready_partitions([cancelled, ended], lambda _: True, START) == {"p": "b"}


def test_a_batch_that_was_refused_needs_a_run_until_one_has_told_of_it() -> None:
    heard = replace(RECORD, poll=Poll(START, "failed", ended_at=START))
    assert ready_partitions([heard], lambda _: True, START).keys() == {"p"}
    told = replace(heard, state="ended", ended_at=START, refused="no such model")
    assert ready_partitions([told], lambda _: True, START) == {}


def test_what_waits_for_room_needs_a_run_once_there_is_some() -> None:
    waiting = replace(RECORD, state="waiting")
    assert ready_partitions([waiting], lambda _: False, START) == {}
    assert list(ready_partitions([waiting], lambda _: True, START)) == ["p"]


def test_a_submission_that_was_left_needs_a_run_after_ten_minutes() -> None:
    left = replace(RECORD, state="uploaded")
    assert ready_partitions([left], lambda _: True, START + 599) == {}
    assert list(ready_partitions([left], lambda _: True, START + 601)) == ["p"]


def test_a_batch_is_one_reason_for_a_run_before_and_after_another_run_collected_it() -> None:
    heard = replace(RECORD, poll=Poll(START, "completed", ended_at=START))
    kept = replace(heard, state="ended")
    assert ready_partitions([heard], lambda _: True, START) == ready_partitions([kept], lambda _: True, START)


def test_a_batch_that_does_not_end_needs_a_run_once_it_is_late_and_another_one_when_it_ends() -> None:
    late = ready_partitions([RECORD], lambda _: True, START + 90_001)
    heard = replace(RECORD, poll=Poll(START, "cancelled", ended_at=START))
    assert list(ready_partitions([heard], lambda _: True, START + 90_001)) == ["p"]
    assert ready_partitions([RECORD], lambda _: True, START + 90_000) == {}
    assert late != ready_partitions([heard], lambda _: True, START + 90_001)
    assert list(late) == ["p"]
