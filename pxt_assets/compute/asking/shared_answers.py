"""Answers to the calls inside composite cells, shared by the cells that make the same call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance

ANSWERS_KEPT = 4_096
"""Finished ones; those that are older may be asked for again."""

Answered = tuple[Any, Provenance]


class Answers:
    """A cell of several calls is journaled as a whole; equal calls of different cells are made once all the same."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, asyncio.Future[Answered]] = OrderedDict()

    async def of(self, asked: CellRequest, ask: Callable[[CellRequest], Awaitable[Answered]]) -> Answered:
        """The answer, from `ask` or from whoever asked the same before, who alone is said to have paid for it.

        Raises what `ask` raises, for all who ask the same; an error is not remembered.
        """
        known = self._known.get(asked.digest)
        if known is not None:
            self._known.move_to_end(asked.digest)
            value, _ = await asyncio.shield(known)
            return value, Provenance()
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._known[asked.digest] = answer
        try:
            got = await ask(asked)
        except BaseException as e:
            del self._known[asked.digest]
            if isinstance(e, CellError):
                answer.set_exception(e.without_frames())
                answer.exception()  # nobody else may have asked
            else:
                answer.cancel()
            raise
        answer.set_result(got)
        if len(self._known) > ANSWERS_KEPT:
            self._forget_oldest()
        return got

    def _forget_oldest(self) -> None:
        for digest, answer in self._known.items():
            if answer.done():
                del self._known[digest]
                return
