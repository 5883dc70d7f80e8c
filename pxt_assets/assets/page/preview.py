"""A few rows as a Markdown table: what was asked beside what was answered. What a cell holds is untrusted, and escaped.

The UI shows Markdown of some hundred characters at once, and longer only after a click, so there are two of each: one
that fits, for which rows give way, then texts, then columns, and the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.assets.page.cells import NOTHING, NULL, Cell, is_path, media_text, path_tail, without_query
from pxt_assets.assets.page.heights import PICTURE_WIDTH, line_counts
from pxt_assets.assets.page.markdown import (
    BREAKS,
    Breaks,
    behind_a_click,
    escape_markdown,
    fits_inline,
    joined,
    shortened,
    shortened_by_words,
    shortened_tail,
)
from pxt_assets.assets.page.preview_columns import MAX_COLUMNS, PreviewColumn, preview_columns, text_of
from pxt_assets.assets.page.thumbnails import Icons, Thumbnails
from pxt_assets.values.media import Media

if TYPE_CHECKING:
    import pyarrow as pa

_CELL_CHARACTERS = 160
_KEY_CHARACTERS = 40
_SHORT_KEY = 7
_LONGER_KEY = 24
"""Characters of a key that is whole where that costs no column."""
_SHORT_COLUMNS = 5
_WIDTH, _PARTITION_WIDTH = 33, 28
"""Characters that a page of 1280 pixels has for a table in place, of which each column takes two for itself; the page of
a partitioned asset has less, as the names of its metadata are longer."""
_LINES = 4
"""Lines of a cell, about: a higher one pushes the other rows out of sight."""
_TEXTS = (60, 40, 24, 12, 4)
_BRIEF = 12
"""Characters of a text that is no more than a word; of longer ones there are _LONG_COLUMNS."""
_LONG_COLUMNS = 2
_WHOLE = Breaks(40, 40)
_ROLES = ("key", "input", "value")
_ROWS = (5, 4, 3)
_FEW_ROWS = (2, 1)
_ICONS = ((3, 40), (3, 32), (2, 48), (2, 40), (2, 32), (1, 64), (1, 48), (1, 40), (1, 32), (1, 24))
"""Rows and pixels, the best first; a table of pictures has room for few."""

Picture = Callable[[Media], str | None]
"""Draws an image as Markdown; None where it does not."""


@dataclass(frozen=True)
class _Layout:
    """How a table in place is laid out: its columns, how many rows, and how much of each text."""

    columns: Sequence[PreviewColumn]
    breaks: Breaks
    rows: int = _ROWS[0]
    characters: int = _TEXTS[0]
    key: int = _SHORT_KEY
    """Characters of a key."""
    picture: Picture = lambda _: None


def preview_metadata(
    rows: pa.Table,
    inputs: Mapping[str, Sequence[Any]] | None = None,
    *,
    row_key: Sequence[str] = (),
    partitioned: bool = True,
) -> dict[str, dg.MarkdownMetadataValue]:
    """`pxt/preview`, which the UI shows at once, and, where that leaves something out, the whole as `pxt/preview_all`.

    `rows` and `inputs` as for `preview`; `row_key` are the keys of a table that is no computed column's; `partitioned` says whether the asset is, whose page then has less room.
    """
    columns = preview_columns(rows, inputs or {}, row_key)
    cells, width = _whole(columns), _PARTITION_WIDTH if partitioned else _WIDTH
    whole = _table(cells)
    short = whole if _is_short(columns, cells, width) else _short(columns, width)
    shown = {"pxt/preview": dg.MetadataValue.md(short)}
    return (
        shown if short == whole else {**shown, "pxt/preview_all": dg.MetadataValue.md(behind_a_click(whole))}
    )


def preview(rows: pa.Table, inputs: Mapping[str, Sequence[Any]] | None = None) -> str:
    """A Markdown table of some rows; an error is shown in place of the value.

    `rows` are those of a computed column's file, or of any table. `inputs` are the same rows' values in the columns that
    the column is made of.
    """
    return _table(_whole(preview_columns(rows, inputs or {})))


def _whole(columns: Sequence[PreviewColumn]) -> list[list[str]]:
    """The head and the cells of each column, all rows of the sample, with thumbnails."""
    shown = [column for column in columns if column.role != "more"][:MAX_COLUMNS]
    more = next((column for column in columns if column.role == "more"), None)
    left_out = len([column for column in columns if column.role != "more"]) - len(shown)
    if more is None and left_out:
        more = PreviewColumn(f"… {left_out:,} more", [NOTHING] * len(columns[0].cells), "more")
    if more is not None:
        shown.append(more)
    thumbnails = Thumbnails()
    rows = zip(
        *(column.cells for column in shown), strict=True
    )  # the bytes of thumbnails are spent row by row
    drawn = [
        [_cell(cell, column.role, thumbnails.markdown) for column, cell in zip(shown, row, strict=True)]
        for row in rows
    ]
    return [
        [escape_markdown(shortened(column.name, 60)), *(row[i] for row in drawn)]
        for i, column in enumerate(shown)
    ]


def _short(columns: Sequence[PreviewColumn], width: int) -> str:
    """As much as fits, in a table of at most `width` characters."""
    columns = [column for column in columns if not column.is_aside] or columns
    chosen = _narrow(columns, width)
    decoded: dict[str, bytes | None] = {}
    for count in range(len(chosen.columns), 0, -1):
        for layout in _sizes(replace(chosen, columns=chosen.columns[:count]), decoded):
            shown = [column for column in columns if any(column is one for one in layout.columns)]
            table = _table(_low(shown, layout, width))
            if fits_inline(table):
                return table
    return "*too long to be shown here*"


def _low(columns: Sequence[PreviewColumn], layout: _Layout, width: int) -> list[list[str]]:
    """The head and the cells of each column, texts so short that none takes more than about _LINES lines."""
    most = [layout.characters] * len(columns)
    while True:
        cells = [
            [
                layout.breaks.markdown(shortened(column.name, 24)),
                *(_short_cell(cell, column.role, layout, limit) for cell in column.cells[: layout.rows]),
            ]
            for column, limit in zip(columns, most, strict=True)
        ]
        counts = line_counts(cells, width)
        shorter = [
            max(limit * 9 // 10, _TEXTS[-1]) if lines > _LINES and column.role != "key" else limit
            for column, limit, lines in zip(columns, most, counts, strict=True)
        ]
        if shorter == most:
            return cells
        most = shorter


def _is_short(columns: Sequence[PreviewColumn], whole: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the whole is shown at once, is no higher than it should be, and has no words that would need a break."""
    if len(columns) > _SHORT_COLUMNS:
        return False
    texts = {
        role: [text_of(cell) for one in columns if one.role == role for cell in one.cells] for role in _ROLES
    }
    return (
        fits_inline(_table(whole))
        and max(line_counts(whole, width), default=0) <= _LINES
        and not any(column.is_aside for column in columns)
        and max((_WHOLE.longest(text) for part in texts.values() for text in part), default=0)
        <= BREAKS[0].word
        and max((len(text) for part in texts.values() for text in part), default=0) <= _TEXTS[0]
        and max(map(len, texts["key"]), default=0) <= _SHORT_KEY
        and len(_that_fit(_by_importance(columns), width, BREAKS[0]).columns) == len(columns)
    )


def _narrow(columns: Sequence[PreviewColumn], width: int) -> _Layout:
    """The columns that there is room for; words and ids are kept whole where that costs no column."""
    order = _by_importance(columns)
    narrow = max(
        (_that_fit(order, width, breaks) for breaks in BREAKS), key=lambda layout: len(layout.columns)
    )
    keys = [text_of(cell) for one in columns if one.role == "key" for cell in one.cells[: _ROWS[0]]]
    longest = max(map(len, keys), default=0)
    if _SHORT_KEY < longest <= _LONGER_KEY:
        whole = _that_fit(order, width, narrow.breaks, longest)
        if len(whole.columns) == len(narrow.columns):
            return whole
    return narrow


def _by_importance(columns: Sequence[PreviewColumn]) -> list[PreviewColumn]:
    """The value, its key, what it is of, then others; a picture, of which there is room for few, before the key."""
    keys, inputs, values = ([one for one in columns if one.role == role] for role in _ROLES)
    values.sort(key=lambda one: -one.weight)
    pictures = [one for one in inputs[:1] if one.has_pictures]
    first = [*values[:1], *pictures, *keys[:1], *inputs[len(pictures) : 1]]
    return [*first, *values[1:], *inputs[1:], *keys[1:]]


def _that_fit(order: Sequence[PreviewColumn], width: int, breaks: Breaks, key: int = _SHORT_KEY) -> _Layout:
    chosen: list[PreviewColumn] = []
    left = width + 1
    full: set[str] = set()  # the next of its kind is not shown in place of one that is more important
    for column in order:
        if len(chosen) >= _SHORT_COLUMNS:
            break
        taken = _least_width(column, breaks, key) + 2
        too_long = _is_long(column) and sum(map(_is_long, chosen)) >= _LONG_COLUMNS
        if column.role not in full and not too_long and (taken <= left or not chosen):
            chosen.append(column)
            left -= taken
        else:
            full.add(column.role)
    return _Layout(chosen, breaks, key=key)


def _is_long(column: PreviewColumn) -> bool:
    cells = column.cells[: _ROWS[0]]
    return column.role != "key" and any(len(text_of(cell)) > _BRIEF for cell in cells)


def _least_width(column: PreviewColumn, breaks: Breaks, key: int) -> int:
    """Characters that a column takes at least, when words are broken that are too long."""
    name = breaks.longest(column.name)
    cells = column.cells[: _ROWS[0]]
    if column.role == "key":
        return max([name, *(len(_short_key(cell, key)) for cell in cells)])
    if column.has_pictures:
        return max(name, PICTURE_WIDTH)
    return max([name, *(breaks.longest(shortened(text_of(cell), _TEXTS[0])) for cell in cells)])


def _sizes(layout: _Layout, decoded: dict[str, bytes | None]) -> Iterator[_Layout]:
    """The layout with fewer and fewer rows, then shorter texts; of images with smaller and smaller ones."""
    if any(column.has_pictures for column in layout.columns):
        for rows, pixels in _ICONS:
            picture = Icons(pixels, decoded).markdown
            for most in _TEXTS[:3]:
                yield replace(layout, rows=rows, characters=most, picture=picture)
    for most, rows in [*product(_TEXTS, _ROWS), *product(_TEXTS, _FEW_ROWS)]:
        yield replace(layout, rows=rows, characters=most)


def _table(columns: Sequence[Sequence[str]]) -> str:
    """Head and cells of each column as Markdown."""
    heads, *rows = zip(*columns, strict=True) if columns else [()]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _cell(cell: Cell, role: str, picture: Picture) -> str:
    """A cell of a wide table, where words and ids are whole, unless they are very long."""
    if role == "key" and cell is not NULL:
        text = without_query(text_of(cell)) if is_path(text_of(cell)) else text_of(cell)
        return joined(shortened_tail(text, _KEY_CHARACTERS))
    return _parts(cell, _CELL_CHARACTERS, picture, _WHOLE, short=False)


def _short_cell(cell: Cell, role: str, layout: _Layout, most: int) -> str:
    if role == "key" and cell is not NULL:
        return joined(_short_key(cell, layout.key))
    return _parts(cell, most, layout.picture, layout.breaks, short=True)


def _short_key(cell: Cell, most: int) -> str:
    text = text_of(cell)
    return shortened_tail(path_tail(text) if is_path(text) else text, most)


def _parts(cell: Cell, most: int, picture: Picture, breaks: Breaks, *, short: bool) -> str:
    """A cell as Markdown, of at most `most` characters of text."""
    shown = ""
    for part in cell:
        drawn = None if part.media is None else picture(part.media)
        if drawn is not None:
            shown = f"{shown} {drawn}"
            continue
        text = (part.short if short else "") or part.text
        if part.media is not None:
            text = media_text(part.media, short=short)
        if is_path(text):
            text = path_tail(text) if short else without_query(text)
        if most <= 0:
            continue
        text = shortened_by_words(text, most, breaks.word) if short else shortened(text, most)
        most -= len(text)
        if text:
            space = "" if part.text.startswith(": ") else " "
            shown = f"{shown}{space}{part.mark}{breaks.markdown(text)}{part.mark}"
    return shown.strip(" ")
