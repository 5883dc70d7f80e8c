"""The compression of answers: one that ends too early is a broken connection, one that nobody asked for an error."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import httpx2

_COMPRESSIONS = ("gzip", "x-gzip", "deflate")
_PACKAGES = {"br": "brotli", "zstd": "zstandard"}
"""What the HTTP client needs to ask for an encoding and to decode it; gzip and deflate need nothing."""
_GZIP_START = b"\x1f\x8b"
_JSON_STARTS = (b"{", b"[")
_ZLIB_METHOD = 8
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15


class BrokenContentError(Exception):
    """What came is not whole, or not what it says that it is."""


def decoded(content: bytes, encodings: str, *, strict: bool) -> bytes:
    """An answer's content, without the encodings that its header names, one within the other.

    Raises BrokenContentError where `strict`, which only errors are not, whose first words are enough; and CellError there
    for an encoding that was not asked for and cannot be decoded. One that is no encoding at all is passed over, and so is
    one that a proxy has decoded and left in a header with others: what is JSON without it.
    """
    names, missing = [one.strip().lower() for one in encodings.split(",")], ""
    for encoding in reversed(names):
        if encoding in _PACKAGES:
            missing = encoding
        elif encoding in _COMPRESSIONS and (not missing or content.startswith(_GZIP_START)):
            decoder, size = _Decoder(encoding), len(content)
            content = decoder.decode(content, strict=strict)
            if strict and size and not decoder.is_complete:
                raise BrokenContentError(_cut_text(encoding, size))
    if missing and (len(names) == 1 or content[:1] not in _JSON_STARTS):
        if strict:
            raise CellError("UndecodableAnswer", _undecodable_text(missing))
        return _undecodable_text(missing).encode()
    return content


async def check_encoding(response: httpx2.Response) -> None:
    """Replaces the decoding of a gzip or deflate answer by one that sees its end; for the client's response hook.

    Reading an answer that ends before its compression does raises httpx2.DecodingError, unless it is an error, whose
    first words are enough. A body that is not compressed at all, as proxies send it that decode and leave the header, is
    read as it is. Raises CellError for an answer in an encoding that was not asked for and cannot be decoded.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in _COMPRESSIONS:
        response.stream = _decoded_stream(response.stream, encoding, strict=response.is_success)
        del response.headers["content-encoding"]
    elif encoding in _PACKAGES and encoding not in response.request.headers.get("accept-encoding", ""):
        msg = _undecodable_text(encoding)
        if response.is_success:
            await response.aclose()
            raise CellError("UndecodableAnswer", msg)
        response.stream = _text_stream(response.stream, msg)
        del response.headers["content-encoding"]


def _undecodable_text(encoding: str) -> str:
    return (
        f"the server answered in the encoding {encoding!r}, which was not asked for and cannot be decoded; install the "
        f"package {_PACKAGES[encoding]}, or have the server or its proxy heed Accept-Encoding"
    )


def _cut_text(encoding: str, size: int) -> str:
    return f"the answer was cut: its {encoding} ends early, after {size:,} bytes"


def _decoded_stream(stream: Any, encoding: str, *, strict: bool) -> httpx2.AsyncByteStream:
    import httpx2

    async def chunks() -> AsyncIterator[bytes]:
        decoder = _Decoder(encoding)
        size = 0
        async for chunk in stream:
            size += len(chunk)
            try:
                yield decoder.decode(chunk, strict=strict)
            except BrokenContentError as e:
                raise httpx2.DecodingError(str(e)) from e
        if strict and size and not decoder.is_complete:
            raise httpx2.DecodingError(_cut_text(encoding, size))

    return _wrapped(stream, chunks())


def _text_stream(stream: Any, text: str) -> httpx2.AsyncByteStream:
    async def chunks() -> AsyncIterator[bytes]:
        yield text.encode()

    return _wrapped(stream, chunks())


def _wrapped(stream: Any, chunks: AsyncIterator[bytes]) -> httpx2.AsyncByteStream:
    """A stream of `chunks`, closed with the one that they come from."""
    import httpx2

    class Decoded(httpx2.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return chunks

        async def aclose(self) -> None:
            await stream.aclose()

    return Decoded()


class _Decoder:
    """Decodes what comes in pieces, and knows whether it came whole."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._inner: Any = None
        self._start = b""
        self._is_plain = False

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data has ended."""
        return self._is_plain or (self._inner is not None and self._inner.eof)

    def decode(self, chunk: bytes, *, strict: bool) -> bytes:
        """The decoded bytes. Raises BrokenContentError for a broken piece where `strict`."""
        if self._inner is None and not self._is_plain:
            self._start += chunk
            if len(self._start) < len(_GZIP_START):
                return b""
            chunk, self._start = self._start, b""
            window = self._window(chunk)
            self._is_plain = window is None
            self._inner = None if window is None else zlib.decompressobj(window)
        if self._is_plain:
            return chunk
        try:
            content: bytes = self._inner.decompress(chunk)
            while self._inner.eof and self._inner.unused_data.startswith(_GZIP_START):  # another member
                rest, self._inner = self._inner.unused_data, zlib.decompressobj(_GZIP_WINDOW)
                content += self._inner.decompress(rest)
        except zlib.error as e:
            if strict:
                raise BrokenContentError(f"the answer's {self._encoding} is broken: {e}") from e
            return b""
        return content

    def _window(self, start: bytes) -> int | None:
        """zlib's window for the data that begins so; None where it is not compressed."""
        if start.startswith(_GZIP_START):
            return _GZIP_WINDOW
        if self._encoding != "deflate" or start[:1] in _JSON_STARTS:
            return None
        is_zlib = start[0] & 15 == _ZLIB_METHOD and int.from_bytes(start[:2]) % 31 == 0
        return _ZLIB_WINDOW if is_zlib else _RAW_WINDOW  # servers send either as deflate
