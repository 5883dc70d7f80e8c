"""The source of a function as it is without what its decorator says of where it runs, which names no result."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

PLACING = ("on", "workers")
"""The arguments of `@udf` that say where a function runs."""


def without_placing(source: str, function: Callable[..., Any]) -> str:
    """The source with the PLACING arguments taken out of its decorator `udf`: as if they had never been written.

    What is left of the decorator stands in one line; where nothing is left, without parentheses.
    """
    try:
        (definition,) = ast.parse(source).body
    except (SyntaxError, ValueError):  # a lambda's source may be a part of a statement
        return source
    for decorator in getattr(definition, "decorator_list", ()):
        if (
            isinstance(decorator, ast.Call)
            and any(keyword.arg in PLACING for keyword in decorator.keywords)
            and _is_udf(decorator.func, function)
        ):
            return _replaced(source, decorator, _rest_of(source, decorator))
    return source


def _rest_of(source: str, decorator: ast.Call) -> str:
    kept = [*decorator.args, *(keyword for keyword in decorator.keywords if keyword.arg not in PLACING)]
    arguments = ", ".join(str(ast.get_source_segment(source, argument)) for argument in kept)
    name = str(ast.get_source_segment(source, decorator.func))
    return f"{name}({arguments})" if arguments else name


def _replaced(source: str, node: ast.expr, text: str) -> str:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = source.encode().splitlines(keepends=True)  # columns of the tree are counted in bytes
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    return (before + text.encode() + after).decode()


def _is_udf(name: ast.expr, function: Callable[..., Any]) -> bool:
    """Whether a decorator is `udf`, by whatever name its module knows it."""
    if isinstance(name, ast.Attribute):
        return name.attr == "udf"
    if not isinstance(name, ast.Name):
        return False
    known = getattr(function, "__globals__", {}).get(name.id)
    return name.id == "udf" or getattr(known, "__qualname__", None) == "udf"
