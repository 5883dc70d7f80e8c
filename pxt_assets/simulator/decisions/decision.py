"""Answers to questions by the words that these, their choices and their levels have in common with the input.

Equal requests have equal answers. A refusal can be rehearsed: `[refuse]` in the input is one of every question, in a
question's instructions of this one, and `[refuse urgent]` in the input of the question of that name.
"""

import json
import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.decisions.evidence import Evidence, read_input
from pxt_assets.simulator.decisions.questions import Question, read_questions
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import missing_parameter
from pxt_assets.simulator.prompt.conversation import MESSAGE_OVERHEAD
from pxt_assets.simulator.reply.reply import REFUSE

KNOWN = frozenset(
    ("input", "model", "questions", "prompt_cache_key", "prompt_cache_options", "safety_identifier")
)
"""Every top-level argument of the API."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_STEM = 5
"""Letters by which words are compared: "deliver" is in "delivery"."""
_SAY_NOTHING = frozenset(
    [
        "about",
        "and",
        "any",
        "are",
        "but",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "its",
        "not",
        "our",
        "that",
        "the",
        "this",
        "was",
        "what",
        "which",
        "who",
        "with",
        "you",
        "your",
    ]
)
_BASE, _OF_WORDS, _SPREAD = -1.5, 5.0, 2.6
"""Log odds of a predicate of whose words none is in the input, what all of them add, and how far inputs of the same words
are apart."""
_OF_WORD, _OF_CHANCE = 1.7, 1.6
"""Log odds of a choice or a level for each of its words in the input, and how far those of the same words are apart."""
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class DecisionCall:
    """A valid request for decisions."""

    model: str
    evidence: Evidence
    questions: tuple[Question, ...]

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """Tokens of the input and the questions."""
        characters = len(self.evidence.text) + sum(one.characters for one in self.questions)
        images = self.evidence.image_tokens + sum(one.image_tokens for one in self.questions)
        return estimate_tokens(characters) + MESSAGE_OVERHEAD * (self.evidence.items + 1) + images

    def answer(self, digest: str) -> Answer:  # noqa: ARG002 - the API gives decisions no id
        """An answer to each question, in their order."""
        tokens = self.charge(count_max_tokens=False)
        body = {
            "answers": [_answer(one, self.evidence.text) for one in self.questions],
            "model": self.model,
            "usage": {
                "input_tokens": tokens,
                "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": tokens,
            },
        }
        return Answer(json.dumps(body).encode(), tokens, inputs=len(self.questions))


def read_decision_call(body: dict[str, Any]) -> DecisionCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown_at(body, KNOWN)
    if not body.get("model"):
        raise missing_parameter("model")
    arguments.check_string(body, "model")
    arguments.check_string(body, "safety_identifier", 128)
    arguments.check_string(body, "prompt_cache_key")
    if body.get("prompt_cache_options") is not None:
        options = arguments.read_object(body["prompt_cache_options"], "prompt_cache_options")
        arguments.refuse_unknown_at(options, ("mode", "ttl"), "prompt_cache_options")
        arguments.check_word(options, "mode", ("implicit", "explicit"), at="prompt_cache_options")
        arguments.check_word(options, "ttl", ("30m",), at="prompt_cache_options")
    evidence = read_input(body.get("input"))
    return DecisionCall(str(body["model"]), evidence, read_questions(body.get("questions")))


def _answer(question: Question, text: str) -> dict[str, Any]:
    named = {"name": question.name, "type": question.kind}
    refusals = (REFUSE, f"{REFUSE[:-1]} {question.name}]")
    if REFUSE in question.text or any(one in text for one in refusals):
        return {**named, "type": "refusal"}
    stems = _stems(text)
    if question.kind == "predicate":
        asked = _stems(question.text)
        share = len(asked & stems) / len(asked) if asked else 0.0
        odds = _BASE + _OF_WORDS * share + _SPREAD * (_chance(text, question.text) - 0.5)
        return {**named, "probability": round(1 / (1 + math.exp(-odds)), _DIGITS)}
    shares = _distribution(question, text, stems)
    confidence = round(_certainty(shares), _DIGITS)
    if question.kind == "choice":
        probabilities = [
            {"value": one.value, "probability": share}
            for one, share in zip(question.options, shares, strict=True)
        ]
        best = max(range(len(shares)), key=shares.__getitem__)
        chosen = question.options[best].value
        return {**named, "choice": chosen, "confidence": confidence, "probabilities": probabilities}
    levels = [
        {"label": one.value, "value": value, "probability": share}
        for value, (one, share) in enumerate(zip(question.options, shares, strict=True))
    ]
    score = round(sum(value * share for value, share in enumerate(shares)), _DIGITS)
    return {**named, "score": score, "confidence": confidence, "probabilities": levels}


def _distribution(question: Question, text: str, stems: frozenset[str]) -> list[float]:
    """The probability of each option: the more of its words are in the input, the higher."""
    odds = [
        _OF_WORD * len(_stems(one.text) & stems) + _OF_CHANCE * _chance(text, question.text, str(one.value))
        for one in question.options
    ]
    weights = [math.exp(one - max(odds)) for one in odds]
    return [round(one / sum(weights), _DIGITS) for one in weights]


def _certainty(shares: list[float]) -> float:
    """1 where all is on one option, 0 where it is spread evenly."""
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    return min(max(1 - entropy / math.log(len(shares)), 0.0), 1.0)


def _stems(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(word[:_STEM] for word in words if word not in _SAY_NOTHING)


def _chance(*texts: str) -> float:
    """0 to 1, the same for the same texts."""
    digest = blake2b("\0".join(texts).encode(errors="replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 0xFFFFFFFF
