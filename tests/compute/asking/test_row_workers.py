"""Tasks that ask for rows one after the other."""

import asyncio
from contextvars import Context, ContextVar, copy_context

from pxt_assets.compute.asking.row_workers import RowWorkers
from tests.virtual_time import run

partition: ContextVar[str] = ContextVar("partition")


class Rows:
    """Rows that take a second each, in the order in which they were asked for."""

    def __init__(self, workers: RowWorkers) -> None:
        self.workers = workers
        self.asked: list[tuple[str, int]] = []
        self.tasks: set[asyncio.Task[None] | None] = set()
        self.most = 0
        self.now = 0

    def add(self, context: Context, numbers: range, seconds: float = 1.0) -> None:
        for number in numbers:
            self.workers.add(Row(self, context, number, seconds))


class Row:
    def __init__(self, rows: Rows, context: Context, number: int, seconds: float) -> None:
        self.rows, self.context, self.number, self.seconds = rows, context, number, seconds

    async def ask(self) -> None:
        rows = self.rows
        rows.asked.append((partition.get(), self.number))
        rows.tasks.add(asyncio.current_task())
        rows.now += 1
        rows.most = max(rows.most, rows.now)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
        finally:
            rows.now -= 1

    def cancel(self) -> None:
        pass


def context_of(name: str) -> Context:
    context = copy_context()
    context.run(partition.set, name)
    return context


def test_rows_are_asked_for_in_their_order_by_as_many_tasks_as_are_allowed() -> None:
    """Of a thousand rows no more tasks are made than of ten."""

    async def main() -> Rows:
        rows = Rows(RowWorkers(10))
        rows.add(context_of("a"), range(1_000))
        await asyncio.sleep(101)
        return rows

    rows = run(main())
    assert rows.asked == [("a", i) for i in range(1_000)]
    assert rows.most == len(rows.tasks) == 10


def test_each_row_is_asked_for_in_the_context_of_its_partition() -> None:
    """And the rows of an earlier partition before those of a later one."""

    async def main() -> Rows:
        rows = Rows(RowWorkers(3))
        rows.add(context_of("a"), range(7))
        rows.add(context_of("b"), range(7))
        await asyncio.sleep(10)
        return rows

    rows = run(main())
    assert rows.asked == [*(("a", i) for i in range(7)), *(("b", i) for i in range(7))]
    assert rows.most == 3


def test_one_more_goes_for_each_that_rests() -> None:
    """A request that waits for its next attempt keeps no other from being sent."""

    async def main() -> list[int]:
        rows, seen = Rows(RowWorkers(1)), []
        rows.add(context_of("a"), range(10), 100.0)
        await asyncio.sleep(1)
        for change in (1, 1, -1):
            rows.workers.note_rest(change)
            await asyncio.sleep(1)
            seen.append(len(rows.asked))
        await asyncio.sleep(1_000)
        return [*seen, rows.most, len(rows.asked)]

    assert run(main()) == [2, 3, 3, 3, 10]


def test_what_has_not_had_its_turn_can_be_dropped() -> None:
    """Those of the one partition, not of the other."""

    async def main() -> list[tuple[str, int]]:
        rows, a, b = Rows(RowWorkers(2)), context_of("a"), context_of("b")
        rows.add(a, range(5))
        rows.add(b, range(3))
        await asyncio.sleep(0.5)
        assert rows.workers.waits(a)
        assert [row.number for row in rows.workers.drop(a) if isinstance(row, Row)] == [2, 3, 4]
        assert not rows.workers.waits(a)
        await asyncio.sleep(5)
        return rows.asked

    assert run(main()) == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)]


def test_a_worker_that_is_cancelled_is_replaced() -> None:
    """The rows that wait are others'."""

    async def main() -> int:
        rows = Rows(RowWorkers(1))
        rows.add(context_of("a"), range(3))
        await asyncio.sleep(0.5)
        (task,) = rows.tasks
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)
        return len(rows.asked)

    assert run(main()) == 3


def test_rows_that_wait_for_nothing_let_others_go_on() -> None:
    """A thousand that fail at once hold the event loop for some of them only."""

    async def main() -> int:
        rows = Rows(RowWorkers(1))
        rows.add(context_of("a"), range(1_000), 0.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once = len(rows.asked)
        await asyncio.sleep(1)
        assert len(rows.asked) == 1_000
        return at_once

    assert 0 < run(main()) < 100
