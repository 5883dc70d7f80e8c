"""The plan of a column: its expression, compiled once, applied to each row."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pxt_assets.api.request import ORDERED_ARGUMENTS, CellRequest
from pxt_assets.errors import CellError
from pxt_assets.expressions.expr import Call, ColumnFunction, ColumnRef, Path, Step, follow_path
from pxt_assets.expressions.walk import calls, references
from pxt_assets.local.local_call import leaf_form
from pxt_assets.values.conversion import check_value
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import canonical_json
from pxt_assets.values.media import Media
from pxt_assets.values.types import ColumnType

Row = Sequence[Any]
"""One row's values, in the order of `Plan.columns`."""
Caller = Callable[[CellRequest], Awaitable[Any]]
"""Gives the value of the one cell that is asked for. Raises CellError."""
Compiled = Callable[[Row], Any]


class NullInputError(Exception):
    """A null reached an input that is required: the cell is null."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A call whose arguments are known."""

    asked: CellRequest


@dataclass(frozen=True, slots=True)
class Later:
    """A call some of whose arguments are answers of other calls."""

    function: ColumnFunction
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Along:
    """A path into an answer."""

    base: Any
    steps: tuple[Step, ...]


class Plan:
    """A column's expression over rows whose values stand in the order of `columns`.

    `prepare(row)` gives the cell to compute, plain values where no call is left; raises CellError for arguments that
    a function cannot take. A null in a required input makes the call null, without a request.
    """

    def __init__(self, expr: object, column_type: type[ColumnType] | None) -> None:
        self.columns: list[ColumnRef] = references(expr)
        self.asks = bool(calls(expr))
        """Whether it calls any function: if not, there is nothing worth keeping."""
        self._type = column_type
        self._positions = {(ref._asset, ref._column): i for i, ref in enumerate(self.columns)}
        self._compiled = self._compile(expr, required=False)

    def prepare(self, row: Row) -> Any:
        """The row's cell: a plain value, or the calls that lead to it."""
        return self._compiled(row)

    async def finish(self, prepared: Any, call: Caller) -> Any:
        """The cell's value, its calls made. Raises CellError."""
        value = prepared
        if isinstance(prepared, Ask):
            value = await call(prepared.asked)
        elif self.asks:
            try:
                value = await _finished(prepared, call)
            except CellError as e:
                e.value = None  # it is not of this cell
                raise
        return self.settle(value)

    def settle(self, value: Any) -> Any:
        """A value without any call left, if the column can hold it. Raises CellError."""
        return value if self._type is None else check_value(value, self._type)

    def _compile(self, expr: object, *, required: bool) -> Compiled:
        """A function of a row. Where `required`, it raises NullInputError for the null of a column."""
        if isinstance(expr, ColumnRef):
            return _column(self._positions[expr._asset, expr._column], required=required)
        if isinstance(expr, Path):
            return _path(self._compile(expr._base, required=required), expr._steps, required=required)
        if isinstance(expr, Call):
            return self._call(expr, required=required)
        if isinstance(expr, Mapping):
            items = {str(k): self._compile(v, required=required) for k, v in expr.items()}
            return lambda row: {k: f(row) for k, f in items.items()}
        if isinstance(expr, list | tuple):
            elements = [self._compile(v, required=required) for v in expr]
            return lambda row: [f(row) for f in elements]
        return lambda _row: expr

    def _call(self, expr: Call, *, required: bool) -> Compiled:
        function = expr._function
        arguments = {
            name: self._compile(value, required=name in function.required_arguments)
            for name, value in expr._arguments.items()
        }
        nested = bool(calls(expr._arguments))

        def call(row: Row) -> Any:
            try:
                resolved = {name: f(row) for name, f in arguments.items()}
            except NullInputError:
                if required:
                    raise
                return None
            if nested and any(_pending(value) for value in resolved.values()):
                return Later(function, resolved)
            return Ask(function.cell_request(resolved))

        return call


def _column(position: int, *, required: bool) -> Compiled:
    def column(row: Row) -> Any:
        value = row[position]
        if value is None and required:
            raise NullInputError
        if isinstance(value, CellError):
            raise value
        return value

    return column


def _path(base: Compiled, steps: tuple[Step, ...], *, required: bool) -> Compiled:
    def path(row: Row) -> Any:
        value = base(row)
        if isinstance(value, Ask | Later):
            return Along(value, steps)
        value = follow_path(value, steps)
        if value is None and required:
            raise NullInputError
        return value

    return path


def _pending(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_pending(v) for v in value.values())
    if isinstance(value, list):
        return any(_pending(v) for v in value)
    return isinstance(value, Ask | Later | Along)


async def _finished(value: Any, call: Caller) -> Any:
    if isinstance(value, Ask):
        return await call(value.asked)
    if isinstance(value, Along):
        return follow_path(await _finished(value.base, call), value.steps)
    if isinstance(value, Later):
        answers = await _finished(value.arguments, call)
        required = (
            value.function.required_arguments & answers.keys()
        )  # the others are the function's own defaults
        if any(_lost(value.arguments[name], answers[name]) for name in required):
            return None
        return await call(value.function.cell_request(answers))
    if isinstance(value, dict):
        return dict(zip(value, await _all_finished(value.values(), call), strict=True))
    if isinstance(value, list):
        return await _all_finished(value, call)
    return value


async def _all_finished(values: Iterable[Any], call: Caller) -> list[Any]:
    """The values, their calls made at once. Raises the first error when all have ended: none is left running."""
    done = await asyncio.gather(*(_finished(v, call) for v in values), return_exceptions=True)
    for value in done:
        if isinstance(value, BaseException):
            raise value
    return done


def _lost(asked: Any, answer: Any) -> bool:
    """Whether a call that a required argument waited for came back null."""
    if isinstance(asked, dict):
        return any(_lost(v, answer[k]) for k, v in asked.items())
    if isinstance(asked, list):
        return any(_lost(v, a) for v, a in zip(asked, answer, strict=True))
    return answer is None and isinstance(asked, Ask | Later | Along)


def asks_in(prepared: Any) -> Iterator[Ask | Later]:
    """The calls that lead to a prepared cell."""
    if isinstance(prepared, Ask):
        yield prepared
    elif isinstance(prepared, Along):
        yield from asks_in(prepared.base)
    elif isinstance(prepared, Later):
        yield prepared
        yield from asks_in(prepared.arguments)
    elif isinstance(prepared, dict):
        for value in prepared.values():
            yield from asks_in(value)
    elif isinstance(prepared, list):
        for value in prepared:
            yield from asks_in(value)


def held(prepared: Any) -> int:
    """Bytes of text, images and sounds that a prepared cell keeps in memory."""
    if isinstance(prepared, Ask):
        return prepared.asked.memory_bytes
    if isinstance(prepared, Along):
        return held(prepared.base)
    if isinstance(prepared, Later):
        return held(prepared.arguments)
    if isinstance(prepared, dict):
        return sum(held(v) for v in prepared.values())
    if isinstance(prepared, list):
        return sum(held(v) for v in prepared)
    return prepared.size if isinstance(prepared, Media) else 0


def cell_digest(prepared: Any) -> bytes:
    """The digest that names a cell: its request's, or that of the expression with each call named by its own."""
    if isinstance(prepared, Ask):
        return prepared.asked.digest
    return digest(b"cell", canonical_json(_form(prepared)).encode("utf-8", "surrogatepass"))


def _form(value: Any, *, ordered: bool = False) -> Any:
    """A cell as JSON; where `ordered`, as in schemas, in a way that tells the order of a dict's keys."""
    if isinstance(value, Ask):
        return {"$request": value.asked.digest.hex()}
    if isinstance(value, Along):
        steps = [[s.start, s.stop, s.step] if isinstance(s, slice) else s for s in value.steps]
        return {"$path": steps, "of": _form(value.base)}
    if isinstance(value, Later):
        given = {k: v for k, v in value.arguments.items() if v is not None}
        return {"$call": value.function.version, "arguments": _form(given)}
    if isinstance(value, dict):
        items = {k: _form(v, ordered=ordered or k in ORDERED_ARGUMENTS) for k, v in value.items()}
        return {"$keys": list(items), "items": items} if ordered else items
    if isinstance(value, list | tuple):
        return [_form(v, ordered=ordered) for v in value]
    return leaf_form(value)
