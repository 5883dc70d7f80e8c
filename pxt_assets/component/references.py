"""References to columns in YAML: `$tbl.body`, `$tbl.response.choices[0].message.content`, `$tbl["a name"]["*"].text`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.path_steps import Step

_BEGINNING = re.compile(r"(\$*)\$tbl(?=[.\[]|$)")
_STEP = re.compile(
    r"""\.(?P<name>[^\W\d]\w*)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<slice>(?:-?\d+)?\s*:\s*(?:-?\d+)?(?:\s*:\s*(?:-?\d+)?)?)\s*\]
    | \[\s*(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\]""",
    re.VERBOSE | re.DOTALL,
)

ALLOWED = '$tbl.body, $tbl["a name"], $tbl.answer.choices[0].text, $tbl.rows[1:3], $tbl.rows["*"].text'


def parse_reference(text: str) -> list[Step] | str:
    """The steps of a reference, the column first; of a text that is no reference, the text that is meant.

    A reference is the whole text: `$tbl` further on in a text means nothing. A text that begins with `$$tbl` is the text
    `$tbl...`. Raises DefinitionError for a text that begins like a reference and is none.
    """
    beginning = _BEGINNING.match(text)
    if beginning is None:
        return text
    if beginning[1]:
        return text[1:]
    steps: list[Step] = []
    at = beginning.end()
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            msg = (
                f"got {_shorten(text)!r}, which is no reference from {_shorten(text[at:])!r} on; allowed: {ALLOWED}. "
                f"To give this text itself, write ${_shorten(text)}; texts and columns are not mixed in one value: "
                "give them as separate messages or content parts"
            )
            raise DefinitionError(msg)
        steps.append(_step_value(step))
        at = step.end()
    if not steps or not isinstance(steps[0], str):
        msg = f"got {_shorten(text)!r}, which names no column; allowed: {ALLOWED}"
        raise DefinitionError(msg)
    return steps


def resolve_references(value: Any, column: Callable[[str], Any], position: YamlPosition) -> Any:
    """A value from YAML with each reference replaced by its column or path, also inside dicts and lists.

    `column` gives a column by its name. Raises DefinitionError that names the line.
    """
    if isinstance(value, dict):
        return {name: resolve_references(inner, column, position.at(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolve_references(inner, column, position.at(i)) for i, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    with position.locate_errors():
        steps = parse_reference(value)
        if isinstance(steps, str):
            return steps
        expr = column(str(steps[0]))
        for step in steps[1:]:
            expr = expr[step]
        return expr


def _step_value(step: re.Match[str]) -> Step:
    if step["name"] is not None:
        return step["name"]
    if step["index"] is not None:
        return int(step["index"])
    if step["slice"] is not None:
        bounds = [int(bound) if bound.strip() else None for bound in step["slice"].split(":")]
        return slice(*bounds)
    return re.sub(r"\\(.)", r"\1", step["quoted"][1:-1], flags=re.DOTALL)


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
