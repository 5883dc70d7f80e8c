"""Failures of requests: errors of the API, of its proxies and of the connection, in one form."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from pxt_assets.api.answer_headers import relevant_headers
from pxt_assets.api.input_refusal import inputs_named, speaks_of_input
from pxt_assets.api.quota_words import speaks_of_quota
from pxt_assets.api.unreached import unreached
from pxt_assets.api.wire import (
    NOT_SENT,
    APIConnectionError,
    ApiError,
    APIStatusError,
    ApiUrl,
    DecodingError,
)
from pxt_assets.errors import TOO_LARGE, CellError, FatalApiError, RunError
from pxt_assets.throttle import FailureKind, Verdict, classify_failure, read_rate_limits
from pxt_assets.values.scrubbing import scrub

_MAX_MESSAGE_LENGTH = 2_000
_MAX_PAGE_LENGTH = 500
_MAX_NAME_LENGTH = 200
_MAX_READ_LENGTH = 20_000
"""Characters of a server's text that are looked at: a message is much shorter."""

_GATEWAY_TIMEOUTS = (504, 524)
"""Statuses of a gateway that gave up waiting while its server was still busy with the request."""
_HINTS: dict[int, str] = {
    401: " Check api_key of the OpenAIResource (by default the environment variable OPENAI_API_KEY).",
    403: " The key has no access to this; check organization, project and the key's permissions.",
    404: " Check the model's name and base_url.",
}
_QUOTA_HINT = " The account has no credit or has reached its spending limit; see its billing page."
_LIMIT_AND_REQUESTED = re.compile(
    r"\blimit:? ([\d,]*\d)\b[^\d.]*(?:,? used:? [\d,]*\d)?,? requested:? ([\d,]*\d)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not answered with a result."""

    name: str
    """The error's class: the client's for an answer of the API, the raised one for a connection."""
    message: str
    status: int | None = None
    """HTTP status, None when no answer came."""
    type: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    maybe_sent: bool = True
    """Whether the request may have reached the server."""
    in_answer: bool = False
    """Whether it came with status 200: the server itself took the request, and its provider failed."""
    size_note: str = ""
    """What was believed of the request's size, where the answer is a 429 that shows it to be true."""
    unreadable: Literal["page", "blank"] | None = None
    """What came with status 200 in place of an answer: a page or a text; nothing, or JSON that is no object."""

    @property
    def is_lost(self) -> bool:
        """Whether the server may have answered all the same, and charged for it."""
        return self.maybe_sent and (self.status is None or self.status in _GATEWAY_TIMEOUTS)

    @property
    def too_large(self) -> bool:
        """Whether this is a 429 for a request larger than the whole limit: waiting would not help."""
        if self.status != 429:
            return False
        numbers = _LIMIT_AND_REQUESTED.search(self.message)
        if self.size_note:
            return True
        is_more = numbers is not None and 0 < _number(numbers[1]) < _number(numbers[2])
        return is_more or "request too large" in self.message.lower()

    @property
    def speaks_of_quota(self) -> bool:
        """Whether its words say that a quota is spent, and its headers do not show that a rate was too high."""
        return speaks_of_quota(self.message) and not any(
            reading.limit > 0 and reading.remaining < 1 for reading in read_rate_limits(self.headers).values()
        )

    def cell_error(self, *, divisible: bool = False, refused: bool = False) -> CellError:
        """The error of the request's row."""
        name = TOO_LARGE if self.too_large else self.name
        message = f"{self.message.rstrip('. ')}. {self.size_note}" if self.size_note else self.message
        return CellError(
            name,
            message,
            self.request_id,
            divisible=divisible,
            refused=refused,
            of_input=divisible and speaks_of_input(self.message),
            inputs=inputs_named(self.message) if divisible else (),
        )

    def fatal_error(self, where: str) -> FatalApiError:
        """The error that stops the run, since every request to the API at `where` would fail; with a hint if one is known."""
        suffix = f" (request {self.request_id})" if self.request_id else ""
        return FatalApiError(
            f"the API at {where} refuses all requests of this kind: {self.name} {self.status}: {self.message}{suffix}."
            f"{self._hint}"
        )

    @property
    def _hint(self) -> str:
        """What to do about an error that every request meets, where that is known."""
        if self.status == 429 or self.speaks_of_quota:
            return _QUOTA_HINT
        return _HINTS.get(self.status or 0, "")

    def wrong_server_error(self, where: str) -> RunError:
        """The error if the server at `where` gives no answers, but pages."""
        return RunError(
            f"the server at {where} does not answer as the API does: {self.message}. Check base_url of the OpenAIResource, "
            "which mostly ends in /v1, and whether a proxy or a sign-in page stands before the server."
        )

    def unreachable_error(self, where: str, url: ApiUrl) -> RunError:
        """The error if the server at `url`, which messages call `where`, never answered."""
        return RunError(
            f"cannot reach the API at {where}: {self.name}: {self.message.rstrip('.')}. {unreached(self.message, url)}"
        )

    def lost_answers_error(self, count: int) -> CellError:
        """The error of a request that was sent `count` times and whose answers were all lost."""
        msg = (
            f"{self.message.rstrip('.')}. It was sent {count} times and may have been paid for as often, since the "
            "answers were lost; retry_unknown of the OpenAIResource says how often it is sent again"
        )
        return CellError(self.name, msg, self.request_id)


def verdict_of(failure: Failure) -> Verdict:
    """What to do about a failure."""
    if failure.too_large:
        return Verdict(FailureKind.CELL)
    if failure.unreadable:
        return Verdict(FailureKind.TRANSIENT)
    verdict = classify_failure(failure.status, failure.type, failure.code, failure.headers)
    if verdict.kind is not FailureKind.FATAL and failure.speaks_of_quota:
        # a refusal may quote a prompt with such words, so that it is judged by what else is answered
        return Verdict(FailureKind.FATAL if failure.status == 429 else FailureKind.REFUSED)
    return verdict


def failure_of(error: Exception, secrets: tuple[str, ...]) -> Failure | None:
    """An exception of the wire, of the official client or of its transport as a Failure; None for a fault of this program.

    `secrets` are replaced in the message.
    """
    name = type(error).__name__
    if isinstance(error, APIStatusError | _official("APIStatusError")):
        return _refusal(name, error, secrets)
    if isinstance(error, APIConnectionError | _official("APIConnectionError")):  # a timeout is one too
        cause = error.__cause__
        detail = f" ({type(cause).__name__}: {cause})" if cause else ""
        message = redact(f"{error.message}{detail}", secrets)
        return Failure(name, message, maybe_sent=not is_unsent(error))
    if isinstance(
        error, ApiError | OSError | _official_transport()
    ):  # a timeout of ours, or an answer that is no HTTP
        message = redact(f"{error}" or "no answer in time", secrets)
        return Failure(name, message, maybe_sent=not is_unsent(error))
    return None


def _refusal(name: str, error: Any, secrets: tuple[str, ...]) -> Failure:
    body = error.body if isinstance(error.body, Mapping) else {}
    headers = relevant_headers(error.response.headers, secrets)
    return Failure(
        name=name,
        message=redact(f"{body.get('message') or _page_text(error, secrets)}{_provider_text(body)}", secrets),
        status=error.status_code,
        type=name_or_none(body.get("type"), secrets),
        code=name_or_none(body.get("code"), secrets),
        headers=headers,
        request_id=headers.get("x-request-id"),
    )


def is_broken_answer(error: Exception) -> bool:
    """Whether an answer came whose compression is broken or cut: its headers came whole."""
    return type(error.__cause__).__name__ == DecodingError.__name__


def _official(name: str) -> Any:
    """A class of the official client's, which nothing is where it was not imported."""
    return getattr(sys.modules.get("openai"), name, _NoError)


def _official_transport() -> Any:
    aiohttp, httpx2 = sys.modules.get("aiohttp"), sys.modules.get("httpx2")
    malformed = getattr(getattr(aiohttp, "http_exceptions", None), "HttpProcessingError", _NoError)
    return getattr(aiohttp, "ClientError", _NoError) | malformed | getattr(httpx2, "HTTPError", _NoError)


class _NoError(Exception):
    """Never raised."""


def is_unsent(error: BaseException) -> bool:
    """Whether the connection was never made, so that no request was sent; of a cancellation too.

    An error of aiohttp decides if there is one: the official client's transport reports every other error of a connection
    as a timeout of connecting, even a connection that was dropped after the request.
    """
    aiohttp, httpx2 = sys.modules.get("aiohttp"), sys.modules.get("httpx2")
    never = tuple(
        getattr(httpx2, name, _NoError) for name in ("ConnectError", "ConnectTimeout", "PoolTimeout")
    )
    unconnected = False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApiError):
            return not cause.maybe_sent
        if NOT_SENT in getattr(cause, "__notes__", ()):
            return True
        if aiohttp is not None and isinstance(cause, aiohttp.ClientError):
            return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        unconnected = unconnected or isinstance(cause, never)
        cause = cause.__cause__
    return unconnected


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """A server's text without the secrets, and not too long for a message."""
    return _cut(scrub(text[:_MAX_READ_LENGTH], secrets), _MAX_MESSAGE_LENGTH)


def name_or_none(value: object, secrets: tuple[str, ...]) -> str | None:
    """What a server gives as the name of a model, or as the type or the code of an error, without the secrets; None for
    what is no text."""
    return _without_secrets(value[:_MAX_READ_LENGTH], secrets) if isinstance(value, str) else None


@lru_cache(maxsize=100)
def _without_secrets(name: str, secrets: tuple[str, ...]) -> str:
    """Cached, as every answer names its model."""
    return _cut(scrub(name, secrets), _MAX_NAME_LENGTH)


def _page_text(error: Any, secrets: tuple[str, ...]) -> str:
    """The text of an answer that is no error of the API: a proxy's page, another server's JSON."""
    page = " ".join(scrub(error.response.text[:_MAX_READ_LENGTH], secrets).split())
    return f"{error.message}: {page[:_MAX_PAGE_LENGTH]}" if page else str(error.message)


def _provider_text(body: Mapping[str, Any]) -> str:
    """What a gateway quotes of its provider's own error, beside the words of its own."""
    metadata = body.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f": {raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)}" if raw else ""


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _number(digits: str) -> int:
    return int(digits.replace(",", ""))
