"""What a batch that was refused for the queue's token limit says of that limit."""

from __future__ import annotations

import re

TOKEN_LIMIT_CODE = "token_limit_exceeded"  # noqa: S105
"""The code of the error with which a batch fails, after its validation, where its queue has no room for its tokens."""
_LIMIT = re.compile(
    r"(?:\blimit(?:\s+(?:is|of|for\b[^:.\d]*))?\s*[:=]?\s*|\bmax(?:imum)?(?:\s+(?:of|is))?\s*[:=]?\s*)"
    r"(?P<number>\d{1,3}(?:[,._ ]\d{3})+(?!\d)|\d+(?:\.\d+)?)\s*(?P<unit>[kmb]|thousand|million|billion)?\b",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\d+\.\d+")
_UNITS = {"k": 10**3, "t": 10**3, "m": 10**6, "b": 10**9}


def read_queue_limit(message: str) -> int | None:
    """The tokens that may be enqueued at once, as the message of a `token_limit_exceeded` states them; None if it does not.

    `Enqueued token limit reached for gpt-4o in organization org-x. Limit: 90,000 enqueued tokens. Please try again once
    some in_progress batches have been completed.`
    """
    for found in _LIMIT.finditer(message):
        digits, unit = found["number"], (found["unit"] or "")[:1].lower()
        number = float(digits) if _FRACTION.fullmatch(digits) and unit else int(re.sub(r"\D", "", digits))
        tokens = round(number * _UNITS.get(unit, 1))
        if tokens > 0:
            return tokens
    return None


def is_queue_full(code: str | None, message: str) -> bool:
    """Whether an error says that the queue has no room for a batch's tokens."""
    return code == TOKEN_LIMIT_CODE or "enqueued token" in message.lower()
