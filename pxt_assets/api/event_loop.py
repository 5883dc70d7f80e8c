"""Runs a coroutine to its end from synchronous code, interrupts included."""

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def run_to_end(
    coroutine: Coroutine[Any, Any, T], new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """The coroutine's result, from a loop of its own; in a thread of its own where a loop is running already.

    `new_loop` makes the loop, by default asyncio.

    Objects that exist before are frozen for the garbage collector meanwhile: Dagster's modules alone are hundreds of
    thousands, and each full collection would take a tenth of a second to visit them.

    SIGINT and SIGTERM cancel the coroutine, so that it can clean up, and are then raised again for whoever handled
    them before: an exception that a handler raises inside a running loop may be lost there.
    """
    if not _loop_is_running():
        return _run(coroutine, new_loop)
    started: Future[Callable[[], None]] = Future()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(copy_context().run, _run, coroutine, new_loop, started)
        try:
            return running.result()
        except BaseException:
            if not running.done():  # an interrupt, which only the main thread is told of
                started.result()()
            raise


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(
    coroutine: Coroutine[Any, Any, T],
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None,
    started: Future[Callable[[], None]] | None = None,
) -> T:
    """Runs a coroutine; `started` gets a function that cancels it from another thread."""
    received: list[int] = []
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            loop = runner.get_loop()
            task = loop.create_task(coroutine)
            if started is not None:
                started.set_result(lambda: _cancel(loop, task))
            with _cancel_on_interrupt(loop, task, received):
                return loop.run_until_complete(task)
    finally:
        if not received:  # else the process ends, and collecting all would take it seconds
            gc.unfreeze()
        for number in received[:1]:
            signal.raise_signal(number)


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(task.cancel)


@contextmanager
def _cancel_on_interrupt(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], received: list[int]
) -> Iterator[None]:
    """Within the block, interrupts cancel the task and are added to `received`; then the handlers are restored.

    A loop that has no signal handlers, as on Windows, is left as it is: there Ctrl-C ends it with a KeyboardInterrupt,
    and closing it cancels the task.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    previous: dict[signal.Signals, Any] = {}
    try:
        with suppress(NotImplementedError):
            for number in _INTERRUPTS:
                handler = signal.getsignal(number)
                loop.add_signal_handler(number, interrupt, number)
                previous[number] = handler
        yield
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
