"""Reads answers of HTTP/1.1 as they come in pieces, one after the other."""

from __future__ import annotations

from typing import NamedTuple

import httptools

from pxt_assets.api.wire.malformed import MalformedAnswerError, response_parser, too_long, words

_MOST_HEADERS = 128
"""Those after the body among them."""
_LONGEST_LINE = 8_190
_MOST_SILENT = 2 * _LONGEST_LINE
"""Bytes of which the parser says nothing are parts of one line that does not end, or lines without meaning."""
_NO_CONTENT = (204, 304)
_SWITCHING = 101


class Answered(NamedTuple):
    """An answer as it came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


class AnswerReader:
    """Is fed with what comes, until an answer `is_complete`; `begin` makes it ready for the next."""

    def __init__(self) -> None:
        self._parser = response_parser(self)
        self._silent = 0
        self.begin()

    def begin(self) -> None:
        """Forgets the answer that was read."""
        self._status = 0
        self._reason_bytes = self._trailers = 0
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
        is_first, in_body = not self.has_begun, self.has_head
        self.has_begun = True
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # what follows is of another protocol
            self.is_complete, self.keeps_connection = True, False
        except httptools.HttpParserError as e:
            self.keeps_connection = False
            if not self.is_complete:
                reason = str(e.__context__ or (words(str(e), data) if is_first else e))
                raise MalformedAnswerError(reason, in_body=in_body) from None
        if self._silent > _MOST_SILENT and not self.is_complete:
            raise MalformedAnswerError(too_long(data, _LONGEST_LINE), in_body=in_body)

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
        self._silent = 0
        if self.is_complete:
            self.keeps_connection = False  # more than was asked for

    def on_status(self, reason: bytes) -> None:
        self._silent = 0
        self._reason_bytes += len(reason)
        if self._reason_bytes > _LONGEST_LINE and not self.is_complete:
            raise ValueError(too_long(reason, _LONGEST_LINE))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent = 0
        if self.is_complete:
            return
        if len(self._headers) + self._trailers >= _MOST_HEADERS:
            msg = "Too many headers received"
            raise ValueError(msg)
        if len(name) + len(value) > _LONGEST_LINE:
            raise ValueError(too_long(name if len(name) > _LONGEST_LINE else value, _LONGEST_LINE))
        if b"\0" in value:
            msg = f"Invalid HTTP header: {value!r}"
            raise ValueError(msg)
        if self.has_head:  # what comes after the body is of no use
            self._trailers += 1
        else:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if not self.is_complete:
            self._status = self._parser.get_status_code()
            self.has_head = not 100 <= self._status < 200 or self._status == _SWITCHING

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        if not self.is_complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.is_complete:
            return
        if not self.has_head:  # a word before the answer
            self._headers, self._reason_bytes = [], 0
            return
        self.keeps_connection = self._parser.should_keep_alive()
        self.is_complete = True
