"""Threads for calls that may block: neither the event loop nor the program's end waits for them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SHORT_TURN = 0.0002
"""Seconds that a thread which computes may keep others waiting within `short_turns`; Python's default is 25 times that."""
_turns_lock = Lock()
_turns: list[float] = []
"""The turns that were usual before each block that is open."""


@contextmanager
def short_turns() -> Iterator[None]:
    """Within the block, threads of this process wait SHORT_TURN for their turn beside one that computes.

    A thread that writes a file gives its turn away with each call of the system: beside an event loop that has no pause
    it would wait for most of the time. Blocks may overlap; the last one that ends restores what was there.
    """
    with _turns_lock:
        _turns.append(sys.getswitchinterval())
        sys.setswitchinterval(min(_turns[0], SHORT_TURN))
    try:
        yield
    finally:
        with _turns_lock:
            usual = _turns[0]
            _turns.pop()
            if not _turns:
                sys.setswitchinterval(usual)


async def run_in_thread(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function in a thread of its own, with the caller's context variables.

    Unlike `asyncio.to_thread`, a call that hangs does not keep the event loop from closing.
    """
    threads, context, call = DaemonThreadPool(1), copy_context(), partial(fn, *args, **kwargs)
    try:
        return await asyncio.wrap_future(threads.submit(lambda: context.run(call)))
    finally:
        threads.shutdown(wait=False)


async def await_to_end(running: Coroutine[Any, Any, T]) -> T:
    """Awaits a coroutine that must not be interrupted; a cancellation is raised once it has ended."""
    task = asyncio.ensure_future(running)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as e:
            cancelled = e
        except BaseException:
            break  # is raised below
    if cancelled is not None:
        task.exception()  # marks it as retrieved: the cancellation is raised in its place
        raise cancelled
    return task.result()


class DaemonThreadPool(Executor):
    """An executor of at most `count` daemon threads, started as they are needed.

    Python waits for the threads of `concurrent.futures` before it exits, so that a function that hangs would keep a
    cancelled run's process alive for ever. Daemon threads end with the process.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = Semaphore(0)
        self._threads: list[Thread] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a function as soon as a thread is free."""
        future: Future[T] = Future()
        self._work.put((future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._count:
            thread = Thread(target=self._run, name=f"pxt-local-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads after all submitted calls, with `cancel_futures` after those that have begun."""
        with suppress(Empty):
            while cancel_futures:
                waiting = self._work.get_nowait()
                if waiting is not None:
                    waiting[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as e:
                    future.set_exception(e)
            del work, future, call  # or they would stay in memory until the next call
            self._idle.release()
