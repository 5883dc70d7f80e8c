"""Docstrings as Dagster's pages show them."""

from __future__ import annotations

import inspect

_CODE_INDENT = " " * 8


def page_docstring(docstring: str) -> str:
    """A docstring whose fenced examples are indented code, so that lists, which render no Markdown, show no fences.

    The page of a resource takes four spaces off every line before it renders them: eight make code there, and in help().
    """
    lines: list[str] = []
    fence_indent: int | None = None
    for line in inspect.cleandoc(docstring).splitlines():
        if line.lstrip().startswith("```"):
            if fence_indent is None and lines and lines[-1]:
                lines.append("")  # code does not begin within a paragraph
            fence_indent = len(line) - len(line.lstrip()) if fence_indent is None else None
        elif fence_indent is None:
            lines.append(line)
        else:
            lines.append(f"{_CODE_INDENT}{line[fence_indent:]}".rstrip())
    return "\n".join(lines)
