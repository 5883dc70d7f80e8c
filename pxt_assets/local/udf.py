"""`@udf`: a user's own function as a computed column, typed by its hints, run in this process."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from concurrent.futures import Executor
from functools import partial
from typing import Annotated, Any, Literal, ParamSpec, overload

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.expr import Call
from pxt_assets.expressions.function import Function
from pxt_assets.local.local_call import LocalCall, as_json, call_function, error_message
from pxt_assets.local.source_text import versioned
from pxt_assets.local.structured_schema import shape_of, validation_faults
from pxt_assets.values.conversion import check_value
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import Media, open_image
from pxt_assets.values.types import Array, Audio, Bool, ColumnType, Float, Image, Int, Json, String, is_media

P = ParamSpec("P")


@overload
def udf(function: Callable[P, Any], /) -> LocalFunction[P]: ...


@overload
def udf(
    *, batch_size: int | None = None, version: str | None = None
) -> Callable[[Callable[P, Any]], LocalFunction[P]]: ...


def udf(
    function: Callable[P, Any] | None = None, /, *, batch_size: int | None = None, version: str | None = None
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
    return partial(LocalFunction, batch_size=batch_size, version=version)


class LocalFunction(Function[P]):
    """A function of the user's own; `function` is the plain one."""

    def __init__(
        self, function: Callable[P, Any], *, batch_size: int | None = None, version: str | None = None
    ) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        if not inspect.isroutine(function):
            msg = f"udf: got {function!r}, allowed: a Python function, sync or async; write one that calls it"
            raise DefinitionError(msg)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            msg = f"udf {name}: it yields its values one by one; return a list of them"
            raise DefinitionError(msg)
        hints = _hints(function, name)
        returned = hints.pop("return", None)
        if returned is None:
            msg = f"udf {name}: it has no return hint, which is the column's type; write -> str, -> int, ..."
            raise DefinitionError(msg)
        self._batched_parameters: set[str] = set()
        if batch_size is not None:
            self._batched_parameters = {p for p, hint in hints.items() if _batch_item_hint(hint) is not None}
            if not self._batched_parameters or _batch_item_hint(returned) is None:
                msg = f"udf {name}: with a batch_size it takes and returns lists of rows' values; write list[...] in its hints"
                raise DefinitionError(msg)
            returned = _batch_item_hint(returned)
        column_type, shape = _column_type(returned, name)
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
        self._is_batched = batch_size is not None
        self._given_version = version
        self._version = versioned(function, version, who=f"udf {name}")
        row_hints = {
            p: _batch_item_hint(hint) if p in self._batched_parameters else hint for p, hint in hints.items()
        }
        self._hints = {p: _unwrap_hint(hint) for p, hint in row_hints.items()}
        self.required_arguments = {
            p.name for p in self._named_parameters if not _allows_none(row_hints.get(p.name), p)
        }
        self.__wrapped__ = function

    @property
    def version(self) -> str:
        """Changes with what the function is made of (see `source_text`), and with the version that it was given."""
        if not self._version.is_complete:  # what it reads may have been defined below it; from now on it stays
            again = versioned(self.function, self._given_version, who=f"udf {self.name}")
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
            given = [{k: self._convert_argument(k, v) for k, v in row.items()} for row in rows]
            values = await call_function(self.function, self._call_arguments(given), threads)
        except Exception as e:
            raise self._cell_error(e) from e
        if not self._is_batched:
            values = [values]
        elif not _is_list(values):
            msg = f"{self.name}: got {type(values).__name__}, allowed: a list with a value for each row"
            raise CellError("TypeError", msg)
        values = list(values)
        if len(values) != len(rows):
            msg = f"{self.name}: got {len(values)} values for {len(rows)} rows"
            raise CellError("ValueError", msg, divisible=True)
        if is_media(self.returns):  # encoding an image takes a while
            return await asyncio.get_running_loop().run_in_executor(threads, self._convert_results, values)
        return self._convert_results(values)

    def _call_arguments(self, given: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The arguments of one call: a list for each batched parameter, the first row's value for the others."""
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


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as e:  # whatever evaluating an annotation raises
        msg = f"udf {name}: its hints cannot be resolved ({e})"
        raise DefinitionError(msg) from e


def _unwrap_hint(hint: Any) -> Any:
    """A hint without `| None`, Annotated and NewType."""
    if isinstance(hint, typing.NewType):
        return _unwrap_hint(hint.__supertype__)
    if typing.get_origin(hint) is Annotated:
        return _unwrap_hint(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _unwrap_hint(rest[0]) if len(rest) == 1 else hint
    return hint


def _batch_item_hint(hint: Any) -> Any:
    """The hint of a list's items; None for a hint that is no list."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return (typing.get_args(hint) or (Any,))[0] if typing.get_origin(hint) in (list, Sequence) else None


def _allows_none(hint: Any, parameter: inspect.Parameter) -> bool:
    if parameter.default is None or hint in (Any, None):
        return True
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


_COLUMN_TYPES: dict[Any, type[ColumnType]] = {
    str: String,
    int: Int,
    float: Float,
    bool: Bool,
    dict: Json,
    list: Json,
    tuple: Json,
    Any: Json,
    bytes: Audio,
}


def _column_type(hint: Any, name: str) -> tuple[type[ColumnType], Mapping[str, Any]]:
    """The column type of a return hint, and the shape of its JSON value."""
    hint = _unwrap_hint(hint)
    if isinstance(hint, type) and issubclass(hint, ColumnType):
        return hint, {}
    if typing.get_origin(hint) is Literal:
        return _common_type(typing.get_args(hint)), {}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _common_type([member.value for member in hint]), {}
    column_type = _COLUMN_TYPES.get(hint) or _COLUMN_TYPES.get(typing.get_origin(hint))
    if column_type is not None:
        return column_type, {}
    if _is_pil(hint):
        return Image, {}
    if _is_numpy(hint):
        return Array, {}
    if hasattr(hint, "model_json_schema"):
        return Json, shape_of(_stored_schema(hint, name))
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint) or typing.get_origin(hint) is not None:
        return Json, {}
    msg = (
        f"udf {name}: the return hint {hint!r} names no column type; allowed: str, int, float, bool, dict, list, a "
        "pydantic model, numpy.ndarray, PIL.Image.Image, bytes, or a type of pxt_assets.types"
    )
    raise DefinitionError(msg)


def _common_type(values: Iterable[Any]) -> type[ColumnType]:
    """The column type of an Enum's or Literal's values, Json if they are of several types."""
    types_ = {type(value) for value in values if value is not None}
    return _COLUMN_TYPES.get(types_.pop(), Json) if len(types_) == 1 else Json


def _stored_schema(model: Any, name: str) -> Mapping[str, Any]:
    """The JSON schema of a pydantic model's stored value."""
    from pydantic.errors import PydanticUserError

    try:
        schema: Mapping[str, Any] = model.model_json_schema(mode="serialization", by_alias=False)
    except PydanticUserError as e:
        msg = f"udf {name}: {model.__name__} has no JSON schema: {e.message}"
        raise DefinitionError(msg) from e
    return schema


def _is_pil(hint: Any) -> bool:
    return getattr(hint, "__module__", "") == "PIL.Image" and getattr(hint, "__name__", "") == "Image"


def _is_numpy(hint: Any) -> bool:
    hint = typing.get_origin(hint) or hint
    return getattr(hint, "__module__", "") == "numpy" and getattr(hint, "__name__", "") == "ndarray"


def _argument_from_cell(value: Any, hint: Any) -> Any:
    """A cell's value as the hint asks for it: audio as bytes, an image as a PIL image unless hinted as bytes."""
    if isinstance(value, Media):
        if value.content is None:
            return value.url
        wants_bytes = hint is bytes or hint is Audio or (hint is None and not _is_readable_image(value))
        return value.content if wants_bytes or not _is_readable_image(value) else open_image(value.content)
    if isinstance(value, list) and _is_numpy(hint):
        import numpy as np

        return np.asarray(value, np.float32)
    if isinstance(value, Mapping) and hasattr(hint, "model_validate"):
        return hint.model_validate(value)
    return value


def _is_readable_image(media: Media) -> bool:
    from pxt_assets.values.sniff import IMAGE_FORMATS

    return media.format in IMAGE_FORMATS
