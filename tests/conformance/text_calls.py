"""Calls of the functions of text, over the arguments that their endpoints have."""

from typing import Any, Literal

import PIL.Image
import pydantic

from pxt_assets import tool, tools
from pxt_assets.functions import chat_completions, embeddings, moderations, responses
from tests.conformance.samples import picture

CHAT_MODEL = "gpt-6-luna"
WEB_IMAGE = "https://example.com/cat.png"


class Step(pydantic.BaseModel):
    explanation: str
    result: float | None = None


class Solution(pydantic.BaseModel):
    """How an equation is solved."""

    steps: list[Step]
    kind: Literal["linear", "quadratic"] = "linear"


def stock_price(ticker: str, currency: Literal["EUR", "USD"] = "USD") -> float:
    """The price of a share.

    Args:
        ticker: the symbol of the share.
        currency: what the price is in.
    """
    raise NotImplementedError


@tool
async def weather(city: str) -> str:
    """The weather in a city."""
    raise NotImplementedError


def asking(*parts: Any) -> list[dict[str, Any]]:
    """A message of the user's with these parts."""
    return [{"role": "user", "content": list(parts)}]


TOOLS = tools(stock_price, weather)
TOOL = {"name": "f", "description": "Does it.", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {
    "title": "Topic",
    "type": "object",
    "properties": {"topic": {"type": "string"}},
    "required": ["topic"],
    "additionalProperties": False,
}
HELLO = [{"role": "user", "content": "Hello"}]
QUESTION = {"type": "text", "text": "What's in this image?"}
INPUT_QUESTION = {"type": "input_text", "text": "What's in this image?"}


def chat_image(image: Any) -> list[dict[str, Any]]:
    return asking(QUESTION, {"type": "image_url", "image_url": image})


def input_image(image: Any) -> list[dict[str, Any]]:
    return asking(INPUT_QUESTION, {"type": "input_image", "image_url": image, "detail": "auto"})


CHAT: dict[str, dict[str, Any]] = {
    "plain": {},
    "system and user": {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]},
    "developer with a name": {
        "messages": [{"role": "developer", "content": "Be brief.", "name": "d"}, *HELLO]
    },
    "content in parts": {"messages": asking(QUESTION, QUESTION)},
    "a conversation with tools": {
        "messages": [
            *HELLO,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ]
    },
    "image as PIL": {"messages": chat_image(PIL.Image.new("RGB", (8, 8)))},
    "image as CMYK PIL": {"messages": chat_image(PIL.Image.new("CMYK", (8, 8)))},
    "image as PNG": {"messages": chat_image(picture())},
    "image as JPEG": {"messages": chat_image(picture("JPEG"))},
    "image as BMP": {"messages": chat_image(picture("BMP"))},
    "image as URL": {"messages": chat_image(WEB_IMAGE)},
    "image with detail": {"messages": chat_image({"url": picture("WEBP"), "detail": "low"})},
    "two images": {
        "messages": asking(QUESTION, *({"type": "image_url", "image_url": i} for i in (picture(), WEB_IMAGE)))
    },
    "tools of functions": {"tools": TOOLS},
    "tools as a list of functions": {"tools": [stock_price, weather]},
    "one function as tools": {"tools": weather},
    "tools of the API": {"tools": [{"type": "function", "function": {**TOOL, "strict": True}}]},
    "functions beside tools of the API": {"tools": [weather, {"type": "function", "function": TOOL}]},
    "custom tool": {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
    "tool_choice auto": {"tools": TOOLS, "tool_choice": TOOLS.choice(auto=True)},
    "tool_choice required": {"tools": TOOLS, "tool_choice": TOOLS.choice(required=True)},
    "tool_choice of a function": {"tools": TOOLS, "tool_choice": TOOLS.choice(tool=weather)},
    "tool_choice by name": {"tools": TOOLS, "tool_choice": TOOLS.choice(tool="stock_price")},
    "tool_choice one at a time": {
        "tools": TOOLS,
        "tool_choice": TOOLS.choice(auto=True, parallel_tool_calls=False),
    },
    "tool_choice as text": {"tools": TOOLS, "tool_choice": "none"},
    "tool_choice of the API": {
        "tools": TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
    },
    "parallel_tool_calls": {"tools": TOOLS, "parallel_tool_calls": False},
    "response_format pydantic": {"response_format": Solution},
    "response_format pydantic in model_kwargs": {"model_kwargs": {"response_format": Solution}},
    "response_format schema": {"response_format": SCHEMA},
    "response_format json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "topic", "description": "A topic.", "schema": SCHEMA, "strict": True},
        }
    },
    "response_format json_object": {"response_format": {"type": "json_object"}},
    "response_format text": {"response_format": {"type": "text"}},
    "sampling": {
        "temperature": 0.5,
        "top_p": 1,
        "seed": 7,
        "n": 2,
        "frequency_penalty": -2,
        "presence_penalty": 0.5,
        "logit_bias": {"50256": -100},
    },
    "lengths": {"max_completion_tokens": 64, "verbosity": "low"},
    "max_tokens": {"max_tokens": 64},
    "stop text": {"stop": "\n"},
    "stop list": {"stop": ["\n", "END"]},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "reasoning_effort": {"reasoning_effort": "low"},
    "service_tier": {"service_tier": "flex"},
    "who and where": {
        "user": "u-1",
        "safety_identifier": "s-1",
        "metadata": {"job": "nightly"},
        "store": False,
    },
    "caching": {
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"ttl": "30m"},
    },
    "web search": {"web_search_options": {"search_context_size": "low"}},
    "prediction": {"prediction": {"type": "content", "content": "Hello"}},
    "moderation": {"moderation": {"model": "omni-moderation-latest"}},
    "sound": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}},
    "all in model_kwargs": {"model_kwargs": {"temperature": 0, "max_completion_tokens": 16, "user": "u"}},
    "nulls": {"tools": None, "tool_choice": None, "model_kwargs": None, "temperature": None},
}

RESPONSES: dict[str, dict[str, Any]] = {
    "text": {"input": "Hello"},
    "messages": {},
    "typed items": {
        "input": [{"type": "message", "role": "user", "content": [INPUT_QUESTION]}],
    },
    "a conversation with tools": {
        "input": [
            *HELLO,
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
        ]
    },
    "image as PIL": {"input": input_image(PIL.Image.new("RGBA", (8, 8)))},
    "image as PNG": {"input": input_image(picture())},
    "image as GIF": {"input": input_image(picture("GIF"))},
    "image as TIFF": {"input": input_image(picture("TIFF"))},
    "image as URL": {"input": input_image(WEB_IMAGE)},
    "image as chat has it": {"input": input_image({"url": picture()})},
    "tools of functions": {"tools": TOOLS},
    "one function as tools": {"tools": stock_price},
    "tools of the API": {"tools": [{"type": "function", "strict": False, **TOOL}, {"type": "web_search"}]},
    "functions beside tools of the API": {"tools": [weather, {"type": "web_search"}]},
    "tool_choice required": {"tools": TOOLS, "tool_choice": TOOLS.choice(required=True)},
    "tool_choice of a function": {"tools": TOOLS, "tool_choice": TOOLS.choice(tool=weather)},
    "tool_choice one at a time": {
        "tools": TOOLS,
        "tool_choice": TOOLS.choice(auto=True, parallel_tool_calls=False),
    },
    "tool_choice as text": {"tools": TOOLS, "tool_choice": "auto"},
    "tool_choice of the API": {"tools": TOOLS, "tool_choice": {"type": "function", "name": "weather"}},
    "allowed tools": {
        "tools": TOOLS,
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "weather"}],
        },
        "max_tool_calls": 2,
    },
    "text pydantic": {"text": Solution},
    "text format pydantic": {"text": {"format": Solution, "verbosity": "low"}},
    "text format pydantic in model_kwargs": {"model_kwargs": {"text": {"format": Solution}}},
    "text format schema": {"text": {"format": SCHEMA}},
    "text format json_schema": {
        "text": {"format": {"type": "json_schema", "name": "topic", "schema": SCHEMA, "strict": True}}
    },
    "text format json_object": {"text": {"format": {"type": "json_object"}}},
    "text format text": {"text": {"format": {"type": "text"}}},
    "instructions": {"model_kwargs": {"instructions": "You are a helpful assistant."}},
    "reasoning": {"reasoning": {"effort": "low", "summary": "auto"}},
    "sampling": {"temperature": 0, "top_p": 0.5, "top_logprobs": 3},
    "lengths": {"max_output_tokens": 16, "truncation": "auto"},
    "previous_response_id": {"previous_response_id": "resp_1", "store": True},
    "conversation": {"conversation": "conv_1"},
    "include": {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "store": False},
    "prompt": {"prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "Oslo"}}},
    "service_tier": {"service_tier": "flex", "background": False},
    "who": {"user": "u-1", "safety_identifier": "s-1", "metadata": {"job": "nightly"}},
    "caching": {
        "prompt_cache_key": "k",
        "prompt_cache_retention": "in_memory",
        "prompt_cache_options": {"mode": "explicit"},
    },
    "moderation": {"moderation": {"model": "omni-moderation-latest"}, "parallel_tool_calls": True},
    "context": {"context_management": [{"type": "compaction", "compact_threshold": 10_000}]},
    "nulls": {"tools": None, "tool_choice": None, "instructions": None},
}

EMBEDDINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dimensions": {"dimensions": 256},
    "dimensions and user": {"model_kwargs": {"dimensions": 256}, "user": "u-1"},
    "another encoding": {"encoding_format": "float"},
    "another model": {"model": "text-embedding-ada-002"},
    "a model of another server": {"model": "nomic-embed-text"},
}

MODERATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "empty text": {"input": ""},
    "another model": {"model": "text-moderation-latest"},
    "null model": {"model": None},
}

TEXT_CALLS: dict[str, tuple[Any, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "/chat/completions": (chat_completions, {"messages": HELLO, "model": CHAT_MODEL}, CHAT),
    "/responses": (responses, {"input": HELLO, "model": CHAT_MODEL}, RESPONSES),
    "/embeddings": (embeddings, {"input": "Hello", "model": "text-embedding-3-small"}, EMBEDDINGS),
    "/moderations": (moderations, {"input": "Hello"}, MODERATIONS),
}
"""Endpoint -> its function, the arguments that it needs, and other arguments by what they show."""
