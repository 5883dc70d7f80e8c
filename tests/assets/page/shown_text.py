"""What a reader sees of a Markdown table."""

import html


def shown(markdown: str) -> str:
    """Markdown without escapes, and without what only tells where a line may be broken, or may not."""
    return html.unescape(markdown).replace("\u200b", "").replace("\u2060", "")


def table_cells(markdown: str) -> list[list[str]]:
    """The cells of a table, row by row; the names of the columns first."""
    lines = markdown.rstrip().splitlines()
    assert set(lines[1]) <= set("| -:")
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in (lines[0], *lines[2:])]
    return [[shown(cell) for cell in row] for row in rows]
