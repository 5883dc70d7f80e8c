"""What the wire raises. The classes have the official client's names and words: a row's error type is such a name.

ApiError
├─ APIStatusError: an answer that is no success; BadRequestError, RateLimitError, ... by its status
├─ APIConnectionError: no whole answer came
│  └─ APITimeoutError: none came at all
└─ ClientResponseError: what came is no HTTP
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pxt_assets.api.wire.reply import Reply

if TYPE_CHECKING:
    import httpx2

NOT_SENT = "no connection was there yet: nothing was sent"
"""The note of a CancelledError that met a request which still waited for a connection."""


class ApiError(Exception):
    """A request that was not answered with a result. `maybe_sent` is whether it may have reached the server."""

    def __init__(self, message: str, *, maybe_sent: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.maybe_sent = maybe_sent


class APIConnectionError(ApiError):
    """No whole answer came; `__cause__` says why."""

    def __init__(self, message: str = "Connection error.", *, maybe_sent: bool = True) -> None:
        super().__init__(message, maybe_sent=maybe_sent)


class APITimeoutError(APIConnectionError):
    """No connection was made, or it ended without an answer: the official client's word for both."""

    def __init__(self, *, maybe_sent: bool = True) -> None:
        super().__init__("Request timed out.", maybe_sent=maybe_sent)


class ClientResponseError(ApiError):
    """What came is no HTTP."""

    def __init__(self, detail: str, url: str) -> None:
        super().__init__(f"400, message={detail!r}, url={url!r}")


class APIStatusError(ApiError):
    """An answer that is no success. `body` is what it says in JSON, of an error its `error`."""

    def __init__(self, response: Reply | httpx2.Response, body: object) -> None:
        super().__init__(f"Error code: {response.status_code}")
        self.response = response
        self.status_code = response.status_code
        self.body = body


class BadRequestError(APIStatusError):
    """Status 400."""


class AuthenticationError(APIStatusError):
    """Status 401."""


class PermissionDeniedError(APIStatusError):
    """Status 403."""


class NotFoundError(APIStatusError):
    """Status 404."""


class ConflictError(APIStatusError):
    """Status 409."""


class UnprocessableEntityError(APIStatusError):
    """Status 422."""


class RateLimitError(APIStatusError):
    """Status 429."""


class InternalServerError(APIStatusError):
    """A status from 500 on."""


class ConnectTimeout(Exception):  # noqa: N818
    """No connection, or one that was dropped before an answer."""


class ReadError(Exception):
    """A connection that ended within an answer."""


class DecodingError(Exception):
    """An answer that is compressed, and broken or cut."""


_CLASSES: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error(response: Reply | httpx2.Response) -> APIStatusError:
    """The error for an answer that is no success."""
    status = response.status_code
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, Mapping):
        body = body.get("error", body)
    return _CLASSES.get(status, InternalServerError if status >= 500 else APIStatusError)(response, body)


def unconnected(text: str) -> APITimeoutError:
    """The error where no connection could be made."""
    error = APITimeoutError(maybe_sent=False)
    error.__cause__ = ConnectTimeout(text)
    return error


def dropped(text: str, *, maybe_sent: bool) -> APITimeoutError:
    """The error where a connection ended without an answer."""
    error = APITimeoutError(maybe_sent=maybe_sent)
    error.__cause__ = ConnectTimeout(text)
    return error


def cut(text: str) -> APIConnectionError:
    """The error where a connection ended within an answer."""
    error = APIConnectionError()
    error.__cause__ = ReadError(f"Response payload is not completed: {text}")
    return error
