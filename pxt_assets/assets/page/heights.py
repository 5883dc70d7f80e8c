"""How many lines a Markdown table takes in the UI, whose letters are all of one width, at a width in characters."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

PICTURE_WIDTH = 8
"""Characters beside a picture's."""
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")


def line_counts(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """The most lines that a cell of each column takes, without its head, in a table of `width` characters.

    `columns` are head and cells of each as Markdown. As a browser does, each column has the width of its longest piece,
    and of the room that is left a share by how much longer its longest text is.
    """
    pieces = [[_pieces(cell) for cell in column] for column in columns]
    least = [max((len(piece) for cell in cells for piece in cell), default=0) for cells in pieces]
    whole = [max((len(_plain(cell)) for cell in column), default=0) for column in columns]
    wished = [most - few for most, few in zip(whole, least, strict=True)]
    spare = max(width + 1 - 2 * len(columns) - sum(least), 0)
    share = min(spare / max(sum(wished), 1), 1)
    return [
        max((_lines(cell, int(few + share * more)) for cell in cells[1:]), default=0)
        for cells, few, more in zip(pieces, least, wished, strict=True)
    ]


def _plain(markdown: str) -> str:
    return html.unescape(_PICTURE.sub("x" * PICTURE_WIDTH, markdown).replace("*", "")).replace("\u2060", "")


def _pieces(markdown: str) -> list[str]:
    """What stays in one line; a blank that follows it is its last character."""
    return re.findall(r"[^ \u200b]+ ?", _plain(markdown).replace(" \u200b", " "))


def _lines(pieces: Sequence[str], width: int) -> int:
    """The lines of a cell of that width."""
    count, used = 0, width
    for piece in pieces:
        if used + len(piece.rstrip(" ")) > width or not count:
            count, used = count + 1, 0
        used += len(piece)
    return count
