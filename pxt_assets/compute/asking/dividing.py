"""Dividing a refused request of many cells, until each cell is answered or stands alone with its error.

A request can be refused for one of its cells, for their number, or because the server refuses or misanswers everything.
Which of them it was shows in what becomes of its parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from pxt_assets.api.request import CellRequest
from pxt_assets.compute.asking.batch_size import BatchSize
from pxt_assets.errors import CellError


class Waiting(Protocol):
    """Who waits for a cell's value: a future, or a row."""

    def done(self) -> bool:
        """Whether it has been told."""

    def set_result(self, result: Any, /) -> None:
        """Tells it the value."""

    def set_exception(self, exception: Any, /) -> None:
        """Tells it the error."""

    def cancel(self) -> object:
        """Tells it that there will be none."""


Cells = Sequence[tuple[CellRequest, Waiting]]
"""Cells, and who waits for their values."""
Try = Callable[[Cells], Awaitable[CellError | None]]
"""Sends cells as one request. Returns None if they were answered, else the error, which is theirs unless divisible."""

_SCOUTS = 8
"""Single cells that are tried where no part of a request was answered."""
_SCOUTS_OF_REFUSAL = 20
"""Single cells that are tried where all requests may be refused: as many refusals in a row as end the run."""
_NAMINGS_FOLLOWED = 8
"""Refusals one after the other whose named cells are set aside; then the request is halved."""
_NAMED_AT_ONCE = 16
"""Cells that one refusal may name to be followed."""
_SIZES_TRIED = 24
"""Requests that a search for the limit takes at most."""


async def divide(cells: Cells, error: CellError, size: BatchSize, try_cells: Try) -> Sequence[Cells]:
    """Divides cells that were refused together with `error`; returns the parts that are still to be sent.

    Cells that the refusal names are sent alone, the others together. Else it sends parts one after the other, each half
    as large, until one is answered. If that and its other half are, their number was too large, and the limit is
    searched for. If not a single cell is answered, some from all over the request are tried: where none of these is
    answered either, all cells have the error. If all requests may be refused, and nothing has been answered yet, these
    come first.
    """
    cells, still = await _set_named_aside(cells, error, size, try_cells)
    if still is None:
        return []
    error = still
    rest = list[Cells]()
    if size.answered or not error.refused:
        part = cells
        while len(part) > 1:
            left, right = halves(part)
            failed = await try_cells(left)
            if failed is None:
                size.searched = True
                return await _divide_beside(part, right, rest, error, size, try_cells)
            if not failed.divisible and len(left) > 1:
                return [right, *rest]
            error = failed
            part = left
            rest.insert(0, right)
        cells = [cell for other in rest for cell in other]
    if rest and error.of_input:  # the first cell's own fault, most likely
        return await _try_parts(rest, error, try_cells)
    return await _scout(cells, error, try_cells)


async def _set_named_aside(
    cells: Cells, error: CellError, size: BatchSize, try_cells: Try
) -> tuple[Cells, CellError | None]:
    """Sends cells that refusals name alone, the others together; returns those that are left, and their refusal.

    None as refusal says that none are left. A server may count otherwise than from 0: one that named a cell that it then
    answers is not followed again.
    """
    for _ in range(_NAMINGS_FOLLOWED):
        named = {i for i in error.inputs if i < len(cells)}
        if size.misnamed or not 0 < len(named) <= _NAMED_AT_ONCE or len(named) == len(cells):
            break
        others = [cell for i, cell in enumerate(cells) if i not in named]
        *alone, refused = await _gather([*([cells[i]] for i in sorted(named)), others], try_cells)
        size.misnamed = None in alone
        size.searched = size.searched or refused is None
        if refused is None or not refused.divisible or len(others) == 1:
            return [], None
        cells, error = others, refused
    return cells, error


async def _gather(parts: Sequence[Cells], try_cells: Try) -> list[CellError | None]:
    """What became of parts that are sent side by side: all of them, as what is in flight is paid for."""
    ended = await asyncio.gather(*map(try_cells, parts), return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException) and not isinstance(one, CellError):
            raise one
    return [one for one in ended if one is None or isinstance(one, CellError)]


async def _try_parts(parts: Sequence[Cells], error: CellError, try_cells: Try) -> Sequence[Cells]:
    """Tries parts of a request until one is answered, and returns the rest; scouts if none is."""
    refused = list[Cells]()
    for i, part in enumerate(parts):
        failed = await try_cells(part)
        if failed is None:
            return [*(half for one in refused for half in _divided(one)), *parts[i + 1 :]]
        error = failed
        if len(part) > 1 and failed.divisible:
            refused.append(part)
    cells = [cell for part in refused for cell in part]
    return await _scout(cells, error, try_cells) if cells else []


def halves(cells: Cells) -> tuple[Cells, Cells]:
    """Cells in two parts, the first one not the larger."""
    middle = len(cells) // 2
    return cells[:middle], cells[middle:]


async def _divide_beside(
    part: Cells, right: Cells, rest: Sequence[Cells], error: CellError, size: BatchSize, try_cells: Try
) -> Sequence[Cells]:
    """Goes on after the left half of a part that was refused with `error` was answered; `right` was not sent yet."""
    if error.of_input or len(part) <= size.answered:  # so many are taken: some of the others is at fault
        return [*_divided(right), *rest]
    if await try_cells(right) is None:
        size.note_refused(len(part))
    elif len(right) == 1:
        return rest
    else:  # the larger half of an odd number may be too large by one
        failed = [half for half in halves(right) if await try_cells(half) is not None]
        if failed or len(right) <= size.answered:
            return [*(piece for half in failed if len(half) > 1 for piece in halves(half)), *rest]
        size.note_refused(len(right))
    return await _search_limit([cell for other in rest for cell in other], size, try_cells)


def _divided(cells: Cells) -> Sequence[Cells]:
    return halves(cells) if len(cells) > 1 else [cells]


async def _search_limit(cells: Cells, size: BatchSize, try_cells: Try) -> Sequence[Cells]:
    """Searches how many cells are taken, as long as there are cells to try it with; returns those that are left."""
    left_over: list[Cells] = []
    for _ in range(_SIZES_TRIED):
        number = size.next_to_try
        if number is None or number > len(cells):
            break
        piece, cells = cells[:number], cells[number:]
        if await try_cells(piece) is None:
            continue
        failed = [half for half in halves(piece) if await try_cells(half) is not None]
        if failed:
            left_over += [part for half in failed if len(half) > 1 for part in halves(half)]
        else:
            size.note_refused(number)
    return [*left_over, cells] if cells else left_over


async def _scout(cells: Cells, error: CellError, try_cells: Try) -> Sequence[Cells]:
    """Tries single cells from all over the request; returns the others, unless none of these was answered."""
    count = min(len(cells), _SCOUTS_OF_REFUSAL if error.refused else _SCOUTS)
    chosen = {i * len(cells) // count for i in range(count)}
    failed = await _gather([[cells[i]] for i in sorted(chosen)], try_cells)
    others = [cell for i, cell in enumerate(cells) if i not in chosen]
    if not others:
        return []
    if None in failed:
        return halves(others) if len(others) > 1 else [others]
    last = failed[-1] or error
    for _, waiting in others:
        if not waiting.done():
            waiting.set_exception(last.without_frames())
    return []
