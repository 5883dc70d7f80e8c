"""`@udf`: a user's own function as a computed column, typed by its hints."""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from concurrent.futures import Executor
from functools import partial
from typing import Any, Literal, ParamSpec, get_args, overload

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.expr import Call
from pxt_assets.expressions.function import Function
from pxt_assets.local.local_call import LocalCall, as_json, call_function, call_sync, error_message
from pxt_assets.local.source_text import versioned
from pxt_assets.local.structured_schema import validation_faults
from pxt_assets.local.udf_hints import (
    allows_none,
    batch_item_hint,
    column_type_of,
    hints_of,
    is_numpy,
    unwrap_hint,
)
from pxt_assets.values.conversion import check_value
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import Media, open_image
from pxt_assets.values.types import Audio, Json, is_media

P = ParamSpec("P")
Place = Literal["processes", "ray"]
"""Where functions can run besides the run's process."""


@overload
def udf(function: Callable[P, Any], /) -> LocalFunction[P]: ...


@overload
def udf(
    *,
    batch_size: int | None = None,
    version: str | None = None,
    on: Place | None = None,
    workers: int | None = None,
) -> Callable[[Callable[P, Any]], LocalFunction[P]]: ...


def udf(
    function: Callable[P, Any] | None = None,
    /,
    *,
    batch_size: int | None = None,
    version: str | None = None,
    on: Place | None = None,
    workers: int | None = None,
) -> Any:
    """Makes a Python function, sync or async, one that a computed column can apply to its inputs.

    Its return hint is the column's type: str, int, float, bool, an Enum or Literal of these, dict, list, a pydantic
    model (Json), numpy.ndarray or `Array[(n,), "float32"]`, `PIL.Image.Image` or Image, bytes or Audio. A null in a parameter whose hint does not
    allow None makes the cell null, and the function is not called. What it raises is its row's error.

    Results are kept: a row is computed again when its inputs change, or the function: its source, what it closes over, its
    defaults, the object that it is a method of, and the constants, functions and classes of your own that it reads, but
    not what a library defines. Where one of these cannot be told by its contents, such as a connection or a model, give a
    `version`, and raise it whenever that changes. Sync functions run in threads, several at once, so they must not share
    what is not made for it.

    Args:
        function: the function.
        batch_size: how many rows one call takes at most. Parameters hinted `list[T]` are then lists with a value for
            each row, others the same for all of them; it returns a `list[T]` with a value for each row.
        version: names the results, besides the function's source and the JSON it closes over; nothing else is looked at then.
        on: where it runs: "processes" for worker processes of this machine, "ray" for actors of a Ray cluster; by default
            in threads of the run's process, which compute in Python one at a time. Workers import the function's module and
            stay for the whole run, so a model that the module loads once, by a function under `functools.cache`, is
            loaded once a worker. Where a function runs names no result.
        workers: how many of them a run has at most; by default one for each core, on Ray for each free CPU.

    Raises DefinitionError for hints that are missing or name no column type, and for what cannot be told by its contents.

    Example:
        ```python
        @udf
        def words(text: str) -> int:
            return len(text.split())

        @udf(batch_size=64)
        def lengths(texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

        tbl.add_computed_column(words=words(tbl.body))
        ```
    """
    if function is not None:
        return LocalFunction(function)
    if batch_size is not None and not (isinstance(batch_size, int) and batch_size >= 1):
        msg = f"udf: got batch_size={batch_size!r}, allowed: a number of rows >= 1"
        raise DefinitionError(msg)
    if on not in (None, *get_args(Place)):
        msg = f'udf: got on={on!r}, allowed: "processes", "ray", or None for threads of the run\'s process'
        raise DefinitionError(msg)
    if workers is not None and not (type(workers) is int and workers >= 1):
        msg = f"udf: got workers={workers!r}, allowed: a number of workers >= 1"
        raise DefinitionError(msg)
    if workers is not None and on is None:
        msg = f'udf: got workers={workers!r} without on=, allowed: on="processes" or on="ray" beside it'
        raise DefinitionError(msg)
    return partial(LocalFunction, batch_size=batch_size, version=version, on=on, workers=workers)


class LocalFunction(Function[P]):
    """A function of the user's own; `function` is the plain one."""

    def __init__(
        self,
        function: Callable[P, Any],
        *,
        batch_size: int | None = None,
        version: str | None = None,
        on: str | None = None,
        workers: int | None = None,
    ) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        if not inspect.isroutine(function):
            msg = f"udf: got {function!r}, allowed: a Python function, sync or async; write one that calls it"
            raise DefinitionError(msg)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            msg = f"udf {name}: it yields its values one by one; return a list of them"
            raise DefinitionError(msg)
        if on is not None and inspect.iscoroutinefunction(function):
            msg = f'udf {name}: got on="{on}" for an async function, which waits rather than computes; leave out on='
            raise DefinitionError(msg)
        hints = hints_of(function, name)
        returned = hints.pop("return", None)
        if returned is None:
            msg = f"udf {name}: it has no return hint, which is the column's type; write -> str, -> int, ..."
            raise DefinitionError(msg)
        self._batched_parameters: set[str] = set()
        if batch_size is not None:
            self._batched_parameters = {p for p, hint in hints.items() if batch_item_hint(hint) is not None}
            if not self._batched_parameters or batch_item_hint(returned) is None:
                msg = f"udf {name}: with a batch_size it takes and returns lists of rows' values; write list[...] in its hints"
                raise DefinitionError(msg)
            returned = batch_item_hint(returned)
        column_type, shape = column_type_of(returned, name)
        super().__init__(function, returns=column_type, shape=shape)
        for parameter in self._named_parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                msg = f"udf {name}: {parameter} is not supported; name each parameter"
                raise DefinitionError(msg)
        if len(self._named_parameters) != len(self._parameters):
            msg = f"udf {name}: **keywords are not supported; name each parameter"
            raise DefinitionError(msg)
        self.local = True
        self.function = function
        self.batch_size = batch_size or 1
        self.is_batched = batch_size is not None
        self.given_version = version
        self.on = on
        """Where it runs: "processes", "ray", or None for threads of the run's process."""
        self.workers = workers
        self._version = versioned(function, version, who=f"udf {name}", is_placed=on is not None)
        row_hints = {
            p: batch_item_hint(hint) if p in self._batched_parameters else hint for p, hint in hints.items()
        }
        self._hints = {p: unwrap_hint(hint) for p, hint in row_hints.items()}
        self.required_arguments = {
            p.name for p in self._named_parameters if not allows_none(row_hints.get(p.name), p)
        }
        self.__wrapped__ = function

    @property
    def version(self) -> str:
        """Changes with what the function is made of (see `source_text`), and with the version that it was given."""
        if (
            not self._version.is_complete
        ):  # what it reads may have been defined below it; from now on it stays
            placed = self.on is not None
            again = versioned(self.function, self.given_version, who=f"udf {self.name}", is_placed=placed)
            self._version = again._replace(is_complete=True)
        return self._version.text

    def _new_call(self, arguments: dict[str, Any]) -> Call:
        defaults = {p.name: p.default for p in self._named_parameters if _is_json(p.default)}
        return Call(self, {**defaults, **arguments})

    def cell_request(self, arguments: Mapping[str, Any]) -> LocalCall:
        """The call for one row."""
        return LocalCall(self, arguments)

    def shared_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that are the same for all rows of a call."""
        return {k: v for k, v in arguments.items() if k not in self._batched_parameters}

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """The values of some rows, with a CellError in place of each that the column cannot hold.

        Raises CellError for what the function raises.
        """
        try:
            arguments = self._call_arguments(rows)
            returned = await call_function(self.function, arguments, threads)
        except Exception as e:
            raise self._cell_error(e) from e
        values = self._values_of(rows, returned)
        if is_media(self.returns):  # encoding an image takes a while
            return await asyncio.get_running_loop().run_in_executor(threads, self._convert_results, values)
        return self._convert_results(values)

    def compute(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """What `run` gives, of a sync function, in the thread that asks."""
        try:
            returned = call_sync(self.function, self._call_arguments(rows))
            if inspect.isawaitable(returned):
                msg = f'it gave {type(returned).__name__}, allowed with on="{self.on}": values'
                raise TypeError(msg)
        except Exception as e:
            raise self._cell_error(e) from e
        return self._convert_results(self._values_of(rows, returned))

    def _values_of(self, rows: Sequence[Mapping[str, Any]], returned: Any) -> list[Any]:
        """The values that a call returned, one for each row. Raises CellError."""
        if not self.is_batched:
            return [returned]
        if not _is_list(returned):
            msg = f"{self.name}: got {type(returned).__name__}, allowed: a list with a value for each row"
            raise CellError("TypeError", msg)
        values = list(returned)
        if len(values) != len(rows):
            msg = f"{self.name}: got {len(values)} values for {len(rows)} rows"
            raise CellError("ValueError", msg, divisible=True)
        return values

    def _call_arguments(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The arguments of one call: a list for each batched parameter, the first row's value for the others."""
        given = [{k: self._convert_argument(k, v) for k, v in row.items()} for row in rows]
        first = given[0]
        lists = {name: [row.get(name) for row in given] for name in self._batched_parameters if name in first}
        return {**first, **lists}

    def _convert_argument(self, parameter: str, value: Any) -> Any:
        import pydantic

        try:
            return _argument_from_cell(value, self._hints.get(parameter))
        except pydantic.ValidationError as e:  # its own text quotes the value
            msg = f"{parameter}: {validation_faults(e)}"
            raise CellError("ValidationError", msg) from e

    def _convert_results(self, values: Sequence[Any]) -> list[Any]:
        return [self._convert_result(value) for value in values]

    def _convert_result(self, value: Any) -> Any:
        """The value as the column holds it, or the CellError that says why it cannot."""
        try:
            if value is None:
                return None
            if isinstance(value, enum.Enum):
                value = value.value
            if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
                value = value.item()  # a scalar of numpy's
            return as_json(value) if self.returns is Json else check_value(value, self.returns)
        except Exception as e:
            return self._cell_error(e)

    def _cell_error(self, error: Exception) -> CellError:
        text = f"{self.name}: {error_message(error) or type(error).__name__}"
        errortype = error.errortype if isinstance(error, CellError) else type(error).__name__
        return CellError(errortype, text, divisible=True)


def _is_list(values: object) -> bool:
    """Whether values are in an order, as in a list, a tuple or a numpy array."""
    if isinstance(values, str | bytes | Mapping | Set) or getattr(values, "ndim", 1) == 0:
        return False
    return isinstance(values, Collection)


def _is_json(default: object) -> bool:
    """Whether a default is JSON, so that it can be part of a digest; any other is left to the function."""
    try:
        dumps(None if default is inspect.Parameter.empty else default)
    except (TypeError, ValueError, RecursionError):
        return False
    return default is not inspect.Parameter.empty


def _argument_from_cell(value: Any, hint: Any) -> Any:
    """A cell's value as the hint asks for it: audio as bytes, an image as a PIL image unless hinted as bytes."""
    if isinstance(value, Media):
        if value.content is None:
            return value.url
        wants_bytes = hint is bytes or hint is Audio or (hint is None and not _is_readable_image(value))
        return value.content if wants_bytes or not _is_readable_image(value) else open_image(value.content)
    if isinstance(value, list) and is_numpy(hint):
        import numpy as np

        return np.asarray(value, np.float32)
    if isinstance(value, Mapping) and hasattr(hint, "model_validate"):
        return hint.model_validate(value)
    return value


def _is_readable_image(media: Media) -> bool:
    from pxt_assets.values.sniff import IMAGE_FORMATS

    return media.format in IMAGE_FORMATS
