"""What requests are expected to cost, told at once of those that are like others."""

from __future__ import annotations

from collections.abc import Callable

from pxt_assets.api.body_template import FilledBody
from pxt_assets.api.request import Request
from pxt_assets.throttle.cost import RequestSize

_KINDS = 16_384
"""Kinds of requests that are remembered."""


class ExpectedCosts:
    """Remembers what `cost_usd` says: bodies of one template and one size are expected to cost the same."""

    def __init__(self, cost_usd: Callable[[Request], float | None]) -> None:
        self._cost_usd = cost_usd
        self._known: dict[tuple[object, RequestSize], float | None] = {}

    def of(self, request: Request) -> float | None:
        """What a request is expected to cost in US dollars; None where no price is known."""
        body = request.body
        if type(body) is not FilledBody:
            return self._cost_usd(request)
        kind = body.kind
        if kind not in self._known:
            if len(self._known) >= _KINDS:
                self._known.clear()
            self._known[kind] = self._cost_usd(request)
        return self._known[kind]
