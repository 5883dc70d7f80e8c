"""What a request may cost at most: by how long it lets its answer be, or how long its model can make it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pxt_assets.api.hosted_tools import tools_bound
from pxt_assets.api.price_table import is_snapshot
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request, Usage

_LONGEST_ANSWERS = (
    (re.compile(r"gpt-3\.5|gpt-4-turbo|gpt-4-(?:\d{4}|vision)|gpt-4o-2024-05-13"), 4_096),
    (re.compile(r"gpt-4o.*transcribe"), 2_000),
    (re.compile(r"gpt-4o|chatgpt-4o|gpt-audio|gpt-4\.5|gpt-5(?:\.\d+)?-chat"), 16_384),
    (re.compile(r"gpt-4\.1|o1-preview"), 32_768),
    (re.compile(r"gpt-4(?![.\d])"), 8_192),
    (re.compile(r"o1-mini"), 65_536),
    (re.compile(r"o\d"), 100_000),
)
"""The output tokens that models can make, reasoning included. Source: https://platform.openai.com/docs/models"""
_LONGEST_ANSWER = 128_000
"""Those of the newest models; assumed of any other."""
_TOKENS_OF_IMAGE = 12_000
"""Input tokens of an image, at most; of gpt-4o-mini, which counts them otherwise, the next."""
_TOKENS_OF_IMAGE_IN_MINI = 48_169
_DEARER_IMAGE = 1.5
"""Output tokens of a portrait or a landscape, over those of a square image (`Endpoint.answer_tokens`)."""
_DENSER_SOUND = 4.0
"""Seconds of sound in a byte of a strongly compressed file, over those of the usual one."""
_TOKENS_OF_SEARCH = 8_000
"""Input tokens of a search that the server makes."""
_LONGER = 4
"""What is set aside for an answer that nothing limits, over the longest one that is known."""
_LESS_KNOWN = 8
"""After n answers that is also this over n + 1 of the longest that the model can make: longer ones may just be rare."""
ENOUGH_ANSWERS = 5
"""After so many that is left out of what comes later: nothing is learned there before all of it is submitted."""
_FEW_LONGER = 64
"""After n answers it is instead this over n times the longest one that is known, if that is more than _LONGER times."""


@dataclass
class _Seen:
    """The answers of one model at one endpoint."""

    answers: int = 0
    longest: int = 0
    """Output tokens."""
    dearest_usd: float = 0.0
    """At the standard price at least."""
    tiers: set[str | None] = field(default_factory=set)
    """The service tiers in which they were answered: a project may have one of its own."""


class CostBound:
    """Bounds of what requests cost, corrected by answers.

    A request that limits its answer (`max_tokens` and the like) costs no more than that. Of one that does not, the
    model's own maximum is assumed, and less with each answer that is seen: after n answers a fraction of 8 / (n + 1)
    of it, but never less than four times the longest of them. An answer that cost more than its bound raises it. All
    that is read is taken to be written to a cache, where that costs more, and every tool of the server to be called.

    Of answers that come later it is four times the longest one that is known (of fewer than sixteen, 64 / n times), once
    five are known, of this run or of earlier ones (`note_earlier`). So much is set aside for all of them together that a
    rare long one has room among them.
    """

    def __init__(self) -> None:
        self._seen: defaultdict[tuple[str, str], _Seen] = defaultdict(_Seen)
        self._earlier: dict[str, tuple[int, int]] = {}
        """Of the answers of earlier runs to such requests, by model: how many, and the output tokens of the longest."""

    def note_earlier(self, model: str, answers: int, longest: int) -> None:
        """Notes answers of earlier runs to requests like those of this run, and the output tokens of the longest."""
        before, most = self._earlier.get(model, (0, 0))
        self._earlier[model] = before + answers, max(most, longest)

    def learn(self, request: Request, usage: Usage | None, cost: float, tier: str | None = None) -> None:
        """Notes an answer, what it cost in US dollars, and the service tier that it states."""
        seen = self._seen[_kind(request)]
        seen.answers += 1
        standard = cost_usd(request.model, usage, tier=tier)  # it may have come by a cheaper way
        seen.dearest_usd = max(seen.dearest_usd, cost, standard or 0.0)
        seen.tiers.add(tier)
        if usage is not None:
            seen.longest = max(seen.longest, usage.output_tokens)

    def dearest_usd(self, request: Request) -> float | None:
        """What the dearest answer to such a request cost, None if none is known."""
        seen = self._seen[_kind(request)]
        return seen.dearest_usd if seen.answers else None

    def most_usd(self, request: Request, processing: Processing = "standard") -> float | None:
        """What a request may cost in US dollars that is processed so; None where no price is known.

        At once it may be answered in the standard tier, in the one that it asks for, or in one in which others were.
        """
        seen = self._seen[_kind(request)]
        output = self._output(request, seen)
        if processing != "standard" and (known := self._known_output(request, seen)) is not None:
            output = min(output, known)
        usage, given = _usage(request, output), request.body.get("service_tier")
        asked_for = given if isinstance(given, str) else None
        tiers = {None, asked_for, *seen.tiers}
        costs = [cost_usd(request.model, usage, tier=tier) for tier in tiers]
        most = max((cost for cost in costs if cost is not None), default=0.0)
        if processing == "standard":
            return None if None in costs else max(most, seen.dearest_usd)
        later = cost_usd(request.model, usage, processing, asked_for)
        if later is None or not most:
            return later
        return max(later, seen.dearest_usd * later / most)

    def unknown_output(self, request: Request) -> int | None:
        """The output tokens assumed of an answer that comes later, where nothing limits it, and too few are known."""
        seen = self._seen[_kind(request)]
        if _allowed_output(request) is not None or self._known_output(request, seen) is not None:
            return None
        return self._output(request, seen)

    def _output(self, request: Request, seen: _Seen) -> int:
        """The output tokens that an answer may have."""
        output = _allowed_output(request)
        if output is None:
            most = _longest_answer(request.model) * _choices(request.body)
            output = min(most, max(_LONGER * seen.longest, _LESS_KNOWN * most // (seen.answers + 1)))
        return output

    def _known_output(self, request: Request, seen: _Seen) -> int | None:
        """The output tokens that an answer may have by those that are known, None where these are too few."""
        answers, longest = seen.answers, seen.longest
        for model, (count, most) in self._earlier.items():
            if is_snapshot(model, request.model):
                answers, longest = answers + count, max(longest, most)
        if answers < ENOUGH_ANSWERS or not longest:
            return None
        return math.ceil(max(_LONGER, _FEW_LONGER / answers) * longest)


def _usage(request: Request, output: int) -> Usage:
    """What a request uses at most whose answer has so many output tokens."""
    body, endpoint = request.body, request.endpoint
    if endpoint.charged_usage is not None:
        charged = endpoint.charged_usage(body)
        is_by_token = not (charged.seconds or charged.characters)
        return Usage(
            input_tokens=round(charged.input_tokens * _DENSER_SOUND),
            output_tokens=output if is_by_token else 0,
            audio_tokens=round(charged.audio_tokens * _DENSER_SOUND),
            characters=charged.characters,
            seconds=charged.seconds * _DENSER_SOUND,
        )
    of_image = _TOKENS_OF_IMAGE_IN_MINI if "4o-mini" in request.model else _TOKENS_OF_IMAGE
    tools = tools_bound(body)
    is_drawn = endpoint.path.startswith("/images")
    images = round(request.size.images + _uploads(body)) * of_image
    read = (
        request.text_bytes + images
    )  # a token has a byte at least, and sound many, as it is base64 in there
    read += (tools.searches + tools.preview_searches + tools.file_searches) * _TOKENS_OF_SEARCH
    return Usage(
        input_tokens=read,
        output_tokens=output,
        image_tokens=images if is_drawn else 0,
        cache_write_tokens=0 if is_drawn else read,
        output_image_tokens=output if is_drawn else 0,
        output_audio_tokens=output if "audio" in (body.get("modalities") or ()) else 0,
        decisions=int(endpoint.decides),
        **tools._asdict(),
    )


def _kind(request: Request) -> tuple[str, str]:
    return request.endpoint.path, request.model


def _allowed_output(request: Request) -> int | None:
    """The output tokens that a request allows its answer, all choices together; None if it sets no limit."""
    expected, choices = request.endpoint.answer_tokens, _choices(request.body)
    if not expected:
        return 0
    if request.endpoint.path.startswith("/images"):
        return round(expected * _DEARER_IMAGE) * choices
    return round(request.size.outputs) * choices if request.size.outputs else None


def _choices(body: Mapping[str, Any]) -> int:
    """How many answers or images a request asks for."""
    given = body.get("n")
    try:
        return max(1, int(given)) if isinstance(given, int | float | str) else 1
    except (ValueError, OverflowError):
        return 1


def _longest_answer(model: str) -> int:
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    return next(
        (tokens for pattern, tokens in _LONGEST_ANSWERS if pattern.match(name)),
        _LONGEST_ANSWER,
    )


def _uploads(body: Mapping[str, Any]) -> int:
    """How many images a request uploads."""
    given = body.get("image")
    return (len(given) if isinstance(given, list | tuple) else int(given is not None)) + int("mask" in body)
