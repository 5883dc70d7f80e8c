"""Deadlines of requests, all with one timer."""

import asyncio

import pytest

from pxt_assets.api.deadlines import Deadlines
from tests.virtual_time import run


async def within(deadlines: Deadlines, seconds: float) -> float:
    """Wait so long under a deadline; returns the time it took. Raises TimeoutError."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    began = loop.time()
    deadline = deadlines.begin(task, began)
    try:
        await asyncio.sleep(seconds)
    except BaseException as e:
        raise deadline.explain(e) from None
    finally:
        deadlines.end(deadline)
    return loop.time() - began


def test_what_takes_longer_is_ended_at_its_own_time() -> None:
    """Each at the time that it began plus the same seconds, however many there are."""

    async def one(deadlines: Deadlines, after: float, seconds: float) -> float | None:
        await asyncio.sleep(after)
        try:
            return await within(deadlines, seconds)
        except TimeoutError:
            return None

    async def main() -> list[float | None]:
        deadlines = Deadlines(10.0)
        waits = [(0.0, 99.0), (3.0, 9.0), (4.0, 11.0), (20.0, 5.0), (40.0, 12.0)]
        found = await asyncio.gather(*(one(deadlines, *wait) for wait in waits))
        assert asyncio.get_running_loop().time() == pytest.approx(50.0)
        return found

    assert run(main()) == [None, pytest.approx(9.0), None, pytest.approx(5.0), None]


def test_a_cancellation_by_others_is_none_of_the_deadline() -> None:
    async def main() -> None:
        task = asyncio.create_task(within(Deadlines(10.0), 99.0))
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_task_that_met_a_deadline_can_be_cancelled_later() -> None:
    """What the deadline asked for is taken back, so that the task goes on as one that nobody cancelled."""

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await within(Deadlines(1.0), 99.0)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(100.0)
        return task.cancelling()

    assert run(main()) == 0


def test_a_timeout_says_what_ended_the_wait() -> None:
    """The cancellation, with the notes that the wire gave it."""

    async def main() -> BaseException | None:
        deadlines, task = Deadlines(1.0), asyncio.current_task()
        assert task is not None
        deadline = deadlines.begin(task, 0.0)
        try:
            await asyncio.sleep(99.0)
        except asyncio.CancelledError as e:
            e.add_note("not sent")
            return deadline.explain(e)
        return None

    error = run(main())
    assert isinstance(error, TimeoutError)
    assert isinstance(error.__cause__, asyncio.CancelledError)
    assert error.__cause__.__notes__ == ["not sent"]
