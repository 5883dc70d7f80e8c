"""Reads answers of HTTP/1.1 as they come in pieces, one after the other."""

from __future__ import annotations

from typing import NamedTuple

import httptools

_MOST_HEADERS = 128
_LONGEST_HEADER = 8_190
_NO_CONTENT = (204, 304)
_SWITCHING = 101


class Answered(NamedTuple):
    """An answer as it came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


class MalformedAnswerError(Exception):
    """What came is no HTTP; the message says where it is not."""


class AnswerReader:
    """Is fed with what comes, until an answer `is_complete`; `begin` makes it ready for the next."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self.begin()

    def begin(self) -> None:
        """Forgets the answer that was read."""
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self.has_begun = False
        """Whether anything has come."""
        self.has_head = False
        """Whether the headers have come whole."""
        self.is_complete = False
        self.keeps_connection = False
        """Whether the connection may be used again after the answer."""

    def feed(self, data: bytes) -> None:
        """Reads on. Raises MalformedAnswerError."""
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            self.keeps_connection = False
            self.is_complete = self.is_complete or self._status == _SWITCHING
            if not self.is_complete:
                raise MalformedAnswerError(str(e.__context__ or e)) from None

    def end(self) -> None:
        """The connection has ended, which may be the answer's end too."""
        is_chunked = b"chunked" in self._field(b"transfer-encoding")
        has_end = is_chunked or bool(self._field(b"content-length")) or self._status in _NO_CONTENT
        self.keeps_connection = False
        self.is_complete = self.has_head and not has_end

    @property
    def answered(self) -> Answered:
        """The answer."""
        content = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Answered(self._status, self._headers, content)

    @property
    def missing(self) -> str:
        """What lacks of an answer whose connection has ended."""
        length = self._field(b"content-length")
        if not length:
            return (
                "<TransferEncodingError: 400, message='Not enough data to satisfy transfer length header.'>"
            )
        got = sum(map(len, self._body))
        return (
            "<ContentLengthError: 400, message='Not enough data to satisfy content length header "
            f"(received {got} of {length.decode('latin-1')} bytes).'>"
        )

    def _field(self, name: bytes) -> bytes:
        return b",".join(value for found, value in self._headers if found.lower() == name).lower()

    # what the parser calls

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.keeps_connection = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:  # what comes after the body is of no use
            return
        if len(self._headers) >= _MOST_HEADERS:
            msg = "Too many headers received"
            raise ValueError(msg)
        if len(value) > _LONGEST_HEADER:
            msg = f"Got more than {_LONGEST_HEADER} bytes when reading: {value[:100]!r}..."
            raise ValueError(msg)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.is_complete:
            self._status = self._parser.get_status_code()
            self.has_head = self._status >= 200

    def on_body(self, body: bytes) -> None:
        if not self.is_complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.is_complete:
            return
        if not self.has_head:  # a word before the answer
            self._headers = []
            return
        self.keeps_connection = self._parser.should_keep_alive()
        self.is_complete = True
