"""Sends JSON and gives the answer: the head of a request made once, answers decompressed."""

from __future__ import annotations

from typing import Protocol

from pxt_assets.api.content_encoding import BrokenContentError, decoded
from pxt_assets.api.wire.account import ApiAccount
from pxt_assets.api.wire.answer_reader import Answered
from pxt_assets.api.wire.connection import StaleConnectionError
from pxt_assets.api.wire.dial import Dialler
from pxt_assets.api.wire.errors import APIConnectionError, ClientResponseError, DecodingError
from pxt_assets.api.wire.malformed import MalformedAnswerError
from pxt_assets.api.wire.pool import Pool
from pxt_assets.api.wire.reply import Headers, Reply
from pxt_assets.api.wire.tls import trusted


class Wire(Protocol):
    """What JSON requests are sent by."""

    async def send(self, target: str, content: bytes | None) -> Reply:
        """The answer to a POST of `content` to a path with its query, or to a GET. Raises ApiError, CellError."""

    async def close(self) -> None:
        """Ends all connections."""


class HttpWire:
    """HTTP/1.1 within the running event loop, over up to `most` connections; `timeout` in seconds, of an answer.

    Raises OSError for a file of certificates that cannot be read.
    """

    def __init__(self, account: ApiAccount, timeout: float, most: int) -> None:
        url = account.base_url
        context = trusted() if url.scheme == "https" else None
        self._pool = Pool(Dialler(url, context, timeout), most)
        self._origin = f"{url.scheme}://{url.authority}"
        self._heads: dict[tuple[str, str], bytes] = {}
        self._headers = {"host": url.authority, **account.headers, "accept-encoding": "gzip, deflate"}

    async def send(self, target: str, content: bytes | None) -> Reply:
        """The answer to a POST of `content` to a path with its query, or to a GET. Raises ApiError, CellError."""
        if content is None:
            head = b"%b\r\n" % self._head("GET", target)
        else:
            head = b"%bcontent-length: %d\r\n\r\n" % (self._head("POST", target), len(content))
        while True:
            connection = self._pool.take() or await self._pool.wait()
            try:
                return reply_of(await connection.exchange(head, content or b""))
            except StaleConnectionError:  # it was closed while it was idle: nothing has arrived
                continue
            except MalformedAnswerError as e:
                raise ClientResponseError(str(e), f"{self._origin}{target}") from None

    async def close(self) -> None:
        """Ends all connections."""
        await self._pool.close()

    def _head(self, method: str, target: str) -> bytes:
        """The lines that are the same for all requests to a target."""
        key = (method, target)
        if key not in self._heads:
            left = {n: value for n, value in self._headers.items() if method == "POST" or n != "content-type"}
            lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in left.items())]
            self._heads[key] = "".join(f"{line}\r\n" for line in lines).encode()
        return self._heads[key]


def reply_of(answered: Answered) -> Reply:
    """An answer, decompressed. Raises APIConnectionError, or CellError where nobody asked for its encoding."""
    status, headers, content = answered
    encodings = [value for name, value in headers if name.lower() == b"content-encoding"]
    if not encodings:
        return Reply(status, Headers(headers), content)
    left = [(name, value) for name, value in headers if name.lower() != b"content-encoding"]
    try:
        content = decoded(content, b",".join(encodings).decode("latin-1"), strict=200 <= status < 300)
    except BrokenContentError as e:
        raise APIConnectionError from DecodingError(str(e))
    return Reply(status, Headers(left), content)
