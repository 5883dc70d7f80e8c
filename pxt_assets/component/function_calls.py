"""Function calls as YAML declares them: `function` and `arguments`."""

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
"""The argument of a function that is the form of its answers: a JSON schema, or the import path of a pydantic model."""
_TOOL_CHOICE_FIELDS = {"auto", "required", "tool", "parallel_tool_calls"}


def declared_call(
    function_name: str,
    arguments: Mapping[str, Any],
    column: Callable[[str], Any],
    import_object: Importer,
    position: YamlPosition,
) -> Call:
    """A call of the function; references in its arguments are replaced by columns.

    `column` gives a column by its name, `position` is that of the computed column. Raises DefinitionError.
    """
    with position.at("function").locate_errors():
        function = _find_function(function_name, import_object)
    given = position.at("arguments")
    values = {name: resolve_references(value, column, given.at(name)) for name, value in arguments.items()}
    if not isinstance(function, LocalFunction):
        with given.at("tools").locate_errors():
            values = _import_tools(function.name, values, import_object)
        form = _ANSWER_FORM_ARGUMENTS.get(function.name, "")
        with given.at(form).locate_errors():
            values = _import_answer_form(form, values, import_object)
    with given.locate_errors():
        return function(**values)


def _find_function(function_name: str, import_object: Importer) -> Function[...]:
    from pxt_assets import functions

    if ":" not in function_name:
        if function_name in functions.__all__:
            return getattr(functions, function_name)  # type: ignore[no-any-return]
        msg = (
            f"there is no function {function_name!r}, allowed: {', '.join(functions.__all__)}, or the import path of a @udf, "
            f"my_package.my_module:words{did_you_mean(function_name, functions.__all__)}"
        )
        raise DefinitionError(msg)
    function = import_object(function_name)
    if not isinstance(function, Function):
        msg = f"{function_name}: got {type(function).__name__}, allowed: a @udf, or a function with some arguments fixed by using(...)"
        raise DefinitionError(msg)
    return function


def _import_tools(function: str, arguments: dict[str, Any], import_object: Importer) -> dict[str, Any]:
    """The arguments with import paths of tools replaced by the tools, and with the choice among them."""
    if function not in (*_ANSWER_FORM_ARGUMENTS, "invoke_tools"):
        return arguments
    given = arguments.get("tools")
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not any(isinstance(one, str) for one in several):
        return arguments
    found = [import_object(one) if isinstance(one, str) else one for one in several]
    if any(isinstance(one, Mapping) for one in found):  # beside definitions of the API
        return {**arguments, "tools": found}
    own = tools(*(t for one in found for t in (one if isinstance(one, Tools) else [one])))
    choice = arguments.get("tool_choice")
    if isinstance(choice, Mapping) and choice and choice.keys() <= _TOOL_CHOICE_FIELDS:
        return {**arguments, "tools": own, "tool_choice": own.choice(**choice)}
    return {**arguments, "tools": own}


def _import_answer_form(form: str, arguments: dict[str, Any], import_object: Importer) -> dict[str, Any]:
    """The arguments with the import path of a pydantic model replaced by the model; `form` names the argument."""
    given = arguments.get(form)
    if isinstance(given, str):
        return {**arguments, form: import_object(given)}
    if isinstance(given, Mapping) and isinstance(given.get("format"), str):
        return {**arguments, form: {**given, "format": import_object(given["format"])}}
    return arguments
