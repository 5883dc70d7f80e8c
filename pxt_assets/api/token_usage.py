"""The tokens that an answer states, by their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage

_MAX_TOKEN_COUNT = 2**53
"""The most tokens that are read from an answer: more than any has, and still an exact number in columns and prices."""
_NOTHING: Mapping[str, Any] = {}


def token_usage(answer: Mapping[str, Any], asked: Mapping[str, Any] = _NOTHING) -> Usage | None:
    """The tokens that an answer states, None if it states none. `asked` is the request's body."""
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
    asked_for, answered = _token_count(read), _token_count(written)
    cached = images = sound = cache_written = drawn = spoken = 0
    if details and isinstance(details, dict):
        cached = _part(details, "cached_tokens", asked_for)
        images = _part(details, "image_tokens", asked_for)
        sound = _part(details, "audio_tokens", asked_for)
        cache_written = _part(details, "cache_write_tokens", asked_for - cached)
    if made and isinstance(made, dict):
        drawn = _part(made, "image_tokens", answered)
        spoken = _part(made, "audio_tokens", answered)
    counted = Usage(
        asked_for,
        answered,
        cached,
        images,
        sound,
        cache_write_tokens=cache_written,
        output_image_tokens=drawn,
        output_audio_tokens=spoken,
        unpriced=_kept_longer(details) + _untold_sound(answer, asked, details, made),
    )
    if cached and (images or sound):
        counted = _with_split_cache(counted, details)
    return counted


def images_usage(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> Usage | None:
    """The usage that an answer of images states."""
    usage = token_usage(answer)
    if usage is None:
        return None
    bill = answer["usage"]
    if "image" in asked and not isinstance(bill.get("input_tokens_details"), dict):
        usage = usage._replace(unpriced=usage.unpriced + 1)
    if "cached_tokens" in bill:  # as the tool of `responses` states it
        cached = _part(bill, "cached_tokens", usage.input_tokens)
        split = bill.get("cached_tokens_details")
        usage = _with_split_cache(usage._replace(cached_tokens=cached), {"cached_tokens_details": split})
    drawn_as_text = mapping_or_empty(answer.get("svg_usage"))
    if drawn_as_text:
        cost = cost_usd(str(drawn_as_text.get("model")), token_usage({"usage": dict(drawn_as_text)}))
        more = Usage(unpriced=1) if cost is None else Usage(tools_usd=cost)
        usage += more
    return usage


def _part(details: Mapping[str, Any], name: str, total: int) -> int:
    """The number of tokens of a kind, which cannot be more than all."""
    stated = details.get(name)
    return min(_token_count(stated), total) if stated else 0


def _with_split_cache(usage: Usage, details: object) -> Usage:
    """The usage with its cached tokens told apart, as far as the answer does."""
    split = details.get("cached_tokens_details") if isinstance(details, dict) else None
    if not isinstance(split, dict):
        is_one = usage.cached_tokens == usage.input_tokens
        if is_one and not usage.audio_tokens:
            return usage._replace(cached_image_tokens=usage.image_tokens)
        if is_one and not usage.image_tokens:
            return usage._replace(cached_audio_tokens=usage.audio_tokens)
        return usage._replace(mixed_cached_tokens=usage.cached_tokens)
    images, sound = (
        next((_token_count(split[name]) for name in (kind, f"cached_{kind}") if split.get(name)), 0)
        for kind in ("image_tokens", "audio_tokens")
    )
    return usage._replace(cached_image_tokens=images, cached_audio_tokens=sound)


def _kept_longer(details: object) -> int:
    """Whether tokens were written to be kept for 12 hours, which has a price of its own that the table lacks."""
    written = details.get("cache_write_tokens_details") if isinstance(details, dict) else None
    return int(isinstance(written, dict) and _token_count(written.get("ttl_12h_tokens")) > 0)


def _untold_sound(answer: Mapping[str, Any], asked: Mapping[str, Any], read: object, made: object) -> int:
    """How often it is not said how many tokens were sound, of what was read and of what was made."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return 0
    speaks = not _tells_sound(made) and any(map(_is_spoken, choices))
    hears = (
        not _tells_sound(read)
        and "audio" in str(asked.get("model"))
        and any(map(_holds_sound, asked.get("messages") or ()))
    )
    return speaks + hears


def _tells_sound(details: object) -> bool:
    return isinstance(details, dict) and details.get("audio_tokens") is not None


def _is_spoken(choice: object) -> bool:
    return bool(mapping_or_empty(mapping_or_empty(choice).get("message")).get("audio"))


def _holds_sound(message: Mapping[str, Any]) -> bool:
    parts = message.get("content")
    return bool(message.get("audio")) or (
        isinstance(parts, list | tuple)
        and any(isinstance(part, Mapping) and part.get("type") == "input_audio" for part in parts)
    )


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    """A part of an answer that should be an object; an empty one if a server sends something else."""
    return value if isinstance(value, Mapping) else {}


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
