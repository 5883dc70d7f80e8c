"""A column's batches: one for all partitions, on record before they are uploaded, collected in every end state."""

import asyncio
import uuid
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from pxt_assets.errors import RunError
from tests.compute.deferred.columns import (
    World,
    ask,
    digests_of,
    end_batches,
    look_up,
    run,
    said,
    states,
    submit,
)


@pytest.fixture(params=["local", "remote"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """On a local disk, and on an object store."""
    return World(tmp_path if request.param == "local" else UPath(f"memory://{uuid.uuid4()}"))


def test_several_partitions_are_one_batch_and_each_answer_reaches_its_row(world: World) -> None:
    rows = {f"p{i}": [ask(f"{i}-{j}") for j in range(3)] for i in range(20)}
    answers = asyncio.run(run(world, rows))
    assert len(world.api.batches) == 1
    for partition, requests in rows.items():
        for request in requests:
            text = request.body["messages"][0]["content"]
            assert said(answers[partition][request.digest]) == f"re: {text}"


def test_when_all_is_settled_nothing_is_left_here_nor_there(world: World) -> None:
    asyncio.run(run(world, {None: [ask("a"), ask("b")]}))
    assert world.names == []
    assert not world.folder.exists()
    assert world.api.files == {}


def test_equal_requests_of_several_partitions_are_one_line(world: World) -> None:
    answers = asyncio.run(run(world, {"p": [ask("a"), ask("a"), ask("b")], "q": [ask("a")]}))
    assert list(world.api.paid.values()) == [1, 1]
    assert said(answers["q"][ask("a").digest]) == "re: a"


def test_a_second_run_finds_what_is_on_its_way(world: World) -> None:
    async def twice() -> None:
        await submit(world.column(), {"p": [ask("a")]})
        assert not (await submit(world.column(), {"p": [ask("a")], "q": [ask("a")]})).batches

    asyncio.run(twice())
    assert len(world.api.batches) == 1
    (record,) = world.column()._batches.folder.read()
    assert record.waiting_partitions == ("p", "q")


def test_one_changed_row_of_many_is_submitted_alone(world: World) -> None:
    async def changed() -> int:
        await submit(world.column(), {None: [ask(f"{i}") for i in range(1_000)]})
        return (
            await submit(world.column(), {None: [ask("new"), *[ask(f"{i}") for i in range(1, 1_000)]]})
        ).requests

    assert asyncio.run(changed()) == 1


def test_an_answer_to_a_row_that_is_gone_is_found_when_the_row_comes_back(world: World) -> None:
    asyncio.run(submit(world.column(), {None: [ask("a"), ask("b")]}))
    asyncio.run(run(world, {None: [ask("b")]}))
    assert any(name.endswith(".answers") for name in world.names)
    answers = asyncio.run(run(world, {None: [ask("a"), ask("b")]}))
    assert said(answers[None][ask("a").digest]) == "re: a"
    assert set(world.api.paid.values()) == {1}
    assert world.names == []


def test_what_a_partition_has_stored_stays_for_another_one_that_waits(world: World) -> None:
    asyncio.run(submit(world.column(), {"p": [ask("a")], "q": [ask("a")]}))
    asyncio.run(run(world, {"p": [ask("a")]}))
    asyncio.run(run(world, {"q": [ask("a")]}))
    assert list(world.api.paid.values()) == [1]
    assert world.names == []


@pytest.mark.parametrize("end", ["expire", "finish_cancel"])
def test_what_an_ended_batch_had_finished_is_kept_and_the_rest_submitted_again(
    world: World, end: str
) -> None:
    requests = [ask(f"{i}") for i in range(10)]

    async def ended() -> None:
        await submit(world.column(), {None: requests})
        getattr(world.api, end)(next(iter(world.api.batches)), after=4)
        world.clock.now += 60
        await run(world, {None: requests})

    asyncio.run(ended())
    assert set(world.api.paid.values()) == {1}
    assert [batch.total for batch in world.api.batches.values()] == [10, 6]


def test_answers_and_errors_are_offered_to_a_partition_until_it_has_settled_them(world: World) -> None:
    good, bad = ask("a"), ask("b")
    digests = digests_of([good, bad])

    async def told() -> None:
        column = world.column()
        await submit(column, {"p": [good, bad], "q": [bad]})
        world.api.complete(failed=[bad.digest.hex()])
        world.clock.now += 60
        await column.poll()
        async with column.hold():
            assert column.kept_mask(digests, "p").tolist() == [True, True]
            assert [answer.status for answer, _ in column.take(digests, "p")] == [200, 400]
            column.settle("p", digests)
            assert column.kept_mask(digests, "p").tolist() == [False, False]
        column = world.column()
        async with column.hold():
            assert column.kept_mask(digests, "p").tolist() == [False, False]
            assert column.kept_mask(digests, "q").tolist() == [True, True]
            assert not column.is_overdue(digests).any()

    asyncio.run(told())


def test_answers_that_were_kept_before_a_refresh_are_not_offered_to_it(world: World) -> None:
    async def refreshed() -> None:
        column = world.column()
        await submit(column, {None: [ask("a")]})
        world.api.complete()
        world.clock.now += 60
        (record,) = await column.poll()
        assert record.ended_at is not None
        assert column.kept_mask(digests_of([ask("a")]), None, record.ended_at).all()
        assert not column.kept_mask(digests_of([ask("a")]), None, record.ended_at + 1).any()

    asyncio.run(refreshed())


def test_a_batch_that_is_refused_stops_the_run_and_is_closed(world: World) -> None:
    async def refused() -> None:
        column = world.column(label="tickets/c")
        await submit(column, {None: [ask("a")]})
        world.api.fail(next(iter(world.api.batches)), "model_not_found", "no such model", line=1)
        world.clock.now += 60
        with pytest.raises(
            RunError, match=r"tickets/c: the batch batch-2 of 1 requests .* no such model \(line 1\)"
        ):
            await column.poll()
        assert states(column.records()) == ["ended"]
        assert (await submit(world.column(), {None: [ask("a")]})).requests == 1

    asyncio.run(refused())
    assert len(world.api.files) == 1


def test_an_unknown_batch_stops_the_run_until_it_is_thirty_days_old(world: World) -> None:
    async def unknown() -> None:
        column = world.column()
        await submit(column, {None: [ask("a")], "q": [ask("b")]})
        world.api.forget(next(iter(world.api.batches)))
        world.clock.now += 60
        with pytest.raises(RunError, match="not known to the API with this key"):
            await column.poll()
        assert column.on_its_way(digests_of([ask("a")])).all()
        world.clock.now += 31 * 86_400
        assert states(await column.poll()) == ["ended"]
        assert column.is_overdue(digests_of([ask("a")])).all()

    asyncio.run(unknown())


def test_others_are_collected_before_an_unknown_batch_stops_the_run(world: World) -> None:
    async def both() -> None:
        column = world.column()
        await submit(column, {None: [ask("a")]})
        await submit(column, {None: [ask("a"), ask("b")]})
        world.api.forget(next(iter(world.api.batches)))
        world.api.complete()
        world.clock.now += 60
        with pytest.raises(RunError):
            await column.poll()
        assert column.kept_mask(digests_of([ask("a"), ask("b")]), None).tolist() == [False, True]

    asyncio.run(both())


def test_cancelling_keeps_what_was_finished_and_leaves_the_rest_for_now(world: World) -> None:
    requests = [ask(f"{i}") for i in range(5)]

    async def cancelled() -> np.ndarray:
        await submit(world.column(), {None: requests})
        column = world.column()
        sleep = world.clock.sleep

        async def ends_meanwhile(seconds: float) -> None:
            world.api.finish_cancel(after=2)
            await sleep(seconds)

        column._sleep = ends_meanwhile
        (record,) = await column.cancel()
        assert record.status == "cancelled"
        async with column.hold():
            kept = column.kept_mask(digests_of(requests), None)
            assert not column.on_its_way(digests_of(requests)).any()
        return kept

    assert asyncio.run(cancelled()).sum() == 2


def test_batches_that_other_partitions_alone_wait_for_are_not_cancelled(world: World) -> None:
    async def cancelled() -> list[str]:
        await submit(world.column(), {"p": [ask("a")]})
        await submit(world.column(), {"q": [ask("b")]})
        await world.column().cancel(partitions=["q"], wait=False)
        return [batch.status for batch in world.api.batches.values()]

    assert asyncio.run(cancelled()) == ["in_progress", "cancelling"]


def test_requests_that_the_server_fails_at_are_tried_three_times_then_asked_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.api.answer = lambda _: (503, {"error": {"message": "overloaded"}})

    async def tried() -> list[bool]:
        overdue = []
        for _ in range(3):
            column = world.column()
            await submit(column, {None: [ask("a")]})
            world.api.complete()
            world.clock.now += 60
            await column.poll()
            assert not column.kept_mask(digests_of([ask("a")]), None).any()
            overdue.append(bool(column.is_overdue(digests_of([ask("a")]))[0]))
        return overdue

    assert asyncio.run(tried()) == [False, False, True]


def test_what_is_not_answered_within_the_time_is_asked_now(world: World) -> None:
    async def waited() -> None:
        column = world.column()
        await submit(column, {None: [ask("a")]})
        since = world.clock.now
        world.clock.now += 86_390
        world.api.expire()
        await column.poll()
        assert column.waited_since(digests_of([ask("a"), ask("b")])).tolist()[0] == since
        assert not column.is_overdue(digests_of([ask("a"), ask("b")])).any()
        world.clock.now += 20
        assert column.is_overdue(digests_of([ask("a"), ask("b")])).tolist() == [True, False]
        await submit(column, {None: [ask("a")]})
        assert not column.is_overdue(digests_of([ask("a")])).any()  # it is on its way again
        assert column.waited_since(digests_of([ask("a")])).tolist() == [since]

    asyncio.run(waited())


def test_a_simulators_batches_are_no_other_servers(world: World) -> None:
    asyncio.run(submit(world.column(server="simulator"), {None: [ask("a")]}))
    assert (
        asyncio.run(submit(world.column(server="https://api.openai.com/v1"), {None: [ask("a")]})).requests
        == 1
    )
    assert asyncio.run(submit(world.column(server="simulator"), {None: [ask("a")]})).requests == 0


def test_models_have_files_of_their_own(world: World) -> None:
    asyncio.run(run(world, {None: [ask("a"), ask("a", "gpt-6-sol"), ask("b")]}))
    assert sorted((batch.model, batch.total) for batch in world.api.batches.values()) == [
        ("gpt-6-luna", 2),
        ("gpt-6-sol", 1),
    ]


def test_costs_and_counts_are_shown(world: World) -> None:
    async def shown() -> None:
        column = world.column()
        await submit(column, {None: [ask("a"), ask("b")]})
        world.clock.now += 3
        await column.poll()
        (view,) = [record.view(world.clock.now) for record in column.records()]
        assert (view.state, view.total, view.cost_usd, view.age_s) == ("in_progress", 2, 0.5, 3)
        end_batches(world)
        world.clock.now += 60
        (record,) = await column.poll()
        assert (record.view().state, record.view().completed) == ("completed", 2)

    asyncio.run(shown())


def test_unknown_lines_and_broken_ones_are_counted_and_nothing_else(world: World) -> None:
    async def mixed() -> None:
        column = world.column()
        await submit(column, {None: [ask("a"), ask("b")]})
        world.api.complete()
        (batch,) = world.api.batches.values()
        file = world.api.files[str(batch.output_file_id)]
        first, second = file.content.splitlines(keepends=True)
        stranger = first.replace(b'"custom_id": "', b'"custom_id": "ff')
        file.content = first + stranger + first + b'{"cut' + b"\n" + second
        world.clock.now += 60
        (record,) = await column.poll()
        assert (record.answered, record.unknown, dict(record.unanswered)) == (2, 2, {})

    asyncio.run(mixed())


def test_a_file_that_breaks_off_is_read_again(world: World) -> None:
    requests = [ask(f"{i}") for i in range(300)]

    async def broken() -> None:
        column = world.column()
        await submit(column, {None: requests})
        world.api.complete()
        world.api.cut_after = 150
        world.clock.now += 60
        with pytest.raises(BaseException, match="lines"):
            await column.poll()
        world.clock.now += 60
        column = world.column()
        async with column.hold():
            assert not column.kept_mask(digests_of(requests), None).any()
            (record,) = await column.poll()
            assert column.kept_mask(digests_of(requests), None).all()
        assert record.answered == 300

    asyncio.run(broken())


def test_a_column_without_batches_has_no_folder(world: World) -> None:
    async def held() -> None:
        column = world.column()
        async with column.hold():
            look_up(column, {})
        assert column.seconds_to_poll() is None

    asyncio.run(held())
    assert not world.folder.exists()
