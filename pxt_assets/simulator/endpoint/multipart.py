"""Bodies of multipart/form-data, read in memory and in one pass."""

from collections.abc import AsyncGenerator
from hashlib import blake2b
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pxt_assets.simulator.endpoint.endpoint import Upload
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request, content_too_large

MAX_BYTES = 200 * 1024 * 1024
"""The largest body that is read."""


async def read_form(request: Request) -> dict[str, Any]:
    """The fields of a form: a text field is its string, a file an `Upload`.

    A field named `name[]`, or one that is repeated, is a list at `name`. Raises a 400 `SimulatedError` for a
    form that is broken or cut off, a 413 for one of more than `MAX_BYTES`.
    """
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > MAX_BYTES:
        raise content_too_large(MAX_BYTES)
    parser = _Parser(request.headers, request.stream())
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise _broken_form_error(exc.message) from None
    except FormParserError as exc:
        raise _broken_form_error(f"{exc}.") from None
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
    """Starlette's parser, which closes its files on any error, without temporary files and with two more errors.

    Raises a 413 for more than `MAX_BYTES`, and a 400 for a form that ends too early.
    """

    spool_max_size = MAX_BYTES

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers, self._limit_size(stream))
        self._complete = False

    def on_end(self) -> None:
        self._complete = True

    async def _limit_size(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > MAX_BYTES:
                raise content_too_large(MAX_BYTES)
            yield chunk
        if not self._complete:
            raise _broken_form_error("It ends before its closing boundary.")


async def _read_file(file: UploadFile) -> Upload:
    return Upload(file.filename or "", file.content_type or "", await file.read())


def _broken_form_error(reason: str) -> SimulatedError:
    return bad_request(f"We could not parse the multipart form of your request. {reason}")
