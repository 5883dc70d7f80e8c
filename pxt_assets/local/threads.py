"""Threads for what may block, which hold up neither the event loop nor the end of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function in a thread of its own, in the same context.

    Unlike with `asyncio.to_thread` the end of the event loop does not wait for one that hangs.
    """
    threads, context, call = DaemonThreadPool(1), copy_context(), partial(fn, *args, **kwargs)
    try:
        return await asyncio.wrap_future(threads.submit(lambda: context.run(call)))
    finally:
        threads.shutdown(wait=False)


async def await_to_end(running: Coroutine[Any, Any, T]) -> T:
    """Awaits something that must not be broken off; a cancellation meanwhile is raised when it has ended."""
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
        task.exception()  # the interrupt is what is told
        raise cancelled
    return task.result()


class DaemonThreadPool(Executor):
    """At most `count` threads, started as they are needed.

    Python waits for those of `concurrent.futures` before it ends, so that one function that hangs would keep a
    cancelled run's process for ever; these end with it.
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
        """Ends the threads when they have done what was submitted, or with `cancel_futures` what they have begun."""
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
            del work, future, call  # or they would be kept until the next comes
            self._idle.release()
