"""What requests that were not sent yet will use and cost, by what answered ones did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage


@dataclass
class Observed:
    """What answered requests of one model used, added up."""

    answers: int = 0
    estimated_tokens: float = 0.0
    """Input tokens as they were estimated: characters / 4, and a few."""
    input_tokens: float = 0.0
    """Input tokens as the answers state them."""
    output_tokens: float = 0.0


class Estimator:
    """Estimates of the usage of requests, corrected by what earlier answers of the same model used."""

    def __init__(self) -> None:
        self._observed: dict[str, Observed] = {}
        self._every = Observed()

    def learn(self, model: str, observed: Observed) -> None:
        """Takes in some answers of a model."""
        for total in (self._observed.setdefault(model, Observed()), self._every):
            total.answers += observed.answers
            total.estimated_tokens += observed.estimated_tokens
            total.input_tokens += observed.input_tokens
            total.output_tokens += observed.output_tokens

    @property
    def learned(self) -> bool:
        """Whether any answer is known."""
        return self._every.answers > 0

    def usage(self, request: Request) -> Usage:
        """What one request is expected to use."""
        endpoint = request.endpoint
        known = self._observed.get(request.model, self._every)
        size = request.size
        output = float(endpoint.answer_tokens)
        if known.answers:
            output = known.output_tokens / known.answers
        if size.outputs:
            output = min(output, size.outputs)
        if endpoint.charged is not None:
            return replace(endpoint.charged(request.body), output_tokens=round(output))
        ratio = known.input_tokens / known.estimated_tokens if known.estimated_tokens else 1.0
        return Usage(
            input_tokens=round((size.least_tokens + size.tools) * ratio), output_tokens=round(output)
        )

    def cost_usd(self, request: Request) -> float | None:
        """What one request is expected to cost in US dollars; None where no price is known."""
        return cost_usd(request.model, self.usage(request))
