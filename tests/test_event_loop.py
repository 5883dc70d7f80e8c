"""Coroutines run from synchronous code."""

import asyncio
import signal

import pytest

from pxt_assets.event_loop import run_to_end


async def answer() -> int:
    return 42


def test_the_result_of_the_coroutine_is_returned():
    """A coroutine runs to its end in a loop of its own."""
    assert run_to_end(answer()) == 42


def test_it_runs_where_a_loop_is_running_already():
    """In a notebook, whose loop is running, the coroutine has a loop in another thread."""

    async def cell() -> int:
        return run_to_end(answer())

    assert asyncio.run(cell()) == 42


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_lets_the_coroutine_clean_up_and_then_reaches_the_handler_before(number):
    """A signal cancels the coroutine; its clean-up runs, then the handler that was there before it."""
    order = []

    async def interrupted() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            order.append("cleaned up")

    class Interrupted(BaseException):
        pass

    def handle(*_: object) -> None:
        order.append("handled")
        raise Interrupted

    before = signal.signal(number, handle)
    try:
        with pytest.raises(Interrupted):
            run_to_end(interrupted())
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)
    assert order == ["cleaned up", "handled"]
