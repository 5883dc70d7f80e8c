"""What answers say of themselves: the model that answered, and the tokens that it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.api.request import Usage
from pxt_assets.values.json_text import loads_answer, replace_surrogates

_MAX_TOKEN_COUNT = 2**53
"""The most tokens that are read from an answer: more than any has, and still an exact number in columns and prices."""


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """The usage that an answer states, None if it states none: a missing bill is no reason to lose the answer."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    seconds = usage.get("seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return Usage(seconds=min(max(float(seconds), 0.0), float(_MAX_TOKEN_COUNT)))
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    details = usage.get("prompt_tokens_details")
    if "prompt_tokens" not in usage:
        read, written = usage.get("input_tokens"), usage.get("output_tokens")
        details = usage.get("input_tokens_details") or usage.get("input_token_details")
    if not _is_count(read):
        return None
    made = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    asked, answered = _token_count(read), _token_count(written)
    cached, images, sound = _parts(details, asked, "cached_tokens", "image_tokens", "audio_tokens")
    (cache_written,) = _parts(details, asked - cached, "cache_write_tokens")
    drawn, spoken = _parts(made, answered, "image_tokens", "audio_tokens")
    return Usage(
        asked,
        answered,
        cached,
        images,
        sound,
        cache_write_tokens=cache_written,
        output_image_tokens=drawn,
        output_audio_tokens=spoken,
        searches=_searches(answer),
    )


def _parts(details: object, total: int, *names: str) -> list[int]:
    """The numbers of tokens of each kind, of which none can be more than all."""
    if not isinstance(details, dict):
        return [0] * len(names)
    return [min(_token_count(details[name]), total) if details.get(name) else 0 for name in names]


def _searches(answer: Mapping[str, Any]) -> int:
    """The searches of the web among the items of an answer's output."""
    items = answer.get("output")
    if not isinstance(items, list):
        return 0
    return sum(isinstance(item, dict) and item.get("type") == "web_search_call" for item in items)


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    """A part of an answer that should be an object; an empty one if a server sends something else."""
    return value if isinstance(value, Mapping) else {}


def model_of(answer: Mapping[str, Any]) -> str | None:
    """The model snapshot that an answer states."""
    model = answer.get("model")
    return replace_surrogates(model) if isinstance(model, str) else None


def _is_count(value: object) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isascii() and value.isdecimal()
    )


def _token_count(value: object) -> int:
    """A number of tokens, which some servers send as a float or a text; 0 for any other value.

    An odd bill is no reason to lose the answer.
    """
    if type(value) is int and 0 <= value <= _MAX_TOKEN_COUNT:
        return value
    if not _is_count(value):
        return 0
    return int(min(max(float(value), 0.0), _MAX_TOKEN_COUNT))  # type: ignore[arg-type]


def stated_usage(body: bytes) -> tuple[str | None, Usage] | None:
    """The model and the usage that an answer states which is no result otherwise; None if it states none."""
    try:
        answer = loads_answer(body)
    except ValueError:
        return None
    usage = usage_of(answer) if isinstance(answer, Mapping) else None
    return None if usage is None else (model_of(answer), usage)
