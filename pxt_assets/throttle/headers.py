"""The rate limits that the headers of a response report.

OpenAI and the servers modelled on it answer with three headers a dimension, measured when the request
arrived: `x-ratelimit-limit-requests: 10000`, `x-ratelimit-remaining-requests: 9994`,
`x-ratelimit-reset-requests: 46.001s`. Dimensions seen are `requests`, `tokens`, `project-tokens` and
`input-images`; any other name is read in the same way.
(https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers)

Anything absent or malformed gives no reading. Nothing in here raises: a bad header must not lose a paid
answer.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

_PREFIX = "x-ratelimit-"
_FIELDS = ("limit", "remaining", "reset")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|μs|ns|h|m|s)", re.ASCII)


class Reading(NamedTuple):
    """One dimension of a rate limit, as a server measured it when a request arrived."""

    limit: float
    """Capacity of the server's bucket, in units of the dimension. Zero where an account has no quota."""
    remaining: float
    """What was left after this request was charged; without its charge where it was rejected."""
    reset: float | None = None
    """Seconds until the bucket is full again. Never a time to wait. None where absent or malformed."""


def read_rate_limits(headers: Mapping[str, str]) -> dict[str, Reading]:
    """Return the reading of every dimension that the headers name with a limit and what remains of it.

    Header names may be in any case. A negative number counts as absent (Azure sends -1 for "not known"). The
    numbers are returned as sent: a zero limit, or more remaining than the limit, is for the bucket to judge.
    """
    texts: dict[str, list[str | None]] = {}
    for name, value in headers.items():
        field = _field(name)
        if field is not None:
            dimension, index = field
            if dimension not in texts:
                texts[dimension] = [None, None, None]
            texts[dimension][index] = value
    readings = {}
    for dimension, (limit_text, remaining_text, reset_text) in texts.items():
        limit, remaining = _number(limit_text), _number(remaining_text)
        if limit is not None and remaining is not None:
            reset = None if reset_text is None else parse_duration(reset_text)
            readings[dimension] = Reading(limit, remaining, reset)
    return readings


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds a server asks to wait before the next request, or None where it asks nothing.

    `retry-after-ms` is exact and goes before `retry-after`, which is whole seconds or an HTTP date.
    `now` gives the wall-clock time in seconds since 1970, and is called for a date only.
    """
    milliseconds = seconds = None
    for name, value in headers.items():
        if name[:1] in "rR":
            match name.lower():
                case "retry-after-ms":
                    milliseconds = _number(value)
                case "retry-after":
                    seconds = value
    if milliseconds is not None:
        return milliseconds / 1000
    if seconds is None:
        return None
    delay = _number(seconds)
    return delay if delay is not None else _seconds_until(seconds, now)


def parse_duration(text: str) -> float | None:
    """Return the seconds in a duration as Go prints it (`6m0s`, `2ms`, `83h10m39.057s`) or a plain number.

    A plain number is seconds, as Azure sends them. None for a negative or malformed duration.
    """
    text = text.strip()
    if text.endswith("s"):  # nearly all are plain seconds or milliseconds: no regular expression for those
        plain, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text[:-1], 1.0)
        number = _number(plain)
        if number is not None:
            return number * scale
    total, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    if end == 0 or end != len(text):
        return _number(text)
    return total


@lru_cache(maxsize=1024)
def _field(name: str) -> tuple[str, int] | None:
    """Return the dimension and the index in `_FIELDS` that a header name stands for, if any."""
    name = name.lower()
    if not name.startswith(_PREFIX):
        return None
    field, _, dimension = name.removeprefix(_PREFIX).partition("-")
    return (dimension, _FIELDS.index(field)) if dimension and field in _FIELDS else None


def _number(text: str | None) -> float | None:
    """Return a finite number that is not negative, or None."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _seconds_until(date: str, now: Callable[[], float]) -> float | None:
    """Return the seconds until an HTTP date, 0 if it has passed, None if it is no date."""
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now())
    except (ValueError, OverflowError):
        return None
