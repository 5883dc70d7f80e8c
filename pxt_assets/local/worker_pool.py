"""Workers that compute batches of rows in other processes: how many there are, and what becomes of a batch whose worker dies."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from threading import Lock
from typing import Any, NamedTuple, Protocol

from pxt_assets.errors import CellError, RunError
from pxt_assets.local.function_address import FunctionAddress, address_of
from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.local.udf import LocalFunction
from pxt_assets.local.worker_server import Batch, Fault, Unloadable

WORKER_DIED = "WorkerDied"
"""The errortype of rows whose worker died, more than once."""
_ATTEMPTS = 2
_DEATHS = 10
"""How many workers may die before any batch is finished, besides two for each that there may be."""


class WorkerEndedError(Exception):
    """A worker has ended in the middle of a request; the text says how."""


class Worker(Protocol):
    """What answers requests, one after the other, elsewhere."""

    def answer(self, request: bytes) -> bytes:
        """The answer to a request (see `worker_server`). Raises WorkerEndedError."""

    def close(self) -> None:
        """Ends it, whatever it does."""


class _Known(NamedTuple):
    """A function that batches came for."""

    number: int
    function: LocalFunction[...]
    """Kept, so that no other one gets its number. One plain function may be several of them, with other options."""
    address: FunctionAddress


class WorkerPool:
    """At most `count` workers, which `start` starts as batches come. Threads wait for them, so that no event loop does.

    `slots` are for whoever runs batches: two a worker, so that the next one is at hand when one is finished.
    """

    def __init__(self, start: Callable[[], Worker], count: int) -> None:
        self.count = count
        self.slots = asyncio.Semaphore(2 * count)
        self._start = start
        self._threads = DaemonThreadPool(count)
        self._lock = Lock()
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._loaded: dict[Worker, set[int]] = {}
        """The functions that each worker has loaded."""
        self._known: dict[int, _Known] = {}
        """The functions by number."""
        self._deaths = 0
        """How many workers died since a batch was finished."""
        self._closed = False

    async def run(self, function: LocalFunction[...], rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """The values of some rows, with a CellError in place of each that is at fault.

        Raises CellError for what the function raises, and, divisible, for rows whose workers died; RunError for a function
        that no worker can load, and where workers die without finishing anything.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, function, rows)

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            self._closed = True
            workers, self._workers, self._idle = self._workers, [], []
        self._threads.shutdown(wait=False, cancel_futures=True)
        closing = DaemonThreadPool(len(workers))  # all at once: each may take a while to clean up
        wait([closing.submit(worker.close) for worker in workers])
        closing.shutdown(wait=False)

    def _compute(self, function: LocalFunction[...], rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        known = self._known_function(function)
        compute = _request(Batch(known.number, rows=rows), function.name)
        ended = ""
        for _ in range(_ATTEMPTS):
            worker = self._take()
            try:
                self._load(worker, known)
                answer = _answer(worker.answer(compute), function.name)
            except WorkerEndedError as e:
                ended = str(e)
                self._note_death(worker, known, ended)
                continue
            except BaseException:
                self._drop(worker)
                raise
            self._give_back(worker)
            if isinstance(answer, Fault):
                raise answer.error()
            return [value.error() if isinstance(value, Fault) else value for value in answer]
        count = f"{len(rows):,} rows" if len(rows) > 1 else "this row"
        msg = f"{function.name}: the worker died while it computed {count}, {_ATTEMPTS} times: {ended}"
        raise CellError(WORKER_DIED, msg, divisible=True)

    def _known_function(self, function: LocalFunction[...]) -> _Known:
        number = id(function)
        with self._lock:
            known = self._known.get(number)
            if known is None:
                known = self._known[number] = _Known(number, function, address_of(function))
            return known

    def _load(self, worker: Worker, known: _Known) -> None:
        loaded = self._loaded[worker]
        if known.number in loaded:
            return
        answer = pickle.loads(worker.answer(pickle.dumps(Batch(known.number, known.address))))  # noqa: S301
        if isinstance(answer, Unloadable):
            raise RunError(answer.message)
        loaded.add(known.number)

    def _take(self) -> Worker:
        with self._lock:
            self._refuse_if_closed()
            if self._idle:
                return self._idle.pop()
        worker = self._start()
        with self._lock:
            if not self._closed:
                self._workers.append(worker)
                self._loaded[worker] = set()
                return worker
        worker.close()
        with self._lock:
            self._refuse_if_closed()
        raise AssertionError

    def _refuse_if_closed(self) -> None:
        if self._closed:
            msg = "the run ended before this batch was computed"
            raise RunError(msg)

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._deaths = 0
            self._idle.append(worker)

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
            self._loaded.pop(worker, None)
        worker.close()

    def _note_death(self, worker: Worker, known: _Known, ended: str) -> None:
        address, was_loaded = known.address, known.number in self._loaded.get(worker, ())
        self._drop(worker)
        with self._lock:
            self._refuse_if_closed()
            self._deaths += 1
            deaths = self._deaths
        if deaths >= _DEATHS + 2 * self.count:
            doing = f"computing {address.label}" if was_loaded else f"importing {address.module}"
            msg = (
                f"{address.label}: {deaths} workers died one after the other, the last one while {doing}: {ended}; run the function "
                "without on= to see what it does, or allow fewer workers= where memory is short"
            )
            raise RunError(msg)


def _request(batch: Batch, name: str) -> bytes:
    """The batch for a worker. Raises a divisible CellError where its rows cannot be sent, such as JSON of great depth."""
    try:
        return pickle.dumps(batch, pickle.HIGHEST_PROTOCOL)
    except Exception as e:
        msg = f"{name}: its arguments cannot be sent to a worker: {type(e).__name__}: {e}"
        raise CellError(type(e).__name__, msg[:4_000], divisible=True) from e


def _answer(data: bytes, name: str) -> Any:
    """A worker's answer. It is a Fault where this process cannot read it, as a class is only known there."""
    try:
        return pickle.loads(data)  # noqa: S301  # from a process of our own
    except Exception as e:
        msg = f"{name}: the run's process cannot read its values: {type(e).__name__}: {e}"
        return Fault(type(e).__name__, msg[:4_000], divisible=True)
