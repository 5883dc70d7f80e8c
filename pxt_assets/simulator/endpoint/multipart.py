"""Bodies of multipart/form-data, read in one pass: in memory, or with large files on disk."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pxt_assets.simulator.endpoint.endpoint import Upload
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request, content_too_large

MAX_BYTES = 200 * 1024 * 1024
"""The largest body that is read into memory."""
_IN_MEMORY_BYTES = 1024 * 1024


async def read_form(request: Request) -> dict[str, Any]:
    """The fields of a form: a text field is its string, a file an `Upload`.

    A field named `name[]`, or one that is repeated, is a list at `name`. Raises a 400 `SimulatedError` for a
    form that is broken or cut off, a 413 for one of more than `MAX_BYTES`.
    """
    form = await _parse(request, MAX_BYTES, MAX_BYTES)
    try:
        fields: dict[str, list[str | Upload]] = {}
        lists = set()
        for field, value in form.multi_items():
            name = field.removesuffix("[]")
            if name in fields or name != field:
                lists.add(name)
            field_value = await _read_file(value) if isinstance(value, UploadFile) else value
            fields.setdefault(name, []).append(field_value)
    finally:
        await form.close()
    return {name: values if name in lists else values[0] for name, values in fields.items()}


@asynccontextmanager
async def open_form(request: Request, max_bytes: int) -> AsyncIterator[dict[str, str | UploadFile]]:
    """The fields of a form with large files, which lie on disk and are gone after the block.

    Raises a 400 `SimulatedError` for a form that is broken or cut off, a 413 for one of more than `max_bytes`.
    """
    form = await _parse(request, max_bytes, _IN_MEMORY_BYTES)
    try:
        yield dict(form.multi_items())
    finally:
        await form.close()


async def _parse(request: Request, max_bytes: int, in_memory_bytes: int) -> FormData:
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > max_bytes:
        raise content_too_large(max_bytes)
    parser = _Parser(request.headers, request.stream(), max_bytes, in_memory_bytes)
    try:
        return await parser.parse()
    except MultiPartException as exc:
        raise _broken_form_error(exc.message) from None
    except FormParserError as exc:
        raise _broken_form_error(f"{exc}.") from None


def digest_of_form(form: dict[str, Any]) -> bytes:
    """The digest of a form: of its fields and the contents of its files, whatever their order and the boundary."""
    digest = blake2b(digest_size=32)
    for name, value in sorted(form.items()):
        values = value if isinstance(value, list) else [value]
        for each in values:
            content = each.content if isinstance(each, Upload) else each.encode("utf-8", "surrogatepass")
            kind = b"file" if isinstance(each, Upload) else b"text"
            encoded_name = name.encode("utf-8", "surrogatepass")
            digest.update(b"%d %b %b %d " % (len(encoded_name), encoded_name, kind, len(content)))
            digest.update(content)
    return digest.digest()


class _Parser(MultiPartParser):
    """Starlette's parser, which closes its files on any error, with two more errors.

    Raises a 413 for more than `max_bytes`, and a 400 for a form that ends too early. A file of up to `in_memory_bytes` is
    kept in memory.
    """

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        max_bytes: int,
        in_memory_bytes: int,
    ) -> None:
        super().__init__(headers, self._limit_size(stream))
        self.spool_max_size = in_memory_bytes
        self._max_bytes = max_bytes
        self._complete = False

    def on_end(self) -> None:
        self._complete = True

    async def _limit_size(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > self._max_bytes:
                raise content_too_large(self._max_bytes)
            yield chunk
        if not self._complete:
            raise _broken_form_error("It ends before its closing boundary.")


async def _read_file(file: UploadFile) -> Upload:
    return Upload(file.filename or "", file.content_type or "", await file.read())


def _broken_form_error(reason: str) -> SimulatedError:
    return bad_request(f"We could not parse the multipart form of your request. {reason}")
