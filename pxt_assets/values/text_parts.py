"""A message's `content` as a list of parts, in place of text: reasoning models of several servers answer so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT_TYPES = (None, "text", "output_text")
"""The types of parts that are the answer; others are its reasoning, references, refusals, images."""


def text_of_parts(content: Any) -> Any:
    """The text of a list of parts, joined, without the reasoning; None where no part has text; other values unchanged.

    Takes `[{"type": "thinking", ...}, {"type": "text", "text": "yes"}]`; beside such parts one may be the text itself,
    and a single part may stand without its list.
    """
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list) or (any(content) and not any(isinstance(p, Mapping) for p in content)):
        return content
    texts = [text for part in content if (text := _text_of_part(part)) is not None]
    return "".join(texts) if texts else None


def refusal_of_parts(content: Any) -> str | None:
    """The text of the first part of a list that is a refusal; None where there is none."""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") == "refusal":
            return str(part.get("refusal"))
    return None


def _text_of_part(part: object) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type") not in _TEXT_TYPES:
        return None
    text = part.get("text")
    if isinstance(text, Mapping):  # with annotations beside it
        text = text.get("value")
    return text if isinstance(text, str) else None
