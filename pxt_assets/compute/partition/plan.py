"""The plan of a column: its expression, compiled once and applied to each row."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pxt_assets.api.request import ORDERED_ARGUMENTS, CellRequest, Endpoint, Request
from pxt_assets.compute.partition.text_requests import text_requests
from pxt_assets.errors import CellError
from pxt_assets.expressions.expr import Call, ColumnFunction, ColumnRef, Path
from pxt_assets.expressions.function import holds_path
from pxt_assets.expressions.path_steps import Shape, Step, follow_path
from pxt_assets.expressions.walk import calls, expression_text, references
from pxt_assets.local.local_call import leaf_form, lost_types
from pxt_assets.local.media_threads import in_media_thread, is_heavy
from pxt_assets.values.conversion import check_value, to_store
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import canonical_json
from pxt_assets.values.media import Media
from pxt_assets.values.stored_json import plain
from pxt_assets.values.types import ColumnType, is_media

Row = Sequence[Any]
"""One row's values, in the order of `Plan.columns`."""
Caller = Callable[[CellRequest], Awaitable[Any]]
"""Makes a call and gives its value. Raises CellError."""
RowFunction = Callable[[Row], Any]
"""An expression as a function of a row: gives its value, or the calls that lead to it."""


def _constants(expr: object) -> Any:
    """An expression with None in place of the columns that it reads, and the arguments in place of each call."""
    if isinstance(expr, Call):
        return _constants(expr._arguments)
    if isinstance(expr, Path):
        return _constants(expr._base)
    if isinstance(expr, ColumnRef):
        return None
    if isinstance(expr, Mapping):
        return {str(k): _constants(v) for k, v in expr.items()}
    return [_constants(v) for v in expr] if isinstance(expr, list | tuple) else expr


class NullInputError(Exception):
    """A required input is null, so the call is null."""


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """A call whose arguments are known."""

    request: CellRequest


@dataclass(frozen=True, slots=True)
class DependentCall:
    """A call that needs the answers of other calls as arguments."""

    function: ColumnFunction
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerPath:
    """A path into an answer."""

    base: Any
    steps: tuple[Step, ...]
    shape: Shape
    """What is known of the answer."""


class Plan:
    """A column's expression over rows whose values stand in the order of `columns`.

    `prepare(row)` gives the cell to compute: a plain value, or the calls that lead to it. It raises CellError for
    arguments that a function cannot take. A null in a required input makes the call null, without a request. Where it
    `caches`, requests tell the API which part of their prompt all rows have in common.
    """

    def __init__(self, expr: object, column_type: type[ColumnType] | None, *, caches: bool = False) -> None:
        self.columns: list[ColumnRef] = references(expr)
        self.calls_functions = bool(calls(expr))
        """Whether the expression calls any function: if not, its cells are not worth journaling."""
        self.calls_api = any(not call._function.local for call in calls(expr))
        """Whether any of the functions is the API's."""
        self.endpoint = _endpoint_of(expr)
        """Whose answers the cells are, None if they are something else."""
        self.endpoint_path = next(
            (call._function.version for call in calls(expr) if not call._function.local), None
        )
        """The path of the first endpoint that is asked, `/responses`; None where none is."""
        self.holds_paths = holds_path(_constants(expr))
        """Whether a constant is a path, of a file that is read when a cell is prepared."""
        self.expr = expr
        self._type = column_type
        self._caches = caches
        self.holds_media = column_type is not None and is_media(column_type)
        """Whether its cells are images or sounds."""
        self._positions = {(ref._asset, ref._column): i for i, ref in enumerate(self.columns)}
        self._compiled = self._compile(expr, required=False)

    @cached_property
    def bound_to(self) -> bytes:
        """A digest of the expression and of what it is bound to: versions of functions, contents of indexes, constants."""
        types = canonical_json(lost_types(_constants(self.expr)))
        return digest(
            b"plan", *(t.encode("utf-8", "surrogatepass") for t in (expression_text(self.expr), types))
        )

    def prepare(self, row: Row) -> Any:
        """The row's cell: a plain value, or the calls that lead to it. Raises CellError."""
        return self._compiled(row)

    async def finish(self, prepared: Any, call: Caller) -> Any:
        """Makes the cell's calls and gives its value, JSON as StoredJson. Raises CellError."""
        value = prepared
        if isinstance(prepared, ReadyCall):
            value = await call(prepared.request)
        elif self.calls_functions:
            try:
                value = await _resolve_calls(prepared, call)
            except CellError as e:
                e.value = None  # it is an inner call's, not the cell's
                raise
        return await self.store(value)

    async def store(self, value: Any) -> Any:
        """The value of an answer as it is stored; where that may take long, it is made in a thread. Raises CellError."""
        if self.holds_media and is_heavy(value):
            return await in_media_thread(self.stored_form, value)
        return self.stored_form(value)

    def stored_form(self, value: Any) -> Any:
        """The value of an answer as it is stored. Raises CellError if the column cannot hold it."""
        return value if self._type is None else to_store(value, self._type)

    def check_value(self, value: Any) -> Any:
        """The value as the column holds it. Raises CellError if it cannot."""
        return value if self._type is None else check_value(value, self._type)

    def _compile(self, expr: object, *, required: bool) -> RowFunction:
        """The expression as a function of a row. Where `required`, it raises NullInputError for a column's null."""
        if isinstance(expr, ColumnRef):
            return _compile_column(self._positions[expr._asset, expr._column], required=required)
        if isinstance(expr, Path):
            return _compile_path(expr, self._compile(expr._base, required=required), required=required)
        if isinstance(expr, Call):
            return self._compile_call(expr, required=required)
        if isinstance(expr, Mapping):
            items = {str(k): self._compile(v, required=required) for k, v in expr.items()}
            return lambda row: {k: f(row) for k, f in items.items()}
        if isinstance(expr, list | tuple):
            elements = [self._compile(v, required=required) for v in expr]
            return lambda row: [f(row) for f in elements]
        return lambda _row: expr

    def _compile_call(self, expr: Call, *, required: bool) -> RowFunction:
        function = expr._function
        with_prefix = getattr(function, "with_cached_prefix", None)  # of the API's functions
        if self._caches and with_prefix is not None:
            function = with_prefix(expr._arguments)
            expr = Call(function, expr._arguments)
        arguments = {
            name: self._compile(value, required=name in function.required_arguments)
            for name, value in expr._arguments.items()
        }
        nested = bool(calls(expr._arguments))
        request_of_texts = text_requests(expr, lambda column: self._compile(column, required=True))

        def call(row: Row) -> Any:
            try:
                if not nested and (request := request_of_texts(row)) is not None:
                    return ReadyCall(request)
                values = {name: f(row) for name, f in arguments.items()}
            except NullInputError:
                if required:
                    raise
                return None
            if nested and any(_contains_call(value) for value in values.values()):
                return DependentCall(function, values)
            return ReadyCall(function.cell_request(values))

        return call


def _endpoint_of(expr: object) -> Endpoint | None:
    endpoint = getattr(expr._function, "endpoint", None) if isinstance(expr, Call) else None
    return endpoint if isinstance(endpoint, Endpoint) else None


def _compile_column(position: int, *, required: bool) -> RowFunction:
    def column(row: Row) -> Any:
        value = row[position]
        if value is None and required:
            raise NullInputError
        if isinstance(value, CellError):
            raise value
        return value

    return column


def _compile_path(expr: Path, base: RowFunction, *, required: bool) -> RowFunction:
    steps, shape = expr._steps, expr._base._shape

    def path(row: Row) -> Any:
        value = base(row)
        if isinstance(value, ReadyCall | DependentCall):
            return AnswerPath(value, steps, shape)
        value = follow_path(value, steps, shape)
        if value is None and required:
            raise NullInputError
        return value

    return path


def _contains_call(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_contains_call(v) for v in value.values())
    if isinstance(value, list):
        return any(_contains_call(v) for v in value)
    return isinstance(value, ReadyCall | DependentCall | AnswerPath)


async def _resolve_calls(value: Any, call: Caller) -> Any:
    """The value with all calls in it made. Raises CellError."""
    if isinstance(value, ReadyCall):
        return plain(await call(value.request))
    if isinstance(value, AnswerPath):
        return follow_path(await _resolve_calls(value.base, call), value.steps, value.shape)
    if isinstance(value, DependentCall):
        answers = await _resolve_calls(value.arguments, call)
        required = (
            value.function.required_arguments & answers.keys()
        )  # the others are the function's own defaults
        if any(_came_back_null(value.arguments[name], answers[name]) for name in required):
            return None
        make = value.function.cell_request
        return plain(await call(await in_media_thread(make, answers) if is_heavy(answers) else make(answers)))
    if isinstance(value, dict):
        return dict(zip(value, await _resolve_all(value.values(), call), strict=True))
    if isinstance(value, list):
        return await _resolve_all(value, call)
    return value


async def _resolve_all(values: Iterable[Any], call: Caller) -> list[Any]:
    """The same for several values, whose calls are made at once. Raises the first error after all calls have ended."""
    results = await asyncio.gather(*(_resolve_calls(v, call) for v in values), return_exceptions=True)
    for value in results:
        if isinstance(value, BaseException):
            raise value
    return results


def _came_back_null(asked: Any, answer: Any) -> bool:
    """Whether any of the calls in an argument came back null."""
    if isinstance(asked, dict):
        return any(_came_back_null(v, answer[k]) for k, v in asked.items())
    if isinstance(asked, list):
        return any(_came_back_null(v, a) for v, a in zip(asked, answer, strict=True))
    return answer is None and isinstance(asked, ReadyCall | DependentCall | AnswerPath)


def calls_in(prepared: Any) -> Iterator[ReadyCall | DependentCall]:
    """All calls in a prepared cell."""
    if isinstance(prepared, ReadyCall):
        yield prepared
    elif isinstance(prepared, AnswerPath):
        yield from calls_in(prepared.base)
    elif isinstance(prepared, DependentCall):
        yield prepared
        yield from calls_in(prepared.arguments)
    elif isinstance(prepared, dict):
        for value in prepared.values():
            yield from calls_in(value)
    elif isinstance(prepared, list):
        for value in prepared:
            yield from calls_in(value)


def models_asked(prepared: Any) -> Iterator[tuple[str, str]]:
    """The endpoints' paths and the models that answered a finished cell."""
    for call in calls_in(prepared):
        if isinstance(call, ReadyCall):
            if isinstance(call.request, Request):
                yield call.request.endpoint.path, call.request.model
        elif isinstance(endpoint := getattr(call.function, "endpoint", None), Endpoint):
            yield endpoint.path, str(call.arguments.get("model"))


def memory_bytes(prepared: Any) -> int:
    """Bytes of text, images and sounds that a prepared cell keeps in memory."""
    if isinstance(prepared, ReadyCall):
        return prepared.request.memory_bytes
    if isinstance(prepared, AnswerPath):
        return memory_bytes(prepared.base)
    if isinstance(prepared, DependentCall):
        return memory_bytes(prepared.arguments)
    if isinstance(prepared, dict):
        return sum(memory_bytes(v) for v in prepared.values())
    if isinstance(prepared, list):
        return sum(memory_bytes(v) for v in prepared)
    return prepared.size if isinstance(prepared, Media) else 0


def cell_digest(prepared: Any) -> bytes:
    """The digest that names a cell: its request's, or that of the expression with each ready call as its digest."""
    if isinstance(prepared, ReadyCall):
        return prepared.request.digest
    return digest(b"cell", canonical_json(_json_form(prepared)).encode("utf-8", "surrogatepass"))


def _json_form(value: Any, *, ordered: bool = False) -> Any:
    """A prepared cell as JSON; where `ordered`, as in schemas, the order of a dict's keys counts."""
    if isinstance(value, ReadyCall):
        return {"$request": value.request.digest.hex()}
    if isinstance(value, AnswerPath):
        steps = [[s.start, s.stop, s.step] if isinstance(s, slice) else s for s in value.steps]
        return {"$path": steps, "of": _json_form(value.base)}
    if isinstance(value, DependentCall):
        given = {k: v for k, v in value.arguments.items() if v is not None}
        found = lost_types(_known_values(given)) if value.function.local else {}
        types = {"types": found} if found else {}
        return {"$call": value.function.version, "arguments": _json_form(given), **types}
    if isinstance(value, dict):
        items = {k: _json_form(v, ordered=ordered or k in ORDERED_ARGUMENTS) for k, v in value.items()}
        return {"$keys": list(items), "items": items} if ordered else items
    if isinstance(value, list | tuple):
        return [_json_form(v, ordered=ordered) for v in value]
    return leaf_form(value)


def _known_values(arguments: Any) -> Any:
    """Arguments with nothing in place of the calls that they wait for."""
    if isinstance(arguments, dict):
        return {k: _known_values(v) for k, v in arguments.items()}
    if isinstance(arguments, list):
        return [_known_values(v) for v in arguments]
    return None if isinstance(arguments, ReadyCall | DependentCall | AnswerPath) else arguments
