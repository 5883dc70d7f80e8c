"""A connection to the server: one request at a time, its answer read as it comes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Callable

from pxt_assets.api.wire.answer_reader import Answered, AnswerReader
from pxt_assets.api.wire.errors import cut, dropped
from pxt_assets.api.wire.malformed import MalformedAnswerError
from pxt_assets.api.wire.tls import Tls

_PIECE_BYTES = 2**16
"""Larger contents are written in such pieces, as the connection takes them."""
_ACKNOWLEDGED_AT = 120
"""Where Linux' `struct tcp_info` counts the bytes that the other end has acknowledged, the connection's opening as one."""


class StaleConnectionError(Exception):
    """A connection on which earlier requests were answered had ended before this one arrived whole."""


class Connection(asyncio.Protocol):
    """Sends a request and gives its answer. `released` is called when it may take another, `lost` when it has ended."""

    def __init__(
        self,
        sock: socket.socket,
        released: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self._released, self._lost = sock, released, lost
        self._transport: asyncio.Transport | None = None
        self._tls: Tls | None = None
        self._shaken: asyncio.Future[None] | None = None
        self._answer: asyncio.Future[Answered] | None = None
        self._room: asyncio.Future[None] | None = None
        """Waits until more may be written."""
        self._reader = AnswerReader()
        self._written = 0
        self._answers = 0
        self._is_sending = False
        self._is_ended = False
        self._is_ended_here = False
        self._answered_at = float("-inf")
        self.dropped_after = float("inf")
        """Seconds from an answer to the end that the other side made."""

    @property
    def is_open(self) -> bool:
        """Whether it can take a request, as far as this side knows."""
        transport = self._transport
        if self._is_ended or transport is None or transport.is_closing():
            return False
        try:
            waiting = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return bool(waiting) and self._tls is not None  # a server's TLS may still send keys of the session

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Encrypts what follows. Raises ssl.SSLError, OSError."""
        self._tls = Tls(context, host)
        self._shaken = self._loop.create_future()
        self._shake_hands(b"")
        await self._shaken

    async def exchange(self, head: bytes, content: bytes) -> Answered:
        """The answer to a request; the connection ends where this is cancelled.

        Raises ApiError, MalformedAnswerError, and StaleConnectionError.
        """
        if not self.is_open:
            self.abort()
            if self._answers:
                raise StaleConnectionError
            raise dropped("Server disconnected", maybe_sent=False)
        answer: asyncio.Future[Answered] = self._loop.create_future()
        self._answer = answer
        try:
            if len(content) <= _PIECE_BYTES:
                self._write(head + content)
            else:
                await self._write_pieces(head, content, answer)
            return await answer
        except BaseException:
            if self._answer is answer:  # else another request may have the connection already
                self.abort()
            raise

    async def _write_pieces(self, head: bytes, content: bytes, answer: asyncio.Future[Answered]) -> None:
        self._is_sending = True
        self._write(head)
        view = memoryview(content)
        for start in range(0, len(content), _PIECE_BYTES):
            if self._room is not None:
                await self._room
            if answer.done():  # such as a refusal of its size
                return
            self._write(view[start : start + _PIECE_BYTES])
        self._is_sending = False

    def abort(self) -> None:
        """Ends it at once."""
        self._is_ended = self._is_ended_here = True
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        self._is_ended = self._is_ended_here = True
        if self._transport is not None:
            self._transport.close()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none of asyncio's

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self._feed(data)
        elif self._shaken is not None and not self._shaken.done():
            self._shake_hands(data)
        else:
            self._decrypt(data)

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        self._lost(self)

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # bytes

    def _write(self, data: bytes | memoryview) -> None:
        if self._tls is not None:
            self._tls.encrypt(data)
            self._flush()
        elif self._transport is not None:
            self._written += len(data)
            self._transport.write(data)

    def _flush(self) -> None:
        if self._tls is not None and self._transport is not None and (data := self._tls.to_send()):
            self._written += len(data)
            self._transport.write(data)

    def _shake_hands(self, data: bytes) -> None:
        assert self._tls is not None
        assert self._shaken is not None
        try:
            done = self._tls.shake_hands(data)
        except ssl.SSLError as e:
            self._flush()  # tells the other side why
            self._close()
            self._shaken.set_exception(e)
            return
        self._flush()
        if done:
            self._shaken.set_result(None)
            self._decrypt(b"")

    def _decrypt(self, data: bytes) -> None:
        assert self._tls is not None
        try:
            for plain in self._tls.decrypted(data):
                self._feed(plain)
        except ssl.SSLError as e:
            self._end(e)
            self.abort()
            return
        self._flush()
        if self._tls.is_closed:
            self._end(None)
            self._close()

    def _feed(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # nobody has asked for it
            return
        try:
            self._reader.feed(data)
        except MalformedAnswerError as e:
            self._fail(cut(f"<BadHttpMessage: 400, message={str(e)!r}>") if e.in_body else e)
            self.abort()
            return
        if self._reader.is_complete:
            self._finish()

    # the end of an answer, or of the connection

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        answered = self._reader.answered
        keeps = self._reader.keeps_connection and not self._is_sending and not self._is_ended
        self._answers += 1
        self._answered_at = self._loop.time()
        self._reader.begin()
        if answer is not None and not answer.done():
            answer.set_result(answered)
        self.resume_writing()
        if keeps:
            self._released(self)
        else:
            self._close()

    def _end(self, error: Exception | None) -> None:
        """The connection has ended: by the other side, because it broke, or from here."""
        if not self._is_ended:
            self.dropped_after = self._loop.time() - self._answered_at
        self._is_ended = True
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error or ConnectionResetError("Connection lost"))
        if self._answer is None:
            return
        if error is None:
            self._reader.end()
            if self._reader.is_complete:
                self._finish()
                return
        self._fail(self._error(error))

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self.resume_writing()

    def _error(self, error: Exception | None) -> Exception:
        if self._reader.has_head:
            return cut(f"{self._reader.missing}. {error!r}" if error else self._reader.missing)
        arrived = self._reader.has_begun or self._may_have_arrived(error)
        if not arrived and self._answers:
            return StaleConnectionError()
        return dropped(str(error or "Server disconnected"), maybe_sent=arrived)

    def _may_have_arrived(self, error: Exception | None) -> bool:
        """Whether the other end may have got the request whole.

        What it has acknowledged is known once it says that it sends no more: what it had received until then is
        acknowledged with that. A reset may come before the acknowledgement, and proves nothing; nor does an end from here.
        """
        if self._is_ended_here:
            return True
        if not sys.platform.startswith("linux") or not (error is None or isinstance(error, BrokenPipeError)):
            return True
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED_AT + 8)
            (acknowledged,) = struct.unpack_from("=Q", info, _ACKNOWLEDGED_AT)
        except (OSError, struct.error):
            return True
        return bool(acknowledged - 1 >= self._written and not self._is_sending)
