"""The official client, made when it is first needed: forms, downloads, and what the wire does not send itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pxt_assets.api.download import download
from pxt_assets.api.multipart import form_of
from pxt_assets.api.request import Request
from pxt_assets.api.wire import status_error
from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import httpx2
    import openai


def official_client(
    url: str,
    api_key: str,
    organization: str | None,
    project: str | None,
    api_version: str | None,
    timeout: float,
    most: int,
) -> openai.AsyncOpenAI:
    """The official client, Azure's where there is an `api_version`; it retries nothing by itself."""
    import openai

    from pxt_assets.api.http_client import http_client, http_timeout

    common: dict[str, Any] = {
        "api_key": api_key,
        "base_url": url,
        "organization": organization,
        "max_retries": 0,
        "timeout": http_timeout(timeout),
        "http_client": http_client(timeout, most),
    }
    if api_version is not None:
        return openai.AsyncAzureOpenAI(api_version=api_version, **common)
    return openai.AsyncOpenAI(project=project, **common)


class OfficialClient:
    """Sends by the client that `make` makes, whose import takes a second; `host` is the API's."""

    def __init__(self, make: Callable[[], openai.AsyncOpenAI], host: str) -> None:
        self._make, self._host = make, host
        self._made: openai.AsyncOpenAI | None = None

    def make(self) -> openai.AsyncOpenAI:
        """The client, made where it was not yet."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def _api(self) -> openai.AsyncOpenAI:
        return self.make()

    async def close(self) -> None:
        """Closes it, if it was made."""
        if self._made is not None:
            await self._made.close()

    async def post(self, request: Request, payload: bytes | None) -> httpx2.Response:
        """The answer to a form, or to `payload` as JSON.

        Raises openai.APIError, or APIStatusError of the wire; CellError for what cannot be decoded.
        """
        import openai

        try:
            return await (self._form(request) if payload is None else self._json(request, payload))
        except openai.APIConnectionError as e:
            if isinstance(e.__cause__, CellError):  # the typed calls wrap whatever comes up in the connection
                raise e.__cause__ from e.__cause__.__cause__
            raise

    async def _form(self, request: Request) -> httpx2.Response:
        import httpx2

        fields, files = form_of(request)
        return await self._api.post(
            request.endpoint.path,
            body=fields,
            files=files,
            options={"headers": {"Content-Type": "multipart/form-data"}},
            cast_to=httpx2.Response,
        )

    async def _json(self, request: Request, payload: bytes) -> httpx2.Response:
        """The bytes as they are, with the resource's key; the typed calls, which take twice the time, are for Azure's URLs."""
        import httpx2
        import openai

        path = request.endpoint.path
        if isinstance(self._api, openai.AsyncAzureOpenAI):
            body: Any = json.loads(payload)
            return await self._api.post(path, body=body, cast_to=httpx2.Response)
        url = f"{str(self._api.base_url).rstrip('/')}{path}"
        sent = httpx2.Request(
            "POST", url, headers=self._headers, content=payload, extensions=self._extensions
        )
        try:
            response = await self._api._client.send(sent)
        except httpx2.TimeoutException as e:
            raise openai.APITimeoutError(request=sent) from e
        except httpx2.HTTPError as e:
            raise openai.APIConnectionError(request=sent) from e
        if not response.is_success:
            raise status_error(response)
        return response

    @cached_property
    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = {**self._api.default_headers, **self._api.auth_headers}
        return [(name.encode(), value.encode()) for name, value in headers.items() if isinstance(value, str)]

    @cached_property
    def _extensions(self) -> dict[str, Any]:
        return {"timeout": self._api._client.timeout.as_dict()}

    async def get(self, path: str) -> httpx2.Response:
        """The answer to a GET of a path below the base URL."""
        import httpx2

        return await self._api.get(path, cast_to=httpx2.Response)

    async def download(self, url: str) -> bytes:
        """The content that an answer links to. Raises CellError."""
        return await download(self._api._client, url, self._host)
