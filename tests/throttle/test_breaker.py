import asyncio
import itertools

import pytest

from pxt_assets.throttle import CircuitBreaker, OutageError
from pxt_assets.throttle.breaker import OUTAGE_FAULTS, OUTAGE_REQUESTS
from tests.virtual_time import run


class Server:
    """Answers, but for the time of an outage; each request takes 0.1 s."""

    def __init__(self, down: float, up: float, *, timeout: float = 300.0) -> None:
        self.down, self.up = down, up
        self.said: list[str] = []
        self.times: list[float] = []
        self.breaker = CircuitBreaker(timeout, lambda: 0.5, self.said.append)

    async def request(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            probe = await self.breaker.wait_turn()
            self.times.append(loop.time())
            await asyncio.sleep(0.1)
            if not self.down <= loop.time() < self.up:
                self.breaker.answered()
                return
            self.breaker.failed(number, "503: no", probe=probe)

    async def all(self, requests: int) -> float:
        """Send them all, and return when the last was answered."""
        async with asyncio.TaskGroup() as group:
            for number in range(requests):
                group.create_task(self.request(number))
        return asyncio.get_running_loop().time()


def test_an_outage_is_waited_out_with_few_requests():
    """A hundred requests in an outage of two minutes try it a hundred times, then singly, and all are answered."""
    server = Server(0, 120)
    assert run(server.all(100)) < 185
    assert len([when for when in server.times if 1 <= when < 120]) <= 8


def test_pauses_grow():
    """Probes are further and further apart, up to a minute."""
    server = Server(0, 250)
    run(server.all(50))
    probes = [when for when in server.times if when > 0.5]
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes) if later > earlier]
    assert gaps[:4] == sorted(gaps[:4])
    assert max(gaps) <= 60.2


def test_it_is_said_when_it_begins_goes_on_and_ends():
    """The log tells of the outage with the fault seen, of every probe, and of the recovery."""
    server = Server(0, 5)
    run(server.all(30))
    assert "nothing but faults" in server.said[0]
    assert "503: no" in server.said[0]
    assert all("still does not answer" in text for text in server.said[1:-1])
    assert "answers again" in server.said[-1]


def test_an_outage_without_end_is_given_up():
    """After the timeout all who wait are told how long it lasted and what was last seen; so are later ones."""
    server = Server(0, 1e9, timeout=90)

    async def main() -> float:
        results = await asyncio.gather(*(server.request(n) for n in range(30)), return_exceptions=True)
        assert all(isinstance(error, OutageError) for error in results)
        assert "503: no" in str(results[0])
        with pytest.raises(OutageError):
            await server.request(99)
        return asyncio.get_running_loop().time()

    assert 90 <= run(main()) < 95


def test_few_requests_that_fail_are_no_outage():
    """However often the same few requests fail, everybody else goes on."""
    breaker = CircuitBreaker(300, lambda: 0.5, lambda _: None)

    async def main() -> bool:
        for fault in range(OUTAGE_FAULTS * 5):
            breaker.failed(fault % (OUTAGE_REQUESTS - 1), "500")
        return breaker.open

    assert run(main()) is False


def test_a_server_that_answers_now_and_then_is_no_outage():
    """One answer in between, and the faults are counted from the beginning."""
    breaker = CircuitBreaker(300, lambda: 0.5, lambda _: None)

    async def main() -> bool:
        for fault in range(OUTAGE_FAULTS * 5):
            breaker.failed(fault, "500")
            if fault % (OUTAGE_FAULTS - 1) == 0:
                breaker.answered()
        return breaker.open

    assert run(main()) is False


def test_a_probe_that_is_not_sent_lets_another_go():
    """A probe that is cancelled before it is sent holds nobody up."""

    async def main() -> bool:
        breaker = CircuitBreaker(300, lambda: 0.0, lambda _: None)
        for fault in range(OUTAGE_FAULTS):
            breaker.failed(fault, "500")
        first = asyncio.create_task(breaker.wait_turn())
        second = asyncio.create_task(breaker.wait_turn())
        assert await first is True
        breaker.abandoned()
        return await second

    assert run(main()) is True
