"""The `input` of POST /v1/decisions, and the instructions of its questions: texts, images and JSON."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    empty_array,
    missing_parameter,
    wrong_type,
    wrong_value,
)
from pxt_assets.simulator.prompt.conversation import image_tokens
from pxt_assets.simulator.prompt.picture_url import describe_picture

_KNOWN = {
    "input_text": frozenset(("type", "text", "prompt_cache_breakpoint")),
    "input_image": frozenset(("type", "image_url", "detail", "prompt_cache_breakpoint")),
    "input_json": frozenset(("type", "data")),
    "output_text": frozenset(("type", "text")),
    "refusal": frozenset(("type", "refusal")),
}
_TEXT = ("input_text",)
_TEXT_AND_IMAGES = ("input_text", "input_image")
PARTS = ("input_text", "input_image", "input_json")
"""The types of the parts of what a user says, and of a question's instructions."""
_OF_ROLES: dict[str, tuple[str, ...]] = {
    "user": PARTS,
    "developer": _TEXT,
    "system": _TEXT,
    "assistant": ("output_text", "refusal"),
}
_STATUSES = ("in_progress", "completed", "incomplete")
_OF_CALLS = ("type", "id", "call_id", "name", "namespace", "status")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Types of the calls of tools, and what holds what a tool is called with."""
_OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
"""Types of what tools gave, and of the calls that they answer."""
_MAX_JSON_DEPTH, _MAX_JSON_VALUES, _MAX_JSON_BYTES = 32, 10_000, 256 * 1024


@dataclass(frozen=True, slots=True)
class Evidence:
    """What questions are about, or what one of them says."""

    text: str = ""
    image_tokens: int = 0
    items: int = 1


def read_input(given: Any) -> Evidence:
    """The input of a request. Raises a 400 for a malformed one."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        return Evidence(given)
    if not isinstance(given, list):
        raise wrong_type("input", "one of a string or array of input items", given)
    if not given:
        raise empty_array("input")
    calls: set[tuple[str, str]] = set()
    read = [
        _read_item(arguments.read_object(item, f"input[{index}]"), f"input[{index}]", calls)
        for index, item in enumerate(given)
    ]
    return Evidence("\n".join(one.text for one in read), sum(one.image_tokens for one in read), len(read))


def read_content(content: Any, allowed: Collection[str], path: str) -> Evidence:
    """A text, or a list of parts of the `allowed` types. Raises a 400 for a malformed one."""
    if isinstance(content, str):
        return Evidence(content)
    if not isinstance(content, list):
        raise wrong_type(path, "one of a string or array of objects", content)
    texts, tokens = [], 0
    for index, part in enumerate(content):
        at = f"{path}[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, at), "type", at)
        if kind not in allowed:
            raise wrong_value(f"{at}.type", kind, allowed)
        arguments.refuse_unknown_at(part, _KNOWN[kind], at)
        if kind == "input_image":
            arguments.check_word(part, "detail", ("low", "high", "auto", "original"), at=at)
            url = arguments.read_string_at(part, "image_url", at)
            texts.append(describe_picture(url, f"{at}.image_url"))
            tokens += image_tokens(part.get("detail"))
        elif kind == "input_json":
            texts.append(_read_json(part, at))
        else:
            texts.append(arguments.read_string_at(part, "refusal" if kind == "refusal" else "text", at))
    return Evidence("\n".join(texts), tokens)


def _read_item(item: dict[str, Any], path: str, calls: set[tuple[str, str]]) -> Evidence:
    """One item; `calls` are the type and the id of the calls before it, to which it adds its own."""
    kind = item.get("type", "message" if "role" in item else None)
    if kind is None:
        raise missing_parameter(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", "a string", kind)
    if kind == "message":
        return _read_message(item, path)
    if kind not in _CALLS and kind not in _OUTPUTS:
        raise wrong_value(f"{path}.type", kind, ("message", *_CALLS, *_OUTPUTS))
    call_id = arguments.read_string_at(item, "call_id", path)
    arguments.check_string(item, "id", at=path)
    arguments.check_word(item, "status", _STATUSES, at=path)
    if kind in _CALLS:
        arguments.refuse_unknown_at(item, (*_OF_CALLS, _CALLS[kind]), path)
        calls.add((kind, call_id))
        name = arguments.read_string_at(item, "name", path)
        return Evidence(f"{name} {arguments.read_string_at(item, _CALLS[kind], path)}")
    arguments.refuse_unknown_at(item, ("type", "id", "call_id", "output", "status"), path)
    if (_OUTPUTS[kind], call_id) not in calls:
        raise bad_request(f"No tool call found for {kind} with call_id {call_id}.", param="input")
    if "output" not in item:
        raise missing_parameter(f"{path}.output")
    return read_content(item["output"], _TEXT_AND_IMAGES, f"{path}.output")


def _read_message(item: dict[str, Any], path: str) -> Evidence:
    role = arguments.read_string_at(item, "role", path)
    if role not in _OF_ROLES:
        raise wrong_value(f"{path}.role", role, _OF_ROLES)
    of_assistant = ("phase",) if role == "assistant" else ()
    arguments.refuse_unknown_at(item, ("type", "role", "content", *of_assistant), path)
    arguments.check_word(item, "phase", ("commentary", "final_answer"), at=path)
    if "content" not in item:
        raise missing_parameter(f"{path}.content")
    return read_content(item["content"], _OF_ROLES[role], f"{path}.content")


def _read_json(part: dict[str, Any], path: str) -> str:
    data = part.get("data")
    are_objects = isinstance(data, list) and all(isinstance(one, dict) for one in data)
    if not isinstance(data, dict) and not are_objects:
        raise wrong_type(f"{path}.data", "an object or array of objects", data)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    depth, values = _extent(data)
    size = len(text.encode(errors="replace"))
    if depth > _MAX_JSON_DEPTH or values > _MAX_JSON_VALUES or size > _MAX_JSON_BYTES:
        raise bad_request(
            f"Invalid '{path}.data': at most {_MAX_JSON_DEPTH} container levels, {_MAX_JSON_VALUES} values and "
            f"{_MAX_JSON_BYTES // 1024} KiB are supported.",
            code="invalid_value",
            param=f"{path}.data",
        )
    return text


def _extent(value: Any) -> tuple[int, int]:
    """How many containers deep a JSON value is, and how many values it has."""
    if not isinstance(value, dict | list):
        return 0, 1
    inner = [_extent(one) for one in (value.values() if isinstance(value, dict) else value)]
    return 1 + max((depth for depth, _ in inner), default=0), 1 + sum(count for _, count in inner)
