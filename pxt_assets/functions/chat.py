"""`chat_completions`: one answer of a chat model for each row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pxt_assets.functions.declare import api_function, model_of, shown, usage_of, with_kwargs
from pxt_assets.request import Endpoint, Parsed
from pxt_assets.throttle import estimate_tokens
from pxt_assets.types import Json

_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_SHAPE = {
    "properties": {
        "id": _TEXT,
        "model": _TEXT,
        "created": _COUNT,
        "service_tier": _TEXT,
        "system_fingerprint": _TEXT,
        "choices": {
            "items": {
                "properties": {
                    "index": _COUNT,
                    "finish_reason": _TEXT,
                    "message": {"properties": {"role": _TEXT, "content": _TEXT, "refusal": _TEXT}},
                }
            }
        },
        "usage": {
            "properties": {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT}
        },
    }
}


def _parse(body: bytes, _cells: int) -> Parsed:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        msg = "the answer has no `choices`"
        raise ValueError(msg)
    return Parsed([answer], usage_of(answer), model_of(answer))


def _tokens(body: Mapping[str, Any]) -> float:
    characters = images = 0
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            for part in content:
                is_part = isinstance(part, dict)
                characters += len(str(part.get("text", ""))) if is_part else 0
                images += is_part and part.get("type") == "image_url"
    return estimate_tokens(characters, messages=len(body["messages"]), images=images)


_ENDPOINT = Endpoint("/chat/completions", parse=_parse, tokens=_tokens)


@api_function(_ENDPOINT, returns=Json, shape=_SHAPE)
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

    Args:
        messages: a list of messages, `[{"role": "user", "content": tbl.body}]`; columns may stand anywhere in it.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict.
        tools: tool definitions of the API.
        tool_choice: which tool to call.
        kwargs: other arguments of the API, one by one: `temperature=0`.

    Example:
        ```python
        messages = [{"role": "user", "content": tbl.prompt}]
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))
        ```

    Source: https://platform.openai.com/docs/api-reference/chat/create
    """
    if not isinstance(messages, list | tuple) or not all(isinstance(m, Mapping) for m in messages):
        msg = f"messages: got {shown(messages)}, allowed: a list of dicts with `role` and `content`"
        raise TypeError(msg)
    body = {"messages": messages, "model": model, "tools": tools, "tool_choice": tool_choice}
    return with_kwargs(body, model_kwargs, kwargs)
