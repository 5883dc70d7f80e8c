"""What a model's answer says, in the forms of both APIs: its text, and the tools that it calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pxt_assets.assets.page.markdown import shortened
from pxt_assets.values.text_parts import text_of_parts
from pxt_assets.values.wording import counted

_ARGUMENT_CHARACTERS = 40


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
