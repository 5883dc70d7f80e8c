"""The transport: sends one attempt of a request, JSON over the wire, all else by the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pxt_assets.api.official_client import OfficialClient, official_client
from pxt_assets.api.request import Request
from pxt_assets.api.wire import (
    ApiAccount,
    ApiUrl,
    HttpWire,
    Reply,
    Wire,
    api_account,
    is_direct,
    status_error,
)

if TYPE_CHECKING:
    import httpx2
    import openai

_LARGE_BYTES = 2**20


class Transport:
    """Sends requests in the name of `account`; over `wire`, where there is one, or else by `official`."""

    def __init__(self, account: ApiAccount, wire: Wire | None, official: OfficialClient) -> None:
        self._account, self._wire, self._official = account, wire, official
        self._is_redirected = False

    @property
    def base_url(self) -> ApiUrl:
        """The base URL of the API."""
        return self._account.base_url

    @property
    def headers(self) -> Mapping[str, str]:
        """What is sent with each request, the key among it."""
        return self._account.headers

    @property
    def official(self) -> Callable[[], openai.AsyncOpenAI]:
        """Gives the official client, for what has no request: files, lists."""
        return self._official.make

    async def post(self, request: Request) -> Reply | httpx2.Response:
        """The answer's headers and bytes, unparsed.

        Raises ApiError, or openai.APIError, for any that is no success, CellError for one that cannot be decoded.
        """
        if request.endpoint.uploads:
            return await self._official.post(request, None)
        payload = await _payload(request)
        if self._wire is None or self._is_redirected:
            return await self._official.post(request, payload)
        target = self._account.target(request.endpoint.path, request.model)
        reply = await self._wire.send(target, payload)
        if reply.is_redirect:  # which takes the key no further than the official client would
            self._is_redirected = True
            return await self._official.post(request, payload)
        if not reply.is_success:
            raise status_error(reply)
        return reply

    async def get(self, path: str) -> Reply | httpx2.Response:
        """The answer to a GET of a path below the base URL. Raises as `post`."""
        if self._wire is None or self._is_redirected:
            return await self._official.get(path)
        reply = await self._wire.send(self._account.target(path), None)
        if reply.is_redirect:
            return await self._official.get(path)
        if not reply.is_success:
            raise status_error(reply)
        return reply

    async def download(self, url: str) -> bytes:
        """The content that an answer links to. Raises CellError."""
        return await self._official.download(url)

    async def close(self) -> None:
        """Closes all connections."""
        if self._wire is not None:
            await self._wire.close()
        await self._official.close()


def transport(
    url: str,
    api_key: str,
    organization: str | None,
    project: str | None,
    api_version: str | None,
    *,
    timeout: float,
    most: int,
) -> Transport:
    """The transport to the API at `url`, for the running event loop: `timeout` in seconds, up to `most` connections."""
    account = api_account(url, api_key, organization, project, api_version, timeout)
    official = OfficialClient(
        lambda: official_client(url, api_key, organization, project, api_version, timeout, most),
        account.base_url.host,
    )
    if not is_direct(account):
        official.make()
        return Transport(account, None, official)
    return Transport(account, HttpWire(account, timeout, most), official)


async def _payload(request: Request) -> bytes:
    """What is sent; that of large images is made in a thread, since the event loop would wait for it."""
    if request.memory_bytes < _LARGE_BYTES:
        return request.payload
    return await asyncio.to_thread(lambda: request.payload)
