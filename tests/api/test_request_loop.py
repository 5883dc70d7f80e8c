"""The loop on which requests are sent."""

import asyncio
import sys
import time

import pytest

from pxt_assets.api import request_loop as module
from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.request_loop import request_loop


async def running_loop() -> type:
    return type(asyncio.get_running_loop())


def test_requests_run_on_uvloop_and_all_else_on_asyncio():
    """Where it is installed."""
    uvloop = pytest.importorskip("uvloop")
    assert issubclass(run_to_end(running_loop(), request_loop), uvloop.Loop)
    assert not issubclass(run_to_end(running_loop()), uvloop.Loop)


def test_a_policy_that_somebody_chose_holds():
    """Whatever its loops are."""

    class Chosen(asyncio.SelectorEventLoop):
        pass

    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = Chosen

    asyncio.set_event_loop_policy(Policy())
    try:
        assert run_to_end(running_loop(), request_loop) is Chosen
    finally:
        asyncio.set_event_loop_policy(None)


def test_without_uvloop_the_loop_is_asyncios(monkeypatch):
    """As on Windows, for which there is none."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    module._uvloop.cache_clear()
    try:
        assert issubclass(run_to_end(running_loop(), request_loop), asyncio.SelectorEventLoop)
    finally:
        module._uvloop.cache_clear()


@pytest.mark.parametrize("seconds", [0.0004, 0.0014, 0.01])
def test_no_timer_fires_early(seconds):
    """By the loop's own clock; one that did would be set again for nothing until its time has come."""

    async def waited() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.sleep(seconds)
        return loop.time() - started

    assert run_to_end(waited(), request_loop) >= seconds - 1e-9


def test_its_clock_is_the_monotonic_one():
    """Limits are shared by the loops of a process."""

    async def clocks() -> float:
        return asyncio.get_running_loop().time() - time.monotonic()

    assert abs(run_to_end(clocks(), request_loop)) < 0.1


def test_an_endless_wait_is_no_error():
    """A timer that never fires."""

    async def forever() -> None:
        asyncio.get_running_loop().call_later(float("inf"), lambda: None).cancel()

    run_to_end(forever(), request_loop)
