"""The items of the `input` of POST /v1/responses."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import missing_parameter, wrong_type, wrong_value
from pxt_assets.simulator.responses.content import read_content

_ROLES = ("assistant", "system", "developer", "user")
_STATUSES = ("in_progress", "completed", "incomplete")
_MESSAGE = frozenset(("type", "role", "content", "id", "status", "phase"))
_CALL = frozenset(("type", "id", "call_id", "name", "arguments", "status", "namespace", "caller"))
_CALL_OUTPUT = frozenset(("type", "id", "call_id", "output", "status", "name", "namespace", "caller"))
# The description lists `status`, too; the API refuses it.
_REASONING = frozenset(("type", "id", "summary", "content", "encrypted_content"))
_READ_TYPES = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
_IGNORED_TYPES = (
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
"""Types of the items of tools that the simulator never calls: counted, and not read."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the input."""

    text: str = ""
    role: str | None = None
    """The sender: "user", "assistant", ..., or "tool" for the output of a function; None for other items."""
    attachments: tuple[str, ...] = ()
    """The images and files, each as a phrase."""
    image_tokens: int = 0
    call_id: str | None = None
    """The id of the call, if the item is one."""
    answered_call_id: str | None = None
    """The id of the call whose output the item is, if it is one."""
    referenced_item_id: str | None = None
    """The id of the output item of an earlier answer that this item refers to."""


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


def _read_item(item: dict[str, Any], path: str) -> Item:
    kind = item.get("type")
    if kind is None:
        if "role" in item:
            kind = "message"
        elif "id" in item:
            kind = "item_reference"
        else:
            raise missing_parameter(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", "a string", kind)
    if kind in _IGNORED_TYPES:
        return Item()
    read_item = _READERS.get(kind)
    if read_item is None:
        raise wrong_value(f"{path}.type", kind, (*_READ_TYPES, *_IGNORED_TYPES))
    return read_item(item, path)


def _read_message(item: dict[str, Any], path: str) -> Item:
    role = arguments.read_string_at(item, "role", path)
    if role not in _ROLES:
        raise wrong_value(f"{path}.role", role, _ROLES)
    arguments.refuse_unknown_at(item, _MESSAGE, path)
    arguments.check_word(item, "status", _STATUSES, at=path)
    arguments.check_word(item, "phase", ("commentary", "final_answer"), at=path)
    arguments.check_string(item, "id", at=path)
    if "content" not in item:
        raise missing_parameter(f"{path}.content")
    content = read_content(item["content"], role, f"{path}.content")
    return Item(content.text, role, content.attachments, content.image_tokens)


def _read_call(item: dict[str, Any], path: str) -> Item:
    call_id = arguments.read_string_at(item, "call_id", path)
    name = arguments.read_string_at(item, "name", path)
    call_arguments = arguments.read_string_at(item, "arguments", path)
    arguments.refuse_unknown_at(item, _CALL, path)
    arguments.check_word(item, "status", _STATUSES, at=path)
    arguments.check_string(item, "id", at=path)
    return Item(name + call_arguments, call_id=call_id)


def _read_call_output(item: dict[str, Any], path: str) -> Item:
    if "call_id" not in item:
        raise missing_parameter(f"{path}.call_id")
    arguments.check_string(item, "call_id", 64, at=path)
    if "output" not in item:
        raise missing_parameter(f"{path}.output")
    arguments.refuse_unknown_at(item, _CALL_OUTPUT, path)
    arguments.check_word(item, "status", _STATUSES, at=path)
    arguments.check_string(item, "id", at=path)
    output = read_content(item["output"], "tool", f"{path}.output")
    return Item(
        output.text, "tool", output.attachments, output.image_tokens, answered_call_id=item["call_id"]
    )


def _read_reasoning(item: dict[str, Any], path: str) -> Item:
    arguments.read_string_at(item, "id", path)
    arguments.refuse_unknown_at(item, _REASONING, path)
    arguments.check_string(item, "encrypted_content", at=path)
    if "summary" not in item:
        raise missing_parameter(f"{path}.summary")
    texts = []
    for index, part in enumerate(arguments.read_array(item["summary"], f"{path}.summary")):
        part_path = f"{path}.summary[{index}]"
        kind = arguments.read_string_at(arguments.read_object(part, part_path), "type", part_path)
        if kind != "summary_text":
            raise wrong_value(f"{part_path}.type", kind, ("summary_text",))
        texts.append(arguments.read_string_at(part, "text", part_path))
    return Item("\n".join(texts))


def _read_reference(item: dict[str, Any], path: str) -> Item:
    arguments.refuse_unknown_at(item, ("type", "id"), path)
    return Item(referenced_item_id=arguments.read_string_at(item, "id", path))


_READERS = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_call_output,
    "reasoning": _read_reasoning,
    "item_reference": _read_reference,
}
