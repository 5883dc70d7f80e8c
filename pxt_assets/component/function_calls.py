"""Function calls as YAML has them: `function` and `arguments`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxt_assets.component.import_paths import Importer
from pxt_assets.component.references import resolve_references
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError, did_you_mean
from pxt_assets.expressions.expr import Call
from pxt_assets.expressions.function import Function
from pxt_assets.local.tools import Tools, tools
from pxt_assets.local.udf import LocalFunction

_ANSWER_FORM_ARGUMENTS = {"chat_completions": "response_format", "responses": "text"}
"""Arguments that take the form of an answer: a JSON schema, or a pydantic model by its import path."""
_TOOL_CHOICE_FIELDS = {"auto", "required", "tool", "parallel_tool_calls"}


def declared_call(
    named: str,
    arguments: Mapping[str, Any],
    column: Callable[[str], Any],
    import_: Importer,
    place: YamlPosition,
) -> Call:
    """A function applied to its arguments, in which references stand for columns.

    `column` gives a column by its name, `place` is that of the column which is computed. Raises DefinitionError.
    """
    with place.at("function").locate_errors():
        function = _find_function(named, import_)
    given = place.at("arguments")
    values = {name: resolve_references(value, column, given.at(name)) for name, value in arguments.items()}
    if not isinstance(function, LocalFunction):
        with given.at("tools").locate_errors():
            values = _import_tools(function.name, values, import_)
        form = _ANSWER_FORM_ARGUMENTS.get(function.name, "")
        with given.at(form).locate_errors():
            values = _import_answer_form(form, values, import_)
    with given.locate_errors():
        return function(**values)


def _find_function(named: str, import_: Importer) -> Function[...]:
    from pxt_assets import functions

    if ":" not in named:
        if named in functions.__all__:
            return getattr(functions, named)  # type: ignore[no-any-return]
        msg = (
            f"there is no function {named!r}, allowed: {', '.join(functions.__all__)}, or the import path of a @udf, "
            f"my_package.my_module:words{did_you_mean(named, functions.__all__)}"
        )
        raise DefinitionError(msg)
    function = import_(named)
    if not isinstance(function, Function):
        msg = f"{named}: got {type(function).__name__}, allowed: a @udf, or a function with some arguments fixed by using(...)"
        raise DefinitionError(msg)
    return function


def _import_tools(function: str, arguments: dict[str, Any], import_: Importer) -> dict[str, Any]:
    """The arguments with the tools that import paths name, and a choice among them."""
    if function not in (*_ANSWER_FORM_ARGUMENTS, "invoke_tools"):
        return arguments
    given = arguments.get("tools")
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not any(isinstance(one, str) for one in several):
        return arguments
    found = [import_(one) if isinstance(one, str) else one for one in several]
    if any(isinstance(one, Mapping) for one in found):  # beside definitions of the API
        return {**arguments, "tools": found}
    own = tools(*(t for one in found for t in (one if isinstance(one, Tools) else [one])))
    choice = arguments.get("tool_choice")
    if isinstance(choice, Mapping) and choice and choice.keys() <= _TOOL_CHOICE_FIELDS:
        return {**arguments, "tools": own, "tool_choice": own.choice(**choice)}
    return {**arguments, "tools": own}


def _import_answer_form(form: str, arguments: dict[str, Any], import_: Importer) -> dict[str, Any]:
    given = arguments.get(form)
    if isinstance(given, str):
        return {**arguments, form: import_(given)}
    if isinstance(given, Mapping) and isinstance(given.get("format"), str):
        return {**arguments, form: {**given, "format": import_(given["format"])}}
    return arguments
