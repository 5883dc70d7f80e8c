"""The lines of a batch's output and error files: which request a line answers, and the answer's bytes as they came."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pxt_assets.api.batches.line_out import asked_alone
from pxt_assets.api.failure import Failure, failure_of, name_or_none, redact
from pxt_assets.api.read_answer import parse_answer
from pxt_assets.api.request import ParsedAnswer, Request
from pxt_assets.api.wire import Headers, Reply, status_error

NEVER_STARTED = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
"""Codes of requests that the batch did not come to before it ended: nothing was paid for them."""
_OK = range(200, 300)


class LineAnswer(NamedTuple):
    """What a line says of one request."""

    custom_id: str
    """The digest of the request in hex."""
    status: int | None
    """HTTP status of the answer, None where there is none."""
    body: bytes
    """The answer's body as it came; empty where there is none."""
    request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is a result, as far as the status says."""
        return self.status is not None and self.status in _OK

    @property
    def never_started(self) -> bool:
        """Whether the batch ended before it came to this request, which is to be submitted again then."""
        return self.status is None and self.error_code in NEVER_STARTED


def read_line(line: bytes) -> LineAnswer:
    """What a line says. The body of a line as servers write them is not parsed.

    Raises ValueError for what is no whole JSON object, or names no request.
    """
    start = line.find(b"{", line.find(b'"body"') + 6)
    end = line.rfind(b"}", start, line.rfind(b"}", start, line.rfind(b"}", start))) + 1
    if 0 < start < end:  # as the body stands where there is no other object in the line but the response
        around = line[:start] + b"\0" + line[end:]
        found = _USUAL.fullmatch(around)
        if found is not None:
            custom_id, status, request_id = found.groups()
        elif _FLAT.fullmatch(around) is not None:
            members = {name: text or number for name, text, number in _VALUES.findall(around)}
            custom_id, status = members.get(b"custom_id"), members.get(b"status_code")
            request_id = members.get(b"request_id")
            if members.get(b"error") or (custom_id and custom_id.isdigit()):  # which may be a number
                return _read_any(line)
        else:
            return _read_any(line)
        body = line[start:end]
        if custom_id and status and len(status) == 3 and _is_one_object(body):
            return LineAnswer(
                custom_id.decode(), int(status), body, request_id.decode() if request_id else None
            )
    return _read_any(line)


_TEXT = rb'"[^"\\{}\0]*"'
_MEMBERS = rb"(?:%b\s*:\s*(?:%b|\d+|null))" % (_TEXT, _TEXT)
_USUAL = re.compile(
    rb'\{"id": ?%b, ?"custom_id": ?"([^"\\{}\0]*)", ?"response": ?\{"status_code": ?(\d{3}), ?'
    rb'"request_id": ?(?:"([^"\\{}\0]*)"|null), ?"body": ?\0\}, ?"error": ?null\}\s*' % _TEXT
)
"""What stands around the body in lines of OpenAI's."""
_FLAT = re.compile(
    rb'\s*\{\s*(?:%b\s*,\s*)*"response"\s*:\s*\{\s*(?:%b\s*,\s*)*"body"\s*:\s*\0\s*(?:,\s*%b\s*)*\}\s*(?:,\s*%b\s*)*\}\s*'
    % ((_MEMBERS,) * 4)
)
"""The same with any members, in any order, that are no objects."""
_VALUES = re.compile(rb'"(custom_id|status_code|request_id|error)"\s*:\s*(?:"([^"]*)"|(\d+)|null)')
_NO_MARKS = bytes(set(range(256)) - set(b'{}[]"'))


def _is_one_object(text: bytes) -> bool:
    """Whether the brackets of a JSON text that begins with { and ends with } are those of one object."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(None, _NO_MARKS).replace(
        b'""', b""
    )  # an end and a beginning without anything between are none
    if b'"' in marks:  # texts that hold brackets
        marks = b"".join(marks.split(b'"')[::2])
    inner = marks[1:-1]
    while inner:
        rest = inner.replace(b"{}", b"").replace(b"[]", b"")
        if len(rest) == len(inner):
            return False
        inner = rest
    return True


def _read_any(line: bytes) -> LineAnswer:
    """What any line says, by its JSON; the body is parsed once, to find its end."""
    text = line.decode(errors="surrogateescape").strip("\ufeff \t\r\n\0")
    try:
        members = _members(text)
        response = members.get("response", (None, ""))
        inner = _members(response[1]) if isinstance(response[0], Mapping) else {}
    except (RecursionError, ValueError, IndexError) as e:
        msg = f"a line of a batch's file is no whole JSON object: {len(line):,} bytes"
        raise ValueError(msg) from e
    custom_id, id_written = members.get("custom_id", (None, ""))
    if not custom_id or not id_written.startswith('"'):  # numbers are texts here
        msg = f"a line of a batch's file has no custom_id: {len(line):,} bytes"
        raise ValueError(msg)
    value, written = inner.get("body", (None, ""))
    body = value if isinstance(value, str) else "" if value is None else written
    code, message = _error(members.get("error", (None, ""))[0])
    request_id = inner.get("request_id", (None, ""))[0]
    return LineAnswer(
        custom_id,
        _status(
            inner.get("status_code", (None, ""))[0], has_body=bool(body), has_error=bool(code or message)
        ),
        body.encode(errors="surrogateescape") if body is written else body.encode(errors="surrogatepass"),
        request_id if isinstance(request_id, str) and request_id else None,
        code,
        message,
    )


_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)  # whose numbers are never too long
_SPACE = re.compile(r"[ \t\r\n]*")


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of a JSON object: each one's value, and how it is written. Raises ValueError for what is none."""
    if not text.startswith("{"):
        msg = "no object"
        raise ValueError(msg)
    found: dict[str, tuple[Any, str]] = {}
    at = _after_space(text, 1)
    while text[at] != "}":
        if found:
            at = _after(text, at, ",")
        if text[at] != '"':
            msg = "a name that is no text"
            raise ValueError(msg)
        name, at = _DECODER.raw_decode(text, at)
        start = _after(text, _after_space(text, at), ":")
        value, end = _DECODER.raw_decode(text, start)
        found[name] = value, text[start:end]
        at = _after_space(text, end)
    if at + 1 != len(text):
        msg = "more than an object"
        raise ValueError(msg)
    return found


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _after(text: str, at: int, expected: str) -> int:
    """Where a text goes on after an expected character, and the space behind it."""
    if text[at] != expected:
        msg = f"no {expected}"
        raise ValueError(msg)
    return _after_space(text, at + 1)


def _status(said: object, *, has_body: bool, has_error: bool) -> int | None:
    number = said.partition(".")[0] if isinstance(said, str) else ""
    if number.isdigit() and len(number) == 3:
        return int(number)
    return 200 if has_body and not has_error else None


def _error(said: object) -> tuple[str | None, str | None]:
    """The code and the message of a line's error."""
    if isinstance(said, Mapping):
        inner = said.get("error")
        if isinstance(inner, Mapping) and "message" not in said:
            said = inner
        code, message = said.get("code"), said.get("message")
        if message is None and code is None:
            message = json.dumps(said, ensure_ascii=False) if said else None
        return (None if code is None else str(code), None if message is None else str(message))
    return (None, str(said)) if said else (None, None)


def failure_of_line(answer: LineAnswer, secrets: tuple[str, ...] = ()) -> Failure | None:
    """The failure that a line tells of, as the same answer would be one online; None for an answer with a result."""
    if answer.is_answered:
        return None
    if answer.status is None:
        message = answer.error_message or "the batch has no answer to this request, and gives no reason"
        return Failure(
            "BatchRequestError",
            redact(message, secrets),
            code=name_or_none(answer.error_code, secrets),
            request_id=name_or_none(answer.request_id, secrets),
        )
    headers = [] if answer.request_id is None else [(b"x-request-id", answer.request_id.encode())]
    return failure_of(status_error(Reply(answer.status, Headers(headers), answer.body)), secrets)


def parse_line(request: Request, answer: LineAnswer, secrets: tuple[str, ...] = ()) -> ParsedAnswer | Failure:
    """The values of a line's answer to the request, or the failure that it tells of, as of the same answer online.

    Raises CellError for an answer that is neither.
    """
    failure = failure_of_line(answer, secrets)
    if failure is not None:
        return failure
    headers = {} if answer.request_id is None else {"x-request-id": answer.request_id}
    return parse_answer(asked_alone(request), answer.body, headers, secrets)
