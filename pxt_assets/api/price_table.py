"""What the offline table of `genai-prices` says of a model of OpenAI's, taken no further than it reaches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

_SNAPSHOT = re.compile(r"(?:-?(?:preview|latest|\d{2,8}))*")
"""What follows a model's name in that of one of its snapshots: `-preview-2025-06-03`, `-0914`."""
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$")
_FREE = re.compile(r"(?:omni|text)-moderation(?:-latest|-stable|-\d+|-\d{4}-\d\d-\d\d)?")
"""Source: https://platform.openai.com/docs/guides/moderation; the table takes any name that holds `moderation`."""
_OF_OTHERS = re.compile(r"gpt-oss|gpt-5-image|gpt-5\.4-image|gpt-35-|.*:extended$|.*\.ft-")
"""Open models, and names that other providers give: the table has them at the prices of one of these."""
_SEARCH_MODELS = re.compile(r".*-search-(?:preview|api)")
"""They search for every answer and charge for it, and no answer says how often.
Source: https://platform.openai.com/docs/pricing"""
_DRAWING = re.compile(r"(?:chat)?gpt-image")
"""Models whose output is images, where the table has one price of it."""
_SPEAKING = re.compile(r".*-tts")
_DATED = re.compile(r"-(?:latest|\d{4}-\d\d-\d\d)$")
_DECISIONS = "openai-decisions"
"""The table's name for the endpoint that answers questions, which charges for what it reads alone."""
_NOT_REASONING = re.compile(r"(?:ft:)?(?:chatgpt-|gpt-3|gpt-4)")
"""Models of which a search by the tool's preview costs otherwise. Source: https://platform.openai.com/docs/pricing"""

_FIXED_BLOCKS = re.compile(r"(?:ft:)?gpt-(?:4o|4\.1)-mini")
"""Models that are charged 8,000 input tokens for what a search finds, of which no answer says whether it counts them.
Source: https://platform.openai.com/docs/pricing"""


@dataclass(frozen=True)
class PriceTable:
    """The prices of one model on one day, by the table's keys: US dollars for a million tokens, a thousand calls, an hour."""

    name: str
    """The name of the model, in lower case."""
    standard: Any
    """The model's `ModelPrice`, and the one that holds in another tier or processing."""
    prices: Any
    variants: tuple[Any, ...] = ()
    """Those that hold on the day."""
    must_vary: bool = False
    """Whether a price of tokens that is the standard one is none: the table names all of a tier."""
    answers_are_free: bool = False
    """Whether what the model makes costs nothing."""

    @property
    def is_fine_tuned(self) -> bool:
        """Whether the model is a fine-tuned one."""
        return self.name.startswith("ft:")

    @property
    def draws(self) -> bool:
        """Whether what the model makes is images."""
        return _DRAWING.match(self.name) is not None

    @property
    def speaks(self) -> bool:
        """Whether what the model makes is sound."""
        return _SPEAKING.match(self.name) is not None

    @property
    def reasons(self) -> bool:
        """Whether the model is one that reasons."""
        return _NOT_REASONING.match(self.name) is None

    @property
    def searches_in_blocks(self) -> bool:
        """Whether what a search finds is charged as a block of tokens."""
        return _FIXED_BLOCKS.match(self.name) is not None

    def varied(self, key: str, value: str) -> PriceTable | None:
        """The prices in a service tier or a processing; None where the table has none."""
        for variant in self.variants:
            if variant.when == {key: value}:
                return replace(self, prices=variant.prices, must_vary=key == "service_tier")
        return None

    @property
    def steps(self) -> list[int]:
        """From how many input tokens on other prices hold, 0 first."""
        found = {
            tier.start + 1
            for prices in (self.standard, self.prices)
            for price in vars(prices).values()
            for tier in getattr(price, "tiers", ())
        }
        return [0, *sorted(found)]

    def has(self, key: str) -> bool:
        """Whether the model has a price of its own for that."""
        return getattr(self.standard, key) is not None

    def price(self, key: str, tokens: int) -> float | None:
        """The price of a unit where the input has so many tokens; None where none is known."""
        standard, own = getattr(self.standard, key), getattr(self.prices, key)
        if own is None:
            if self.must_vary and key.endswith("_mtok"):
                return None
            own = standard
        if own is None:
            return None
        steps = getattr(own, "tiers", None)
        if steps is None:
            rises = any(tokens > tier.start for tier in getattr(standard, "tiers", ()))
            return None if rises else float(own)  # what a long context costs then is not published
        price = own.base
        for tier in steps:
            if tokens > tier.start:
                price = tier.price
        return float(price)


@lru_cache(1_000)
def is_free(model: str) -> bool:
    """Whether the model's answers cost nothing."""
    return _FREE.fullmatch(model.lower()) is not None


def table_prices(model: str, day: date) -> PriceTable | None:
    """The prices of a model on a day; None for one that the table lacks, or has under another name's."""
    from genai_prices.data_snapshot import get_snapshot

    name = _COMPACT_DATE.sub(r"-\1-\2-\3", model.lower())
    if _OF_OTHERS.match(name) or _SEARCH_MODELS.match(name):
        return None
    provider = next((one for one in get_snapshot().providers if one.id == "openai"), None)
    found = None if provider is None else provider.find_model(name)
    if found is None or not _is_named(found.match, name):
        return None
    noon = datetime.combine(day, time(12), UTC)
    standard = found.get_prices(noon)
    if not any(price is not None for price in vars(standard).values()):
        return None
    variants = [
        one for one in found.price_variants or () if one.constraint is None or one.constraint.active(noon)
    ]
    return PriceTable(name, standard, standard, tuple(variants))


def is_snapshot(name: str, model: str) -> bool:
    """Whether a name is that of a model, or of one of its snapshots."""
    return name.startswith(model) and (name == model or _SNAPSHOT.fullmatch(name[len(model) :]) is not None)


def decision_prices(model: str, day: date) -> PriceTable | None:
    """The prices of a model on a day where it answers questions; None for one that the table lacks."""
    from genai_prices.data_snapshot import get_snapshot

    name = _DATED.sub("", _COMPACT_DATE.sub(r"-\1-\2-\3", model.lower()))
    provider = next((one for one in get_snapshot().providers if one.id == _DECISIONS), None)
    found = None if provider is None else provider.find_model(name)
    if found is None or not _is_named(found.match, name):
        return None
    prices = found.get_prices(datetime.combine(day, time(12), UTC))
    return PriceTable(name, prices, prices, answers_are_free=True)


def _is_named(match: Any, name: str) -> bool:
    """Whether a name is the model's, or that of one of its snapshots, and does not only begin like it."""
    some: Iterable[Any] | None = getattr(match, "or_", None)
    if some is not None:
        return any(_is_named(one, name) for one in some)
    begin: str | None = getattr(match, "starts_with", None)
    if begin is not None:
        rest = name.removeprefix(begin)
        return name.startswith(begin) and (name.startswith("ft:") or _SNAPSHOT.fullmatch(rest) is not None)
    return getattr(match, "contains", None) is None and bool(match.is_match(name))
