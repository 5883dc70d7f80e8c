"""The body of POST /v1/chat/completions: how it is read, and which bodies are refused as the API refuses them."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.chat.tools import read_tools
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import estimate_tokens
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    empty_array,
    missing_parameter,
    not_simulated_error,
    wrong_type,
    wrong_value,
)
from pxt_assets.simulator.prompt.answer_schema import read_answer_schema
from pxt_assets.simulator.prompt.conversation import MESSAGE_OVERHEAD, Conversation, image_tokens
from pxt_assets.simulator.prompt.picture_url import describe_picture
from pxt_assets.simulator.prompt.prompt_cache import CacheUse, read_cache_use
from pxt_assets.simulator.reply.reply import Prompt

KNOWN = frozenset(
    (
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    )
)
"""Every top-level argument of the API."""

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request for a chat completion."""

    model: str
    prompt: Prompt
    n: int
    cache: CacheUse
    """What it says of the cache."""

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged: those of the message texts, 3 more, 765 an image, 85 at low detail."""
        conversation = self.prompt.conversation
        charge = estimate_tokens(conversation.characters) + MESSAGE_OVERHEAD + conversation.image_tokens
        return charge + (self.prompt.max_tokens or 0) if count_max_tokens else charge


def read_chat_request(body: dict[str, Any]) -> ChatRequest:
    """Read a body. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown(body, KNOWN)
    model = arguments.read_model(body)
    _refuse_unsimulated(body)
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("frequency_penalty", -2, 2),
        ("presence_penalty", -2, 2),
    ):
        if name in body:
            arguments.check_number(body, name, low, high)
    arguments.read_integer(body, "seed")
    if arguments.read_integer(body, "top_logprobs", 0, 20) is not None:
        raise bad_request(
            "Invalid value for 'top_logprobs': 'logprobs' must be set to true if 'top_logprobs' is used.",
            param="top_logprobs",
        )
    _check_words(body)
    tools, must_call = read_tools(body)
    conversation = _read_messages(body)
    n = arguments.read_integer(body, "n", 1, 128) or 1
    prompt = Prompt(
        conversation=conversation,
        max_tokens=_read_max_tokens(body),
        stop=_read_stop(body.get("stop")),
        json_schema=_read_response_format(body.get("response_format"), conversation),
        tools=tuple(tools),
        must_call=must_call,
    )
    cache = read_cache_use(body, model, "messages", tokens=conversation.tokens())
    return ChatRequest(model, prompt, n, cache)


def _refuse_unsimulated(body: dict[str, Any]) -> None:
    for name, feature in (("stream", "Streaming"), ("logprobs", "Log probabilities")):
        if arguments.read_boolean(body, name):
            raise not_simulated_error(name, feature)
    if body.get("modalities") is not None and "audio" in arguments.read_array(
        body["modalities"], "modalities"
    ):
        raise not_simulated_error("modalities", "Spoken output")
    for name in ("functions", "function_call"):
        if body.get(name) is not None:
            raise not_simulated_error(name, "The deprecated form of tool calls")


def _check_words(body: dict[str, Any]) -> None:
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    arguments.check_word(body, "reasoning_effort", efforts)
    arguments.check_word(body, "verbosity", ("low", "medium", "high"))
    arguments.check_word(body, "service_tier", ("auto", "default", "flex", "scale", "priority", "fast"))
    arguments.check_string(body, "user")
    arguments.check_string(body, "safety_identifier", 64)
    for name in ("store", "parallel_tool_calls"):
        arguments.read_boolean(body, name)
    arguments.check_metadata(body)
    if body.get("logit_bias") is not None:
        arguments.read_object(body["logit_bias"], "logit_bias")


def _read_max_tokens(body: dict[str, Any]) -> int | None:
    old = arguments.read_integer(body, "max_tokens", 1)
    new = arguments.read_integer(body, "max_completion_tokens", 1)
    if old is not None and new is not None:
        raise bad_request(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            code="invalid_parameter_combination",
            param="max_tokens",
        )
    return old if new is None else new


def _read_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not 1 <= len(stops) <= 4 or not all(isinstance(s, str) for s in stops):
        raise bad_request(
            f"Invalid 'stop': expected a string or an array of 1 to 4 strings, got {stop!r:.200}.",
            code="invalid_value",
            param="stop",
        )
    return tuple(filter(None, stops))


def _read_messages(body: dict[str, Any]) -> Conversation:
    messages = body.get("messages")
    if messages is None:
        raise missing_parameter("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise empty_array("messages")
    conversation = Conversation()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = _read_role(arguments.read_object(message, path), path)
        text, images, tokens = _read_content(message, role, path)
        conversation.add_message(role, text, tuple(images), image_tokens=tokens)
    return conversation


def _read_role(message: dict[str, Any], path: str) -> str:
    role = arguments.read_string_at(message, "role", path)
    if role not in _ROLES:
        raise wrong_value(f"{path}.role", role, _ROLES)
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing_parameter(f"{path}.tool_call_id")
    return role


def _read_content(message: dict[str, Any], role: str, path: str) -> tuple[str, list[str], int]:
    """The text of a message, a phrase for each of its images, and the tokens of these."""
    content = message.get("content")
    if isinstance(content, str):
        return content, [], 0
    param = f"{path}.content"
    if content is None:
        if role in ("assistant", "function"):
            return "", [], 0
        if "content" not in message:
            raise missing_parameter(param)
        raise bad_request(
            f"Invalid value for 'content': expected a string, got null. - '{param}'",
            code="invalid_type",
            param=param,
        )
    if not isinstance(content, list):
        raise wrong_type(param, "one of a string or array of objects", content)
    if not content:
        raise empty_array(param)
    texts, images, tokens = [], [], 0
    for index, part in enumerate(content):
        part_path = f"{param}[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, part_path), "type", part_path)
        if kind not in _PARTS:
            raise wrong_value(f"{part_path}.type", kind, _PARTS)
        if kind == "image_url":
            images.append(_read_image(part, role, part_path))
            tokens += image_tokens(part["image_url"].get("detail"))
        elif kind in ("text", "refusal"):
            texts.append(arguments.read_string_at(part, kind, part_path))
    return "\n".join(texts), images, tokens


def _read_image(part: dict[str, Any], role: str, path: str) -> str:
    """A phrase for the image of a content part."""
    if role != "user":
        raise bad_request(
            f"Invalid '{path}'. Image URLs are only allowed for messages with role 'user', but this message "
            f"with role '{role}' contains an image URL.",
            code="invalid_value",
            param=path,
        )
    if "image_url" not in part:
        raise missing_parameter(f"{path}.image_url")
    param = f"{path}.image_url"
    image = arguments.read_object(part["image_url"], param)
    arguments.check_word(image, "detail", ("low", "high", "auto"), at=param)
    return describe_picture(arguments.read_string_at(image, "url", param), f"{param}.url")


def _read_response_format(value: Any, conversation: Conversation) -> dict[str, Any] | bool | None:
    if value is None:
        return None
    kind = arguments.read_string_at(
        arguments.read_object(value, "response_format"), "type", "response_format"
    )
    if kind == "text":
        return None
    if kind == "json_object":
        if not conversation.mentions_json:
            raise bad_request(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                "'json_object'.",
                param="messages",
            )
        return True
    if kind != "json_schema":
        raise wrong_value("response_format.type", kind, ("json_object", "json_schema", "text"))
    path = "response_format.json_schema"
    if "json_schema" not in value:
        raise missing_parameter(path)
    wrapper = arguments.read_object(value["json_schema"], path)
    return read_answer_schema(wrapper, path, strict_param="response_format")
