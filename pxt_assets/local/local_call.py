"""Calls of local functions: the digest of a result, and running user code off the event loop."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from pxt_assets.errors import CellError
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import canonical_json, dumps, replace_surrogates
from pxt_assets.values.media import Media

MAX_CALLS_IN_FLIGHT = 100
"""Local calls that run at once. Async ones may call some other service, so there are many."""


class RunnableFunction(Protocol):
    """A function that runs in this process."""

    name: str
    batch_size: int
    """How many rows one call can take."""

    @property
    def version(self) -> str:
        """A text that changes with what the function computes."""

    def shared_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that are the same for all rows of a call."""

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """The values of some rows, with a CellError in place of each that is at fault. Raises CellError."""


@dataclass(frozen=True)
class LocalCall:
    """A call of a local function with all its arguments. Its digest names the cell."""

    function: RunnableFunction
    arguments: Mapping[str, Any]

    @cached_property
    def digest(self) -> bytes:
        """The digest of the function's version and every argument, which names the value."""
        return digest(b"local", self.function.version.encode(), *_argument_parts(self.arguments))

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes of text, images and audio in its arguments."""
        texts = sum(len(v) for v in self.arguments.values() if isinstance(v, str))
        return texts + sum(v.size for v in self.arguments.values() if isinstance(v, Media))

    @property
    def max_cells(self) -> int:
        """How many rows one call can take."""
        return self.function.batch_size

    @property
    def max_tokens(self) -> float:
        """Nothing limits a local call."""
        return float("inf")

    @property
    def tokens(self) -> float:
        """A local call takes no tokens."""
        return 0.0

    @cached_property
    def pack_key(self) -> bytes:
        """A key that is equal for rows that one call can take together."""
        # two functions of one version may close over different objects
        shared = _argument_parts(self.function.shared_arguments(self.arguments))
        return f"{id(self.function)}:".encode() + b"\0".join(shared)

    def cell_value(self, value: Any) -> Any:
        """The value unchanged. Raises it if it is a CellError."""
        if isinstance(value, CellError):
            raise value
        return value


def _argument_parts(arguments: Mapping[str, Any]) -> list[bytes]:
    """The arguments as canonical JSON; and the types of those that JSON gives the form of another type, if there are any."""
    parts = [_json_form(arguments), *([types] if (types := lost_types(arguments)) else [])]
    return [canonical_json(part).encode("utf-8", "surrogatepass") for part in parts]


def _json_form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _json_form(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_form(v) for v in value]
    return leaf_form(value)


def lost_types(value: Any, place: str = "") -> dict[str, str]:
    """The types of values whose JSON form is also that of another type, by where they are: a Decimal, a date, a map.

    A function tells them apart, so what it gives for one is nothing that it gave for the other.
    """
    kind = type(value)
    if kind in _KEPT_TYPES:
        return {}
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        keys = [key for key in value if type(key) is not str]
        found = {place: f"{kind.__name__} {keys!r}"} if keys or kind is not dict else {}
        inner = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        found = {} if kind is list else {place: kind.__name__}
        inner = [(str(i), each) for i, each in enumerate(value)]
    else:
        return {} if isinstance(leaf_form(value), Mapping) else {place: _type_text(value)}
    for name, each in inner:
        found |= lost_types(each, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")
    return found


_KEPT_TYPES = (str, int, float, bool, type(None), bytes, Media)


def _type_text(value: Any) -> str:
    kind = type(value)
    more = [getattr(value, name, None) for name in ("tzinfo", "dtype")]
    return " ".join(
        [f"{kind.__module__}.{kind.__qualname__}", *(str(one) for one in more if one is not None)]
    )


def leaf_form(value: Any) -> Any:
    """A value that is no dict or list, as JSON that differs for different values."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Media):
        return {"$media": value.digest}
    if isinstance(value, bytes):
        return {"$bytes": digest(value).hex()}
    if isinstance(value, uuid.UUID):  # stored cells have it so
        return {"$value": repr(value)}
    try:
        dumps(value)
    except (TypeError, ValueError):  # such as NaN, and durations
        return {"$value": repr(value)}
    return value


async def call_function(
    function: Callable[..., Any], arguments: Mapping[str, Any], threads: Executor | None = None
) -> Any:
    """The result of a user's function. A sync one runs in `threads`, with the caller's context variables.

    A BaseException that would end the program, such as SystemExit, is raised as a RuntimeError.
    """
    if inspect.iscoroutinefunction(function):
        return await _await_result(function(**arguments))
    call = partial(copy_context().run, call_sync, function, arguments)
    value = await asyncio.get_running_loop().run_in_executor(threads, call)
    return await _await_result(value) if inspect.isawaitable(value) else value


async def _await_result(value: Awaitable[Any]) -> Any:
    try:
        return await value
    except (Exception, GeneratorExit):
        raise
    except BaseException as e:
        task = asyncio.current_task()
        if isinstance(e, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise _as_exception(e) from e


def call_sync(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The result of a user's function in this thread; `call_function` says what is raised."""
    try:
        return function(**arguments)
    except StopIteration as e:  # a future cannot hold it: whoever waits for the future would wait forever
        raise _as_exception(e) from e
    except Exception:
        raise
    except BaseException as e:
        raise _as_exception(e) from e


def _as_exception(error: BaseException) -> RuntimeError:
    return RuntimeError(f"it raised {type(error).__name__}: {error_message(error)}".removesuffix(": "))


def error_message(error: BaseException, length: int = 2_000) -> str:
    """An exception's text, cut to `length` characters; "" if the exception cannot give its text."""
    try:
        text = str(error)
    except Exception:  # a user's `__str__` may raise anything
        return ""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def as_json(value: Any) -> Any:
    """What a user's function returned, as it is read back from JSON: models, enums, dates and arrays are converted.

    Raises TypeError or ValueError for what JSON cannot hold.
    """
    from pydantic_core import to_jsonable_python

    with suppress(UnicodeEncodeError):  # lone surrogates, which are replaced below
        value = to_jsonable_python(value, by_alias=False, fallback=_jsonable_value)
    return json.loads(replace_surrogates(dumps(value)))


def _jsonable_value(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    msg = f"it returned {type(value).__name__}, which is no JSON"
    raise TypeError(msg)
