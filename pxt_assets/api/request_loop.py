"""The event loop on which requests are sent: uvloop's where it is installed, which takes a fifth less CPU a request."""

from __future__ import annotations

import asyncio
import math
from functools import cache
from typing import TYPE_CHECKING, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

Ts = TypeVarTuple("Ts")

_MAX_DELAY = 1e8
"""Seconds; more is as good as never."""


def request_loop() -> asyncio.AbstractEventLoop:
    """A new loop. One of asyncio's without uvloop, as on Windows, and where somebody has chosen a policy of loops."""
    make = _uvloop()
    if make is None or type(asyncio.get_event_loop_policy()) is not asyncio.DefaultEventLoopPolicy:
        return asyncio.new_event_loop()
    return make()


@cache
def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None

    class Loop(uvloop.Loop):
        """Its timers are of whole milliseconds, as its clock is, and none fires early.

        Who waits for the rest of a millisecond would be called again and again until it has passed.
        """

        def call_later(
            self,
            delay: float,
            callback: Callable[[*Ts], object],
            *args: *Ts,
            context: Context | None = None,
        ) -> asyncio.TimerHandle:
            whole = math.ceil(min(delay, _MAX_DELAY) * 1000) / 1000
            return super().call_later(whole, callback, *args, context=context)

    return Loop
