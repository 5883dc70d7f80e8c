"""Submissions that a process left behind are taken over by their names, and leave nothing at the server."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pxt_assets.api.batches import BatchState, QueueFullError
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.errors import FatalApiError, RunError
from pxt_assets.storage.parquet import ParquetFile
from tests.compute.deferred.columns import World, ask, digests_of, run, states, submit
from tests.fake_batches import Died, FakeBatches

ROWS = {None: [ask("a"), ask("b")]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def left_at(world: World, where: str) -> None:
    """A process dies there while it submits."""
    world.api.die.add(where)
    with pytest.raises(Died):
        asyncio.run(submit(world.column(), ROWS))


def held(world: World) -> list[str]:
    async def hold() -> list[str]:
        column = world.column()
        async with column.hold():
            return states(column.records())

    return asyncio.run(hold())


def test_it_is_on_record_before_it_is_uploaded(world: World) -> None:
    left_at(world, "before upload")
    assert [name.partition(".")[2] for name in world.names] == ["digests", "json"]


def test_a_file_that_no_batch_uses_is_deleted(world: World) -> None:
    left_at(world, "after upload")
    assert len(world.api.files) == 1
    assert held(world) == ["waiting"]
    assert world.api.files == {}


def test_a_batch_whose_creation_nobody_heard_of_is_taken_over(world: World) -> None:
    left_at(world, "after create")
    assert held(world) == ["submitted"]
    asyncio.run(run(world, ROWS))
    assert len(world.api.batches) == 1


def test_a_batch_that_comes_into_the_list_late_is_taken_over(world: World) -> None:
    """It was being created when the process died; the file may be gone by then."""

    class Late(FakeBatches):
        looks = 0

        async def find(self, *args: Any, **kwargs: Any) -> BatchState | None:
            self.looks += 1
            return await super().find(*args, **kwargs) if self.looks > 3 else None

    world.api = Late(now=world.clock)
    left_at(world, "after create")
    assert held(world) == ["submitted"]
    assert world.clock.now > world.api.now() - 1


def test_a_file_that_another_key_uploaded_stops_the_run_until_that_key_is_back(world: World) -> None:
    left_at(world, "after create")
    ours, world.api = world.api, FakeBatches(now=world.clock)
    for _ in range(2):
        with pytest.raises(RunError, match="is not known to the API with this key"):
            held(world)
    assert world.api.batches == {}
    world.api = ours
    assert held(world) == ["submitted"]


def test_a_file_that_nobody_knows_is_given_up_after_thirty_days(world: World) -> None:
    left_at(world, "after create")
    world.api = FakeBatches(now=world.clock)
    world.clock.now += 31 * 86_400
    assert held(world) == ["waiting"]


def test_since_when_a_row_waits_is_known_though_it_was_never_submitted(world: World) -> None:
    left_at(world, "before upload")
    since = world.clock.now
    world.clock.now += 3_600

    async def waited() -> list[float]:
        column = world.column()
        await submit(column, ROWS)
        found: list[float] = column.waited_since(digests_of(ROWS[None])).tolist()
        return found

    assert asyncio.run(waited()) == [since, since]


def test_a_queue_that_is_full_at_creation_puts_the_rows_off(world: World) -> None:
    class Full(FakeBatches):
        async def create(self, file_id: str, endpoint: str, name: str) -> BatchState:
            raise QueueFullError("Enqueued token limit reached. Limit: 5 enqueued tokens")

    world.api = Full(now=world.clock)

    async def refused() -> list[str]:
        column = world.column()
        assert (await submit(column, ROWS)).without_room == 2
        return states(column.records())

    assert asyncio.run(refused()) == ["ended", "waiting"]
    assert world.api.files == {}


def test_a_key_that_may_not_create_batches_leaves_no_file(world: World) -> None:
    class Forbidden(FakeBatches):
        async def create(self, file_id: str, endpoint: str, name: str) -> BatchState:
            raise FatalApiError("no access")

    world.api = Forbidden(now=world.clock)
    with pytest.raises(FatalApiError):
        asyncio.run(submit(world.column(), ROWS))
    assert held(world) == ["waiting"]
    assert world.api.files == {}


def test_files_that_cannot_be_deleted_stop_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Keeps(FakeBatches):
        async def delete_file(self, file_id: str) -> None:
            raise RunError("403: missing scope")

    world.api = Keeps(now=world.clock)
    asyncio.run(run(world, ROWS))
    assert "could not be deleted: 403" in caplog.text


def test_a_record_that_cannot_be_written_is_no_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "no space left")))
    with pytest.raises(RunError, match=r"cannot write .* no space left"):
        asyncio.run(submit(world.column(), ROWS))
    assert world.api.calls == []


def test_a_record_that_cannot_be_read_is_not_taken_for_none(world: World) -> None:
    asyncio.run(submit(world.column(), ROWS))
    (record,) = Path(world.folder.path).glob("*.json")
    record.write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        asyncio.run(submit(world.column(), ROWS))


def test_a_submission_waits_for_another_one(world: World) -> None:
    async def both() -> list[int]:
        claim = hold_claim(ParquetFile(world.folder / "submission.parquet"), "other")
        await claim.__aenter__()

        async def gives_up_later(seconds: float) -> None:
            world.clock.now += seconds
            if len(waits) == 2:
                await claim.__aexit__(None, None, None)
            waits.append(seconds)

        waits: list[float] = []
        await submit(world.column(sleep=gives_up_later), ROWS)
        return [len(waits), len(world.api.batches)]

    assert asyncio.run(both()) == [3, 1]
