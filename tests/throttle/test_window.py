import asyncio

import pytest

from pxt_assets.throttle import InFlightWindow
from tests.virtual_time import run


async def most_at_once(window: InFlightWindow, requests: int, *, ok: bool | None = None) -> int:
    """Send requests that take a second, and return how many were in flight at most."""
    most = 0

    async def send() -> None:
        nonlocal most
        async with window:
            most = max(most, window.in_flight)
            await asyncio.sleep(1)
            if ok is not None:
                window.answered() if ok else window.failed()

    await asyncio.gather(*(send() for _ in range(requests)))
    return most


def test_no_more_than_the_window_are_in_flight():
    """As many as allowed are in flight at once, and no more."""
    assert run(most_at_once(InFlightWindow(7), 50)) == 7


def test_requests_go_in_the_order_they_came():
    """Whoever waits longest goes first, also before one who comes when a place is free."""

    async def main() -> list[int]:
        window, order = InFlightWindow(1), []

        async def send(number: int) -> None:
            async with window:
                order.append(number)
                await asyncio.sleep(1)

        await asyncio.gather(*(send(number) for number in range(20)))
        return order

    assert run(main()) == list(range(20))


def test_faults_narrow_it_and_good_answers_open_it_again():
    """While a server only fails the window closes to one; when it answers it opens to what it was."""

    async def main() -> None:
        window = InFlightWindow(100)
        await most_at_once(window, 1_000, ok=False)
        assert await most_at_once(window, 50) == 1
        for _ in range(100):
            await most_at_once(window, 100, ok=True)
        assert window.size == 100

    run(main())


def test_stray_faults_narrow_nothing():
    """One fault in twenty is what retries are for."""

    async def main() -> float:
        window = InFlightWindow(100)
        for _ in range(50):
            await most_at_once(window, 95, ok=True)
            await most_at_once(window, 5, ok=False)
        return window.size

    assert run(main()) == 100


def test_a_volley_of_faults_narrows_it_once():
    """Requests that were under way together are one piece of news."""

    async def main() -> float:
        window = InFlightWindow(100)
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(most_at_once(window, 1, ok=False))
        return window.size

    assert 10 <= run(main()) <= 50


@pytest.mark.parametrize("after", [0.5, 1.0])
def test_who_gives_up_takes_no_place(after):
    """A wait that is cancelled, at whatever moment, leaves its place to the next."""

    async def main() -> int:
        window = InFlightWindow(1)

        async def send() -> None:
            async with window:
                await asyncio.sleep(1)

        first, second, third = (asyncio.create_task(send()) for _ in range(3))
        await asyncio.sleep(after)
        second.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        return window.in_flight

    assert run(main()) == 0
