import asyncio
from types import SimpleNamespace

import pytest

from pxt_assets.api.request import Endpoint, ParsedAnswer, Request
from pxt_assets.compute.asking.in_flight_bound import InFlightBound
from pxt_assets.compute.partition.plan import ReadyCall
from tests import virtual_time

MB = 2**20


@pytest.fixture
def bound() -> InFlightBound:
    return InFlightBound(1_000)


def image(n: int = 1) -> ReadyCall:
    endpoint = Endpoint("/images/generations", parse=lambda *_: ParsedAnswer((), None), answer_bytes=12 * MB)
    return ReadyCall(Request(endpoint, {"model": "m", "prompt": "a hat", "n": n}))


def fill(bound: InFlightBound, most: int = 1_000) -> list:
    held = []
    while not bound.is_full(1) and len(held) < most:
        held.append(bound.acquire(image()))
    return held


def test_few_images_are_in_flight_until_their_sizes_are_known(bound):
    """Then as many as fit: large ones few, small ones as many as may be."""
    held = fill(bound)
    assert len(held) == 16
    bound.answer_sizes.note(image().request, 64_000)
    assert len(held) + len(fill(bound)) == 1_000 + 16
    bound.answer_sizes.note(image().request, 40 * MB)
    assert bound.is_full(1)


def test_one_answer_larger_than_the_bound_is_still_asked_for(bound):
    """Else nothing would ever go on."""
    bound.answer_sizes.note(image(10).request, 500 * MB)
    assert not bound.is_full(1)
    held = bound.acquire(image(10))
    assert bound.is_full(1)
    bound.release(held)
    assert not bound.is_full(1)


def test_values_that_wait_for_the_disk_count_too(bound):
    """A slow disk holds back what is asked for, not what is remembered of it."""
    journal = SimpleNamespace(pending_bytes=0, on_written=None)

    async def check() -> None:
        with bound.counting(journal):
            journal.pending_bytes = 191 * MB
            assert len(fill(bound)) == 1
            journal.pending_bytes = 0
            assert not bound.is_full(1)
            journal.pending_bytes = 200 * MB
            assert bound.is_full(1)
        assert not bound.is_full(1)

    virtual_time.run(check())


def test_what_is_on_disk_makes_room(bound):
    """The journal's thread wakes who waits for it, though nothing is in flight."""
    journal = SimpleNamespace(pending_bytes=200 * MB, on_written=None)

    def write() -> None:
        journal.pending_bytes = 0
        journal.on_written()

    async def wait() -> None:
        asyncio.get_running_loop().call_later(3, write)
        with bound.counting(journal):
            while bound.is_full(1):
                await bound.wait_for_change()

    virtual_time.run(wait())
    assert journal.pending_bytes == 0
