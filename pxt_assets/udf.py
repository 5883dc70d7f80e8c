"""`@udf`: a user's own function as a computed column, typed by its hints, run in this process."""

from __future__ import annotations

import asyncio
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Annotated, Any, ParamSpec, overload

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expr import Call
from pxt_assets.function import Function
from pxt_assets.local import LocalCall, in_thread
from pxt_assets.media import Media, opened
from pxt_assets.source_text import version_of
from pxt_assets.types import Array, Audio, Bool, ColumnType, Float, Image, Int, Json, String
from pxt_assets.values import checked

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

    Its return hint is the column's type: str, int, float, bool, dict, list, a pydantic model (Json), numpy.ndarray or
    `Array[(n,), "float32"]`, `PIL.Image.Image` or Image, bytes or Audio. A null in a parameter whose hint does not
    allow None makes the cell null, and the function is not called. What it raises is its row's error.

    Results are kept: a row is computed again when its inputs, the function's source or `version` change, but not when
    something changes that the function only calls; then raise `version`. Sync functions run in threads, several at
    once, so they must not share what is not made for it.

    Args:
        function: the function.
        batch_size: how many rows one call takes at most. Parameters hinted `list[T]` are then lists with a value for
            each row, others the same for all of them; it returns a `list[T]` with a value for each row.
        version: changes what names the results, besides the function's source.

    Raises DefinitionError for hints that are missing or name no column type.

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
        hints = _hints(function, name)
        returned = hints.pop("return", None)
        if returned is None:
            msg = f"udf {name}: it has no return hint, which is the column's type; write -> str, -> int, ..."
            raise DefinitionError(msg)
        self._batched: set[str] = set()
        if batch_size is not None:
            self._batched = {p for p, hint in hints.items() if _unwrapped_batch(hint) is not None}
            if not self._batched or _unwrapped_batch(returned) is None:
                msg = f"udf {name}: with a batch_size it takes and returns lists of rows' values; write list[...] in its hints"
                raise DefinitionError(msg)
            returned = _unwrapped_batch(returned)
        column_type, shape = _column_type(returned, name)
        super().__init__(function, returns=column_type, shape=shape)
        for parameter in self._named:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                msg = f"udf {name}: {parameter} is not supported; name each parameter"
                raise DefinitionError(msg)
        if len(self._named) != len(self._parameters):
            msg = f"udf {name}: **keywords are not supported; name each parameter"
            raise DefinitionError(msg)
        self.local = True
        self.function = function
        self.batch_size = batch_size or 1
        self._is_batched = batch_size is not None
        self._version = version_of(function, version)
        of_row = {p: _unwrapped_batch(hint) if p in self._batched else hint for p, hint in hints.items()}
        self._hints = {p: _unwrapped(hint) for p, hint in of_row.items()}
        self.required = {p.name for p in self._named if not _takes_none(of_row.get(p.name), p)}
        self.__wrapped__ = function

    @property
    def version(self) -> str:
        """Changes with the function's source, and with the version that it was given."""
        return self._version

    def _call(self, arguments: dict[str, Any]) -> Call:
        defaults = {p.name: p.default for p in self._named if p.default is not p.empty}
        return Call(self, {**defaults, **arguments})

    def ask(self, arguments: Mapping[str, Any]) -> LocalCall:
        """The call for one row."""
        return LocalCall(self, arguments)

    def shared(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that are the same for all rows of a call."""
        return {k: v for k, v in arguments.items() if k not in self._batched}

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """The values of some rows. Raises CellError for what the function raises."""
        try:
            given = [{k: _given(v, self._hints.get(k)) for k, v in row.items()} for row in rows]
            values = await self._called(given, threads)
            if not self._is_batched:
                return [self._checked(values)]
            if not isinstance(values, list | tuple) and not hasattr(values, "__len__"):
                msg = f"got {type(values).__name__}, allowed: a list with a value for each row"
                raise TypeError(msg)
            if len(values) != len(rows):
                msg = f"got {len(values)} values for {len(rows)} rows"
                raise ValueError(msg)
            return [self._checked(value) for value in values]
        except CellError as e:
            raise CellError(e.errortype, f"{self.name}: {e.message}", divisible=True) from e
        except Exception as e:
            raise CellError(type(e).__name__, f"{self.name}: {e}", divisible=True) from e

    async def _called(self, given: Sequence[Mapping[str, Any]], threads: Executor) -> Any:
        arguments = dict(given[0])
        if self._is_batched:
            arguments |= {
                name: [row.get(name) for row in given] for name in self._batched if name in arguments
            }
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**arguments)  # type: ignore[call-arg]
        value = await in_thread(threads, self.function, arguments)
        return await value if asyncio.iscoroutine(value) else value

    def _checked(self, value: Any) -> Any:
        if hasattr(value, "model_dump"):
            value = value.model_dump(mode="json")
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()  # a scalar of numpy's
        return checked(value, self.returns)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as e:  # whatever evaluating an annotation raises
        msg = f"udf {name}: its hints cannot be resolved ({e})"
        raise DefinitionError(msg) from e


def _unwrapped(hint: Any) -> Any:
    """A hint without `| None`, and without what Annotated adds."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _unwrapped(rest[0]) if len(rest) == 1 else hint
    return hint


def _unwrapped_batch(hint: Any) -> Any:
    """What a list of rows' values holds; None for a hint that is no list."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return (typing.get_args(hint) or (Any,))[0] if typing.get_origin(hint) in (list, Sequence) else None


def _takes_none(hint: Any, parameter: inspect.Parameter) -> bool:
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
    """The column type that a return hint stands for, and what is known of its JSON value."""
    hint = _unwrapped(hint)
    if isinstance(hint, type) and issubclass(hint, ColumnType):
        return hint, {}
    found = _COLUMN_TYPES.get(hint) or _COLUMN_TYPES.get(typing.get_origin(hint))
    if found is not None:
        return found, {}
    if _is_pil(hint):
        return Image, {}
    if _is_numpy(hint):
        return Array, {}
    if hasattr(hint, "model_json_schema"):
        from pxt_assets.schema import shape_of

        return Json, shape_of(hint.model_json_schema())
    if typing.is_typeddict(hint) or typing.get_origin(hint) is not None:
        return Json, {}
    msg = (
        f"udf {name}: the return hint {hint!r} names no column type; allowed: str, int, float, bool, dict, list, a "
        "pydantic model, numpy.ndarray, PIL.Image.Image, bytes, or a type of pxt_assets.types"
    )
    raise DefinitionError(msg)


def _is_pil(hint: Any) -> bool:
    return getattr(hint, "__module__", "") == "PIL.Image" and getattr(hint, "__name__", "") == "Image"


def _is_numpy(hint: Any) -> bool:
    hint = typing.get_origin(hint) or hint
    return getattr(hint, "__module__", "") == "numpy" and getattr(hint, "__name__", "") == "ndarray"


def _given(value: Any, hint: Any) -> Any:
    """A value as the function takes it by its hint: of a sound its bytes, of an image a PIL image, unless as bytes."""
    if isinstance(value, Media):
        if value.content is None:
            return value.url
        wants_bytes = hint is bytes or hint is Audio or (hint is None and not _opens(value))
        return value.content if wants_bytes or not _opens(value) else opened(value.content)
    if isinstance(value, list) and _is_numpy(hint):
        import numpy as np

        return np.asarray(value, np.float32)
    if isinstance(value, Mapping) and hasattr(hint, "model_validate"):
        return hint.model_validate(value)
    return value


def _opens(media: Media) -> bool:
    from pxt_assets.sniff import IMAGE_FORMATS

    return media.format in IMAGE_FORMATS
