"""The lines of a remote file, streamed: whole ones alone, each once, however often the download breaks off."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pxt_assets.api.batches.calls import Calls, NotFoundError, UnreadableAnswerError
from pxt_assets.api.batches.protocols import UnknownFileError

if TYPE_CHECKING:
    import httpx2
    import openai

_CHUNK_BYTES = 2**18
_PARTIAL, _BAD_RANGE = 206, 416

_log = logging.getLogger("pxt_assets")


async def file_lines(calls: Calls, file_id: str) -> AsyncIterator[list[bytes]]:
    """The lines of a file of the API, in groups, without line breaks and blank lines.

    A download that breaks off goes on where it was, by a Range, or begins again where the server knows none: what was
    given before is left out then. Raises UnknownFileError, and as `Calls.run`.
    """
    reader = _Reader(calls, file_id)
    try:
        while not reader.is_done:
            lines = await calls.run(f"give the file {file_id}", reader.read)
            if lines:
                yield lines
    except NotFoundError as e:
        raise UnknownFileError(str(e)) from e
    finally:
        await reader.close()


class _Reader:
    """Reads a file in pieces. `read` may be called again after any error."""

    def __init__(self, calls: Calls, file_id: str) -> None:
        self._calls, self._file_id = calls, file_id
        self._open: Any = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._given = 0
        """Bytes of the file that are in lines that were given, or before them."""
        self._skip = 0
        """Bytes that come again, and are left out."""
        self._rest: list[bytes] = []
        """The beginning of a line, in pieces."""
        self._received = 0
        self._size: int | None = None
        self._cut_at: int | None = None
        self._odd_start: bytes | None = None
        """The first line, as it came before, where it is none of JSON Lines."""
        self._is_stated = False
        """Whether what comes is as long as the file's description says."""
        self.is_done = False

    async def read(self, client: openai.AsyncOpenAI) -> list[bytes]:
        """The next lines; with none, `is_done` says whether it was the end."""
        try:
            if self._chunks is None:
                await self._begin(client)
            assert self._chunks is not None
            async for chunk in self._chunks:
                lines = self._lines_of(chunk)
                if lines:
                    return lines
            return await self._end(client)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the download."""
        opened, self._open, self._chunks = self._open, None, None
        self._rest = []
        if opened is not None:
            await opened.__aexit__(None, None, None)

    async def _begin(self, client: openai.AsyncOpenAI) -> None:
        headers = {"Accept-Encoding": "identity"}  # a Range of a compressed answer is one of other bytes
        if self._given:
            headers["Range"] = f"bytes={self._given}-"
        content = client.files.with_streaming_response.content
        opened = content(self._file_id, extra_headers=headers)
        try:
            response = await opened.__aenter__()
        except Exception as e:
            if getattr(e, "status_code", None) == _BAD_RANGE:
                msg = "the file is shorter than it was"
                raise UnreadableAnswerError(msg) from e
            raise
        self._open = opened
        start = _start(response.headers) if response.status_code == _PARTIAL else 0
        if start is None or start > self._given:
            msg = "the server gave another part of the file than it was asked for"
            raise UnreadableAnswerError(msg)
        self._skip = self._given - start
        self._received = start
        length = _length(response.headers)
        self._size = None if length is None else start + length
        self._chunks = response.iter_bytes(_CHUNK_BYTES)
        if self._odd_start is not None and self._size is not None:
            self._is_stated = self._size == await self._stated_size(client)

    def _lines_of(self, chunk: bytes) -> list[bytes]:
        self._received += len(chunk)
        if self._skip:
            left_out = min(self._skip, len(chunk))
            self._skip -= left_out
            chunk = chunk[left_out:]
        *whole, rest = chunk.split(b"\n")
        if not whole:
            self._rest += [rest] if rest else []
            return []
        whole[0] = b"".join([*self._rest, whole[0]])
        self._check_start(whole[0], whole[1:])
        self._rest = [rest] if rest else []
        self._given += sum(map(len, whole)) + len(whole)
        return _stripped(whole)

    def _check_start(self, first: bytes, others: Sequence[bytes] = ()) -> None:
        """Raises UnreadableAnswerError where the file begins as none of lines does: it may be a page of some proxy.

        What begins so a second time is the file as it is, if it is as long as its description says, or other lines follow.
        """
        text = first.lstrip(b"\xef\xbb\xbf \t\r\n")
        if self._given == 0 and text and not text.startswith(b"{"):
            before, self._odd_start = self._odd_start, first
            if first == before and (self._is_stated or any(map(_is_answer, others))):
                return
            msg = f"the file is no JSON Lines: {text[:200].decode(errors='replace')}"
            raise UnreadableAnswerError(msg)

    async def _end(self, client: openai.AsyncOpenAI) -> list[bytes]:
        """The last line, if the file ends without a line break. Raises UnreadableAnswerError where it is not the end."""
        rest = b"".join(self._rest)
        size = self._size
        if size is None:
            size = await self._stated_size(client)
        if size is not None and self._received < size:
            msg = f"the download ended after {self._received:,} of {size:,} bytes"
            raise UnreadableAnswerError(msg)
        self._check_start(rest)
        if rest.strip() and not _is_json(rest):
            if self._cut_at != self._received:
                self._cut_at = self._received
                msg = f"the download ended within a line, after {self._received:,} bytes"
                raise UnreadableAnswerError(msg)
            _log.warning("The file %s of the API ends within a line, which is left out.", self._file_id)
            rest = b""
        self.is_done = True
        await self.close()
        return _stripped([rest])

    async def _stated_size(self, client: openai.AsyncOpenAI) -> int | None:
        """The bytes that the file has by its description; None where the server does not say."""
        import httpx2

        try:
            response = await client.get(f"/files/{quote(self._file_id, safe='')}", cast_to=httpx2.Response)
            said = response.json()
        except Exception:  # then what came is all that is known
            return None
        size = said.get("bytes") if isinstance(said, Mapping) else None
        return size if isinstance(size, int) and size > 0 else None


def _stripped(lines: list[bytes]) -> list[bytes]:
    stripped = [line.rstrip(b"\r") for line in lines]
    return [line for line in stripped if line and not line.isspace()]


def _is_answer(line: bytes) -> bool:
    """Whether a line is one of a batch's files."""
    try:
        return "custom_id" in json.loads(line)
    except (TypeError, ValueError, RecursionError):
        return False


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _start(headers: httpx2.Headers) -> int | None:
    """The first byte that a partial answer holds: `Content-Range: bytes 100-199/200`."""
    first = headers.get("content-range", "").removeprefix("bytes").strip().partition("-")[0]
    return int(first) if first.isdigit() else None


def _length(headers: httpx2.Headers) -> int | None:
    """The bytes that follow; None where that is not said, or they are compressed."""
    length = headers.get("content-length", "")
    return int(length) if length.isdigit() and not headers.get("content-encoding") else None
