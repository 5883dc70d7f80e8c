"""Reading an answer that came with status 200: its values, or the failure that it tells of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from pxt_assets.api.download import download_all
from pxt_assets.api.failure import Failure
from pxt_assets.api.inner_failure import failure_in, quoted_object, unreadable_answer
from pxt_assets.api.request import ParsedAnswer, Request
from pxt_assets.errors import CellError


def parse_answer(
    request: Request, body: bytes, headers: Mapping[str, str], secrets: tuple[str, ...]
) -> ParsedAnswer | Failure:
    """The values of an answer, or the failure that came in their place: an error, a page, nothing.

    Raises CellError for an answer that is neither.
    """
    path = request.endpoint.path
    try:
        return request.endpoint.parse(body, request.body)
    except (ValueError, RecursionError, CellError) as e:  # any other error is a fault of this program
        failure = failure_in(body, headers, secrets) or unreadable_answer(body, path, headers, secrets)
        if isinstance(e, CellError) and (failure is None or failure.name == "InvalidAnswer"):
            raise  # the endpoint knows more of it
        if failure is not None:
            return failure
        msg = f"{path} answered with something else than documented: {e}{quoted_object(body, secrets)}"
        raise CellError("InvalidAnswer", msg, headers.get("x-request-id"), divisible=True) from e


async def download_rest(
    download: Callable[[str], Awaitable[bytes]],
    request: Request,
    parsed: ParsedAnswer,
    request_id: str | None,
) -> tuple[ParsedAnswer, int]:
    """The answer with what it links to, and the bytes of that. It is paid for already, so only the downloads are tried again."""
    assert parsed.values_with_downloads is not None
    contents = await download_all(download, parsed.urls)
    try:
        values = parsed.values_with_downloads(contents)
    except ValueError as e:
        msg = f"{request.endpoint.path} links to something else than documented: {e}"
        raise CellError("InvalidAnswer", msg, request_id) from e
    return replace(parsed, values=values), sum(len(content or b"") for content in contents)
