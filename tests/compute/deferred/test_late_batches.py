"""A batch that does not end in its time is cancelled; what it has finished is kept, the rest is asked for now."""

import asyncio
from pathlib import Path

import pytest

from tests.compute.deferred.columns import World, ask, digests_of, states, submit

ROWS = [ask("a"), ask("b")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_is_cancelled_an_hour_after_its_time_and_what_it_had_is_kept(world: World) -> None:
    async def late() -> None:
        column = world.column()
        await submit(column, {None: ROWS})
        world.clock.now += 89_000
        await column.poll()
        assert "cancel" not in world.api.calls
        world.clock.now += 2_000
        await column.poll()
        assert world.api.calls.count("cancel") == 1
        world.api.finish_cancel(after=1)
        world.clock.now += 60
        assert states(await column.poll()) == ["ended"]
        assert column.kept_mask(digests_of(ROWS), None).sum() == 1
        assert column.is_overdue(digests_of(ROWS)).sum() == 1

    asyncio.run(late())


def test_it_is_given_up_where_cancelling_does_not_end_it(world: World) -> None:
    async def stuck() -> None:
        column = world.column()
        await submit(column, {None: ROWS})
        world.clock.now += 91_000
        ended = []
        for _ in range(13):
            ended += await column.poll()
            world.clock.now += 61
        assert states(ended) == ["ended"]
        assert world.api.calls.count("cancel") == 1
        assert column.is_overdue(digests_of(ROWS)).all()

    asyncio.run(stuck())


def test_it_is_given_up_by_a_run_that_does_not_wait_where_an_earlier_one_cancelled_it(world: World) -> None:
    async def runs() -> None:
        await submit(world.column(), {None: ROWS})
        for pause, expected in ((91_000, []), (1_000, ["ended"])):
            world.clock.now += pause
            column = world.column()
            async with column.hold():
                assert states(await column.poll()) == expected

    asyncio.run(runs())
