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
"""Lists and objects inside each other that an answer may have: half of what Python's own reader and writer can take."""


def loads_answer(body: bytes) -> Any:
    """The value of a server's JSON, as JSON can hold it again. Raises ValueError for what is none, or too deep.

    NaN, infinite numbers and integers of thousands of digits become null, and bytes that are no UTF-8 U+FFFD: they are
    no reason to lose the rest, which is paid for.
    """
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        msg = f"got JSON of more than {MAX_DEPTH} lists and objects inside each other"
        raise ValueError(msg)
    text: bytes | str = body
    try:
        return json.loads(text, parse_constant=_null, parse_float=_finite_or_null)
    except UnicodeDecodeError:
        text = body.decode(errors="replace")
        return json.loads(text, parse_constant=_null, parse_float=_finite_or_null, parse_int=_int_or_null)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer too long for Python
        return json.loads(text, parse_constant=_null, parse_float=_finite_or_null, parse_int=_int_or_null)


def _null(_constant: str) -> None:
    return None


def _finite_or_null(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _int_or_null(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _depth(body: bytes) -> int:
    """How many lists and objects of a JSON text are inside each other, at most."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(body):
        if found[1]:
            depth += 1 if found[1] in b"[{" else -1
            deepest = max(deepest, depth)
    return deepest


_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|([\[\]{}])', re.DOTALL)
"""Brackets outside of strings."""


def replace_surrogates(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
