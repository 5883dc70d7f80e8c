"""What answers say of themselves: the model that answered, its service tier, and what it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pxt_assets.api.hosted_tools import tools_usage
from pxt_assets.api.request import Usage
from pxt_assets.api.token_usage import images_usage, token_usage
from pxt_assets.values.json_text import loads_answer, replace_surrogates

_NOTHING: Mapping[str, Any] = {}


class Stated(NamedTuple):
    """What an answer states that is no result otherwise."""

    model: str | None
    usage: Usage
    tier: str | None


def usage_of(answer: Mapping[str, Any], asked: Mapping[str, Any] = _NOTHING) -> Usage | None:
    """The usage that an answer states, None if it states none: a missing bill is no reason to lose the answer.

    `asked` is the request's body.
    """
    usage = token_usage(answer, asked)
    if usage is not None and "output" in answer:
        return usage + tools_usage(answer, asked)
    if usage is not None and "answers" in answer and "questions" in asked:
        return usage._replace(decisions=1)
    return usage


def transcript_usage(answer: Mapping[str, Any]) -> Usage | None:
    """The usage that a transcript states. Unless it tells sound from text, which cost differently, its price is unknown."""
    usage = usage_of(answer)
    if usage is None or not usage.input_tokens:
        return usage
    bill = answer["usage"]
    details = bill.get("input_token_details") or bill.get("input_tokens_details")
    return usage if isinstance(details, dict) else usage._replace(unpriced=usage.unpriced + 1)


def model_of(answer: Mapping[str, Any]) -> str | None:
    """The model snapshot that an answer states."""
    model = answer.get("model")
    return replace_surrogates(model) if isinstance(model, str) else None


def tier_of(answer: Mapping[str, Any]) -> str | None:
    """The service tier that an answer states it was answered in."""
    tier = answer.get("service_tier")
    return tier if isinstance(tier, str) else None


def stated_usage(body: bytes, asked: Mapping[str, Any] = _NOTHING) -> Stated | None:
    """What an answer states that is no result otherwise; None if it states no usage. `asked` is the request's body."""
    try:
        answer = loads_answer(body)
    except ValueError:
        return None
    if not isinstance(answer, Mapping):
        return None
    usage = images_usage(answer, asked) if "data" in answer else usage_of(answer, asked)
    return None if usage is None else Stated(model_of(answer), usage, tier_of(answer))
