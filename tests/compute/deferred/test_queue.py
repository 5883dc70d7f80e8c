"""The queue's budget: what has no room waits, smaller parts follow, and what can never fit is asked now."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pxt_assets.api.batches.account_queue import AccountQueue
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.compute.deferred.queue import most_tokens, submits_again_at
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.splitting import Limits
from pxt_assets.throttle.batch_queue import MemoryBatchQueue
from tests.compute.deferred.columns import (
    START,
    World,
    ask,
    digests_of,
    end_batches,
    look_up,
    run,
    states,
    submit,
)

ROWS = {f"p{i}": [ask(f"{i}-{j} " + "x" * 400) for j in range(10)] for i in range(4)}
TOKENS = 120
"""Of each row, about."""
REFUSED = BatchRecord("n", "ended", "/v1/responses", "m", START, 1, 800, ended_at=START)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.options["queue"] = AccountQueue(MemoryBatchQueue(world.clock), "a", lambda model: model, {})
    return world


def test_a_configured_limit_lets_two_parts_into_the_queue_and_the_rest_wait(world: World) -> None:
    world.options["queue"]._queue.configure("a", "gpt-6-luna", 20 * TOKENS)

    async def submitted() -> DeferredColumn:
        column = world.column()
        got = await submit(column, ROWS)
        assert sum(record.tokens for record in got.batches) <= 20 * TOKENS
        assert got.requests + got.without_room == 40
        assert len(got.batches) == 2
        return column

    column = asyncio.run(submitted())
    assert states(column.records()) == ["submitted", "submitted", "waiting"]


def test_what_waits_follows_when_room_is_made_by_whomever(world: World) -> None:
    queue = world.options["queue"]._queue
    queue.configure("a", "gpt-6-luna", 100 * TOKENS)
    queue.enqueue("another column's", "a", "gpt-6-luna", 90 * TOKENS)

    async def waits() -> None:
        column = world.column()
        assert (await submit(column, ROWS)).without_room == 40
        world.clock.now += 61
        assert await column.poll() == ()
        queue.release("another column's")
        world.clock.now += 61
        assert states(await column.poll()) == ["waiting"]
        assert (await submit(column, ROWS)).requests == 40
        assert states(column.records()) == ["submitted"]

    asyncio.run(waits())


def test_a_limit_is_learned_from_the_refusal_and_all_rows_are_answered(world: World) -> None:
    one_file = sum(len(str(request.body)) for rows in ROWS.values() for request in rows) // 4
    world.api.queue_tokens = one_file // 2
    answers = asyncio.run(run(world, ROWS))
    assert sum(map(len, answers.values())) == 40
    assert set(world.api.paid.values()) == {1}
    assert world.options["queue"].limit("gpt-6-luna") == world.api.queue_tokens
    assert sum(batch.status == "failed" for batch in world.api.batches.values()) <= 6
    assert world.api.files == {}


def test_a_refusal_without_a_number_halves_what_is_submitted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.api.queue_tokens = 2_000
    answers = asyncio.run(run(world, ROWS))
    assert sum(map(len, answers.values())) == 40
    assert set(world.api.paid.values()) == {1}


def test_refused_requests_do_not_count_as_tried(world: World) -> None:
    world.api.queue_tokens = 1

    async def refused() -> None:
        column = world.column()
        for _ in range(5):
            await submit(column, {None: [ask("a")]})
            world.clock.now += 700
            await column.poll()
        async with column.hold():
            assert not column.is_overdue(digests_of([ask("a")])).any()
            world.clock.now += 86_400
            assert column.is_overdue(digests_of([ask("a")])).all()

    asyncio.run(refused())


def test_partitions_that_were_not_looked_at_keep_waiting(world: World) -> None:
    queue = world.options["queue"]._queue
    queue.configure("a", "gpt-6-luna", 10)
    queue.enqueue("other", "a", "gpt-6-luna", 10)

    async def waits() -> list[tuple]:
        await submit(world.column(), {"p": [ask("a")], "q": [ask("b")]})
        column = world.column()
        await submit(column, {"p": [ask("a")]})
        return [record.waiting_partitions for record in column.records()]

    assert asyncio.run(waits()) == [("q",), ("p",)]


def test_what_has_no_room_stays_on_record_though_its_partition_settles_other_answers(world: World) -> None:
    queue = world.options["queue"]._queue
    queue.configure("a", "gpt-6-luna", 10)
    queue.enqueue("other", "a", "gpt-6-luna", 10)

    async def settled() -> list[str]:
        column = world.column()
        async with column.hold():
            look_up(column, {"p": [ask("a")]})
            await column.submit()
            column.settle("p", digests_of([ask("a")]))
        return states(column.records())

    assert asyncio.run(settled()) == ["waiting"]


def test_parts_are_half_a_limit_and_half_of_what_was_refused_but_not_ever_smaller() -> None:
    assert most_tokens(float("inf"), []) == float("inf")
    assert most_tokens(1_000, []) == 500
    assert most_tokens(1_000, [REFUSED]) == 400
    assert most_tokens(1_000, [REFUSED, replace(REFUSED, tokens=2)]) == 62.5
    assert most_tokens(float("inf"), [replace(REFUSED, tokens=1)]) == 1


def test_after_repeated_refusals_submissions_pause_ever_longer() -> None:
    assert submits_again_at([]) == 0
    assert submits_again_at([REFUSED]) == 0
    assert submits_again_at([REFUSED] * 2) == START + 30
    assert submits_again_at([REFUSED] * 20) == START + 600


def test_a_file_has_no_more_than_its_limits_and_all_parts_are_submitted(tmp_path: Path) -> None:
    world = World(tmp_path, limits=Limits(requests=16))
    got = asyncio.run(submit(world.column(), ROWS))
    assert [record.requests for record in got.batches] == [14, 14, 12]
    assert got.batches[0].waiting_partitions == ("p0", "p1")
    end_batches(world)
    world.clock.now += 60
    assert sum(map(len, asyncio.run(run(world, ROWS)).values())) == 40
