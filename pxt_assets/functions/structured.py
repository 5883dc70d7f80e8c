"""What a chat model is asked with as Python objects: tools, choices of tools, models of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.expr import Shape
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
    placed: Callable[[Any], tuple[ResponseFormat, Any]],
    shape: Shape,
    settle: Callable[[Any, Callable[[str], Any]], Any],
) -> AdaptedCall:
    """A call that asks for answers of a form, if `argument` says so, among the keywords or in `model_kwargs`.

    `placed` gives the form that the argument asks for, and what is sent in its place; `settle` makes of an answer and
    the check of its text the cell's value. Raises DefinitionError.
    """
    where = arguments if argument in arguments else arguments.get("model_kwargs")
    if not isinstance(where, Mapping) or where.get(argument) is None:
        return AdaptedCall(arguments)
    wanted = where[argument]
    if any(True for _ in nodes(wanted)):
        msg = f"{argument} holds a column; it must be the same for all rows, since it is the column's type"
        raise DefinitionError(msg)
    form, sent = placed(wanted)
    changed = {**where, argument: sent}
    arguments = changed if where is arguments else {**arguments, "model_kwargs": changed}
    check = form.check
    if check is None:
        return AdaptedCall(arguments)
    known = {**shape, "properties": {**shape["properties"], "parsed": form.shape}}

    def settled(answer: Any) -> Any:
        return settle(answer, check)

    return AdaptedCall(arguments, known, settled)


def with_parsed(answer: Mapping[str, Any], text: object, check: Callable[[str], Any]) -> Mapping[str, Any]:
    """The answer with what its text holds at `parsed`, null where there is no text. Raises CellError."""
    if text is None:
        return {**answer, "parsed": None}
    if not isinstance(text, str):
        raise _undocumented_form_error(text)
    try:
        return {**answer, "parsed": check(text)}
    except ValueError as e:
        raise CellError("InvalidStructuredOutput", f"the answer is not of the form asked for: {e}") from e


def require_object(value: object) -> Mapping[str, Any]:
    """A part of an answer that is documented to be an object. Raises CellError: some servers have forms of their own."""
    if not isinstance(value, Mapping):
        raise _undocumented_form_error(value)
    return value


def _undocumented_form_error(value: object) -> CellError:
    msg = (
        f"the answer is of another form than documented, so it cannot be parsed: it holds {short_repr(value)}"
    )
    return CellError("InvalidAnswer", msg)


def refusal_error(said: str) -> CellError:
    """The error of a model that refused to answer."""
    return CellError("RefusalError", f"the model refused to answer: {said[:500]}")


def truncated_answer_error(reason: str, argument: str) -> CellError:
    """The error of an answer that was cut short, so that what it holds cannot be parsed."""
    filtered = reason == "content_filter"
    advice = "the API's filter took out the rest" if filtered else f"raise {argument} or ask for less"
    return CellError(
        "TruncatedAnswer", f"the answer was cut short ({reason}), so it cannot be parsed; {advice}"
    )


def empty_answer_error() -> CellError:
    """The error of an answer that holds nothing to parse."""
    return CellError("EmptyAnswer", "the answer holds neither text nor tool calls")
