"""Tools that the server runs for an answer: what an answer says of their calls, and what a request lets them be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage
from pxt_assets.api.token_usage import images_usage

_FREE_TOOLS = (
    *("function", "custom", "namespace", "mcp", "computer", "computer_use", "computer_use_preview"),
    *("local_shell", "apply_patch", "tool_search"),
)
"""Tools that cost no more than their tokens. Source: https://platform.openai.com/docs/pricing"""
_FREE_CALLS = (
    *("function_call", "custom_tool_call", "mcp_call", "computer_call", "local_shell_call"),
    *("apply_patch_call", "tool_search_call"),
)
_PAID_ITEMS = ("program",)
"""Items without `_call` in their type that something was run for, at a price that is not published."""
_WEB_SEARCH, _PREVIEW = "web_search", "web_search_preview"
_CALLS = 10
"""Calls of tools for an answer whose number nothing limits."""
_DRAWN_TOKENS = 16_000
"""Output tokens of an image that a tool draws, at most; and as many of input."""


class ToolBound(NamedTuple):
    """What a request lets the server's tools do at most."""

    searches: int = 0
    preview_searches: int = 0
    file_searches: int = 0
    tools_usd: float = 0.0
    unpriced: int = 0


def tools_usage(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> Usage:
    """The calls of tools that an answer reports, as a usage without tokens. `asked` is the request's body."""
    items = [item for item in _list(answer.get("output")) if isinstance(item, Mapping)]
    if not items:
        return _NONE
    counts = {"searches": 0, "file_searches": 0, "unpriced": 0}
    draws = False
    for item in items:
        kind = item.get("type")
        if kind == "web_search_call":
            counts["searches"] += _is_charged(item)
        elif kind == "file_search_call":
            counts["file_searches"] += 1
        elif kind == "image_generation_call":
            draws = True
        elif _is_unpriced(item, kind):
            counts["unpriced"] += 1
    if not draws and not any(counts.values()):
        return _NONE
    told, tools = _mapping(answer.get("tool_usage")), _tools(answer) or _tools(asked)
    counted = _mapping(told.get(_WEB_SEARCH)).get("num_requests")
    if type(counted) is int and counted >= 0:
        counts["searches"] = counted
    usage = Usage(file_searches=counts["file_searches"], unpriced=counts["unpriced"])
    is_preview = any(_kind(tool) == _PREVIEW for tool in tools)
    usage = usage._replace(**{"preview_searches" if is_preview else "searches": counts["searches"]})
    if draws:
        cost = _drawn_usd(items, _mapping(told.get("image_gen")), tools)
        usage = (
            usage._replace(unpriced=usage.unpriced + 1) if cost is None else usage._replace(tools_usd=cost)
        )
    return usage


_NONE = Usage()


def tools_bound(body: Mapping[str, Any]) -> ToolBound:
    """What a request lets the server's tools do at most."""
    tools = _tools(body)
    if "web_search_options" not in body and all(_kind(tool) in (None, *_FREE_TOOLS) for tool in tools):
        return ToolBound()
    limit = body.get("max_tool_calls")
    calls = limit if type(limit) is int and 0 < limit < _CALLS else _CALLS
    bound = ToolBound(searches=calls if "web_search_options" in body else 0)
    for tool in tools:
        kind = _kind(tool)
        if kind == _WEB_SEARCH:
            bound = bound._replace(searches=calls)
        elif kind == _PREVIEW:
            bound = bound._replace(preview_searches=calls)
        elif kind == "file_search":
            bound = bound._replace(file_searches=calls)
        elif kind == "image_generation" and (most := _most_drawn_usd(tool)) is not None:
            bound = bound._replace(tools_usd=calls * most)
        elif kind not in (None, *_FREE_TOOLS) and not _is_local_shell(tool):
            bound = bound._replace(unpriced=1)
    return bound


def expected_calls(body: Mapping[str, Any]) -> ToolBound:
    """What a request is expected to make the server's tools do: one call of each."""
    most = tools_bound(body)
    return most._replace(
        searches=min(most.searches, 1),
        preview_searches=min(most.preview_searches, 1),
        file_searches=min(most.file_searches, 1),
        tools_usd=most.tools_usd / _CALLS,
    )


def _is_charged(search: Mapping[str, Any]) -> bool:
    """Whether a call of the web search is a search: opening a page that was found costs nothing more.

    Source: https://platform.openai.com/docs/guides/tools-web-search
    """
    return _mapping(search.get("action")).get("type") in (None, "search")


def _is_unpriced(item: Mapping[str, Any], kind: object) -> bool:
    if not isinstance(kind, str) or kind in _FREE_CALLS:
        return False
    if kind == "shell_call":  # in a container of the server's
        return _mapping(item.get("environment")).get("type") != "local"
    return kind.endswith("_call") or kind in _PAID_ITEMS


def _drawn_usd(
    items: list[Mapping[str, Any]], told: Mapping[str, Any], tools: list[Mapping[str, Any]]
) -> float | None:
    """What the images cost that a tool drew; None where it is not told by which model, or what that used."""
    models = {tool.get("model") for tool in tools if _kind(tool) == "image_generation"}
    usage = images_usage({"usage": dict(told)}, {})
    if usage is None or len(models) != 1 or not usage.output_tokens:
        return None
    if usage.input_tokens and "cached_tokens" not in told:
        return None  # "An omitted cache count means cache usage is unknown" (the client's `ToolUsage`)
    if any(item.get("svg_usage") for item in items):
        return None
    return cost_usd(str(models.pop()), usage)


def _most_drawn_usd(tool: Mapping[str, Any]) -> float | None:
    usage = Usage(_DRAWN_TOKENS, _DRAWN_TOKENS, image_tokens=_DRAWN_TOKENS, output_image_tokens=_DRAWN_TOKENS)
    return cost_usd(str(tool.get("model")), usage)


def _is_local_shell(tool: Mapping[str, Any]) -> bool:
    return _kind(tool) == "shell" and _mapping(tool.get("environment")).get("type") == "local"


def _kind(tool: Mapping[str, Any]) -> str | None:
    """The kind of a tool, without the date of a version: `web_search_2025_08_26` is a `web_search`."""
    given = tool.get("type")
    if not isinstance(given, str):
        return None
    for kind in (_PREVIEW, _WEB_SEARCH):
        if given.startswith(kind):
            return kind
    return given


def _tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [tool for tool in _list(body.get("tools")) if isinstance(tool, Mapping)]


def _list(value: object) -> Iterator[Any] | list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
