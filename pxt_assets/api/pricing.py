"""Prices of answers, by the offline table of `genai-prices`. A price that it lacks is unknown, never 0.

The table charges nothing for what it has no unit for, and the standard price in a tier that it does not know: so prices
are read from it one by one, and what an answer used that has none makes its price unknown.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import cast

from pxt_assets.api.price_table import PriceTable, decision_prices, is_free, table_prices
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Usage

_STANDARD_TIERS = (None, "", "auto", "default")
_TABLE_TIERS = ("flex", "priority", "fast")
"""Others, as "scale" that is paid for beforehand, have no price of a token."""
_SHARES: dict[Processing, float] = {"batch": 0.5, "background_8h": 0.6, "background_2h": 0.7}
"""What is charged of the standard price of tokens; not of calls of tools. The table's own batch prices come first.
Source: https://platform.openai.com/docs/guides/batch, https://platform.openai.com/docs/guides/background"""
_REMEMBERED = 1_000
"""Models whose prices are remembered: servers may name ever other ones."""
_log = logging.getLogger("pxt_assets.pricing")


def cost_usd(
    model: str, usage: Usage | None, processing: Processing = "standard", tier: str | None = None
) -> float | None:
    """The price of one answer in US dollars; None where it is unknown.

    Args:
        model: the model that answered.
        usage: what the answer states that it used; None if it states nothing: then the price is unknown, unless the
            model is free.
        processing: how the request was processed.
        tier: the `service_tier` that the answer states, None where it states none.
    """
    if is_free(model):
        return 0.0
    if usage is not None and usage.decisions:
        prices = _prices_of_decisions(model, _today()) if processing == "standard" else None
    else:
        prices = _prices(model, processing, tier, _today())  # which warns of a model without a price
    if prices is None or usage is None or (usage.tools_usd and processing != "standard"):
        return None
    return prices.cost(usage)


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class _Rates:
    """US dollars for one of each; None where no price is known."""

    fresh: float | None
    """An input token of text, and of any kind that has no price of its own."""
    cached: float | None
    written: float | None
    image: float | None
    cached_image: float | None
    audio: float | None
    cached_audio: float | None
    output: float | None
    output_image: float | None
    output_audio: float | None
    character: float | None
    second: float | None
    search: float | None
    preview_search: float | None
    file_search: float | None
    draws: bool
    """Whether all that is made is images, where an answer does not tell them from text."""
    text: tuple[float, float, float, float] | None
    """Those of fresh, cached, written and made tokens, where all are known."""
    images_are_text: bool
    """Whether input images cost what text does, so that it plays no part how many tokens they are."""

    def cost(self, usage: Usage) -> float | None:
        """What the usage costs, None where something of it has no price, or its parts exceed the whole."""
        if not any(usage[3:7]) and not any(usage[8:]) and not self.draws:  # text alone, as nearly always
            fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
            if fresh >= 0 and self.text is not None:
                a, b, c, d = self.text
                return (
                    fresh * a
                    + usage.cached_tokens * b
                    + usage.cache_write_tokens * c
                    + usage.output_tokens * d
                )
        image, cached_image = usage.image_tokens, usage.cached_image_tokens
        if self.images_are_text:
            image = cached_image = 0
        cached = usage.cached_tokens - cached_image - usage.cached_audio_tokens
        fresh_image, fresh_audio = image - cached_image, usage.audio_tokens - usage.cached_audio_tokens
        fresh = (
            usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens - fresh_image - fresh_audio
        )
        drawn = usage.output_image_tokens or (usage.output_tokens if self.draws else 0)
        output = usage.output_tokens - drawn - usage.output_audio_tokens
        if min(cached, fresh, fresh_image, fresh_audio, output) < 0:
            return None
        total = usage.tools_usd
        for amount, rate in (
            (fresh, self.fresh),
            (cached, self.cached),
            (output, self.output),
            (usage.cache_write_tokens, self.written),
            (fresh_image, self.image),
            (cached_image, self.cached_image),
            (fresh_audio, self.audio),
            (usage.cached_audio_tokens, self.cached_audio),
            (drawn, self.output_image),
            (usage.output_audio_tokens, self.output_audio),
            (usage.characters, self.character),
            (usage.seconds, self.second),
            (usage.searches, self.search),
            (usage.preview_searches, self.preview_search),
            (usage.file_searches, self.file_search),
        ):
            if amount:
                if rate is None:
                    return None
                total += amount * rate
        return total

    def tells_apart(self, usage: Usage) -> bool:
        """Whether the usage's cached tokens cost otherwise by whether they are text, an image or sound."""
        image, audio = self.cached_image != self.cached, self.cached_audio != self.cached
        return bool((usage.image_tokens and image) or (usage.audio_tokens and audio))


@dataclass(frozen=True, slots=True)
class _Prices:
    """The rates of one model by the length of the input: each holds from its least number of tokens on."""

    steps: tuple[tuple[int, _Rates], ...]

    def cost(self, usage: Usage) -> float | None:
        if usage.unpriced:
            return None
        rates = self.steps[0][1]
        if len(self.steps) > 1:
            for least, of_longer in self.steps[1:]:
                if usage.input_tokens >= least:
                    rates = of_longer
        if usage.mixed_cached_tokens and rates.tells_apart(usage):
            return None
        return rates.cost(usage)


@lru_cache(_REMEMBERED)
def _prices(model: str, processing: Processing, tier: str | None, day: date) -> _Prices | None:
    """Cached, as a look-up takes 100 µs."""
    table = table_prices(model, day)
    if table is None:
        _warn_of(f"the model {model!r}")
        return None
    is_standard = tier in _STANDARD_TIERS
    if processing == "standard" and not is_standard:
        varied = table.varied("service_tier", tier) if tier in _TABLE_TIERS and tier is not None else None
        if varied is None:
            _warn_of(f"the model {model!r} in the service tier {tier!r}")
        return None if varied is None else _of_table(varied, 1.0)
    if not is_standard:
        return None  # of a tier within a batch or in the background nothing is published
    if processing == "batch" and (varied := table.varied("processing", "batch")) is not None:
        return _of_table(varied, 1.0)
    if processing != "standard" and table.is_fine_tuned:
        _warn_of(f"the model {model!r} by {processing}")
        return None
    return _of_table(table, _SHARES.get(processing, 1.0))


@lru_cache(_REMEMBERED)
def _prices_of_decisions(model: str, day: date) -> _Prices | None:
    """Of answers to questions: what is read costs the same whether it was cached, and what is made nothing."""
    table = decision_prices(model, day)
    if table is None:
        _warn_of(f"decisions of the model {model!r}")
    return None if table is None else _of_table(table, 1.0)


def _of_table(table: PriceTable, share: float) -> _Prices:
    return _Prices(tuple((least, _rates(table, least, share)) for least in table.steps))


def _rates(table: PriceTable, tokens: int, share: float) -> _Rates:
    def token(key: str) -> float | None:
        price = table.price(key, tokens)
        return None if price is None else price * share / 1e6

    def calls(key: str) -> float | None:
        price = table.price(key, tokens)
        return None if price is None else price / 1_000

    fresh, output = token("input_mtok"), 0.0 if table.answers_are_free else token("output_mtok")
    cached = token("cache_read_mtok") if table.has("cache_read_mtok") else fresh
    image, audio = token("input_image_mtok"), token("input_audio_mtok")
    images_are_text = not table.has("input_image_mtok")
    search = None if table.searches_in_blocks else calls("web_searches_kcount")
    characters, hours = table.price("input_mchars", tokens), table.price("audio_hours", tokens)
    written = token("cache_write_mtok") if table.has("cache_write_mtok") else fresh
    all_known = None not in (fresh, cached, written, output)
    return _Rates(
        fresh=fresh,
        cached=cached,
        written=written,
        image=fresh if images_are_text else image,
        cached_image=cached if images_are_text else token("cache_image_read_mtok"),
        audio=audio,
        cached_audio=token("cache_audio_read_mtok") if table.has("cache_audio_read_mtok") else audio,
        output=output,
        output_image=token("output_image_mtok")
        if table.has("output_image_mtok")
        else output
        if table.draws
        else None,
        output_audio=token("output_audio_mtok")
        if table.has("output_audio_mtok")
        else output
        if table.speaks
        else None,
        character=None if characters is None else characters * share / 1e6,
        second=None if hours is None else hours * share / 3_600,
        search=search,
        preview_search=search if table.reasons else None,
        file_search=calls("storage_searches_kcount"),
        draws=table.draws,
        text=cast(tuple[float, float, float, float], (fresh, cached, written, output)) if all_known else None,
        images_are_text=images_are_text,
    )


@lru_cache(_REMEMBERED)
def _warn_of(what: str) -> None:
    _log.warning("No price is known for %s: its cost is shown as unknown.", what)
