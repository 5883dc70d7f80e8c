"""Tools, tool choices and response formats that are given as Python objects, as the API takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.path_steps import Shape
from pxt_assets.expressions.walk import nodes
from pxt_assets.functions.declare import AdaptedCall, short_repr
from pxt_assets.local.structured_schema import ResponseFormat
from pxt_assets.local.tools import Tool, ToolChoice, Tools, tool


def with_api_tools(arguments: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The arguments with `tools` and `tool_choice` in one of the API's two forms, "chat" or "responses"."""
    adapted = dict(arguments)
    given = arguments.get("tools")
    if isinstance(given, Tools):
        adapted["tools"] = getattr(given, form)
    elif isinstance(given, Tool) or callable(given):
        adapted["tools"] = getattr(Tools((_as_tool(given),)), form)
    elif isinstance(given, list | tuple):
        adapted["tools"] = [definition for one in given for definition in _definitions(one, form)]
    choice = arguments.get("tool_choice")
    if isinstance(choice, ToolChoice):
        adapted["tool_choice"] = getattr(choice, form)
        if not choice.parallel_tool_calls:
            adapted.setdefault("parallel_tool_calls", False)
    return adapted


def _definitions(one: Any, form: str) -> Sequence[Any]:
    if isinstance(one, Tools):
        return list(getattr(one, form))
    if isinstance(one, Tool) or callable(one):
        definitions: Sequence[Any] = getattr(Tools((_as_tool(one),)), form)
        return definitions
    return [one]


def _as_tool(one: Any) -> Tool:
    return one if isinstance(one, Tool) else tool(one)


def adapt_response_format(
    arguments: dict[str, Any],
    argument: str,
    requested_format: Callable[[Any], tuple[ResponseFormat, Any]],
    shape: Shape,
    with_parsed_text: Callable[[Any, Callable[[str], Any]], Any],
) -> AdaptedCall:
    """The call with the response format that `argument` asks for, if it is given as a keyword or in `model_kwargs`.

    `requested_format` gives the argument's format, and what is sent in its place; `with_parsed_text` makes the cell's
    value of an answer and the check of its text. Raises DefinitionError.
    """
    holder = arguments if argument in arguments else arguments.get("model_kwargs")
    if not isinstance(holder, Mapping) or holder.get(argument) is None:
        return AdaptedCall(arguments)
    wanted = holder[argument]
    if any(True for _ in nodes(wanted)):
        msg = f"{argument} holds a column; it must be the same for all rows, since it is the column's type"
        raise DefinitionError(msg)
    form, sent = requested_format(wanted)
    changed = {**holder, argument: sent}
    arguments = changed if holder is arguments else {**arguments, "model_kwargs": changed}
    check = form.check
    if check is None:
        return AdaptedCall(arguments)
    shape_with_parsed = {**shape, "properties": {**shape["properties"], "parsed": form.shape}}

    def settle(answer: Any) -> Any:
        return with_parsed_text(answer, check)

    return AdaptedCall(arguments, shape_with_parsed, settle)


def with_parsed(answer: Mapping[str, Any], text: object, check: Callable[[str], Any]) -> Mapping[str, Any]:
    """The answer with the value of its text at `parsed`, null if there is no text. Raises CellError."""
    if text is None:
        return {**answer, "parsed": None}
    if not isinstance(text, str):
        raise _undocumented_form_error(text)
    try:
        return {**answer, "parsed": check(text)}
    except ValueError as e:
        raise CellError("InvalidStructuredOutput", f"the answer is not of the form asked for: {e}") from e


def require_object(value: object) -> Mapping[str, Any]:
    """A part of an answer unchanged. Raises CellError if it is no object, as in the answers of some servers."""
    if not isinstance(value, Mapping):
        raise _undocumented_form_error(value)
    return value


def _undocumented_form_error(value: object) -> CellError:
    msg = (
        f"the answer is of another form than documented, so it cannot be parsed: it holds {short_repr(value)}"
    )
    return CellError("InvalidAnswer", msg)


def refusal_error(refusal: str) -> CellError:
    """The error for a refusal, with the model's text."""
    return CellError("RefusalError", f"the model refused to answer: {refusal[:500]}")


def truncated_answer_error(reason: str, argument: str) -> CellError:
    """The error for an answer that was cut short, so that it cannot be parsed."""
    filtered = reason == "content_filter"
    advice = "the API's filter took out the rest" if filtered else f"raise {argument} or ask for less"
    return CellError(
        "TruncatedAnswer", f"the answer was cut short ({reason}), so it cannot be parsed; {advice}"
    )


def empty_answer_error() -> CellError:
    """The error for an answer without text and tool calls."""
    return CellError("EmptyAnswer", "the answer holds neither text nor tool calls")
