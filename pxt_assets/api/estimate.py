"""Estimates of what requests will use and cost, by what the answered ones used."""

from __future__ import annotations

from dataclasses import dataclass

from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage


@dataclass
class ObservedUsage:
    """What answered requests of one model used, added up."""

    answers: int = 0
    estimated_tokens: float = 0.0
    """Estimated input tokens: characters / 4, and a few."""
    input_tokens: float = 0.0
    """Input tokens as the answers state them."""
    output_tokens: float = 0.0


class Estimator:
    """Estimates of the usage of requests, corrected by what earlier answers of the same model used."""

    def __init__(self) -> None:
        self._observed: dict[str, ObservedUsage] = {}
        self._all_models = ObservedUsage()

    def learn(self, model: str, observed: ObservedUsage) -> None:
        """Adds some answers of a model."""
        for total in (self._observed.setdefault(model, ObservedUsage()), self._all_models):
            total.answers += observed.answers
            total.estimated_tokens += observed.estimated_tokens
            total.input_tokens += observed.input_tokens
            total.output_tokens += observed.output_tokens

    @property
    def has_observations(self) -> bool:
        """Whether any answer is known."""
        return self._all_models.answers > 0

    def usage(self, request: Request) -> Usage:
        """What one request is expected to use."""
        endpoint = request.endpoint
        known = self._observed.get(request.model, self._all_models)
        size = request.size
        output = float(endpoint.answer_tokens)
        if known.answers:
            output = known.output_tokens / known.answers
        if size.outputs:
            output = min(output, size.outputs)
        if endpoint.charged_usage is not None:
            return endpoint.charged_usage(request.body)._replace(output_tokens=round(output))
        ratio = known.input_tokens / known.estimated_tokens if known.estimated_tokens else 1.0
        return Usage(
            input_tokens=round((size.least_tokens + size.tools) * ratio), output_tokens=round(output)
        )

    def cost_usd(self, request: Request) -> float | None:
        """What one request is expected to cost in US dollars; None where no price is known."""
        return cost_usd(request.model, self.usage(request))
