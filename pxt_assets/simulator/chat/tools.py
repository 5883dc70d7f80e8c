"""The tools of a chat request, and which of them its `tool_choice` allows or demands."""

from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    empty_array,
    missing_parameter,
    not_simulated_error,
    wrong_value,
)
from pxt_assets.simulator.prompt.tools import Tool, read_function


def read_tools(body: dict[str, Any]) -> tuple[list[Tool], bool]:
    """The tools that may be called, and whether one must be."""
    choice = body.get("tool_choice")
    if body.get("tools") is None:
        if choice is not None:
            raise bad_request(
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
                param="tool_choice",
            )
        return [], False
    if not isinstance(body["tools"], list) or not body["tools"]:
        raise empty_array("tools")
    tools = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(body["tools"])]
    if choice is None or choice == "auto":
        return tools, False
    if choice == "none":
        return [], False
    if choice == "required":
        return tools, True
    names, must_call = _read_choice(choice)
    unknown = names - {tool.name for tool in tools}
    if unknown:
        raise bad_request(
            f"Tool choice '{min(unknown)}' not found in 'tools' parameter.", param="tool_choice"
        )
    return [tool for tool in tools if tool.name in names], must_call


def _read_choice(choice: Any) -> tuple[set[str], bool]:
    if isinstance(choice, str):
        raise wrong_value("tool_choice", choice, ("none", "auto", "required"))
    kind = arguments.read_object(choice, "tool_choice").get("type")
    if kind == "function":
        function = arguments.read_object(choice.get("function"), "tool_choice.function")
        return {arguments.read_string_at(function, "name", "tool_choice.function")}, True
    if kind == "allowed_tools":
        path = "tool_choice.allowed_tools"
        allowed = arguments.read_object(choice.get("allowed_tools"), path)
        names = set()
        for index, tool in enumerate(arguments.read_array(allowed.get("tools"), f"{path}.tools")):
            tool_path = f"{path}.tools[{index}].function"
            function = arguments.read_object(
                arguments.read_object(tool, tool_path).get("function"), tool_path
            )
            names.add(arguments.read_string_at(function, "name", tool_path))
        return names, allowed.get("mode") == "required"
    raise wrong_value("tool_choice.type", kind, ("function", "allowed_tools"))


def _read_tool(value: Any, path: str) -> Tool:
    kind = arguments.read_string_at(arguments.read_object(value, path), "type", path)
    if kind == "custom":
        raise not_simulated_error(path, "A custom tool")
    if kind != "function":
        raise wrong_value(f"{path}.type", kind, ("function", "custom"))
    if "function" not in value:
        raise missing_parameter(f"{path}.function")
    return read_function(arguments.read_object(value["function"], f"{path}.function"), f"{path}.function")
