"""The transport: sends one attempt of a request with the official client's connections, key, headers and errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pxt_assets.api.download import download
from pxt_assets.api.multipart import form_of
from pxt_assets.api.request import Request
from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import httpx2
    import openai

_LARGE_BYTES = 2**20


class Transport:
    """Sends requests with the key and headers of `api`, over `http`, the HTTP client of `api`.

    JSON goes straight to `http`: the typed calls of `api` take twice the time, most of it for headers that are always
    the same. Forms, and Azure, whose URLs depend on the model, go through `api`.
    """

    def __init__(self, api: openai.AsyncOpenAI, http: httpx2.AsyncClient) -> None:
        import openai

        self._api = api
        self._http = http
        self._urls: dict[str, httpx2.URL] = {}
        self._is_azure = isinstance(api, openai.AsyncAzureOpenAI)

    @property
    def base_url(self) -> httpx2.URL:
        """The base URL of the API."""
        return self._api.base_url

    async def post(self, request: Request) -> httpx2.Response:
        """The answer's headers and bytes, unparsed.

        Raises openai.APIError for any that is no success, CellError for one that cannot be decoded.
        """
        import openai

        try:
            return await self._post(request)
        except openai.APIConnectionError as e:
            if isinstance(e.__cause__, CellError):  # the typed calls wrap whatever comes up in the connection
                raise e.__cause__ from e.__cause__.__cause__
            raise

    async def _post(self, request: Request) -> httpx2.Response:
        import httpx2

        path = request.endpoint.path
        if request.endpoint.uploads:
            fields, files = form_of(request)
            return await self._api.post(
                path,
                body=fields,
                files=files,
                options={"headers": {"Content-Type": "multipart/form-data"}},
                cast_to=httpx2.Response,
            )
        if self._is_azure:
            return await self._api.post(
                path, body=json.loads(await _payload(request)), cast_to=httpx2.Response
            )
        return await self._send(path, await _payload(request))

    async def get(self, path: str) -> httpx2.Response:
        """The answer to a GET of a path below the base URL."""
        import httpx2

        return await self._api.get(path, cast_to=httpx2.Response)

    async def download(self, url: str) -> bytes:
        """The content that an answer links to. Raises CellError."""
        return await download(self._http, url, self.base_url.host)

    async def _send(self, path: str, content: bytes) -> httpx2.Response:
        import httpx2
        import openai

        if path not in self._urls:
            self._urls[path] = httpx2.URL(f"{str(self.base_url).rstrip('/')}{path}")
        request = httpx2.Request(
            "POST", self._urls[path], headers=self._headers, content=content, extensions=self._extensions
        )
        try:
            response = await self._http.send(request)
        except httpx2.TimeoutException as e:
            raise openai.APITimeoutError(request=request) from e
        except httpx2.HTTPError as e:
            raise openai.APIConnectionError(request=request) from e
        if not response.is_success:
            raise _status_error(response)
        return response

    @cached_property
    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = {**self._api.default_headers, **self._api.auth_headers}
        return [(name.encode(), value.encode()) for name, value in headers.items() if isinstance(value, str)]

    @cached_property
    def _extensions(self) -> dict[str, Any]:
        return {"timeout": self._http.timeout.as_dict()}


async def _payload(request: Request) -> bytes:
    """What is sent; that of large images is made in a thread, since the event loop would wait for it."""
    if request.memory_bytes < _LARGE_BYTES:
        return request.payload
    return await asyncio.to_thread(lambda: request.payload)


def _status_error(response: httpx2.Response) -> openai.APIStatusError:
    """The client's own error for an answer that is no success."""
    import openai

    classes: dict[int, type[openai.APIStatusError]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
    }
    status = response.status_code
    default = openai.InternalServerError if status >= 500 else openai.APIStatusError
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, Mapping):
        body = body.get("error", body)
    return classes.get(status, default)(f"Error code: {status}", response=response, body=body)
