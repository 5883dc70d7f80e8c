"""The bound on cells in flight: how many all partitions of a run may have asked for at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol

from pxt_assets.api.answer_sizes import AnswerSize, AnswerSizes
from pxt_assets.api.request import Endpoint, Request
from pxt_assets.compute.partition.plan import ReadyCall, calls_in, memory_bytes

_CELLS = 4_096
_REQUESTS = 4
"""Requests in flight, where a request carries many cells."""
_BYTES = 32 * 2**20
"""Of text, images and sounds of the cells in flight; each takes several times its size in memory."""
_ANSWER_BYTES = 192 * 2**20
"""Of the answers that are expected, and of the values that wait to be written; an answer that is being read takes a
few times its size."""


class Waiting(Protocol):
    """What holds finished values until they are on disk: a journal."""

    on_written: Callable[[], None] | None
    """Called, in whatever thread, when `pending_bytes` has fallen."""

    @property
    def pending_bytes(self) -> int:
        """Bytes of the values."""


class Held(NamedTuple):
    """What a cell in flight is counted with."""

    size: int
    answers: Sequence[AnswerSize]


class InFlightBound:
    """Counts the cells that are asked for and not finished, their bytes, and those that their answers are expected to have.

    It allows at least `in_flight` cells at once, as long as their answers are small, and always one.
    """

    def __init__(self, in_flight: int) -> None:
        self.answer_sizes = AnswerSizes()
        self._in_flight = in_flight
        self._cells = 0
        self._bytes = 0
        self._waiting: list[Waiting] = []
        self._changed = asyncio.Event()

    def is_full(self, cells_per_request: int) -> bool:
        """Whether no more cell may be asked for now, if `cells_per_request` of them fit into one request."""
        most = max(_CELLS, _REQUESTS * cells_per_request, self._in_flight)
        if self._cells >= most or self._bytes > _BYTES:
            return True
        if not self._cells:  # one answer may be larger than all that is allowed
            return self._waiting_bytes() >= _ANSWER_BYTES
        return self.answer_sizes.in_flight + self._waiting_bytes() >= _ANSWER_BYTES

    def acquire(self, cell: Any) -> Held:
        """Counts a prepared cell that is asked for."""
        if isinstance(cell, ReadyCall) and isinstance(cell.request, Request):
            answers = [self.answer_sizes.of(cell.request)]
        else:
            answers = [*self._answers_to(cell)]
        held = Held(memory_bytes(cell), answers)
        self._cells += 1
        self._bytes += held.size
        for answer in held.answers:
            answer.acquire()
        return held

    def release(self, held: Held) -> None:
        """Counts a cell as finished."""
        self._cells -= 1
        self._bytes -= held.size
        for answer in held.answers:
            answer.release()
        self.notify()

    def _answers_to(self, cell: Any) -> Iterator[AnswerSize]:
        for call in calls_in(cell):
            if isinstance(call, ReadyCall):
                if isinstance(call.request, Request):
                    yield self.answer_sizes.of(call.request)
            elif isinstance(endpoint := getattr(call.function, "endpoint", None), Endpoint):
                model = str(call.arguments.get("model"))
                yield self.answer_sizes.of_call(endpoint, model, call.arguments)

    @contextmanager
    def counting(self, waiting: Waiting) -> Iterator[None]:
        """Within the block, what waits to be written there counts too."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop may be closed while a thread still writes
                loop.call_soon_threadsafe(self.notify)

        self._waiting.append(waiting)
        waiting.on_written = wake
        try:
            yield
        finally:
            waiting.on_written = None
            self._waiting.remove(waiting)

    def _waiting_bytes(self) -> int:
        return sum(waiting.pending_bytes for waiting in self._waiting)

    def notify(self) -> None:
        """Wakes whoever waits, to look again."""
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Returns at the next change."""
        self._changed.clear()
        await self._changed.wait()
