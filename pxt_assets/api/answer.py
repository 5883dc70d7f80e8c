"""The answer to a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pxt_assets.api.request import Usage


class Answer(NamedTuple):
    """The answer to a request, with its usage and cost."""

    values: Sequence[Any]
    """A value for each cell that was asked for."""
    usage: Usage | None
    model: str | None
    """The model snapshot that answered."""
    cost_usd: float | None
    request_id: str | None
    latency_s: float
    attempts: int
    """How often the request was sent."""
