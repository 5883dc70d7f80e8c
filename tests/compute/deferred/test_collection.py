"""What of a batch's lines is an answer, whatever state it ended in and in whatever order they come."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pxt_assets.api.batches import BatchError, LineAnswer
from pxt_assets.compute.deferred.collection import reason_unanswered
from pxt_assets.compute.deferred.polling import poll_states, ready_partitions
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.errors import RunError
from tests.compute.deferred.columns import World, ask, digests_of, look_up, run, said, submit
from tests.fake_batches import FakeFile

A, B = ask("a"), ask("b")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def line(request: Any, status: int | None = 200, text: str = "yes", error: Any = None) -> dict[str, Any]:
    body = {"choices": [{"message": {"content": text}}]}
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return {"id": "x", "custom_id": request.digest.hex(), "response": response, "error": error}


async def collected(world: World, *lines: dict[str, Any], error_lines: Any = (), **state: Any) -> BatchRecord:
    """The record of a batch of A and B, once it has ended with such files."""
    await submit(world.column(), {None: [A, B]})
    (batch,) = world.api.batches.values()
    ids: dict[str, str | None] = {}
    for name, some in (("output_file_id", lines), ("error_file_id", error_lines)):
        ids[name] = name if some else None
        world.api.files[name] = FakeFile(
            name, name, b"".join(json.dumps(one).encode() + b"\n" for one in some)
        )
    world.api.batches[batch.id] = replace(
        batch, **{"status": "completed", "has_ended_at": True, **ids, **state}
    )
    return await poll_later(world, 60)


async def poll_later(world: World, seconds: float) -> BatchRecord:
    """The record that a new process hears the end of, so much later."""
    world.clock.now += seconds
    column = world.column()
    async with column.hold():
        (record,) = await column.poll()
        return record


async def answers(world: World) -> dict[bytes, LineAnswer]:
    column = world.column()
    async with column.hold():
        return look_up(column, {None: [A, B]})[None]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (LineAnswer("a", 200, b"{}"), None),
        (LineAnswer("a", 400, b"{}"), None),
        (LineAnswer("a", 404, b"{}"), None),
        (LineAnswer("a", 429, b"{}"), "429"),
        (LineAnswer("a", 408, b"{}"), "408"),
        (LineAnswer("a", 500, b"{}"), "500"),
        (LineAnswer("a", 503, b"{}"), "503"),
        (LineAnswer("a", None, b"", error_code="batch_expired"), "batch_expired"),
        (LineAnswer("a", None, b"", error_code="batch_cancelled"), "batch_cancelled"),
        (LineAnswer("a", None, b"", error_code="server_error"), "server_error"),
        (LineAnswer("a", None, b"", error_code="invalid_request", error_message="no"), None),
        (LineAnswer("a", None, b"", error_message="mock failure"), None),
        (LineAnswer("a", None, b""), "no line"),
    ],
)
def test_only_what_the_request_is_to_blame_for_is_its_answer(answer: LineAnswer, reason: str | None) -> None:
    assert reason_unanswered(answer) == reason


def test_of_two_lines_of_one_request_the_first_result_counts(world: World) -> None:
    record = asyncio.run(collected(world, line(A, text="one"), line(A, text="two"), line(B)))
    assert (record.answered, record.unknown) == (2, 0)
    assert said(asyncio.run(answers(world))[A.digest]) == "one"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_result_counts_beside_an_error_of_the_same_request(world: World, is_first: bool) -> None:
    lines = [line(A, 400), line(A, text="good")]
    record = asyncio.run(collected(world, *(lines if is_first else reversed(lines)), line(B)))
    assert (record.answered, record.failed) == (2, 0)
    assert said(asyncio.run(answers(world))[A.digest]) == "good"


def test_a_request_in_neither_file_is_unanswered(world: World) -> None:
    record = asyncio.run(collected(world, line(A)))
    assert dict(record.unanswered) == {"no line": 1}
    assert list(asyncio.run(answers(world))) == [A.digest]


def test_reasons_are_counted(world: World) -> None:
    error = {"code": "batch_expired", "message": "too late"}
    record = asyncio.run(
        collected(world, line(A), error_lines=[line(B, None, error=error)], status="expired")
    )
    assert (record.answered, dict(record.unanswered), record.status) == (1, {"batch_expired": 1}, "expired")


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "failed", "canceled"])
def test_results_are_kept_in_every_end_state(world: World, status: str) -> None:
    asyncio.run(collected(world, line(A), status=status))
    assert list(asyncio.run(answers(world))) == [A.digest]


def test_results_of_a_batch_that_was_refused_as_a_whole_are_kept_before_that_is_said(world: World) -> None:
    with pytest.raises(RunError, match=r"bad file\. What it had answered, 1 of 2 requests, is kept"):
        asyncio.run(collected(world, line(A), status="failed", errors=(BatchError("x", "bad file"),)))
    assert list(asyncio.run(answers(world))) == [A.digest]


def test_a_failure_of_the_servers_is_no_refusal(world: World) -> None:
    record = asyncio.run(collected(world, status="failed", errors=(BatchError("server_error", "oops"),)))
    assert record.counts_as_try
    assert world.api.files.keys() == {"output_file_id", "error_file_id"}, "the file of its lines is deleted"


@pytest.mark.parametrize(
    "state",
    [
        {"completed": 1},
        {"completed": 1, "status": "expired"},
        {"completed": 1, "status": "cancelled"},
        {"completed": 1, "status": "failed"},
        {"completed": None},
        {"completed": 0, "failed": 0},
    ],
    ids=str,
)
def test_an_output_that_is_named_later_is_waited_for_in_every_end_state(
    world: World, state: dict[str, Any]
) -> None:
    async def waited() -> BatchRecord:
        with pytest.raises(ValueError, match="not enough values"):
            await collected(world, line(A), output_file_id=None, **state)
        (batch,) = world.api.batches.values()
        world.api.batches[batch.id] = replace(batch, output_file_id="output_file_id")
        return await poll_later(world, 60)

    assert asyncio.run(waited()).answered == 1


def test_an_output_that_is_never_named_is_given_up(world: World) -> None:
    async def waited() -> BatchRecord:
        with pytest.raises(ValueError, match="not enough values"):
            await collected(world, completed=2)
        return await poll_later(world, 700)

    assert asyncio.run(waited()).state == "ended"


def test_nobody_is_sent_for_answers_whose_file_is_not_named_yet(world: World) -> None:
    async def heard() -> list[BatchRecord]:
        await submit(world.column(), {None: [A]})
        world.api.complete()
        (batch,) = world.api.batches.values()
        world.api.batches[batch.id] = replace(batch, output_file_id=None)
        world.clock.now += 60
        return await poll_states(world.folder, world.api, clock=world.clock)

    assert ready_partitions(asyncio.run(heard()), lambda _: True, world.clock.now) == {}


def test_a_file_that_is_there_a_little_later_is_read(world: World) -> None:
    async def read() -> BatchRecord:
        await submit(world.column(), {None: [A]})
        world.api.complete()
        files, world.api.files = world.api.files, {}
        column = world.column()
        world.clock.now += 60
        async with column.hold():
            assert await column.poll() == ()
            assert column.seconds_to_poll() == pytest.approx(2, abs=15), "it is asked about again, and soon"
        world.api.files = files
        return await poll_later(world, 60)

    assert asyncio.run(read()).answered == 1


def test_a_file_that_is_gone_for_good_is_asked_for_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone() -> BatchRecord:
        await submit(world.column(), {None: [A]})
        world.api.complete()
        world.api.files.clear()
        world.clock.now += 60
        column = world.column()
        async with column.hold():
            assert await column.poll() == ()
        return await poll_later(world, 700)

    assert asyncio.run(gone()).answered == 0
    assert "is gone" in caplog.text


def test_a_full_disk_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pxt_assets.compute.deferred.record_folder import RecordFolder

    def full(*_: Any) -> str:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(RecordFolder, "put_answers", full)
        with pytest.raises(RunError, match=r"cannot keep the answers .* no space left"):
            asyncio.run(collected(world, line(A), line(B)))
    assert "output_file_id" in world.api.files
    world.clock.now += 60
    assert len(asyncio.run(run(world, {None: [A, B]}))[None]) == 2
    assert len(world.api.batches) == 1


def test_two_runs_that_wait_for_one_batch_both_get_its_answers(world: World) -> None:
    async def both() -> None:
        first, second = world.column(), world.column()
        await submit(first, {"p": [A]})
        await submit(second, {"p": [A], "q": [A]})
        world.api.complete()
        world.clock.now += 60
        assert len(await first.poll()) == 1
        async with first.hold():
            look_up(first, {"p": [A]})
        assert len(await second.poll()) == 1
        assert second.kept_mask(digests_of([A]), "q").all()

    asyncio.run(both())
