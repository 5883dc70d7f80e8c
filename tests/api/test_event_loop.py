"""Coroutines run from synchronous code."""

import asyncio
import signal
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.request_loop import request_loop


async def answer() -> int:
    return 42


def test_the_result_of_the_coroutine_is_returned():
    """A coroutine runs to its end in a loop of its own."""
    assert run_to_end(answer()) == 42


@pytest.mark.parametrize("new_loop", [None, request_loop])
def test_it_runs_where_a_loop_is_running_already(new_loop):
    """In a notebook, whose loop is running, the coroutine has a loop in another thread."""

    async def cell() -> int:
        return run_to_end(answer(), new_loop)

    assert asyncio.run(cell()) == 42


def test_it_sees_the_context_of_whoever_calls():
    """What a caller has set for what it calls, an observer of progress or a span, holds in the coroutine."""
    setting: ContextVar[str] = ContextVar("setting")

    async def look() -> str:
        return setting.get("nothing")

    async def cell() -> str:
        setting.set("a cell's")
        return run_to_end(look())

    assert asyncio.run(cell()) == "a cell's"
    setting.set("a program's")
    assert run_to_end(look()) == "a program's"


@pytest.mark.parametrize("new_loop", [None, request_loop])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_lets_the_coroutine_clean_up_and_then_reaches_the_handler_before(number, new_loop):
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
            run_to_end(interrupted(), new_loop)
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)
    assert order == ["cleaned up", "handled"]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, though whoever started the tests may have had it ignored, as `nohup` scripts do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops have no signal handlers, as on Windows."""

    def refused(*_: object) -> None:
        raise NotImplementedError

    for name in ("add_signal_handler", "remove_signal_handler"):
        monkeypatch.setattr(asyncio.SelectorEventLoop, name, refused)


@pytest.mark.usefixtures("no_signal_handlers")
def test_a_loop_without_signal_handlers_does_without():
    """A coroutine runs to its end all the same, and the process's handlers stay what they are."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run_to_end(answer()) == 42
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("no_signal_handlers")
def test_an_interrupt_of_a_loop_without_signal_handlers_lets_the_coroutine_clean_up():
    """The interrupt goes through the loop, whose end cancels what runs in it."""
    order = []

    async def interrupted() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            order.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_to_end(interrupted())
    assert order == ["cleaned up"]
