"""What answers say of the tools that the server ran for them, and what requests let it run."""

from typing import Any

import pytest

from pxt_assets.api.hosted_tools import ToolBound, tools_bound, tools_usage
from pxt_assets.api.request import Usage


def called(*kinds: str, **more: Any) -> dict[str, Any]:
    return {"output": [{"type": kind} for kind in kinds], **more}


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        (
            called("message", "reasoning", "function_call", "mcp_call", "mcp_list_tools", "computer_call"),
            Usage(),
        ),
        (called("web_search_call", "web_search_call"), Usage(searches=2)),
        (called("web_search_call", tools=[{"type": "web_search_preview"}]), Usage(preview_searches=1)),
        (called("web_search_call", tool_usage={"web_search": {"num_requests": 4}}), Usage(searches=4)),
        (called("web_search_call", tool_usage={"web_search": {"num_requests": "?"}}), Usage(searches=1)),
        ({"output": [{"type": "web_search_call", "action": {"type": "find_in_page"}}]}, Usage()),
        (called("file_search_call"), Usage(file_searches=1)),
        (called("code_interpreter_call", "code_interpreter_call"), Usage(unpriced=2)),
        (called("program"), Usage(unpriced=1)),
        (called("shell_call"), Usage(unpriced=1)),
        (called("image_generation_call"), Usage(unpriced=1)),
        ({"output": "?"}, Usage()),
        ({"output": [None, "?", {}]}, Usage()),
    ],
)
def test_calls_are_counted_by_what_they_cost(answer: dict[str, Any], used: Usage) -> None:
    """What has no price that is published makes the answer's unknown; what only takes tokens is in these."""
    assert tools_usage(answer, {}) == used


@pytest.mark.parametrize(
    ("drawn", "tool", "is_known"),
    [
        ({"cached_tokens": 0}, {"model": "gpt-image-1.5"}, True),
        ({}, {"model": "gpt-image-1.5"}, False),
        ({"cached_tokens": 0}, {}, False),
        ({"cached_tokens": 0}, {"model": "a-model-nobody-sells"}, False),
    ],
)
def test_a_drawn_image_costs_what_its_own_model_does(
    drawn: dict[str, Any], tool: dict[str, Any], is_known: bool
) -> None:
    """Where the answer names that, and says what it used and had in its cache."""
    used = {"input_tokens": 100, "output_tokens": 1_000, **drawn}
    asked = {"tools": [{"type": "image_generation", **tool}]}
    usage = tools_usage(called("image_generation_call", tool_usage={"image_gen": used}), asked)
    assert usage.unpriced == (not is_known)
    assert usage.tools_usd == pytest.approx((100 * 5 + 1_000 * 32) * 1e-6 if is_known else 0)


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ({}, ToolBound()),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "mcp"}, "?"]}, ToolBound()),
        ({"web_search_options": {}}, ToolBound(searches=10)),
        ({"tools": [{"type": "web_search_2025_08_26"}], "max_tool_calls": 3}, ToolBound(searches=3)),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, ToolBound(preview_searches=10)),
        (
            {"tools": [{"type": "file_search"}, {"type": "web_search"}]},
            ToolBound(searches=10, file_searches=10),
        ),
        ({"tools": [{"type": "code_interpreter"}]}, ToolBound(unpriced=1)),
        ({"tools": [{"type": "shell", "environment": {"type": "local"}}]}, ToolBound()),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, ToolBound(unpriced=1)),
        ({"tools": [{"type": "image_generation"}]}, ToolBound(unpriced=1)),
    ],
)
def test_a_request_bounds_the_calls_of_its_tools(body: dict[str, Any], bound: ToolBound) -> None:
    """Ten of each, unless the request says less."""
    assert tools_bound(body) == bound


def test_the_images_of_a_named_model_are_bounded() -> None:
    """By the largest that it draws."""
    body = {"tools": [{"type": "image_generation", "model": "gpt-image-1.5"}], "max_tool_calls": 2}
    assert tools_bound(body).tools_usd >= 2 * 6_240 * 32e-6
