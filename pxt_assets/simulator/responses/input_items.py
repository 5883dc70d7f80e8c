"""The items of the `input` of POST /v1/responses."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import missing, wrong_type, wrong_value
from pxt_assets.simulator.responses.content import read_content

_ROLES = ("assistant", "system", "developer", "user")
_STATUSES = ("in_progress", "completed", "incomplete")
_MESSAGE = frozenset(("type", "role", "content", "id", "status", "phase"))
_CALL = frozenset(("type", "id", "call_id", "name", "arguments", "status", "namespace", "caller"))
_CALL_OUTPUT = frozenset(("type", "id", "call_id", "output", "status", "name", "namespace", "caller"))
# The description lists `status`, too; the API refuses it.
_REASONING = frozenset(("type", "id", "summary", "content", "encrypted_content"))
_READ = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
_PASSED_OVER = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
"""Items of tools that the simulator never calls: counted, and not looked at."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the input."""

    text: str = ""
    role: str | None = None
    """Who speaks: "user", "assistant", ..., or "tool" for the output of a function; None for what is no message."""
    attachments: tuple[str, ...] = ()
    """The images and files, each as a phrase."""
    images: int = 0
    calls: str | None = None
    """The id of the call that the item is."""
    answers: str | None = None
    """The id of the call whose output the item is."""
    refers_to: str | None = None
    """The id of an item that an earlier answer put out, and that this one stands for."""


def read_items(given: Any) -> tuple[Item, ...]:
    """The items of `input`: a string is a message of the user. Raises a 400 for a malformed one."""
    if isinstance(given, str):
        return (Item(given, "user"),)
    if not isinstance(given, list):
        raise wrong_type("input", "one of a string or array of input items", given)
    return tuple(
        _read_item(arguments.read_object(item, f"input[{index}]"), f"input[{index}]")
        for index, item in enumerate(given)
    )


def _read_item(item: dict[str, Any], place: str) -> Item:
    kind = item.get("type")
    if kind is None:
        if "role" in item:
            kind = "message"
        elif "id" in item:
            kind = "item_reference"
        else:
            raise missing(f"{place}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{place}.type", "a string", kind)
    if kind in _PASSED_OVER:
        return Item()
    read = _READERS.get(kind)
    if read is None:
        raise wrong_value(f"{place}.type", kind, (*_READ, *_PASSED_OVER))
    return read(item, place)


def _read_message(item: dict[str, Any], place: str) -> Item:
    role = arguments.read_string_at(item, "role", place)
    if role not in _ROLES:
        raise wrong_value(f"{place}.role", role, _ROLES)
    arguments.refuse_unknown_at(item, _MESSAGE, place)
    arguments.check_word(item, "status", _STATUSES, at=place)
    arguments.check_word(item, "phase", ("commentary", "final_answer"), at=place)
    arguments.check_string(item, "id", at=place)
    if "content" not in item:
        raise missing(f"{place}.content")
    content = read_content(item["content"], role, f"{place}.content")
    return Item(content.text, role, content.attachments, content.images)


def _read_call(item: dict[str, Any], place: str) -> Item:
    call_id = arguments.read_string_at(item, "call_id", place)
    name = arguments.read_string_at(item, "name", place)
    written = arguments.read_string_at(item, "arguments", place)
    arguments.refuse_unknown_at(item, _CALL, place)
    arguments.check_word(item, "status", _STATUSES, at=place)
    arguments.check_string(item, "id", at=place)
    return Item(name + written, calls=call_id)


def _read_call_output(item: dict[str, Any], place: str) -> Item:
    if "call_id" not in item:
        raise missing(f"{place}.call_id")
    arguments.check_string(item, "call_id", 64, at=place)
    if "output" not in item:
        raise missing(f"{place}.output")
    arguments.refuse_unknown_at(item, _CALL_OUTPUT, place)
    arguments.check_word(item, "status", _STATUSES, at=place)
    arguments.check_string(item, "id", at=place)
    output = read_content(item["output"], "tool", f"{place}.output")
    return Item(output.text, "tool", output.attachments, output.images, answers=item["call_id"])


def _read_reasoning(item: dict[str, Any], place: str) -> Item:
    arguments.read_string_at(item, "id", place)
    arguments.refuse_unknown_at(item, _REASONING, place)
    arguments.check_string(item, "encrypted_content", at=place)
    if "summary" not in item:
        raise missing(f"{place}.summary")
    texts = []
    for index, part in enumerate(arguments.read_array(item["summary"], f"{place}.summary")):
        path = f"{place}.summary[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, path), "type", path)
        if kind != "summary_text":
            raise wrong_value(f"{path}.type", kind, ("summary_text",))
        texts.append(arguments.read_string_at(part, "text", path))
    return Item("\n".join(texts))


def _read_reference(item: dict[str, Any], place: str) -> Item:
    arguments.refuse_unknown_at(item, ("type", "id"), place)
    return Item(refers_to=arguments.read_string_at(item, "id", place))


_READERS = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_call_output,
    "reasoning": _read_reasoning,
    "item_reference": _read_reference,
}
