"""What is given to a call of the API, but is no argument of one: it is refused before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.api.within import ways
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_options import ASSET_OPTIONS

_BACKGROUND = ("background", "background_options")
"""Arguments by which an answer comes later; the option `within` of columns gives them."""
_OF_IMAGES = ("background",)
"""What is behind an image, where an image is asked for."""

_ALSO_ARGUMENTS = frozenset({"description", "metadata", "tags"})
"""Options of columns that are arguments, too, of the API or of servers before it."""
_CACHE = ("auto", "off")
"""What the option `cache` can be; servers before the API have an argument `cache` that is a dict."""
_NEVER = ("within", "wait")
"""What is no argument by whichever way it is given: whoever gives it believes that it is kept."""


def check_misplaced(function: str, path: str, arguments: Mapping[str, Any]) -> None:
    """Refuses what is no argument of a function at an endpoint's `path`, with a DefinitionError that says what to do."""
    model_kwargs = arguments.get("model_kwargs")
    inner = model_kwargs if isinstance(model_kwargs, Mapping) else {}
    given = {**inner, **arguments}
    if "stream" in given:
        msg = f"{function}: stream is not for cells, which hold whole answers; leave it out"
        raise DefinitionError(msg)
    for name in _BACKGROUND:
        if given.get(name, False) is not False and not (name in _OF_IMAGES and path.startswith("/images/")):
            msg = f"{function}: got {name}, but cells hold answers that are finished; leave it out. {_within_text(function, path)}"
            raise DefinitionError(msg)
    for name, value in given.items():
        if name in _NEVER or (name in arguments and _is_option(name, value)):
            what = f"{name}={value!r:.60}" if name in arguments else f"{name!r} in model_kwargs"
            msg = f"{function}: got {what}, which is no argument of the API; {_its_place(function, path, name, value)}"
            raise DefinitionError(msg)


def _is_option(name: str, value: object) -> bool:
    if name == "cache":
        return isinstance(value, str) and value in _CACHE
    return name in ASSET_OPTIONS - _ALSO_ARGUMENTS


def _its_place(function: str, path: str, name: str, value: object) -> str:
    """Where an option is given."""
    if name == "wait":
        return (
            "whether a run waits for answers that come later is said in its run config: wait: true or false"
        )
    is_time = value is None or (isinstance(value, str) and value in ("now", *ways(path)))
    if name == "within" and not is_time:
        return f"leave it out. {_within_text(function, path)}"
    text = f"{name}={value!r}" if isinstance(value, str | float | int | None) else f"{name}=..."
    return f"it is an option of the column, given beside the call: add_computed_column(name={function}(...), {text})"


def _within_text(function: str, path: str) -> str:
    """How a column says that its answers may come later."""
    has = ways(path)
    if not has:
        return f"{function} answers now, and has no cheaper way that takes longer"
    return f"How long answers may take is an option of the column: within={' or '.join(map(repr, has))}"
