"""The tools of a request for a response, and which of them its `tool_choice` allows or demands."""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    missing_parameter,
    not_simulated_error,
    wrong_value,
)
from pxt_assets.simulator.prompt.tools import Tool, read_function

_FUNCTION = frozenset(
    (
        "type",
        "name",
        "description",
        "parameters",
        "strict",
        "output_schema",
        "defer_loading",
        "allowed_callers",
    )
)
# Type of a built-in tool -> what it must state.
_BUILT_IN: dict[str, tuple[str, ...]] = {
    "apply_patch": (),
    "code_interpreter": ("container",),
    "computer": (),
    "computer_use_preview": ("environment", "display_width", "display_height"),
    "file_search": ("vector_store_ids",),
    "image_generation": (),
    "local_shell": (),
    "mcp": ("server_label",),
    "namespace": ("name", "description", "tools"),
    "programmatic_tool_calling": (),
    "shell": (),
    "tool_search": (),
    "web_search": (),
    "web_search_2025_08_26": (),
    "web_search_preview": (),
    "web_search_preview_2025_03_11": (),
}
_MODES = ("none", "auto", "required")
_NAMEABLE = ("function", *_BUILT_IN)
_CHOOSABLE = (
    "function",
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "mcp",
    "programmatic_tool_calling",
    "shell",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
"""The types of a `tool_choice` by itself: fewer than may be among its `allowed_tools`."""


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """The tools of a request."""

    callable_tools: tuple[Tool, ...] = ()
    """The functions that may be called; none if the request forbids calls."""
    must_call: bool = False
    characters: int = 0
    """Characters of the descriptions of all functions."""
    echo: tuple[dict[str, Any], ...] = ()
    """All tools, as the answer repeats them."""


def read_offered_tools(body: dict[str, Any]) -> OfferedTools:
    """The tools that may be called, and whether one must be. Raises a 400 for malformed ones."""
    given = arguments.read_array(body.get("tools") or [], "tools")
    tools = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(given)]
    echo = tuple(echo_of_tool for _, echo_of_tool in tools)
    functions = tuple(tool for tool, _ in tools if tool is not None)
    characters = sum(len(f"{tool.name}{tool.description}{tool.parameters}") for tool in functions)
    allowed, must_call = _read_choice(body.get("tool_choice"), echo)
    chosen = functions if allowed is None else tuple(tool for tool in functions if tool.name in allowed)
    return OfferedTools(chosen, must_call, characters, echo)


def _read_tool(value: Any, path: str) -> tuple[Tool | None, dict[str, Any]]:
    """The tool as a function, None for a built-in one, and the tool as the answer repeats it."""
    kind = arguments.read_string_at(arguments.read_object(value, path), "type", path)
    if kind == "custom":
        raise not_simulated_error(path, "A custom tool")
    if kind in _BUILT_IN:
        for name in _BUILT_IN[kind]:
            if value.get(name) is None:
                raise missing_parameter(f"{path}.{name}")
        return None, value
    if kind != "function":
        raise wrong_value(f"{path}.type", kind, ("function", "custom", *_BUILT_IN))
    tool = read_function(value, path)
    arguments.refuse_unknown_at(value, _FUNCTION, path)
    # By default the API tries for a strict schema.
    strict = value.get("strict") is not False
    return tool, {"description": None, "parameters": None, **value, "strict": strict}


def _read_choice(choice: Any, tools: tuple[dict[str, Any], ...]) -> tuple[set[str] | None, bool]:
    """The names of the functions that `tool_choice` leaves, None for all, and whether one must be called."""
    if choice is None or choice == "auto":
        return None, False
    if choice == "none":
        return set(), False
    if choice == "required":
        if not tools:
            raise bad_request(
                "Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice"
            )
        return None, True
    if isinstance(choice, str):
        raise wrong_value("tool_choice", choice, _MODES)
    kind = arguments.read_string_at(arguments.read_object(choice, "tool_choice"), "type", "tool_choice")
    if kind != "allowed_tools":
        if kind not in _CHOOSABLE:
            raise wrong_value("tool_choice.type", kind, (*_CHOOSABLE, "allowed_tools"))
        return _read_tool_name(choice, "tool_choice", tools), True
    arguments.read_string_at(choice, "mode", "tool_choice")
    arguments.check_word(choice, "mode", ("auto", "required"), at="tool_choice")
    if "tools" not in choice:
        raise missing_parameter("tool_choice.tools")
    allowed = set()
    for index, tool in enumerate(arguments.read_array(choice["tools"], "tool_choice.tools")):
        allowed |= _read_tool_name(tool, f"tool_choice.tools[{index}]", tools)
    return allowed, choice["mode"] == "required"


def _read_tool_name(value: Any, path: str, tools: tuple[dict[str, Any], ...]) -> set[str]:
    """The name in a set, if it is that of a function. Raises a 400 for a tool that is not offered."""
    kind = arguments.read_string_at(arguments.read_object(value, path), "type", path)
    if kind not in _NAMEABLE:
        raise wrong_value(f"{path}.type", kind, _NAMEABLE)
    if kind == "mcp":
        arguments.read_string_at(value, "server_label", path)
    name = arguments.read_string_at(value, "name", path) if kind == "function" else None
    if not any(tool["type"] == kind and (name is None or tool["name"] == name) for tool in tools):
        raise bad_request(
            f"Tool choice '{name or kind}' not found in 'tools' parameter.", param="tool_choice"
        )
    return {name} if name is not None else set()
