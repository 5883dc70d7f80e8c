"""`responses`: one answer of a chat model for each row, by the Responses API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pxt_assets.api.request import PAGE_TOKENS, Endpoint, Parsed, characters_of_schemas
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions.declare import (
    Adapted,
    api_function,
    mapping,
    model_of,
    shown,
    usage_of,
    with_kwargs,
)
from pxt_assets.functions.messages import with_files, with_images
from pxt_assets.functions.structured import (
    documented,
    empty,
    parsed,
    refused,
    tool_arguments,
    truncated,
    with_structured,
)
from pxt_assets.local.structured_schema import ResponseFormat, parse_response_format
from pxt_assets.throttle import Size, size_of
from pxt_assets.values.types import Json

_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_SHAPE = {
    "properties": {
        "id": _TEXT,
        "model": _TEXT,
        "created_at": {"type": "number"},
        "status": _TEXT,
        "output_text": _TEXT,
        "previous_response_id": _TEXT,
        "service_tier": _TEXT,
        "output": {
            "items": {
                "properties": {
                    "id": _TEXT,
                    "type": _TEXT,
                    "status": _TEXT,
                    "role": _TEXT,
                    "content": {"items": {"properties": {"type": _TEXT, "text": _TEXT, "refusal": _TEXT}}},
                    "name": _TEXT,
                    "arguments": _TEXT,
                    "call_id": _TEXT,
                }
            }
        },
        "usage": {"properties": {"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT}},
    }
}


def _parse(body: bytes, _asked: Mapping[str, Any]) -> Parsed:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        msg = "the answer has no `output`"
        raise ValueError(msg)
    if not all(_is_documented(item) for item in answer["output"]):
        msg = "the answer's `output` holds something else than items, or a message without its parts"
        raise ValueError(msg)
    if answer.get("status") not in (None, "completed", "incomplete"):
        raise _unfinished(answer)
    answer["output_text"] = "".join(p["text"] or "" for p in _parts(answer, "output_text"))
    return Parsed([answer], usage_of(answer), model_of(answer))


def _is_documented(item: object) -> bool:
    """Whether this is an item of an output; of a message with its parts, and with text where a part has text."""
    if not isinstance(item, Mapping) or item.get("type") != "message":
        return not item or isinstance(item, Mapping)
    parts = item.get("content") or []
    return isinstance(parts, list) and all(
        isinstance(part, Mapping)
        and (part.get("type") != "output_text" or isinstance(part.get("text", 0), str | None))
        for part in parts
    )


def _unfinished(answer: Mapping[str, Any]) -> CellError:
    error = mapping(answer.get("error"))
    said = error.get("message") or "cells hold whole answers, so leave out background=True"
    return CellError(
        str(error.get("code") or "UnfinishedAnswer"), f"the answer's status is {answer['status']}: {said}"
    )


def _parts(answer: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The parts of that kind of all messages in an answer."""
    contents = [
        item.get("content") or [] for item in answer["output"] if item and item.get("type") == "message"
    ]
    return [part for content in contents for part in content if part.get("type") == kind]


def _size(body: Mapping[str, Any]) -> Size:
    given = body["input"]
    characters = len(body["instructions"]) if isinstance(body.get("instructions"), str) else 0
    if isinstance(given, str):
        characters += len(given)
        given = []
    images = 0
    for item in given:
        content = item.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            for part in content:
                characters += len(str(part.get("text", ""))) if isinstance(part, dict) else 0
                images += isinstance(part, dict) and part.get("type") == "input_image"
        elif isinstance(item.get("output"), str):  # of a tool
            characters += len(item["output"])
    return size_of(
        characters,
        messages=len(given) or 1,
        images=images,
        outputs=body.get("max_output_tokens"),
        tools=characters_of_schemas(body),
    )


_ENDPOINT = Endpoint("/responses", parse=_parse, size=_size, answer_tokens=PAGE_TOKENS)


def _adapt(arguments: dict[str, Any]) -> Adapted:
    arguments = tool_arguments(arguments, "responses")
    arguments["input"] = with_files(arguments["input"])
    return with_structured(arguments, "text", _placed, _SHAPE, _parsed)


def _placed(wanted: Any) -> tuple[ResponseFormat, Any]:
    if isinstance(wanted, type) or (
        isinstance(wanted, Mapping) and not wanted.keys() <= {"format", "verbosity"}
    ):
        wanted = {"format": wanted}  # the form itself
    if not isinstance(wanted, Mapping):
        msg = (
            f'responses: text: got {shown(wanted)}, allowed: {{"format": a pydantic model or a JSON schema}}'
        )
        raise DefinitionError(msg)
    form = parse_response_format(wanted.get("format") or {"type": "text"})
    return form, ({**wanted, "format": form.responses} if "format" in wanted else wanted)


def _parsed(answer: Any, check: Callable[[str], Any]) -> Any:
    refusals = _parts(answer, "refusal")
    if refusals:
        raise refused(str(refusals[0].get("refusal")))
    if answer.get("status") == "incomplete":
        details = documented(answer.get("incomplete_details") or {})
        raise truncated(str(details.get("reason") or "incomplete"), "max_output_tokens")
    called = any(documented(item).get("type") == "function_call" for item in answer["output"])
    if not answer["output_text"] and not called:
        raise empty()
    return parsed(answer, answer["output_text"] or None, check)


@api_function(_ENDPOINT, returns=Json, shape=_SHAPE, adapt=_adapt)
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
        msg = f"input: got {shown(input)}, allowed: text, or a list of dicts, such as messages with `role` and `content`"
        raise CellError("TypeError", msg)
    body = {"input": input, "model": model, "tools": tools, "tool_choice": tool_choice}
    return with_kwargs(body, model_kwargs, kwargs)


def _image_url(image: Any) -> Any:
    return image["url"] if isinstance(image, Mapping) else image
