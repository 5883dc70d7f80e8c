"""A row whose cell is asked for: it is told the cell's value, or what came in its place, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.compute.asking.cell_calls import CellCalls
from pxt_assets.compute.asking.in_flight_bound import Held
from pxt_assets.compute.asking.row_outcomes import RowOutcomes
from pxt_assets.compute.asking.shared_answers import ValueWithProvenance
from pxt_assets.compute.partition.plan import Plan, ReadyCall
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance

_NOTHING = Provenance()


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """What the rows of a partition share while they are asked for."""

    plan: Plan
    calls: CellCalls
    outcomes: RowOutcomes
    context: Context
    """That of the partition, whose span is the current one in it."""
    tasks: set[asyncio.Task[Any]]
    """Tasks that ask for a row of the partition now."""
    on_end: Callable[[AskedRow], None]
    """Is told of each row that needs no more looking after."""
    on_error: Callable[[BaseException], None]
    """Is told of what is no row's error, and stops the run."""


class AskedRow:
    """A row that is asked for in one of three ways; it ends once, with a value, with an error or without either.

    A request of its own is sent by `ask`. What shares a request with others is told its value by whoever sends that:
    so it has the methods of a future. Calls that depend on each other are made by `ask_for_calls`.
    """

    __slots__ = ("_asking", "_ended", "cell", "digest", "failed_before", "held", "row")

    def __init__(
        self, asking: Asking, row: int, digest: bytes, cell: Any, held: Held, *, failed_before: bool
    ) -> None:
        self._asking = asking
        self._ended = False
        self.row = row
        self.digest = digest
        self.cell = cell
        """The prepared cell, None once the row has ended."""
        self.held = held
        """What is counted for it while it is in flight."""
        self.failed_before = failed_before

    @property
    def context(self) -> Context:
        """The context in which it is asked for."""
        return self._asking.context

    async def ask(self) -> None:
        """Sends the row's request. Raises CancelledError alone."""
        asking, request = self._asking, self.cell.request
        task = asyncio.current_task()
        assert task is not None
        asking.tasks.add(task)
        try:
            value, provenance = await asking.calls.ask(request, failed_before=self.failed_before)
            if asking.plan.holds_media:
                await self._store_media(request, value, provenance)
            else:
                self.set_result((value, provenance))
        except asyncio.CancelledError:
            self.cancel()
            raise
        except BaseException as e:
            self.set_exception(e)
        finally:
            asking.tasks.discard(task)

    async def ask_for_calls(self) -> None:
        """Makes the calls of the row's cell."""
        asking, cell = self._asking, self.cell
        provenance = _NOTHING

        async def ask(asked: CellRequest) -> Any:
            nonlocal provenance
            is_cell = isinstance(cell, ReadyCall)
            value, added = await asking.calls.answer(asked, is_cell=is_cell, failed_before=self.failed_before)
            provenance += added
            return asked.cell_value(value)

        try:
            self._end(await asking.plan.finish(cell, ask), provenance)
        except asyncio.CancelledError:
            self.cancel()
            raise
        except CellError as e:
            self._fail(e, provenance)
        except BaseException as e:
            self.set_exception(e)

    def done(self) -> bool:
        """Whether the row has ended."""
        return self._ended

    def set_result(self, answer: ValueWithProvenance) -> None:
        """Ends the row with the value that its request was answered with."""
        value, provenance = answer
        try:
            self._end(self._asking.plan.stored_form(self.cell.request.cell_value(value)), provenance)
        except CellError as e:
            self._fail(e, provenance)
        except BaseException as e:
            self.set_exception(e)

    def set_exception(self, error: BaseException) -> None:
        """Ends the row with its error, or without one, where the error is the run's."""
        if isinstance(error, CellError):
            self._fail(error, _NOTHING)
        elif not self._ended:
            self._asking.on_error(error)
            self.cancel()

    def cancel(self) -> None:
        """Ends the row without an outcome."""
        if not self._ended:
            self._ended, self.cell = True, None
            self._asking.on_end(self)

    async def _store_media(self, request: CellRequest, value: Any, provenance: Provenance) -> None:
        try:
            stored = await self._asking.plan.store(request.cell_value(value))
        except CellError as e:
            self._fail(e, provenance)
        else:
            self._end(stored, provenance)

    def _end(self, value: Any, provenance: Provenance) -> None:
        self._asking.outcomes.answered(self.digest, value, provenance)
        self.cancel()

    def _fail(self, error: CellError, provenance: Provenance) -> None:
        if self._ended:
            return
        try:
            self._asking.outcomes.failed(self.row, self.digest, error, provenance)
        except BaseException as e:
            self._asking.on_error(e)
        self.cancel()
