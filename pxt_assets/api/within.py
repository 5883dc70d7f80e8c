"""How long an answer may take (`within`), and by which way the API gives it in that time, at a lower price."""

from __future__ import annotations

from typing import Literal, get_args

from pxt_assets.api.processing import Processing

Within = Literal["2h", "8h", "24h"]
"""How long an answer may take; where nothing is said, it is asked for now."""

WITHINS: tuple[Within, ...] = get_args(Within)
SECONDS: dict[Within, int] = {"2h": 2 * 3_600, "8h": 8 * 3_600, "24h": 24 * 3_600}

_BATCH_PATHS = frozenset(
    {"/responses", "/chat/completions", "/embeddings", "/moderations", "/images/generations", "/images/edits"}
)
"""Source: `endpoint` of https://platform.openai.com/docs/api-reference/batch/create, and of `openai.batches.create`."""
_BACKGROUND_PATHS = frozenset({"/responses"})
"""Source: `background_options` of https://platform.openai.com/docs/api-reference/responses/create"""

_WAYS: dict[Within, tuple[Processing, str]] = {
    "2h": ("background_2h", "the Responses API in the background"),
    "8h": ("background_8h", "the Responses API in the background"),
    "24h": ("batch", "the Batch API"),
}


def ways(path: str) -> tuple[Within, ...]:
    """What an endpoint has, by its path (`/chat/completions`), the shortest first; () for one that only answers now."""
    has: dict[Within, bool] = {
        "2h": path in _BACKGROUND_PATHS,
        "8h": path in _BACKGROUND_PATHS,
        "24h": path in _BATCH_PATHS,
    }
    return tuple(within for within in WITHINS if has[within])


def processing_of(within: Within | None) -> Processing:
    """How requests are processed that have that much time, which decides their price."""
    return "standard" if within is None else _WAYS[within][0]


def way_text(within: Within) -> str:
    """`the Batch API`."""
    return _WAYS[within][1]
