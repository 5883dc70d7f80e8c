"""The body of POST /v1/responses: how it is read, and which bodies are refused as the API refuses them."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import estimate_tokens
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    missing_parameter,
    not_simulated_error,
    wrong_type,
    wrong_value,
)
from pxt_assets.simulator.prompt.answer_schema import read_answer_schema
from pxt_assets.simulator.prompt.conversation import MESSAGE_OVERHEAD, Conversation
from pxt_assets.simulator.prompt.prompt_cache import CacheUse, has_breakpoints, read_cache_use
from pxt_assets.simulator.reply.reply import Prompt
from pxt_assets.simulator.responses.background_options import read_background
from pxt_assets.simulator.responses.input_items import Item, read_items
from pxt_assets.simulator.responses.tools import OfferedTools, read_offered_tools

KNOWN = frozenset(
    (
        "background",
        "background_options",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    )
)
"""Every top-level argument of the API."""

_LOGPROBS = "message.output_text.logprobs"
_INCLUDE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    _LOGPROBS,
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
_FORMATS = ("json_object", "json_schema", "text")


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A valid request for a response; its references are checked later."""

    model: str
    items: tuple[Item, ...]
    previous_response_id: str | None
    store: bool
    background: bool
    """Whether it is answered later, to be fetched by its id."""
    max_output_tokens: int | None
    json_schema: dict[str, Any] | bool | None
    """The schema to answer by; True for any JSON object, None for text."""
    offered_tools: OfferedTools
    instruction_characters: int
    """Characters of the instructions and the tools."""
    cache: CacheUse
    """What it says of the cache."""
    echo: dict[str, Any]
    """The arguments as the answer repeats them."""

    def prompt(self, conversation: Conversation) -> Prompt:
        """What the model is asked for after `conversation`."""
        return Prompt(
            conversation,
            json_schema=self.json_schema,
            tools=self.offered_tools.callable_tools,
            must_call=self.offered_tools.must_call,
            max_tokens=self.max_output_tokens,
        )


def read_response_request(body: dict[str, Any]) -> ResponseRequest:
    """Read a body. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown_at(body, KNOWN)
    model = _read_model(body)
    _refuse_unsimulated(body)
    arguments.check_number(body, "temperature", 0, 2)
    arguments.check_number(body, "top_p", 0, 1)
    arguments.read_integer(body, "top_logprobs", 0, 20)
    arguments.read_integer(body, "max_tool_calls")
    max_output_tokens = arguments.read_integer(body, "max_output_tokens", 16)
    _check_words(body)
    _check_include(body)
    json_schema, text = _read_text(body)
    offered_tools = read_offered_tools(body)
    items = _read_input(body)
    earlier = len(body.get("instructions") or "") + offered_tools.characters
    return ResponseRequest(
        model=model,
        items=items,
        previous_response_id=body.get("previous_response_id"),
        store=body.get("store") is not False,
        background=read_background(body),
        max_output_tokens=max_output_tokens,
        json_schema=json_schema,
        offered_tools=offered_tools,
        instruction_characters=earlier,
        cache=_read_cache_use(body, model, items, earlier),
        echo=_echo(body, text, offered_tools),
    )


def _read_cache_use(
    body: dict[str, Any], model: str, items: tuple[Item, ...], earlier_characters: int
) -> CacheUse:
    characters = sum(len(item.text) for item in items) + earlier_characters
    tokens = estimate_tokens(characters) + sum(MESSAGE_OVERHEAD + item.image_tokens for item in items)
    return read_cache_use(body, model, "input", tokens=tokens, earlier_characters=earlier_characters)


def _read_model(body: dict[str, Any]) -> str:
    if not body.get("model"):
        raise missing_parameter("model")
    arguments.check_string(body, "model")
    return str(body["model"])


def _refuse_unsimulated(body: dict[str, Any]) -> None:
    if arguments.read_boolean(body, "stream"):
        raise not_simulated_error("stream", "Streaming")
    for name, feature in (
        ("conversation", "A stored conversation"),
        ("prompt", "A stored prompt"),
        ("moderation", "Moderation of an answer"),
    ):
        if body.get(name) is not None:
            raise not_simulated_error(name, feature)
    if body.get("stream_options") is not None:
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )


def _check_words(body: dict[str, Any]) -> None:
    arguments.check_word(body, "service_tier", _TIERS)
    arguments.check_word(body, "truncation", ("auto", "disabled"))
    arguments.check_word(body, "prompt_cache_retention", ("in_memory", "24h"))
    for name in ("instructions", "previous_response_id", "user"):
        arguments.check_string(body, name)
    arguments.check_string(body, "safety_identifier", 64)
    for name in ("store", "parallel_tool_calls"):
        arguments.read_boolean(body, name)
    arguments.check_metadata(body)
    if body.get("context_management") is not None:
        arguments.read_array(body["context_management"], "context_management")
    if body.get("reasoning") is not None:
        reasoning = arguments.read_object(body["reasoning"], "reasoning")
        known = ("effort", "summary", "generate_summary", "context", "mode")
        arguments.refuse_unknown_at(reasoning, known, "reasoning")
        arguments.check_word(reasoning, "effort", _EFFORTS, at="reasoning")
        arguments.check_word(reasoning, "summary", _SUMMARIES, at="reasoning")
        arguments.check_word(reasoning, "generate_summary", _SUMMARIES, at="reasoning")
        arguments.check_word(reasoning, "context", ("auto", "current_turn", "all_turns"), at="reasoning")
        arguments.check_string(reasoning, "mode", at="reasoning")


def _check_include(body: dict[str, Any]) -> None:
    for index, word in enumerate(arguments.read_array(body.get("include") or [], "include")):
        if not isinstance(word, str):
            raise wrong_type(f"include[{index}]", "a string", word)
        if word not in _INCLUDE:
            raise wrong_value(f"include[{index}]", word, _INCLUDE)
        if word == _LOGPROBS:
            raise not_simulated_error(f"include[{index}]", "Log probabilities")


def _read_text(body: dict[str, Any]) -> tuple[dict[str, Any] | bool | None, dict[str, Any]]:
    """The schema to answer by (True for any JSON object), and `text` as the answer repeats it."""
    text = arguments.read_object(body.get("text") or {}, "text")
    arguments.refuse_unknown_at(text, ("format", "verbosity"), "text")
    arguments.check_word(text, "verbosity", ("low", "medium", "high"), at="text")
    echo = {"format": {"type": "text"}, "verbosity": text.get("verbosity") or "medium"}
    if text.get("format") is None:
        return None, echo
    path = "text.format"
    given = arguments.read_object(text["format"], path)
    kind = arguments.read_string_at(given, "type", path)
    if kind not in _FORMATS:
        raise wrong_value(f"{path}.type", kind, _FORMATS)
    if kind != "json_schema":
        arguments.refuse_unknown_at(given, ("type",), path)
        return True if kind == "json_object" else None, {**echo, "format": {"type": kind}}
    if "schema" not in given and "name" in given:
        raise missing_parameter(f"{path}.schema")
    schema = read_answer_schema(given, path, strict_param=f"{path}.schema")
    arguments.refuse_unknown_at(given, ("type", "name", "schema", "strict", "description"), path)
    # The API's description allows no null here.
    form = {name: value for name, value in given.items() if value is not None}
    return schema, {**echo, "format": {"strict": False, **form}}


def _read_input(body: dict[str, Any]) -> tuple[Item, ...]:
    if body.get("input") is not None:
        return read_items(body["input"])
    if body.get("previous_response_id") is not None:
        return ()
    raise bad_request(
        'One of "input" or "previous_response_id" or "prompt" or "conversation_id" must be provided.',
        code="missing_required_parameter",
        param="input",
    )


def _echo(body: dict[str, Any], text: dict[str, Any], offered_tools: OfferedTools) -> dict[str, Any]:
    given = {name: value for name, value in body.items() if value is not None}
    tier = given.get("service_tier", "auto")
    echo = {
        "background": given.get("background", False),
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "max_tool_calls": given.get("max_tool_calls"),
        "metadata": given.get("metadata", {}),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "previous_response_id": given.get("previous_response_id"),
        "prompt_cache_key": given.get("prompt_cache_key"),
        "prompt_cache_retention": given.get("prompt_cache_retention"),
        "reasoning": {"effort": None, "summary": None, **given.get("reasoning", {})},
        "safety_identifier": given.get("safety_identifier"),
        "service_tier": "default" if tier == "auto" else tier,
        "store": given.get("store", True),
        "temperature": given.get("temperature", 1.0),
        "text": text,
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": list(offered_tools.echo),
        "top_logprobs": given.get("top_logprobs", 0),
        "top_p": given.get("top_p", 1.0),
        "truncation": given.get("truncation", "disabled"),
    }
    if has_breakpoints(given["model"]):
        options = given.get("prompt_cache_options", {})
        echo["prompt_cache_options"] = {"mode": "implicit", "ttl": "30m", **options}
    # By the API's description it is a string or absent.
    return {**echo, "user": given["user"]} if "user" in given else echo
