"""Values as JSON text: as it is stored and sent, and as it is hashed."""

from __future__ import annotations

import datetime
import decimal
import json


def dumps(value: object) -> str:
    """Compact JSON text of a value, keys as they come, text unescaped: the form that is stored and sent.

    Dates and times become ISO 8601 text, decimals their digits. Raises TypeError or ValueError for what JSON cannot
    hold (bytes, NaN).
    """
    return _encoder.encode(value)


def canonical(value: object) -> str:
    """The same with keys sorted: the form that is hashed. Equal for dicts that differ in order alone."""
    return _canonical_encoder.encode(value)


def _default(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        msg = "got bytes where JSON is needed; give text instead, such as base64, from upstream"
        raise TypeError(msg)
    msg = f"got {type(value).__name__} where JSON is needed; allowed: text, numbers, booleans, lists, dicts, dates"
    raise TypeError(msg)


_encoder, _canonical_encoder = (
    json.JSONEncoder(
        sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_default
    )
    for sort_keys in (False, True)
)


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
