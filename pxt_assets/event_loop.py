"""Runs a coroutine to its end from synchronous code, interrupts included."""

import asyncio
import gc
import signal
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, from a loop of its own; in a thread of its own where a loop is running already.

    What is in memory before is not searched for garbage meanwhile: Dagster's modules alone are hundreds of thousands of
    objects, which each full search would visit, a tenth of a second at a time.

    SIGINT and SIGTERM cancel the coroutine, so that it can clean up, and are then raised again for whoever handled
    them before: an exception that a handler raises inside a running loop may be lost there.
    """
    if not _loop_is_running():
        return _run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_run, coroutine).result()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    received: list[int] = []
    gc.freeze()
    try:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            task = loop.create_task(coroutine)
            with _cancelling(loop, task, received):
                return loop.run_until_complete(task)
    finally:
        gc.unfreeze()
        for number in received[:1]:
            signal.raise_signal(number)


@contextmanager
def _cancelling(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], received: list[int]
) -> Iterator[None]:
    """Within the block, interrupts cancel the task and are noted; afterwards the handlers are as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    before = {number: signal.getsignal(number) for number in _INTERRUPTS}
    for number in _INTERRUPTS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
