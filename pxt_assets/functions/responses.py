"""`responses`: one answer of a chat model for each row, by the Responses API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxt_assets.api.request import PAGE_TOKENS, Endpoint, ParsedAnswer, characters_of_schemas
from pxt_assets.api.stated_usage import model_of, tier_of, usage_of
from pxt_assets.api.token_usage import mapping_or_empty
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions.declare import AdaptedCall, api_function, short_repr, text_of, with_kwargs
from pxt_assets.functions.messages import PartsSize, with_constant_images, with_images
from pxt_assets.functions.structured import (
    adapt_response_format,
    empty_answer_error,
    refusal_error,
    require_object,
    truncated_answer_error,
    with_api_tools,
    with_parsed,
)
from pxt_assets.local.structured_schema import ResponseFormat, parse_response_format
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values.stored_json import read_answer, stored_answer
from pxt_assets.values.types import Json

_STRING_SHAPE = {"type": "string"}
_COUNT_SHAPE = {"type": "integer"}
_SHAPE = {
    "properties": {
        "id": _STRING_SHAPE,
        "model": _STRING_SHAPE,
        "created_at": {"type": "number"},
        "status": _STRING_SHAPE,
        "output_text": _STRING_SHAPE,
        "previous_response_id": _STRING_SHAPE,
        "service_tier": _STRING_SHAPE,
        "output": {
            "items": {
                "properties": {
                    "id": _STRING_SHAPE,
                    "type": _STRING_SHAPE,
                    "status": _STRING_SHAPE,
                    "role": _STRING_SHAPE,
                    "content": {
                        "items": {
                            "properties": {
                                "type": _STRING_SHAPE,
                                "text": _STRING_SHAPE,
                                "refusal": _STRING_SHAPE,
                            }
                        }
                    },
                    "name": _STRING_SHAPE,
                    "arguments": _STRING_SHAPE,
                    "call_id": _STRING_SHAPE,
                }
            }
        },
        "usage": {
            "properties": {
                "input_tokens": _COUNT_SHAPE,
                "output_tokens": _COUNT_SHAPE,
                "total_tokens": _COUNT_SHAPE,
            }
        },
    }
}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer, _ = read_answer(body)
    if (
        isinstance(answer, dict)
        and answer.get("status") in ("failed", "cancelled")
        and not answer.get("output")
    ):
        answer["output"] = []  # some servers leave it out then, and the reason matters more
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        msg = "the answer has no `output`"
        raise ValueError(msg)
    if not all(_is_output_item(item) for item in answer["output"]):
        msg = "the answer's `output` holds something else than items, or a message without its parts"
        raise ValueError(msg)
    if answer.get("status") not in (None, "completed", "incomplete"):
        raise _unfinished_answer_error(answer)
    if answer.get("error") and not answer["output"]:
        msg = "the answer holds an error in place of an output"
        raise ValueError(msg)
    answer["output_text"] = "".join(p["text"] or "" for p in _message_parts(answer, "output_text"))
    usage = usage_of(answer, request)
    return ParsedAnswer([stored_answer(answer)], usage, model_of(answer), tier_of(answer))


def _is_output_item(item: object) -> bool:
    """Whether this is an item of an output; a message must have a list of parts, and text in its text parts."""
    if not isinstance(item, Mapping) or item.get("type") != "message":
        return not item or isinstance(item, Mapping)
    parts = item.get("content") or []
    return isinstance(parts, list) and all(
        isinstance(part, Mapping)
        and (part.get("type") != "output_text" or isinstance(part.get("text", 0), str | None))
        for part in parts
    )


def _unfinished_answer_error(answer: Mapping[str, Any]) -> CellError:
    given = answer.get("error")
    error = mapping_or_empty(given)
    reason = error.get("message") or (given if isinstance(given, str) else "")
    reason = reason or "cells hold whole answers, so leave out background=True"
    return CellError(
        str(error.get("code") or "UnfinishedAnswer"), f"the answer's status is {answer['status']}: {reason}"
    )


def _message_parts(answer: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The parts of that kind of all messages in an answer."""
    contents = [
        item.get("content") or [] for item in answer["output"] if item and item.get("type") == "message"
    ]
    return [part for content in contents for part in content if part.get("type") == kind]


def _size(body: Mapping[str, Any]) -> RequestSize:
    given = body["input"]
    characters = len(body["instructions"]) if isinstance(body.get("instructions"), str) else 0
    if isinstance(given, str):
        characters += len(given)
        given = []
    parts = PartsSize()
    for item in given:
        content = item.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            parts = parts.plus(content)
        elif isinstance(item.get("output"), str):  # a tool's result
            characters += len(item["output"])
    return request_size(
        characters + parts.characters,
        messages=len(given) or 1,
        images=parts.images,
        low_images=parts.low_images,
        outputs=body.get("max_output_tokens"),
        tools=characters_of_schemas(body),
    )


_ENDPOINT = Endpoint("/responses", parse=_parse, size=_size, answer_tokens=PAGE_TOKENS)


def _adapt(arguments: dict[str, Any]) -> AdaptedCall:
    arguments = with_api_tools(arguments, "responses")
    arguments["input"] = with_constant_images(arguments["input"])
    return adapt_response_format(arguments, "text", _requested_format, _SHAPE, _with_parsed_text)


def _requested_format(wanted: Any) -> tuple[ResponseFormat, Any]:
    """The format that `text` asks for, and what is sent as `text`. Raises DefinitionError."""
    if isinstance(wanted, type) or (
        isinstance(wanted, Mapping) and not wanted.keys() <= {"format", "verbosity"}
    ):
        wanted = {"format": wanted}  # the format itself, without `text` around it
    if not isinstance(wanted, Mapping):
        msg = f'responses: text: got {short_repr(wanted)}, allowed: {{"format": a pydantic model or a JSON schema}}'
        raise DefinitionError(msg)
    form = parse_response_format(wanted.get("format") or {"type": "text"})
    return form, ({**wanted, "format": form.responses} if "format" in wanted else wanted)


def _with_parsed_text(answer: Any, check: Callable[[str], Any]) -> Any:
    refusals = _message_parts(answer, "refusal")
    if refusals:
        raise refusal_error(str(refusals[0].get("refusal")))
    if answer.get("status") == "incomplete":
        details = require_object(answer.get("incomplete_details") or {})
        raise truncated_answer_error(str(details.get("reason") or "incomplete"), "max_output_tokens")
    has_calls = any(require_object(item).get("type") == "function_call" for item in answer["output"])
    if not answer["output_text"] and not has_calls:
        raise empty_answer_error()
    return with_parsed(answer, answer["output_text"] or None, check)


@api_function(
    _ENDPOINT,
    returns=Json,
    shape=_SHAPE,
    adapt=_adapt,
    text_at=text_of("input"),
    prompt=("input", "input_text"),
)
def responses(
    input: Any,
    *,
    model: Any,
    model_kwargs: Any = None,
    tools: Any = None,
    tool_choice: Any = None,
    **kwargs: Any,
) -> Mapping[str, Any]:
    """The answer of a chat model by the Responses API, as Json with `output_text`, `output`, `usage`, ...

    Throttled by the rate-limit headers of the API; no configuration is needed.

    Args:
        input: a text, or a list of input items, `[{"role": "user", "content": tbl.body}]`; columns may stand anywhere
            in it. An image (a column of them, a PIL image, bytes, a pathlib.Path) stands at `image_url` of a part of
            type `input_image`, whose `detail` is "auto" unless it is given.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict: `instructions`, `temperature`, `max_output_tokens`,
            `reasoning`, `previous_response_id`, `store`, ... `{"text": {"format": X}}`, where X is a pydantic model or
            a JSON schema, puts the validated object at `parsed`; a refusal and a truncated answer are then errors of
            their rows.
        tools: `tools(f, g)` of Python functions, or tool definitions of the API.
        tool_choice: which tool to call: `my_tools.choice(required=True)`, or the API's own form.
        kwargs: other arguments of the API, one by one: `instructions="Be brief."`.

    Example:
        ```python
        tbl.add_computed_column(response=responses(tbl.prompt, model="gpt-6-luna", instructions="Be brief."))
        tbl.add_computed_column(answer=tbl.response.output_text)
        ```

    Source: https://platform.openai.com/docs/api-reference/responses/create
    """
    if isinstance(input, list | tuple) and all(isinstance(item, Mapping) for item in input):
        input = with_images(input, _image_url, {"detail": "auto"})
    elif not isinstance(input, str):
        msg = f"input: got {short_repr(input)}, allowed: text, or a list of dicts, such as messages with `role` and `content`"
        raise CellError("TypeError", msg)
    body = {"input": input, "model": model, "tools": tools, "tool_choice": tool_choice}
    return with_kwargs(body, model_kwargs, kwargs)


def _image_url(image: Any) -> Any:
    return image["url"] if isinstance(image, Mapping) else image
