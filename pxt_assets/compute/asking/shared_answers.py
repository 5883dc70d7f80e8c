"""Answers to calls inside composite cells, shared by the cells that make the same call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance

ANSWERS_KEPT = 4_096
"""Finished answers that are kept; older ones may be asked for again."""

ValueWithProvenance = tuple[Any, Provenance]
"""A cell's value, and where it comes from."""


class SharedAnswers:
    """Makes equal calls of different cells once, though a cell of several calls is journaled as a whole."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, asyncio.Future[ValueWithProvenance]] = OrderedDict()

    async def get_or_ask(
        self, asked: CellRequest, ask: Callable[[CellRequest], Awaitable[ValueWithProvenance]]
    ) -> ValueWithProvenance:
        """The answer to `asked`, from `ask` or from an equal call before. Only the first one gets its provenance, the others its server.

        Raises what `ask` raises, for all who wait for the same call; an error is not kept.
        """
        known = self._known.get(asked.digest)
        if known is not None:
            self._known.move_to_end(asked.digest)
            value, first = await asyncio.shield(known)
            return value, Provenance(server=first.server)
        answer: asyncio.Future[ValueWithProvenance] = asyncio.get_running_loop().create_future()
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
