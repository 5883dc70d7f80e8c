"""The tools of a chat request, and which of them its `tool_choice` allows or demands."""

from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import bad_request, empty_array, missing, not_simulated, wrong_value
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
    names, must_call = _read_named_choice(choice)
    unknown = names - {tool.name for tool in tools}
    if unknown:
        raise bad_request(
            f"Tool choice '{min(unknown)}' not found in 'tools' parameter.", param="tool_choice"
        )
    return [tool for tool in tools if tool.name in names], must_call


def _read_named_choice(choice: Any) -> tuple[set[str], bool]:
    if isinstance(choice, str):
        raise wrong_value("tool_choice", choice, ("none", "auto", "required"))
    kind = arguments.read_object(choice, "tool_choice").get("type")
    if kind == "function":
        function = arguments.read_object(choice.get("function"), "tool_choice.function")
        return {arguments.read_string_at(function, "name", "tool_choice.function")}, True
    if kind == "allowed_tools":
        place = "tool_choice.allowed_tools"
        allowed = arguments.read_object(choice.get("allowed_tools"), place)
        names = set()
        for index, tool in enumerate(arguments.read_array(allowed.get("tools"), f"{place}.tools")):
            path = f"{place}.tools[{index}].function"
            function = arguments.read_object(arguments.read_object(tool, path).get("function"), path)
            names.add(arguments.read_string_at(function, "name", path))
        return names, allowed.get("mode") == "required"
    raise wrong_value("tool_choice.type", kind, ("function", "allowed_tools"))


def _read_tool(value: Any, place: str) -> Tool:
    kind = arguments.read_string_at(arguments.read_object(value, place), "type", place)
    if kind == "custom":
        raise not_simulated(place, "A custom tool")
    if kind != "function":
        raise wrong_value(f"{place}.type", kind, ("function", "custom"))
    if "function" not in value:
        raise missing(f"{place}.function")
    return read_function(arguments.read_object(value["function"], f"{place}.function"), f"{place}.function")
