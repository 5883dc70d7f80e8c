"""POST /v1/moderations: flags from a small table of words, and scores that depend on the text alone."""

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    empty_array,
    missing_parameter,
    wrong_type,
    wrong_value,
)

KNOWN = frozenset(("model", "input"))
"""Every top-level argument of the API."""

_IMAGE_CATEGORIES = frozenset(
    ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
)
_OMNI_ONLY = frozenset(("illicit", "illicit/violent"))

# Category -> the word stems that flag it. They are mild: a rehearsal needs rows of either kind, not a filter.
_STEMS: dict[str, tuple[str, ...]] = {
    "harassment": ("idiot", "moron", "stupid", "loser"),
    "harassment/threatening": ("threaten",),
    "hate": ("hateful", "bigot", "racis"),
    "hate/threatening": ("exterminat",),
    "illicit": ("counterfeit", "steal", "shoplift", "smuggl"),
    "illicit/violent": ("explosive", "bomb"),
    "self-harm": ("suicid", "self-harm"),
    "self-harm/intent": ("hurt myself", "harm myself"),
    "self-harm/instructions": ("how to hurt yourself",),
    "sexual": ("erotic", "nude"),
    "sexual/minors": (),
    "violence": ("kill", "murder", "attack", "stab"),
    "violence/graphic": ("gore", "blood-soaked"),
}
_FLAGS = {
    category: re.compile(rf"\b(?:{'|'.join(map(re.escape, stems))})", re.IGNORECASE)
    for category, stems in _STEMS.items()
    if stems
}


@dataclass(frozen=True, slots=True)
class _ModerationInput:
    """One input: a text, and the kinds of its parts."""

    text: str
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class ModerationCall:
    """A valid request for moderation."""

    model: str
    items: list[_ModerationInput]

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """Tokens of the texts; the simulator limits moderations by requests only."""
        return sum(estimate_tokens(len(item.text)) for item in self.items)

    def answer(self, digest: str) -> Answer:
        """One result per text, or one for a list of parts."""
        omni = self.model.startswith("omni-")
        body = {
            "id": f"sim-modr-{digest}",
            "model": self.model,
            "results": [_moderation_result(item, omni=omni) for item in self.items],
        }
        return Answer(json.dumps(body).encode(), self.charge(count_max_tokens=False), inputs=len(self.items))


def read_moderation_call(body: dict[str, Any]) -> ModerationCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown(body, KNOWN)
    model = arguments.read_model(body, default="omni-moderation-latest")
    inputs = body.get("input")
    if inputs is None:
        raise missing_parameter("input")
    if isinstance(inputs, str):
        inputs = [inputs]
    if not isinstance(inputs, list):
        raise wrong_type("input", "a string or an array", inputs)
    if not inputs:
        raise empty_array("input")
    if all(isinstance(text, str) for text in inputs):
        return ModerationCall(model, [_ModerationInput(text, frozenset(("text",))) for text in inputs])
    return ModerationCall(model, [_read_parts(inputs, model)])


def _read_parts(parts: list[Any], model: str) -> _ModerationInput:
    texts, kinds = [], set()
    for index, part in enumerate(parts):
        path = f"input[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, path), "type", path)
        if kind == "text":
            texts.append(arguments.read_string_at(part, "text", path))
            kinds.add("text")
        elif kind == "image_url":
            if not model.startswith("omni-"):
                raise bad_request(f"The model `{model}` does not take images.", param=path)
            image = arguments.read_object(part.get("image_url"), f"{path}.image_url")
            arguments.read_string_at(image, "url", f"{path}.image_url")
            kinds.add("image")
        else:
            raise wrong_value(f"{path}.type", kind, ("text", "image_url"))
    return _ModerationInput("\n".join(texts), frozenset(kinds))


def _moderation_result(item: _ModerationInput, *, omni: bool) -> dict[str, Any]:
    """The result for one item, with the 13 categories of omni-moderation or the 11 of its predecessor."""
    noise = blake2b(item.text.encode(errors="replace"), digest_size=2 * len(_STEMS)).digest()
    categories, scores, applied = {}, {}, {}
    for index, category in enumerate(_STEMS):
        if category in _OMNI_ONLY and not omni:
            continue
        kinds = [
            kind
            for kind in ("text", "image")
            if kind in item.kinds and (kind == "text" or category in _IMAGE_CATEGORIES)
        ]
        share = int.from_bytes(noise[2 * index : 2 * index + 2], "big") / 65535
        hits = len(_FLAGS[category].findall(item.text)) if category in _FLAGS else 0
        # Well above or below 0.5, as most scores of the API are.
        score = 1 - (0.3 + 0.05 * share) / hits if hits else 1e-6 + 0.001 * share**3
        categories[category] = hits > 0
        scores[category] = score if kinds else 0.0
        applied[category] = kinds
    result = {"flagged": any(categories.values()), "categories": categories, "category_scores": scores}
    return {**result, "category_applied_input_types": applied} if omni else result
