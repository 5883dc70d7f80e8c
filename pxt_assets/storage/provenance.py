"""Provenance: which answer a cell's value comes from, and what that answer took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import sub
from typing import Any

from pxt_assets.api.request import Usage
from pxt_assets.api.server_name import UNKNOWN

ANSWERED_BY = "answered_by"
"""Who answered the rows of a column's file, by its name in the file's metadata; files of earlier versions lack it."""


def answering_servers(metadata: Mapping[str, Any]) -> frozenset[str]:
    """The servers that answered rows of a file of that metadata, as far as they are known."""
    counts = json.loads(metadata[ANSWERED_BY])["counts"] if ANSWERED_BY in metadata else {}
    return frozenset(counts) - {UNKNOWN}


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of one cell. The tokens and cost of a request of many cells are split among them."""

    request_id: str | None = None
    """The API's id of the request; several ids are separated by spaces."""
    model: str | None = None
    """The model snapshot that answered."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    """Input tokens that were read from the API's cache."""
    estimated_tokens: float = 0.0
    """Input tokens as estimated before sending."""
    cost_usd: float | None = None
    """None where it is unknown."""
    latency_s: float | None = None
    """Seconds from sending the request to its answer."""
    attempts: int = 0
    """How often the request was sent."""
    server: str | None = None
    """The server that answered; None where it is unknown, or none was asked."""

    def __add__(self, later: Provenance) -> Provenance:
        server = later.server or self.server
        if not self.attempts or not later.attempts:  # nothing was sent yet, or not for this cell
            sent = later if later.attempts else self
            return sent if sent.server == server else replace(sent, server=server)
        return Provenance(
            request_id=_join_ids(self.request_id, later.request_id),
            model=later.model or self.model,
            input_tokens=_sum(self.input_tokens, later.input_tokens),
            output_tokens=_sum(self.output_tokens, later.output_tokens),
            cached_tokens=_sum(self.cached_tokens, later.cached_tokens),
            estimated_tokens=self.estimated_tokens + later.estimated_tokens,
            cost_usd=_sum(self.cost_usd, later.cost_usd),
            latency_s=_sum(self.latency_s, later.latency_s),
            attempts=self.attempts + later.attempts,
            server=server,
        )


def split_usage(
    usage: Usage | None, cost_usd: float | None, estimates: Sequence[float]
) -> list[tuple[Usage | None, float | None]]:
    """The tokens and the cost of one request, split among its cells in proportion to their estimated tokens.

    The shares add up to what the request took.
    """
    if len(estimates) == 1:
        return [(usage, cost_usd)]
    if not any(estimates):
        estimates = [1.0] * len(estimates)
    total = sum(estimates)
    used = () if usage is None else (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    shares: list[tuple[Usage | None, float | None]] = []
    before, counted, paid = 0.0, [0] * len(used), 0.0
    for n, estimate in enumerate(estimates, 1):
        before += estimate
        end = 1.0 if n == len(estimates) else before / total
        now = [round(end * tokens) if tokens else 0 for tokens in used]
        share = Usage(*map(sub, now, counted)) if used else None
        shares.append((share, None if cost_usd is None else cost_usd * end - paid))
        counted, paid = now, (cost_usd or 0.0) * end
    return shares


def _sum(a: float | None, b: float | None) -> Any:
    return None if a is None or b is None else a + b


def _join_ids(*ids: str | None) -> str | None:
    return " ".join(i for i in ids if i) or None
