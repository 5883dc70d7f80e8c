"""Opens connections: names looked up, the quickest of a server's addresses taken, TLS agreed upon."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from pxt_assets.api.wire.account import ApiUrl
from pxt_assets.api.wire.connection import Connection
from pxt_assets.api.wire.direct import is_address
from pxt_assets.api.wire.errors import unconnected

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

CONNECT_SECONDS = 30.0
_NAME_SECONDS = 10.0
"""For which a looked-up name is believed."""
_STAGGER_SECONDS = 0.25
_ALIVE_SECONDS = 60
"""An idle connection asks so often whether the other side is there: routers forget those that say nothing."""
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _ALIVE_SECONDS),
    (socket.IPPROTO_TCP, "TCP_KEEPALIVE", _ALIVE_SECONDS),  # macOS' name of it
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)


class Dialler:
    """Opens connections to the server of `url` within the running event loop; `seconds` for each, at most."""

    def __init__(self, url: ApiUrl, context: ssl.SSLContext | None, seconds: float) -> None:
        self._url, self._context, self._seconds = url, context, min(seconds, CONNECT_SECONDS)
        self._addresses: list[AddrInfoType] = []
        self._family: int = 0
        self._looked_up = float("-inf")
        self._lookup: asyncio.Task[None] | None = None

    async def __call__(self, made: Callable[[socket.socket], Connection]) -> Connection:
        """A new connection, which `made` makes of a socket. Raises APITimeoutError."""
        with _as_unconnected(self._url):
            async with _patient(self._seconds):
                sock = await self._connected()
            connection = made(sock)
            try:
                await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
                if self._context is not None:
                    async with _patient(self._seconds):
                        await connection.secure(self._context, self._url.host)
            except BaseException:
                connection.abort()
                sock.close()
                raise
        return connection

    async def _connected(self) -> socket.socket:
        import aiohappyeyeballs

        addresses = await self._found()
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_STAGGER_SECONDS, interleave=1
        )
        self._family = sock.family
        for level, name, value in _SOCKET_OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)
        return sock

    async def _found(self) -> list[AddrInfoType]:
        """The server's addresses, another one first each time, of the family that could be reached."""
        loop = asyncio.get_running_loop()
        if loop.time() > self._looked_up + _NAME_SECONDS:
            if self._lookup is None:
                self._lookup = loop.create_task(self._look_up())
                self._lookup.add_done_callback(self._found_out)
            await asyncio.shield(self._lookup)
        self._addresses.append(self._addresses.pop(0))
        return sorted(self._addresses, key=lambda address: address[0] != self._family)

    async def _look_up(self) -> None:
        import aiohappyeyeballs

        loop, url = asyncio.get_running_loop(), self._url
        if is_address(url.host):
            self._addresses = aiohappyeyeballs.addr_to_addr_infos((url.host, url.connect_port)) or []
        else:
            self._addresses = list(
                await loop.getaddrinfo(
                    url.host, url.connect_port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            )
        if not self._addresses:
            msg = "its name stands for no address"
            raise OSError(msg)
        self._looked_up = loop.time()

    def _found_out(self, task: asyncio.Task[None]) -> None:
        self._lookup = None
        if not task.cancelled():
            task.exception()  # those who wait raise it


@contextmanager
def _as_unconnected(url: ApiUrl) -> Iterator[None]:
    """Raises what goes wrong as what it means: nothing was sent."""
    try:
        yield
        return
    except TimeoutError:
        text = f"Connection timeout to host {url}"
    except ssl.SSLCertVerificationError as e:
        text = f"{_cannot(url, 'True')} [{type(e).__name__}: {e.args}]"
    except ssl.SSLError as e:
        text = f"{_cannot(url)} [{type(e).__name__}: {e.args}]"
    except OSError as e:
        text = f"{_cannot(url)} [{_reason(e)}]"
    raise unconnected(text)


def _cannot(url: ApiUrl, trust: str = "default") -> str:
    return f"Cannot connect to host {url.host}:{url.connect_port} ssl:{trust}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).removeprefix(f"[Errno {error.errno}] ")


@asynccontextmanager
async def _patient(seconds: float) -> AsyncIterator[None]:
    """A timeout that counts the seconds in which the loop is awake: what had its time while it slept has it again."""
    loop, timer = asyncio.get_running_loop(), None
    async with asyncio.timeout(None) as timeout:

        def step(left: float) -> None:
            nonlocal timer
            if left <= 0:
                timeout.reschedule(loop.time())
            else:
                timer = loop.call_later(min(left, 1.0), step, left - 1.0)

        step(seconds)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
