"""The rate limits that the headers of a response report.

OpenAI and the servers modelled on it answer with three headers a dimension, measured when the request
arrived: `x-ratelimit-limit-requests: 10000`, `x-ratelimit-remaining-requests: 9994`,
`x-ratelimit-reset-requests: 46.001s`. Dimensions seen are `requests`, `tokens`, `project-tokens` and
`input-images`; any other name is read in the same way.
(https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers)

Others spell the names differently: `x-ratelimit-limit-req-minute`, `x-ratelimit-remaining-requests-day`,
`anthropic-ratelimit-tokens-limit`, `ratelimitbysize-limit`. Their words are read by `dimension.py`, the fields of
the IETF by `ietf_fields.py`. A name that tells neither a unit nor a window (`x-ratelimit-limit`) is not followed.

Anything absent or malformed gives no reading. Nothing in here raises: a bad header must not lose a paid
answer.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from pxt_assets.throttle.dimension import Dimension, dimension_of
from pxt_assets.throttle.ietf_fields import Policy, read_policies, read_remaining

_NAME = re.compile(r"(?:[a-z0-9]+-){0,2}(ratelimit|rate-limit|ratelimitbysize|tokenlimit)s?-(.+)", re.ASCII)
_TOKEN_LIMITS = ("ratelimitbysize", "tokenlimit")
_IETF_LIMITS, _IETF_POLICY, _IETF_DRAFTS = "ratelimit", "ratelimit-policy", "ratelimit-"
_FIELDS = ("limit", "remaining", "reset", "renewalperiod")
_LONGEST_WINDOW_SECONDS = 86_400.0
"""Of the windows that a server names. What is left of a month's quota is no rate to send at."""
_SMALLEST_LIMIT, _LARGEST_LIMIT = 1.0, 1e15
"""Between zero and the one, and above the other, a number is no limit."""
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e12
"""From here on a reset is a time since 1970: no window is that long."""
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
    window: float | None = None
    """Seconds in which the limit fills, where the server says so; None to tell by `reset`."""


def read_rate_limits(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> dict[str, Reading]:
    """Return the reading of every dimension that the headers name with a limit and what remains of it.

    Header names may be in any case. A negative number counts as absent (Azure sends -1 for "not known"). The
    numbers are returned as sent: a zero limit, or more remaining than the limit, is for the bucket to judge.
    `now` gives the wall-clock time in seconds since 1970, and is called where a reset is a time.
    """
    limits, ietf_names = _layout(tuple(headers))
    readings: dict[str, Reading] = {}
    renamed = []
    for name, dimension, fields in limits:
        texts = {field: headers[header] for field, header in fields}
        if (reading := _reading(name, dimension, texts, now)) is None:
            continue
        if dimension.name == name:
            readings[name] = reading
        else:
            renamed.append((name, reading))
    if ietf_names:
        renamed.extend(_ietf_readings({name.lower(): headers[name] for name in ietf_names}, now))
    for name, reading in renamed:
        base = dimension_of(name).name
        readings.setdefault(name if base in readings else base, reading)
    return readings


@lru_cache(maxsize=256)
def _layout(
    names: tuple[str, ...],
) -> tuple[list[tuple[str, Dimension, list[tuple[str, str]]]], list[str]]:
    """Return what the names of an answer's headers stand for, and those of the IETF's.

    That is each dimension, and the fields of it with the headers that hold them. A server sends the same names each time.
    """
    fields: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        if (field := _field(name)) is not None:
            fields.setdefault(field[0], []).append((field[1], name))
    ietf_names = [name for name in names if name.lower().startswith(_IETF_LIMITS)]
    return [(name, dimension_of(name), found) for name, found in fields.items()], ietf_names


def _reading(
    name: str, dimension: Dimension, texts: Mapping[str, str], now: Callable[[], float]
) -> Reading | None:
    """Return the reading of a dimension, by the texts of its fields; None where there is none to follow."""
    limit, remaining = _number(texts.get("limit")), _number(texts.get("remaining"))
    if limit is None or remaining is None or not _is_limit(limit):
        return None
    window = dimension.window
    if (window or 0.0) > _LONGEST_WINDOW_SECONDS or (limit == 0 and dimension.name != name):
        return None
    window = window or _number(texts.get("renewalperiod")) or None
    return Reading(limit, remaining, _seconds_until_full(texts.get("reset"), now), window)


def _is_limit(limit: float) -> bool:
    return limit == 0 or _SMALLEST_LIMIT <= limit <= _LARGEST_LIMIT


def _ietf_readings(headers: Mapping[str, str], now: Callable[[], float]) -> Iterator[tuple[str, Reading]]:
    """Yield the readings of the IETF's fields, and of those that its drafts had, by lower-case name."""
    policies = read_policies(headers.get(_IETF_POLICY, ""))
    for name, remaining, reset in read_remaining(headers.get(_IETF_LIMITS, "")):
        if name in policies:
            yield from _policy_reading(policies[name], remaining, reset)
    limits, left = headers.get(f"{_IETF_DRAFTS}limit", ""), _number(headers.get(f"{_IETF_DRAFTS}remaining"))
    limit = _number(limits.partition(",")[0])  # that of the policy which is nearest to its end
    if limit is not None and left is not None:
        for policy in (read_policies(limits) or policies).values():
            if policy.quota == limit:
                reset = _seconds_until_full(headers.get(f"{_IETF_DRAFTS}reset"), now)
                yield from _policy_reading(policy, left, reset)
                return


def _policy_reading(policy: Policy, remaining: float, reset: float | None) -> Iterator[tuple[str, Reading]]:
    if policy.window <= _LONGEST_WINDOW_SECONDS and _is_limit(policy.quota):
        yield policy.dimension, Reading(policy.quota, remaining, reset, policy.window)


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
def _field(name: str) -> tuple[str, str] | None:
    """Return the dimension and the one of `_FIELDS` that a header name stands for, if any."""
    found = _NAME.fullmatch(name.lower())
    if found is None:
        return None
    words = found[2].split("-")
    places = [i for i in (0, len(words) - 1, *range(1, len(words) - 1)) if words[i] in _FIELDS]
    if not places:
        return None
    field = words.pop(places[0])
    dimension = "-".join(words)
    if found[1] in _TOKEN_LIMITS:
        return f"tokens-{dimension}".removesuffix("-"), field
    if dimension and not dimension_of(dimension).name:  # a window, and no word of what is counted
        dimension = f"requests-{dimension}"
    return (dimension, field) if dimension else None


def _seconds_until_full(text: str | None, now: Callable[[], float]) -> float | None:
    """Return the seconds of a reset: a duration, or the time since 1970 or in ISO 8601 (`2026-01-01T00:00:00Z`)."""
    if text is None:
        return None
    seconds = parse_duration(text)
    if seconds is None:
        try:
            at = datetime.fromisoformat(text.strip())
            return None if at.tzinfo is None else max(0.0, at.timestamp() - now())
        except (ValueError, OverflowError):
            return None
    if seconds < _EPOCH_SECONDS:
        return seconds
    return max(0.0, (seconds / 1000 if seconds >= _EPOCH_MILLISECONDS else seconds) - now())


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
