"""Threads in which images and sounds are decoded, encoded and hashed: seconds of work, which would hold the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar

from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.values.media import Media, is_image
from pxt_assets.values.sniff import IMAGE_FORMATS

T = TypeVar("T")
Row = Sequence[Any]

HEAVY_BYTES = 2**20
"""From this size on it takes milliseconds to hash texts, images and sounds."""
SLICE_SECONDS = 0.005
"""How long the event loop is held at once by rows that are prepared in it."""
_DECODED_FORMATS = frozenset(IMAGE_FORMATS) - {"jpeg", "png", "webp"}
"""Formats of images that are decoded before they are sent, however small the files are."""
_AHEAD_BYTES = 128 * 2**20
"""Bytes of images and sounds that are read and prepared ahead of what is asked for."""


def media_threads() -> Executor:
    """The threads of this process, as many as it has cores; they are started as they are needed."""
    return _threads_of(os.getpid())


@cache
def _threads_of(
    _process: int,
) -> Executor:  # a forked process has none of the threads of the one it comes from
    return DaemonThreadPool(os.cpu_count() or 1)


async def in_media_thread(fn: Callable[..., T], *args: Any, threads: Executor | None = None) -> T:
    """Calls a function in one of these threads, and waits for its result."""
    return await asyncio.get_running_loop().run_in_executor(threads or media_threads(), fn, *args)


def is_heavy(value: Any) -> bool:
    """Whether preparing or checking a value may take long: an image to decode is in it, a path, or many bytes."""
    if value is None or isinstance(value, int | float):
        return False
    if isinstance(value, str):
        return len(value) >= HEAVY_BYTES
    if isinstance(value, bytes | bytearray):
        return is_heavy(Media(bytes(value)))
    if isinstance(value, dict):
        return any(map(is_heavy, value.values()))
    if isinstance(value, list | tuple):
        is_vector = bool(value) and isinstance(value[0], int | float)
        return not is_vector and any(map(is_heavy, value))
    if isinstance(value, Media):
        return value.size >= HEAVY_BYTES or value.format in _DECODED_FORMATS
    return isinstance(value, PurePath) or is_image(value)


async def prepared_batches(
    next_rows: Callable[[], Awaitable[Sequence[Row] | None]],
    prepare: Callable[[Row], T],
    threads: Executor | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncGenerator[list[T]]:
    """The prepared rows of each batch, in order, until `next_rows` gives None.

    Batches without heavy values are prepared on the event loop, which goes on every SLICE_SECONDS by `clock`; but for the
    first row of all, with which constants are read and decoded. The rows of others are prepared in threads, some batches
    ahead, as long as these hold few bytes.
    """
    loop = asyncio.get_running_loop()
    threads = threads or media_threads()
    ahead: deque[tuple[list[asyncio.Future[T]], int]] = deque()
    is_first, ended = True, False
    try:
        while True:
            while not ended and _has_room([(len(futures), size) for futures, size in ahead]):
                rows = await next_rows()
                if rows is None:
                    ended = True
                elif any(any(map(is_heavy, row)) for row in rows):
                    futures = [loop.run_in_executor(threads, prepare, row) for row in rows]
                    ahead.append((futures, sum(map(_bytes_in, rows))))
                else:
                    while ahead:
                        yield await _first_of(ahead)
                    head = [await loop.run_in_executor(threads, prepare, row) for row in rows[:is_first]]
                    yield [*head, *await _prepared_in_slices(prepare, rows[len(head) :], clock)]
                is_first = False
                rows = None  # or its images would stay in memory
            if not ahead:
                return
            yield await _first_of(ahead)
    finally:
        for futures, _ in ahead:
            for future in futures:
                future.cancel()


async def _prepared_in_slices(
    prepare: Callable[[Row], T], rows: Sequence[Row], clock: Callable[[], float]
) -> list[T]:
    """Answers that have come wait no longer than SLICE_SECONDS for the rows that are prepared."""
    prepared: list[T] = []
    began = clock()
    for row in rows:
        prepared.append(prepare(row))
        if clock() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = clock()
    return prepared


async def _first_of(ahead: deque[tuple[list[asyncio.Future[T]], int]]) -> list[T]:
    """Takes the first batch out, once all of its rows are prepared: who asks for them lets go of them one by one."""
    results = [await future for future in ahead[0][0]]
    ahead.popleft()
    return results


def _has_room(ahead: Sequence[tuple[int, int]]) -> bool:
    """Whether one more batch may be prepared, beside those of so many rows and bytes."""
    rows, size = sum(rows for rows, _ in ahead), sum(size for _, size in ahead)
    return not ahead or (rows < 2 * (os.cpu_count() or 1) and size < _AHEAD_BYTES)


def _bytes_in(value: Any) -> int:
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_bytes_in, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_bytes_in, value))
    return value.size if isinstance(value, Media) else 0
