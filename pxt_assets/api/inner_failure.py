"""Failures that come with status 200: an error in place of a result, a page in place of JSON.

Gateways answer with 200 before they know how their provider will answer, and tell of its error in the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pxt_assets.api.failure import Failure, name_or_none, redact

_MAX_WORDS_LENGTH = 200
_MAX_DETAIL_LENGTH = 300
_OK = 200
_STATUSES = range(400, 600)
_NAMES: dict[int, str] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
"""The client's own errors by status."""
_STATUS_OF_NAME: dict[str, int] = {
    **dict.fromkeys(
        (
            *(
                "ratelimit",
                "ratelimited",
                "ratelimitexceeded",
                "ratelimiterror",
                "ratelimitreached",
                "slowdown",
            ),
            *("toomanyrequests", "toomanyrequestserror", "resourceexhausted", "throttled", "throttling"),
            *("throttlingexception", "requestlimitexceeded"),
        ),
        429,
    ),
    **dict.fromkeys(
        (
            *("overloaded", "overloadederror", "serverisoverloaded", "serveroverloaded", "engineoverloaded"),
            *("engineoverloadederror", "serviceunavailable", "serviceunavailableerror", "unavailable"),
            *("insufficientsystemresource", "serverbusy"),
        ),
        503,
    ),
    **dict.fromkeys(("servererror", "internalservererror", "internalerror", "internal", "apierror"), 500),
    **dict.fromkeys(("badgateway", "upstreamerror", "providererror"), 502),
    **dict.fromkeys(
        ("gatewaytimeout", "timeout", "timeouterror", "deadlineexceeded", "upstreamtimeout"), 504
    ),
    **dict.fromkeys(("requesttimeout", "requesttimeouterror"), 408),
    **dict.fromkeys(
        ("invalidapikey", "authenticationerror", "unauthorized", "unauthenticated", "invalidauthentication"),
        401,
    ),
    **dict.fromkeys(("paymentrequired", "insufficientcredits", "insufficientbalance"), 402),
    **dict.fromkeys(("permissionerror", "permissiondenied", "permissiondeniederror", "forbidden"), 403),
    **dict.fromkeys(("modelnotfound", "notfound", "notfounderror"), 404),
}
"""Statuses that names of errors stand for, in small letters without separators."""
_MAIN_PARTS = ("answers", "choices", "output", "data", "results", "text")
"""Where answers hold their results."""
_MESSAGES = ("message", "detail", "msg", "error_message", "error_msg", "status_msg")
"""Where errors say what happened."""
BROKEN_OFF = frozenset(
    {"error", "failed", "abort", "aborted", "cancelled", "canceled", "insufficient_system_resource"}
)
"""What servers give as `finish_reason` of an answer that an error cut short."""


def is_broken_off(choice: Mapping[str, Any]) -> bool:
    """Whether an error cut this choice of an answer short."""
    return str(choice.get("finish_reason")) in BROKEN_OFF or bool(choice.get("error"))


def failure_in(body: bytes, headers: Mapping[str, str], secrets: tuple[str, ...]) -> Failure | None:
    """The error that an answer holds, None if it holds none. For answers that are no results.

    Its status is the one that its code or name stands for, 200 if these stand for none.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, Mapping):
        return None
    for error in _errors_in(answer):
        message = _message_of(error, secrets)
        status = _status_of(error)
        if not message and status is None:
            continue
        code, kind = (name_or_none(error.get(name), secrets) for name in ("code", "type"))
        return Failure(
            name=_NAMES.get(status or 0, "InternalServerError" if (status or 0) >= 500 else "InvalidAnswer"),
            message=redact(
                message or f"the answer holds an error without a message ({code or status})", secrets
            ),
            status=status or _OK,
            type=kind,
            code=code,
            headers={**headers, **_retry_after(error)},
            request_id=headers.get("x-request-id"),
            in_answer=True,
        )
    return None


def unreadable_answer(
    body: bytes, path: str, headers: Mapping[str, str], secrets: tuple[str, ...]
) -> Failure | None:
    """The failure of an answer that is a page or a text, or nothing at all; None for JSON objects and other bytes."""
    words = first_words(body, secrets)
    said = "nothing" if not body.strip() else words
    if said is None:
        return None
    message = f"{path} answered with something else than documented: {said}"
    return Failure(
        "InvalidAnswer",
        message,
        _OK,
        headers=headers,
        request_id=headers.get("x-request-id"),
        unreadable="blank" if _is_blank(body) else "page",
    )


def first_words(body: bytes, secrets: tuple[str, ...]) -> str | None:
    """The first words of an answer that is a text or a page, or JSON that is no object; None for any other."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not body.lstrip().startswith(b"<"):
            return None
        text = body.decode("latin-1")  # a page of an old server, whatever charset it declares
    text = " ".join(text.split())
    if text[:1] == "{" or (text[:1] == "[" and not _is_blank(body)) or not text.isprintable():
        return None  # an object, whole or cut short; or bytes of something else
    text = redact(text, secrets)
    return text if len(text) <= _MAX_WORDS_LENGTH else f"{text[:_MAX_WORDS_LENGTH]}…"


def quoted_object(body: bytes, secrets: tuple[str, ...]) -> str:
    """The start of an answer that is a JSON object without results, as the end of a message; else nothing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, Mapping) or has_results(answer):
        return ""
    text = " ".join(redact(body.decode("utf-8", "replace"), secrets).split())
    return f"; it is {text[:_MAX_WORDS_LENGTH]}{'…' if len(text) > _MAX_WORDS_LENGTH else ''}"


def _is_blank(body: bytes) -> bool:
    """Whether this is nothing, or JSON that is no object."""
    if not body.strip():
        return True
    try:
        return not isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _errors_in(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The errors that an answer holds, the most telling one first."""
    choices = answer.get("choices")
    for one in [answer, *(choices if isinstance(choices, list) else ())]:
        error = one.get("error") if isinstance(one, Mapping) else None
        if isinstance(error, Mapping):
            yield error
        elif error and isinstance(error, str):
            yield {**answer, "message": error}
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, Mapping) and is_broken_off(one):
            reason = one.get("finish_reason")
            yield {"code": reason, "message": f"the answer broke off with finish_reason {reason!r}"}
    if not has_results(answer):
        errors = answer.get("errors")
        for one in (answer.get("base_resp"), *(errors if isinstance(errors, list) else [errors])):
            if isinstance(one, Mapping):
                yield one
        yield answer


def has_results(answer: Mapping[str, Any]) -> bool:
    """Whether an answer holds anything where answers hold their results."""
    return any(answer.get(name) for name in _MAIN_PARTS)


def _message_of(error: Mapping[str, Any], secrets: tuple[str, ...]) -> str:
    """What an error says, with what its provider said, which gateways keep beside their own words."""
    said = next((error[name] for name in _MESSAGES if error.get(name)), "")
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if raw and text:
        detail = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
        text = f"{text}: {' '.join(redact(detail, secrets).split())[:_MAX_DETAIL_LENGTH]}"
    return text


def _status_of(error: Mapping[str, Any]) -> int | None:
    """The status that an error's code or name stands for."""
    given = [error.get(name) for name in ("code", "status", "status_code", "type")]
    for one in given:
        number = (
            int(one) if isinstance(one, str) and one.isascii() and one.isdecimal() and len(one) == 3 else one
        )
        if isinstance(number, int) and not isinstance(number, bool) and number in _STATUSES:
            return number
    names = (re.sub(r"[^a-z]", "", one.lower()) for one in given if isinstance(one, str))
    return next((_STATUS_OF_NAME[name] for name in names if name in _STATUS_OF_NAME), None)


def _retry_after(error: Mapping[str, Any]) -> Mapping[str, str]:
    """The wait that an error asks for in its own body, as the header that asks for it."""
    metadata = error.get("metadata")
    sources = [error, *([metadata] if isinstance(metadata, Mapping) else [])]
    for source in sources:
        for name in ("retry_after", "retry_after_seconds"):
            seconds = source.get(name)
            if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e6:
                return {"retry-after": str(seconds)}
    return {}
