"""Estimates of what requests will use and cost, by what the answered ones used."""

from __future__ import annotations

from dataclasses import dataclass

from pxt_assets.api.hosted_tools import expected_calls
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.processing import Processing
from pxt_assets.api.prompt_cache import is_written_whole
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
        self._prefixes: set[str] = set()
        """The keys of the cached prefixes of the requests up to now: all but the first of each read it."""

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
            charged = endpoint.charged_usage(request.body)
            is_by_token = not (charged.seconds or charged.characters)
            return charged._replace(output_tokens=round(output)) if is_by_token else charged
        ratio = known.input_tokens / known.estimated_tokens if known.estimated_tokens else 1.0
        made, read = round(output), round((size.least_tokens + size.tools) * ratio)
        cached, written = self._of_cache(request, read)
        return Usage(
            input_tokens=read,
            output_tokens=made,
            cached_tokens=cached,
            cache_write_tokens=written,
            output_image_tokens=made if endpoint.path.startswith("/images") else 0,
            output_audio_tokens=made if "audio" in (request.body.get("modalities") or ()) else 0,
            decisions=int(endpoint.decides),
            **expected_calls(request.body)._asdict(),
        )

    def _of_cache(self, request: Request, tokens: int) -> tuple[int, int]:
        """How many of a prompt's tokens will be read from the API's cache, and how many written to it."""
        if request.prefix is None:
            return 0, tokens if is_written_whole(request.endpoint.path, request.body, tokens) else 0
        shared = min(request.prefix.tokens, tokens)
        if request.prefix.key in self._prefixes:
            return shared, 0
        self._prefixes.add(request.prefix.key)
        return 0, shared

    def cost_usd(
        self, request: Request, processing: Processing = "standard", usage: Usage | None = None
    ) -> float | None:
        """What one request is expected to cost in US dollars; None where no price is known.

        `usage` is its `usage` where that is known already. The service tier is the one that it asks for.
        """
        tier = request.body.get("service_tier")
        used = self.usage(request) if usage is None else usage
        return cost_usd(request.model, used, processing, tier if isinstance(tier, str) else None)
