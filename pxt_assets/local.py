"""Calls that run in this process: what names their results, and how they run off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from pxt_assets.digest import digest
from pxt_assets.json_text import canonical, dumps
from pxt_assets.media import Media

IN_FLIGHT = 100
"""Local calls that run at once: async ones may well call some other service."""


class Runs(Protocol):
    """A function that runs in this process."""

    name: str
    batch_size: int
    """How many rows one call can take."""

    @property
    def version(self) -> str:
        """Changes with what the function computes."""

    def shared(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that are the same for all rows of a call."""

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """The values of some rows. Raises CellError."""


@dataclass(frozen=True)
class LocalCall:
    """The call of a local function whose arguments are known: what names a cell."""

    function: Runs
    arguments: Mapping[str, Any]

    @cached_property
    def digest(self) -> bytes:
        """Names the value: the function, its version and every argument."""
        return digest(b"local", self.function.version.encode(), _canonical(self.arguments))

    @cached_property
    def held(self) -> int:
        """Bytes of images and sounds that it keeps in memory."""
        return sum(v.size for v in self.arguments.values() if isinstance(v, Media))

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
        """It takes none."""
        return 0.0

    @cached_property
    def packed_with(self) -> bytes:
        """Equal for rows that one call can take."""
        return self.function.version.encode() + _canonical(self.function.shared(self.arguments))

    def settled(self, value: Any) -> Any:
        """The value as it is."""
        return value


def _canonical(arguments: Mapping[str, Any]) -> bytes:
    return canonical(_form(arguments)).encode("utf-8", "surrogatepass")


def _form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _form(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_form(v) for v in value]
    return leaf_form(value)


def leaf_form(value: Any) -> Any:
    """A single value as JSON that tells it from any other."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Media):
        return {"$media": value.digest}
    if isinstance(value, bytes):
        return {"$bytes": digest(value).hex()}
    try:
        dumps(value)
    except (TypeError, ValueError):  # such as NaN, and durations
        return {"$value": repr(value)}
    return value


async def in_thread(
    threads: Executor | None, function: Callable[..., Any], arguments: Mapping[str, Any]
) -> Any:
    """The result of a function that may block, run in one of the threads with the caller's context variables."""
    call = partial(copy_context().run, _called, function, arguments)
    return await asyncio.get_running_loop().run_in_executor(threads, call)


def _called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return function(**arguments)
    except StopIteration as e:  # which cannot leave a thread: who waits for it would wait forever
        msg = "it raised StopIteration"
        raise RuntimeError(msg) from e
