"""Values as JSON text, in the form that is stored and sent, and in the form that is hashed."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

Media = Any
"""An image or a sound that is sent: any object with a `data_url`."""


def dumps(value: object, media: Callable[[Media], object] | None = None) -> str:
    """Compact JSON text of a value, keys in their order, text unescaped: the form that is stored and sent.

    Dates and times become ISO 8601 text, decimals their digits, UUIDs their text, images and sounds what `media` returns. Raises TypeError or ValueError for what JSON cannot hold (bytes, NaN).
    """
    return (_encoder if media is None else _media_encoder(media)).encode(value)


def canonical_json(value: object, media: Callable[[Media], object] | None = None) -> str:
    """The same with keys sorted: the form that is hashed. Equal for dicts that differ in order alone.

    `media` is cached for good, so it must not be a closure.
    """
    return (_canonical_encoder if media is None else _canonical_media_encoder(media)).encode(value)


def _default(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        msg = "got bytes where JSON is needed; give text instead, such as base64, from upstream"
        raise TypeError(msg)
    allowed = (
        "text, numbers, booleans, lists, dicts, dates; an image only where the API takes one, at image_url"
    )
    msg = f"got {type(value).__name__} where JSON is needed; allowed: {allowed}"
    raise TypeError(msg)


@cache
def _canonical_media_encoder(media: Callable[[Media], object]) -> json.JSONEncoder:
    return _media_encoder(media, sort_keys=True)


def _media_encoder(media: Callable[[Media], object], *, sort_keys: bool = False) -> json.JSONEncoder:
    return _new_encoder(lambda value: media(value) if _is_media(value) else _default(value), sort_keys)


def _is_media(value: object) -> bool:
    return hasattr(type(value), "data_url")


def _new_encoder(default: Callable[[object], object], sort_keys: bool) -> json.JSONEncoder:
    return json.JSONEncoder(
        sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=default
    )


_encoder, _canonical_encoder = _new_encoder(_default, sort_keys=False), _new_encoder(_default, sort_keys=True)


MAX_DEPTH = 400
"""Lists and objects inside each other that a value may have: half of what Python's own reader and writer can take."""


def loads_answer(body: bytes) -> Any:
    """The value of a server's JSON, as JSON can hold it again. Raises ValueError for what is none.

    What an answer holds beyond that is no reason to lose the rest, which is paid for. NaN and infinite numbers become
    null, as JavaScript writes them, so that all readers of JSON can read the cell; integers of thousands of digits, and
    what is more than 400 lists and objects deep, become their text; bytes that are no UTF-8 become U+FFFD. Line breaks
    inside of texts, and zero bytes at the end, are taken as they are.
    """
    if not shallow(body):
        body = _with_deep_parts_as_text(body)
    try:
        return _loads_leniently(body)
    except RecursionError as e:  # lists and objects that never end
        msg = f"got JSON of more than {MAX_DEPTH} lists and objects inside each other, without their ends"
        raise ValueError(msg) from e


def shallow(body: bytes) -> bool:
    """Whether a JSON text has too few lists and objects to be deeper than MAX_DEPTH."""
    return body.count(b"[") + body.count(b"{") <= MAX_DEPTH


def _loads_leniently(body: bytes) -> Any:
    try:
        return _loads(body)
    except UnicodeDecodeError:
        return _loads(body.decode(errors="replace"))
    except json.JSONDecodeError:
        readable = _NOT_NUMBERS.sub(lambda found: found[1] or b"null", body.rstrip(b"\0 \t\r\n"))
        if readable == body:
            raise
        return _loads(readable.decode(errors="replace"))


def _loads(text: str | bytes) -> Any:
    try:
        return json.loads(text, strict=False, parse_constant=_null, parse_float=_finite_or_null)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise
    except ValueError:  # an integer too long for Python
        return json.loads(
            text, strict=False, parse_constant=_null, parse_float=_finite_or_null, parse_int=_int_or_text
        )


def _null(_constant: str) -> None:
    return None


def _finite_or_null(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _int_or_text(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _with_deep_parts_as_text(body: bytes) -> bytes:
    """A JSON text whose lists and objects at a depth of more than MAX_DEPTH are texts that hold them as JSON."""
    parts, depth, start, end = list[bytes](), 0, 0, 0
    for found in _BRACKETS.finditer(body):
        if not found[1]:
            continue
        opens = found[1] in b"[{"
        depth += 1 if opens else -1
        if opens and depth == MAX_DEPTH + 1:
            start = found.start()
        elif not opens and depth == MAX_DEPTH:
            text = body[start : found.end()].decode(errors="replace")
            parts += [body[end:start], json.dumps(text).encode()]
            end = found.end()
    return b"".join([*parts, body[end:]])


_STRING = rb'"(?:[^"\\]|\\.)*+"'
_BRACKETS = re.compile(_STRING + rb"|([\[\]{}])", re.DOTALL)
"""Brackets outside of strings."""
_NOT_NUMBERS = re.compile(rb"(" + _STRING + rb")|[+-]?\b(?:nan|inf|infinity)\b", re.DOTALL | re.IGNORECASE)
"""What C and Python write for numbers that JSON has not, outside of strings."""


def replace_surrogates(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
