"""`chat_completions`: one answer of a chat model for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxt_assets.api.inner_failure import is_broken_off
from pxt_assets.api.request import PAGE_TOKENS, Endpoint, ParsedAnswer, characters_of_schemas
from pxt_assets.api.stated_usage import model_of, tier_of, usage_of
from pxt_assets.errors import CellError
from pxt_assets.expressions.path_steps import TEXT_OR_PARTS_SHAPE
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
from pxt_assets.values.stored_json import read_answer
from pxt_assets.values.text_parts import refusal_of_parts, text_of_parts
from pxt_assets.values.types import Json

_STRING_SHAPE = {"type": "string"}
_COUNT_SHAPE = {"type": "integer"}
_SHAPE = {
    "properties": {
        "id": _STRING_SHAPE,
        "model": _STRING_SHAPE,
        "created": _COUNT_SHAPE,
        "service_tier": _STRING_SHAPE,
        "system_fingerprint": _STRING_SHAPE,
        "choices": {
            "items": {
                "properties": {
                    "index": _COUNT_SHAPE,
                    "finish_reason": _STRING_SHAPE,
                    "message": {
                        "properties": {
                            "role": _STRING_SHAPE,
                            "content": TEXT_OR_PARTS_SHAPE,
                            "refusal": _STRING_SHAPE,
                        }
                    },
                }
            }
        },
        "usage": {
            "properties": {
                "prompt_tokens": _COUNT_SHAPE,
                "completion_tokens": _COUNT_SHAPE,
                "total_tokens": _COUNT_SHAPE,
            }
        },
    }
}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer, stored = read_answer(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices:
        msg = "the answer has no `choices`"
        raise ValueError(msg)
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            msg = "the answer's `choices` hold something else than messages"
            raise ValueError(msg)
        if is_broken_off(choice):
            msg = f"the answer broke off with finish_reason {choice.get('finish_reason')!r}"
            raise ValueError(msg)
    if answer.get("error") and not any(_says_something(choice["message"]) for choice in choices):
        msg = "the answer holds an error in place of a text"
        raise ValueError(msg)
    return ParsedAnswer([stored], usage_of(answer, request), model_of(answer), tier_of(answer))


def _says_something(message: Mapping[str, Any]) -> bool:
    return any(message.get(name) for name in ("content", "tool_calls", "refusal", "audio", "function_call"))


def _size(body: Mapping[str, Any]) -> RequestSize:
    characters, parts = 0, PartsSize()
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            parts = parts.plus(content)
    return request_size(
        characters + parts.characters,
        messages=len(body["messages"]),
        images=parts.images,
        low_images=parts.low_images,
        outputs=body.get("max_completion_tokens", body.get("max_tokens")),
        tools=characters_of_schemas(body),
    )


_ENDPOINT = Endpoint("/chat/completions", parse=_parse, size=_size, answer_tokens=PAGE_TOKENS)


def _adapt(arguments: dict[str, Any]) -> AdaptedCall:
    arguments = with_api_tools(arguments, "chat")
    arguments["messages"] = with_constant_images(arguments["messages"])
    return adapt_response_format(arguments, "response_format", _requested_format, _SHAPE, _with_parsed_text)


def _requested_format(wanted: Any) -> tuple[ResponseFormat, Any]:
    """The format that `response_format` asks for, and what is sent as `response_format`."""
    form = parse_response_format(wanted)
    return form, form.chat


def _with_parsed_text(answer: Any, check: Callable[[str], Any]) -> Any:
    choice = require_object(answer["choices"][0] if answer["choices"] else {})
    message = require_object(choice.get("message") or {})
    refusal = message.get("refusal") or refusal_of_parts(message.get("content"))
    if refusal:
        raise refusal_error(str(refusal))
    if choice.get("finish_reason") in ("length", "content_filter"):
        raise truncated_answer_error(str(choice["finish_reason"]), "max_completion_tokens")
    text = text_of_parts(message.get("content"))
    if text is None and not message.get("tool_calls"):
        raise empty_answer_error()
    return with_parsed(answer, text, check)


def _image_url(image: Any) -> Any:
    return image if isinstance(image, Mapping) else {"url": image}


@api_function(
    _ENDPOINT,
    returns=Json,
    shape=_SHAPE,
    adapt=_adapt,
    text_at=text_of("messages"),
    prompt=("messages", "text"),
)
def chat_completions(
    messages: Any,
    *,
    model: Any,
    model_kwargs: Any = None,
    tools: Any = None,
    tool_choice: Any = None,
    **kwargs: Any,
) -> Mapping[str, Any]:
    """The answer of a chat model: the API's `chat/completions`, as Json with `choices`, `usage`, ...

    Throttled by the rate-limit headers of the API; no configuration is needed.

    Reasoning models of some servers answer with a list of parts in place of text. The path
    `choices[0].message.content` gives the text of the answer all the same; `content[0]` and `content["*"]` give the
    parts, as they are stored.

    Args:
        messages: a list of messages, `[{"role": "user", "content": tbl.body}]`; columns may stand anywhere in it. An
            image (a column of them, a PIL image, bytes, a pathlib.Path) stands at `image_url` of a content part.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict.
        tools: `tools(f, g)` of Python functions, or tool definitions of the API.
        tool_choice: which tool to call: `my_tools.choice(required=True)`, or the API's own form.
        kwargs: other arguments of the API, one by one: `temperature=0`. A `response_format` that is a pydantic model
            or a JSON schema puts the validated object of the first choice at `parsed`; a refusal and a truncated answer are then errors of
            their rows.

    Example:
        ```python
        messages = [{"role": "user", "content": tbl.prompt}]
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))

        class Ticket(pydantic.BaseModel):
            topic: str

        tbl.add_computed_column(
            ticket=chat_completions(messages, model="gpt-6-luna", response_format=Ticket)
        )
        tbl.add_computed_column(topic=tbl.ticket.parsed.topic)
        ```

    Source: https://platform.openai.com/docs/api-reference/chat/create
    """
    if not isinstance(messages, list | tuple) or not all(isinstance(m, Mapping) for m in messages):
        msg = f"messages: got {short_repr(messages)}, allowed: a list of dicts with `role` and `content`"
        raise CellError("TypeError", msg)
    messages = with_images(messages, _image_url)
    body = {"messages": messages, "model": model, "tools": tools, "tool_choice": tool_choice}
    return with_kwargs(body, model_kwargs, kwargs)
