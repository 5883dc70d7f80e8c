"""The pool of workers, with workers that a test scripts: who gets which batch, and what becomes of one whose worker dies."""

import asyncio
import pickle
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pxt_assets.errors import CellError, RunError
from pxt_assets.local.process_worker import usable_cores
from pxt_assets.local.worker_pool import WorkerEndedError, WorkerPool
from pxt_assets.local.worker_pools import WorkerPools
from pxt_assets.local.worker_server import Batch, Functions, Unloadable
from tests.local import placed


class Scripted:
    """A worker in this process, which computes as a real one does unless its script says otherwise."""

    def __init__(self, script: Callable[[Batch], bytes | None] = lambda batch: None) -> None:
        self.script = script
        self.batches: list[list[Any]] = []
        self.loads = 0
        self.closed = False
        self._functions = Functions.__new__(Functions)
        self._functions._loaded = {}

    def answer(self, request: bytes) -> bytes:
        batch: Batch = pickle.loads(request)
        if batch.address is not None:
            self.loads += 1
        else:
            self.batches.append([row["texts"] for row in batch.rows])
        scripted = self.script(batch)
        return self._functions.answer(request) if scripted is None else scripted

    def close(self) -> None:
        self.closed = True


class Pool:
    """A pool of scripted workers, and those that it started."""

    def __init__(self, count: int, *scripts: Callable[[Batch], bytes | None]) -> None:
        self.started: list[Scripted] = []
        self._scripts = list(scripts)
        self.pool = WorkerPool(self._start, count)

    def _start(self) -> Scripted:
        worker = Scripted(*self._scripts[:1])
        self._scripts = self._scripts[1:] or self._scripts
        self.started.append(worker)
        return worker

    async def compute(self, *texts: str) -> Any:
        async with self.pool.slots:
            return await self.pool.run(placed.with_bang, [{"texts": text} for text in texts])


def run(body: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(body)


def dying(batch: Batch) -> bytes | None:
    if batch.address is None:
        raise WorkerEndedError("its process ended with exit code 3")
    return None


def healthy(batch: Batch) -> bytes | None:
    return None


def test_batches_share_the_workers():
    """Each worker loads the function once; none is started that is not needed."""

    async def body() -> Pool:
        pool = Pool(3)
        for i in range(4):
            assert list(await pool.compute(f"{i}", "b")) == [f"{i}!", "b!"]
        return pool

    pool = run(body())
    assert [(len(worker.batches), worker.loads) for worker in pool.started] == [(4, 1)]


def test_at_most_two_batches_a_worker_are_under_way():
    """All others wait where a run that stops can drop them."""
    may_go = threading.Event()

    def waiting(batch: Batch) -> bytes | None:
        may_go.wait(30)
        return None

    async def body() -> None:
        pool = Pool(2, waiting, waiting)
        tasks = [asyncio.create_task(pool.compute(f"{i}")) for i in range(50)]
        while len(pool.started) < 2:  # noqa: ASYNC110  # threads start them
            await asyncio.sleep(0)
        assert pool.pool._threads._work.qsize() <= 2
        assert pool.pool.slots.locked()
        may_go.set()
        assert [list(values) for values in await asyncio.gather(*tasks)] == [[f"{i}!"] for i in range(50)]
        assert len(pool.started) == 2

    run(body())


def test_a_batch_whose_worker_dies_is_computed_by_another_one():
    """The dead one is ended and forgotten."""

    async def body() -> Pool:
        pool = Pool(1, dying, healthy)
        assert list(await pool.compute("a")) == ["a!"]
        return pool

    pool = run(body())
    assert [worker.closed for worker in pool.started] == [True, False]


def test_a_batch_that_kills_two_workers_is_at_fault():
    """So that it is divided until one row stands alone; others go on."""

    async def body() -> CellError:
        pool = Pool(1, dying, dying, healthy)
        with pytest.raises(CellError) as error:
            await pool.compute("a", "b")
        assert list(await pool.compute("c")) == ["c!"]
        return error.value

    error = run(body())
    assert error.divisible
    assert error.errortype == "WorkerDied"
    assert error.message == (
        "with_bang: the worker died while it computed 2 rows, 2 times: its process ended with exit code 3"
    ).replace("with_bang", placed.with_bang.name)


def test_workers_that_only_die_end_the_run():
    """Rather than being started for ever."""

    async def body() -> tuple[str, int]:
        pool = Pool(1, dying)
        for _ in range(100):
            try:
                await pool.compute("a")
            except CellError:
                continue
            except RunError as e:
                return str(e), len(pool.started)
        raise AssertionError

    message, deaths = run(body())
    assert deaths == 12
    assert "12 workers died one after the other, the last one while computing udf closing" in message
    assert message.endswith("allow fewer workers= where memory is short")


def test_a_function_that_cannot_be_loaded_ends_the_run():
    """No row is at fault."""

    def unloadable(batch: Batch) -> bytes:
        return pickle.dumps(Unloadable("udf f: a worker cannot import it"))

    async def body() -> None:
        pool = Pool(1, unloadable)
        with pytest.raises(RunError, match=r"^udf f: a worker cannot import it$"):
            await pool.compute("a")
        assert pool.started[0].closed

    run(body())


def test_what_cannot_be_sent_back_is_an_error_of_its_rows():
    """A worker answers with texts and values of columns alone."""

    functions = Functions.__new__(Functions)
    functions._answer = lambda batch: [threading.Lock()]  # type: ignore[method-assign]
    fault = pickle.loads(functions.answer(pickle.dumps(Batch(1))))
    assert fault.divisible
    assert "cannot be sent to the run's process" in fault.message


def test_closing_ends_workers_that_compute():
    """And nothing is started after it."""
    began, may_end = threading.Event(), threading.Event()

    def waiting(batch: Batch) -> bytes | None:
        if batch.address is None:
            began.set()
            may_end.wait(30)
            raise WorkerEndedError("closed")
        return None

    async def body() -> None:
        pool = Pool(1, waiting)
        task = asyncio.create_task(pool.compute("a"))
        assert await asyncio.to_thread(began.wait, 30)
        pool.pool.close()
        assert [worker.closed for worker in pool.started] == [True]
        may_end.set()
        with pytest.raises(RunError, match="the run ended"):
            await task
        assert len(pool.started) == 1

    run(body())


def test_a_run_makes_one_pool_for_functions_of_one_place():
    """None for those of its own process; none before the first batch."""
    made: list[int | None] = []

    def make(workers: int | None) -> WorkerPool:
        made.append(workers)
        return WorkerPool(Scripted, workers or 1)

    pools = WorkerPools({"processes": make})
    assert pools.of(placed.in_threads) is None
    assert made == []
    assert pools.of(placed.with_bang) is pools.of(placed.size)
    assert pools.of(placed.doubled) is not pools.of(placed.size)
    assert made == [1, 2]


@pytest.mark.parametrize(
    ("text", "most"), [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1), ("?", None)]
)
def test_a_container_may_have_fewer_cores_than_its_machine(text, most, tmp_path):
    """Its quota is rounded up to whole cores."""
    file = tmp_path / "cpu.max"
    file.write_text(text)
    cores = usable_cores(tmp_path / "missing")
    assert usable_cores(file) == (cores if most is None else min(cores, most))
