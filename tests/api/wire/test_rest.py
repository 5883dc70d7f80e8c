"""Servers that close connections after an answer without saying so, and those that keep them."""

import asyncio
import threading

import pytest

from pxt_assets.api.transport import transport
from pxt_assets.api.wire.errors import APITimeoutError
from pxt_assets.api.wire.pool import Pool
from pxt_assets.api.wire.rest import Rest
from pxt_assets.functions import chat_completions
from tests.raw_server import OK, raw_server
from tests.virtual_time import run

CHAT = chat_completions.cell_request({"messages": [{"role": "user", "content": "Hi"}], "model": "m"})


class Kept:
    """A connection over which answers come."""

    is_open = True
    dropped_after = float("inf")


class Served:
    """A pool whose connections are of a server that keeps them, or that ends them so many seconds after an answer."""

    def __init__(self, ends_after: float | None = None) -> None:
        self.ends_after, self.opened = ends_after, 0
        self.pool = Pool(self._dial, 9)

    async def _dial(self, _):
        self.opened += 1
        return Kept()

    async def ask(self, seconds: float = 1.0) -> float:
        """Has an answer after some time; gives the seconds for which it waited for its connection."""
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        connection = self.pool.take() or await self.pool.wait()
        waited = loop.time() - began
        assert connection.is_open
        await asyncio.sleep(seconds)
        self.pool._answered(connection)
        if self.ends_after is not None:
            loop.call_later(self.ends_after, self._end, connection)
        return waited

    def _end(self, connection) -> None:
        connection.is_open, connection.dropped_after = False, self.ends_after
        self.pool._lost(connection)


def test_one_connection_that_is_kept_is_enough():
    """From then on none rests."""

    async def main() -> None:
        served = Served()
        waits = [await served.ask() for _ in range(4)]
        assert served.opened == 1
        assert 0 < waits[1] < 0.011
        assert waits[2:] == [0, 0]

    run(main())


def test_those_that_rest_are_given_when_the_first_has_shown_it():
    """Not each after a rest of its own."""

    async def main() -> None:
        served = Served()
        await asyncio.gather(*(served.ask(1.0 + i / 1_000) for i in range(9)))
        await asyncio.sleep(0.003)
        assert (await asyncio.gather(*(served.ask() for _ in range(9)))) == [0] * 9
        assert served.opened == 9

    run(main())


@pytest.mark.parametrize("ends_after", [0.0001, 0.005, 0.04])
def test_no_connection_is_used_again_that_is_about_to_end(ends_after):
    """Once the first one has ended; nor does a request wait for one longer than for a new one."""

    async def main() -> None:
        served = Served(ends_after)
        await served.ask()
        await asyncio.sleep(1)
        waits = [await served.ask(0.02) for _ in range(9)]
        assert served.opened == 10
        assert max(waits) < 0.02

    run(main())


def test_a_server_that_was_restarted_has_its_connections_used_at_once_again():
    """When many have outlived their rest."""
    rest = Rest()
    rest.ended(0.001)
    for _ in range(16):
        assert rest.is_needed
        rest.outlived()
    assert not rest.is_needed


@pytest.mark.parametrize("seconds", [0.5, 5.0, float("inf")])
def test_a_connection_that_was_idle_for_long_says_nothing(seconds):
    """All servers close such ones at some time."""
    rest = Rest()
    rest.outlived()
    rest.ended(seconds)
    assert not rest.is_needed


def test_a_request_is_not_ended_by_the_one_that_had_its_connection_before():
    """Whose answer has come, and which is cancelled before it could take it."""
    goes_on = threading.Event()

    def script(connection, before):
        if before:
            goes_on.wait(5)
        connection.send(OK if before == 0 else b'{"second":1}')

    async def asked(url: str) -> bytes:
        sender = transport(url, "sk-secret-4711", None, None, None, timeout=10.0, most=1)
        pool = sender._wire._pool
        connection = await pool.wait()
        request = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n"
        first = asyncio.create_task(connection.exchange(request, b"{}"))
        finish, second = connection._finish, []

        def finished() -> None:
            finish()
            first.cancel()
            second.append(asyncio.ensure_future(connection.exchange(request, b"{}")))

        connection._finish = finished
        with pytest.raises(asyncio.CancelledError):
            await first
        del connection._finish
        await asyncio.sleep(0)
        goes_on.set()
        answered = await second[0]
        await sender.close()
        return answered.content

    with raw_server(script) as server:
        assert asyncio.run(asked(server.base_url)) == b'{"second":1}'
        assert server.requests == [2]


def test_what_is_ended_from_here_may_have_arrived():
    """What the server's end has acknowledged so far says nothing of what is on its way."""
    goes_on = threading.Event()

    async def asked(url: str) -> None:
        sender = transport(url, "sk-secret-4711", None, None, None, timeout=10.0, most=1)
        connection = await sender._wire._pool.wait()
        await connection.exchange(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", b"{}")
        head = b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n"
        task = asyncio.create_task(connection.exchange(head, b" " * 9_000_000))
        await asyncio.sleep(0)
        connection.abort()
        with pytest.raises(APITimeoutError) as e:
            await task
        assert e.value.maybe_sent
        await sender.close()

    with raw_server(lambda c, _: c.send() or goes_on.wait(5)) as server:
        asyncio.run(asked(server.base_url))
        goes_on.set()
