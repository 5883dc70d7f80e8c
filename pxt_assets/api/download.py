"""Downloads what an answer of the API points to, instead of holding it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import httpx2

MAX_BYTES = 64 * 2**20
"""Larger than any image that the API makes."""
TIMEOUT_SECONDS = 60.0
MAX_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NO_URL = "the answer links to a result at what is no URL"


async def download(http: httpx2.AsyncClient, url: str, api_host: str) -> bytes:
    """The content of a URL out of an answer of the API, without the key, without redirects.

    Plain HTTP is allowed for `api_host` alone, which may be on the same machine. Raises CellError, whose message does not
    quote the URL: such links are signed.
    """
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise CellError("DownloadError", _NO_URL) from e
    if not parts.hostname:
        raise CellError("DownloadError", _NO_URL)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_same_host(parts.hostname, api_host)):
        msg = f"the answer links to a result at {parts.scheme}://{parts.hostname}, allowed: https"
        raise CellError("DownloadError", msg)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await _fetch(http, url)
        except (_TransientError, TimeoutError) as e:
            if attempt == MAX_ATTEMPTS:
                reason = str(e) or f"no answer within {TIMEOUT_SECONDS:.0f} s"
                msg = f"the result could not be downloaded from {parts.hostname} in {MAX_ATTEMPTS} attempts: {reason}"
                raise CellError("DownloadError", msg) from e
        await asyncio.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
    raise AssertionError


async def download_all(fetch: Callable[[str], Awaitable[bytes]], urls: Sequence[str]) -> list[bytes | None]:
    """The contents of several URLs, None for one that cannot be fetched. Raises CellError if none can."""
    contents: list[bytes | None] = []
    error: CellError | None = None
    for content in await asyncio.gather(*map(fetch, urls), return_exceptions=True):  # none is left running
        if isinstance(content, CellError):
            error = error or content
        elif isinstance(content, BaseException):
            raise content
        contents.append(None if isinstance(content, CellError) else content)
    if error is not None and not any(contents):
        raise error
    return contents


def _is_same_host(host: str | None, api_host: str) -> bool:
    """Whether two names are those of one host; the loopback has several."""
    return host == api_host or (host in _LOOPBACK and api_host in _LOOPBACK)


class _TransientError(Exception):
    """A fault that another attempt may not meet."""


async def _fetch(http: httpx2.AsyncClient, url: str) -> bytes:
    import aiohttp
    import httpx2

    content = bytearray()
    try:
        async with http.stream("GET", url, follow_redirects=False) as response:
            if response.status_code >= 500 or response.status_code in (408, 429):
                raise _TransientError(f"HTTP {response.status_code}")
            if response.status_code != 200:
                msg = f"the result could not be downloaded: HTTP {response.status_code}"
                raise CellError("DownloadError", msg)
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    msg = f"the result that the answer links to is larger than {MAX_BYTES:,} bytes"
                    raise CellError("DownloadError", msg)
    except (httpx2.InvalidURL, aiohttp.InvalidURL) as e:
        raise CellError("DownloadError", _NO_URL) from e
    except (httpx2.HTTPError, aiohttp.ClientError, OSError) as e:  # a timeout among them
        raise _TransientError(type(e).__name__) from e
    return bytes(content)
