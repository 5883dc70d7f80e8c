"""Prices of answers, by the offline table of `genai-prices`. A price that it lacks is unknown, never 0."""

from __future__ import annotations

import logging
from functools import cache

from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Usage

_LINEAR_TOKENS = 100_000
"""Up to here the price of a token is constant; beyond, models may charge long contexts at another rate."""
_log = logging.getLogger("pxt_assets.pricing")


def cost_usd(
    model: str, usage: Usage | None, processing: Processing = "standard", tier: str | None = None
) -> float | None:
    """The price of one answer in US dollars; None where the table has no price of it.

    `tier` is the `service_tier` that the answer states, None where it states none.

    It is unknown without a `usage` too, unless the model is free.
    """
    if usage is None:
        return 0.0 if _token_prices(model) == (0.0, 0.0, 0.0) else None
    if usage.input_tokens > _LINEAR_TOKENS or not _is_text(usage):
        return _price(model, usage)
    rates = _token_prices(model)
    if rates is None:
        return None
    fresh, cached, output = rates
    paid = usage.input_tokens - usage.cached_tokens
    return paid * fresh + usage.cached_tokens * cached + usage.output_tokens * output


@cache
def _token_prices(model: str) -> tuple[float, float, float] | None:
    """Dollars for a fresh input token, a cached one and an output token. Cached, as a look-up takes 100 µs."""
    thousand = [
        _price(model, Usage(1_000)),
        _price(model, Usage(1_000, output_tokens=1_000)),
        _price(model, Usage(1_000, cached_tokens=1_000)),
    ]
    if any(price is None for price in thousand):
        _log.warning("No price is known for the model %r: its cost is shown as unknown.", model)
        return None
    fresh, output, cached = (price / 1_000 for price in thousand if price is not None)
    return fresh, cached, output - fresh


def _is_text(usage: Usage) -> bool:
    return not any(
        (
            *(usage.image_tokens, usage.audio_tokens, usage.characters, usage.seconds, usage.searches),
            *(usage.cache_write_tokens, usage.output_image_tokens, usage.output_audio_tokens),
        )
    )


def _price(model: str, usage: Usage) -> float | None:
    import genai_prices

    used = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens or None,
        cache_read_tokens=usage.cached_tokens or None,
        input_image_tokens=usage.image_tokens or None,
        input_audio_tokens=usage.audio_tokens or None,
        input_characters=usage.characters or None,
        audio_seconds=usage.seconds or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        output_image_tokens=usage.output_image_tokens or None,
        output_audio_tokens=usage.output_audio_tokens or None,
        web_searches=usage.searches or None,
    )
    try:
        found = genai_prices.calc_price(used, model, provider_id="openai")
    except (LookupError, ValueError):
        return None
    priced = {unit for unit, price in vars(found.model_price).items() if price is not None}
    charged = {
        "input_mtok": usage.input_tokens,
        "input_mchars": usage.characters,
        "audio_hours": usage.seconds,
    }
    if priced and any(amount and unit not in priced for unit, amount in charged.items()):
        return None  # charged by a unit whose price is unknown
    return float(found.total_price)
