"""The steps of a path into a JSON value: what is known of where they lead, and the value at their end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pxt_assets.errors import did_you_mean
from pxt_assets.values.text_parts import text_of_parts

ALL = slice(None)
"""The step that applies the rest of a path to each element of a list: `tbl.response.choices["*"].message.content`."""

Step = str | int | slice
Shape = Mapping[str, Any]
"""What is known of a JSON value: the part of a JSON Schema that `properties` and `items` walk through."""

TEXT_OR_PARTS_SHAPE: Shape = {
    "type": "string",
    "items": {"properties": {"type": {"type": "string"}, "text": {"type": "string"}}},
}
"""The content of a message: text, or a list of parts. A path that ends here gives the text, one that goes on a part."""
ANY_SPELLING = "anySpelling"
"""The entry of an object's shape by which its keys are found however their words are joined: `self_harm_intent` for
`self-harm/intent`."""
CLOSED = "closed"
"""The entry of an object's shape that says that it has its `properties` alone: a path to another key is a mistake."""
ELSEWHERE = "elsewhere"
"""The entry of an object's shape with keys that it has not, and where what they mean is found: `parsed.topic` by `topic`."""
_UNKNOWN_SHAPE: Shape = {}


def is_step(step: object) -> bool:
    """Whether a value can be a step of a path."""
    if isinstance(step, slice):
        bounds = (step.start, step.stop, step.step)
        return all(b is None or type(b) is int for b in bounds) and step.step != 0
    return isinstance(step, str | int) and not isinstance(step, bool)


def shape_after_step(shape: Shape, step: Step) -> Shape:
    """What is known of the value that a step leads to."""
    inner = (
        shape.get("properties", {}).get(step, shape.get("additionalProperties"))
        if isinstance(step, str)
        else shape.get("items")
    )
    return inner if isinstance(inner, Mapping) else _UNKNOWN_SHAPE


def why_no_step(shape: Shape, step: Step) -> str | None:
    """Why a step leads nowhere in any row, and what there is; None where it may lead somewhere."""
    known, elsewhere = shape.get("properties", {}), shape.get(ELSEWHERE, {})
    if isinstance(step, str) and step in elsewhere:
        return f"did you mean {elsewhere[step]}?"
    if not shape.get(CLOSED) or (isinstance(step, str) and step in known):
        return None
    names = ", ".join(map(str, known)) or "nothing that has a name"
    return f"allowed: {names}{did_you_mean(step, known) if isinstance(step, str) else ''}"


def may_be_parts(shape: Shape) -> bool:
    """Whether a text may be a list of its parts instead: a message's content."""
    return shape.get("type") == "string" and "items" in shape


def step_text(step: Step) -> str:
    """A step as it is written."""
    if isinstance(step, slice):
        bounds = ":".join("" if b is None else str(b) for b in (step.start, step.stop))
        stride = "" if step.step is None else f":{step.step}"
        return "['*']" if step == ALL else f"[{bounds}{stride}]"
    return f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"


def follow_path(value: Any, steps: tuple[Step, ...], shape: Shape = _UNKNOWN_SHAPE) -> Any:
    """The value at the end of a path, None where there is none. A slice applies the rest to each element of a list.

    `shape` is what is known of `value`: where it says that a text may be a list of parts, the text is given.
    """
    for i, step in enumerate(steps):
        inner = shape_after_step(shape, step)
        if isinstance(step, slice):
            rest = steps[i + 1 :]
            return [follow_path(v, rest, inner) for v in value[step]] if isinstance(value, list) else None
        if isinstance(step, int):
            fits = isinstance(value, list) and -len(value) <= step < len(value)
            value = value[step] if fits else None
        elif not isinstance(value, dict):
            return None
        else:
            value = _in_any_spelling(value, step) if ANY_SPELLING in shape else value.get(step)
        if value is None:
            return None
        shape = inner
    return text_of_parts(value) if may_be_parts(shape) else value


def _in_any_spelling(value: Mapping[str, Any], key: str) -> Any:
    if key in value:
        return value[key]
    spelled = _joined_words(key)
    return next((v for k, v in value.items() if _joined_words(k) == spelled), None)


def _joined_words(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower())
