"""What a model's answer says, in the forms of both APIs: its text, and the tools that it calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pxt_assets.assets.page.markdown import shortened
from pxt_assets.values.text_parts import text_of_parts
from pxt_assets.values.wording import counted

_ARGUMENT_CHARACTERS = 40
_DECIDED = frozenset({"predicate", "choice", "score", "refusal"})


def answer_text(value: Mapping[str, Any]) -> str | None:
    """The text of a model's answer, or the tools that it calls; None of what is no answer."""
    if isinstance(value.get("choices"), list) and value["choices"]:
        first = value["choices"][0]
        message = first.get("message") if isinstance(first, Mapping) else None
        if isinstance(message, Mapping):
            text = text_of_parts(message.get("content")) or message.get("refusal")
            return _said(text, _chat_calls(message.get("tool_calls")), len(value["choices"]) - 1)
    output = value.get("output")
    if isinstance(output, list) and any(isinstance(one, Mapping) and "type" in one for one in output):
        said = value.get("output_text")
        if not isinstance(said, str) or not said:
            contents = [one.get("content") for one in value["output"] if isinstance(one, Mapping)]
            said = next(
                (text for content in contents if isinstance(text := text_of_parts(content), str)), None
            )
        return _said(said, _response_calls(value["output"]), 0)
    said = value.get("output_text")
    return said if isinstance(said, str) and said else None


def answers_by_question(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answers of `decisions` by question, of unnamed ones by its place; None of what is no such answer."""
    answers = value.get("answers")
    if not isinstance(answers, list) or not answers or not isinstance(value.get("parsed"), Mapping):
        return None
    if not all(isinstance(one, Mapping) and one.get("type") in _DECIDED for one in answers):
        return None
    names = [one.get("name") or f"question {i}" for i, one in enumerate(answers, 1)]
    return dict(zip(names, answers, strict=True))


def decided_text(value: Mapping[str, Any]) -> str | None:
    """One such answer: `93 %`, `delivery (97 %)`, `1.25, annoyed`, `refused`; None of what is none."""
    if value.get("type") == "refusal":
        return "refused"
    probability, score, chosen = value.get("probability"), value.get("score"), value.get("choice")
    if _is_share(probability) and value.keys() <= {"type", "name", "probability"}:
        return _percent(probability)
    shares = value.get("probabilities")
    if not isinstance(shares, list) or not shares or "confidence" not in value:
        return None
    if not all(isinstance(one, Mapping) and _is_share(one.get("probability")) for one in shares):
        return None
    if isinstance(chosen, str | bool):
        share = next((one["probability"] for one in shares if one.get("value") == chosen), None)
        text = str(chosen).lower() if isinstance(chosen, bool) else chosen
        return text if share is None else f"{text} ({_percent(share)})"
    if not isinstance(score, int | float):
        return None
    level = _level_near(score, shares)
    return f"{score:.4g}" if level is None else f"{score:.4g}, {level}"


def _level_near(score: float, levels: Sequence[Mapping[str, Any]]) -> Any:
    """The label of the level that is nearest to a score, of two the higher one; None where an answer lacks it."""
    near = [one for one in levels if isinstance(one.get("value"), int) and -0.5 < one["value"] - score <= 0.5]
    return near[0].get("label") if near else None


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _said(text: Any, tool_calls: Sequence[str], others: int) -> str:
    parts = [text if isinstance(text, str) else json_text(text)] if text else []
    more = f" (and {counted(others, 'other answer')})" if others > 0 else ""
    return "; ".join([*parts, *tool_calls]) + more


def _chat_calls(tool_calls: Any) -> list[str]:
    found = [one for one in tool_calls if isinstance(one, Mapping)] if isinstance(tool_calls, list) else []
    asked = [one.get("function") or one.get("custom") for one in found]
    return [
        _call_text(one, one.get("arguments", one.get("input"))) for one in asked if isinstance(one, Mapping)
    ]


def _response_calls(output: Sequence[Any]) -> list[str]:
    calls = [one for one in output if isinstance(one, Mapping) and str(one.get("type", "")).endswith("_call")]
    return [_call_text(one, one.get("arguments", one.get("input"))) for one in calls if one.get("name")]


def _call_text(called: Mapping[str, Any], given: Any) -> str:
    """`order_status(order="947…")`"""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return f"{called.get('name')}({shortened(given, _ARGUMENT_CHARACTERS)})"
    arguments = given if isinstance(given, Mapping) else {}
    texts = [f"{name}={_argument_text(value)}" for name, value in arguments.items()]
    return f"{called.get('name')}({', '.join(texts)})"


def _argument_text(value: Any) -> str:
    return (
        f'"{shortened(value, _ARGUMENT_CHARACTERS)}"'
        if isinstance(value, str)
        else shortened(json_text(value), _ARGUMENT_CHARACTERS)
    )


def json_text(value: Any) -> str:
    """A value as JSON; what JSON lacks as text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return "…"
