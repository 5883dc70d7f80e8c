"""Rows of images are prepared in threads, in order, and the event loop goes on meanwhile."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import Any

import PIL.Image
import pytest

from pxt_assets.local import media_threads as module
from pxt_assets.local.media_threads import HEAVY_BYTES, in_media_thread, is_heavy, prepared_batches
from pxt_assets.values.media import Media

SECONDS = 20
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
TIFF = b"II*\x00" + bytes(100)


async def collected(batches: Sequence[Any], prepare: Any, threads: Any = None) -> list[Any]:
    """The prepared rows of some batches."""
    left = iter(batches)

    async def next_rows() -> Any:
        return next(left, None)

    return [rows async for rows in prepared_batches(next_rows, prepare, threads)]


@pytest.mark.parametrize(
    "value",
    [
        Media(TIFF),
        [None, Media(TIFF)],
        {"image": {"url": Media(TIFF)}},
        PIL.Image.new("RGB", (1, 1)),
        PurePath("a.tiff"),
        TIFF,
        Media(JPEG + bytes(HEAVY_BYTES)),
        "x" * HEAVY_BYTES,
    ],
)
def test_images_to_decode_and_many_bytes_are_heavy(value):
    """Wherever in a value they are."""
    assert is_heavy(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        0.5,
        "a text",
        b"ab",
        JPEG,
        Media(JPEG),
        Media(None, url="https://a/b.tiff"),
        {"a": [1, "b"]},
        [0.5] * 3_000,
        [],
    ],
)
def test_short_texts_small_photographs_and_vectors_are_not(value):
    """These cost no thread."""
    assert not is_heavy(value)


def test_the_loop_goes_on_while_an_image_is_prepared():
    """The image's thread waits for what the loop does after it: with the loop held, it would wait in vain."""
    went_on = threading.Event()

    def prepare(row: Any) -> bool:
        return went_on.wait(SECONDS) if is_heavy(row) else False

    async def main() -> list[Any]:
        preparing = asyncio.ensure_future(collected([[(Media(TIFF),)]], prepare))
        await asyncio.sleep(0)
        went_on.set()
        return await preparing

    assert asyncio.run(main()) == [[True]]


def test_so_it_does_while_a_value_is_checked():
    """An image that a function returned is encoded in a thread."""
    went_on = threading.Event()

    async def main() -> bool:
        checking = asyncio.ensure_future(in_media_thread(went_on.wait, SECONDS))
        await asyncio.sleep(0)
        went_on.set()
        return await checking

    assert asyncio.run(main())


def test_rows_come_in_order_whichever_is_prepared_first():
    """Of two at once, the second is finished before the first."""
    second_done = threading.Event()

    def prepare(row: Any) -> str:
        name = row[1]
        if name == "first":
            assert second_done.wait(SECONDS)
        if name == "second":
            second_done.set()
        return name

    image = Media(TIFF)
    with ThreadPoolExecutor(2) as threads:
        batches = [[(image, "first"), (image, "second")], [(None, "third")], [(image, "fourth")]]
        found = asyncio.run(collected(batches, prepare, threads))
    assert found == [["first", "second"], ["third"], ["fourth"]]


def test_texts_are_prepared_on_the_loop():
    """But for the very first row, with which the constants of the expression are decoded."""
    names: list[str] = []

    def prepare(_: Any) -> None:
        names.append(threading.current_thread().name)

    asyncio.run(collected([[("a",), ("b",)], [("c",)]], prepare))
    assert names[0] != threading.current_thread().name
    assert names[1:] == [threading.current_thread().name] * 2


def test_the_loop_goes_on_while_many_texts_are_prepared():
    """Answers that have come are journaled meanwhile: each slice of rows is a few milliseconds long."""
    now, turns = [0.0], [0]

    def prepare(row: Any) -> Any:
        now[0] += 0.002
        return row

    async def count_turns() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def main() -> Any:
        counting = asyncio.create_task(count_turns())
        batches = iter([[("a",)], [(i,) for i in range(300)]])

        async def next_rows() -> Any:
            return next(batches, None)

        prepared = prepared_batches(next_rows, prepare, clock=lambda: now[0])
        await anext(prepared)
        before = turns[0]
        rows = await anext(prepared)
        counting.cancel()
        return rows, turns[0] - before

    rows, went_on = asyncio.run(main())
    assert rows == [(i,) for i in range(300)]
    assert 90 <= went_on <= 110


def test_what_waits_is_bounded_by_bytes(monkeypatch):
    """However many cores there are: no more is read before some of it is taken."""
    monkeypatch.setattr(module, "_AHEAD_BYTES", 250)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 64)
    read = 0

    async def next_rows() -> Any:
        nonlocal read
        read += 1
        return [(Media(TIFF),)] if read <= 20 else None

    async def main() -> list[int]:
        seen = []
        async for _ in prepared_batches(next_rows, len):
            seen.append(read)
        return seen

    seen = asyncio.run(main())
    assert seen[0] == 3
    assert len(seen) == 20


def test_an_error_of_a_row_is_raised_in_its_turn():
    """A fault of the program is not swallowed by a thread."""

    def prepare(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(collected([[(Media(TIFF),)]], prepare))
