"""The names of the dimensions of a rate limit: which unit one counts, and in which window.

A name is made of words. `requests`, `project-tokens` and `input-images` are OpenAI's; other servers say `req-minute`,
`requests-day` or `rpm`.
"""

import re
from functools import lru_cache
from typing import NamedTuple

MINUTE = 60.0
_UNITS = {
    **dict.fromkeys(("request", "requests", "req", "reqs", "call", "calls"), "requests"),
    **dict.fromkeys(("token", "tokens", "tok", "toks"), "tokens"),
    **dict.fromkeys(("image", "images"), "images"),
}
_WINDOWS = {
    **dict.fromkeys(("second", "sec"), 1.0),
    **dict.fromkeys(("minute", "min", "minutely"), MINUTE),
    **dict.fromkeys(("hour", "hr", "hourly"), 3_600.0),
    **dict.fromkeys(("day", "daily"), 86_400.0),
    **dict.fromkeys(("week", "weekly"), 604_800.0),
    **dict.fromkeys(("month", "monthly"), 2_592_000.0),
}
_RATES = {
    f"{letter}p{window}": f"{unit}-{name}"
    for letter, unit in (("r", "requests"), ("t", "tokens"))
    for window, name in (("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"))
}
"""`rpm`, `tpd`: a unit and a window in a word."""
_COUNTED_WINDOW = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1.0, "m": MINUTE, "h": 3_600.0, "d": 86_400.0}
_CONCURRENCY = frozenset({"concurrency", "concurrent", "parallel", "inflight"})
"""Words of limits that are no rates."""


class Dimension(NamedTuple):
    """One dimension, as its name tells."""

    name: str
    """The name in OpenAI's words: `requests` of `req-minute`, `requests-day` of `rpd`; "" where it is a window alone."""
    window: float | None
    """Seconds in which the limit fills; None where the name does not say."""


@lru_cache(maxsize=1024)
def dimension_of(name: str) -> Dimension:
    """Return what the words of a dimension's name say."""
    words, window, window_word = [], None, ""
    for word in "-".join(_RATES.get(word, word) for word in name.split("-")).split("-"):
        if (seconds := _window(word)) is not None:
            window, window_word = seconds, word
        elif word != "per":
            words.append(_UNITS.get(word, word))
    plain = "-".join(words)
    return Dimension(f"{plain}-{window_word}" if plain and window not in (None, MINUTE) else plain, window)


def _window(word: str) -> float | None:
    counted = _COUNTED_WINDOW.fullmatch(word)
    return (int(counted[1]) * _SECONDS[counted[2]] or None) if counted else _WINDOWS.get(word)


@lru_cache(maxsize=1024)
def unit_of(dimension: str) -> str:
    """Return the unit that a dimension counts: `tokens` for `project-tokens`, `tokens_usage_based` and `tokens-day`.

    A limit of what may be in flight at once, which is no rate, is a unit of its own.
    """
    words = re.split("[-_]", dimension)
    if not _CONCURRENCY.isdisjoint(words):
        return dimension
    units = [_UNITS[word] for word in words if word in _UNITS]
    return units[-1] if units else words[-1]
