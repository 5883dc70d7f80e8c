"""A few rows as a Markdown table: what was asked beside what was answered. What a cell holds is untrusted, and escaped.

The UI shows Markdown of some hundred characters at once, and longer only after a click, so there are two of each: one
that fits, for which rows, then columns, then texts give way, and the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.assets.page.cells import (
    NOTHING,
    NULL,
    Cell,
    Part,
    cell_of,
    error_cell,
    fields_of,
    is_path,
    is_vector,
    media_text,
    path_tail,
    plain_text,
    vector_cells,
    without_query,
)
from pxt_assets.assets.page.markdown import (
    escape_markdown,
    fits_inline,
    joined,
    longest_run,
    one_line,
    shortened,
    shortened_tail,
    wrapped,
)
from pxt_assets.assets.page.thumbnails import Icons, Thumbnails, is_drawable
from pxt_assets.values.conversion import to_python
from pxt_assets.values.media import Media

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["escape_markdown", "preview", "preview_metadata", "short_preview"]
_ERROR_SUFFIXES = ("_errortype", "_errormsg")
_CELL_CHARACTERS = 160
_KEY_CHARACTERS = 40
_MAX_COLUMNS = 16
_SHORT_KEY = 7
_SHORT_COLUMNS = 5
_WIDTH = 28
"""Characters that the narrowest page has for a table in place, of which each column takes two for itself."""
_TEXTS = (80, 60, 40, 24, 12, 4)
_ROWS = (8, 7, 6, 5, 4, 3)
_FEW_ROWS = (2, 1)
_ICONS = ((3, 40), (3, 32), (2, 48), (2, 40), (2, 32), (1, 64), (1, 48), (1, 40), (1, 32), (1, 24))
"""Rows and pixels, the best first; a table of pictures has room for few."""

Picture = Callable[[Media], str | None]


@dataclass(frozen=True)
class _Column:
    name: str
    cells: Sequence[Cell]
    role: str = "value"
    """`key`, `input` or `value`."""

    @property
    def has_pictures(self) -> bool:
        return any(part.media is not None and is_drawable(part.media) for cell in self.cells for part in cell)

    def width(self, rows: int) -> int:
        """Characters that the column takes at least, when words are broken that are too long."""
        if self.role == "key":
            texts = [shortened_tail(_text_of(cell), _SHORT_KEY) for cell in self.cells[:rows]]
            return max([*map(len, texts), longest_run(self.name)], default=0)
        if self.has_pictures:
            return _SHORT_KEY
        shown = (shortened(_text_of(cell), _TEXTS[0]) for cell in self.cells[:rows])
        return max([*map(longest_run, shown), longest_run(self.name)], default=0)


def preview_metadata(
    rows: pa.Table, inputs: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, dg.MarkdownMetadataValue]:
    """`pxt/preview`, which the UI shows at once, and, where that leaves something out, the whole as `pxt/preview_all`."""
    columns = _columns(rows, inputs or {})
    short, whole = _short(columns), _whole(columns)
    shown = {"pxt/preview": dg.MetadataValue.md(short)}
    return shown if short == whole else {**shown, "pxt/preview_all": dg.MetadataValue.md(whole)}


def preview(rows: pa.Table, inputs: Mapping[str, Sequence[Any]] | None = None) -> str:
    """A Markdown table of some rows; an error is shown in place of the value.

    `rows` are those of a computed column's file, or of any table. `inputs` are the same rows' values in the columns that
    the column is made of.
    """
    return _whole(_columns(rows, inputs or {}))


def short_preview(rows: pa.Table, inputs: Mapping[str, Sequence[Any]] | None = None) -> str:
    """The same in as many characters as the UI shows at once."""
    return _short(_columns(rows, inputs or {}))


def _columns(rows: pa.Table, inputs: Mapping[str, Sequence[Any]]) -> list[_Column]:
    """The key, the inputs, and the value, of which structured ones have a column for each field."""
    names = rows.column_names
    if names[-1:] != ["_digest"]:
        error_columns = {f"{name}{end}" for name in names for end in _ERROR_SUFFIXES}
        return [_Column(name, _cells(rows, name)) for name in names if name not in error_columns]
    *key, value = names[:-3]
    keys = [_Column(name, [_key_cell(one) for one in _values(rows[name])], "key") for name in key]
    labels = [
        ", ".join(_text_of(column.cells[i]) for column in keys) or f"row {i}" for i in range(rows.num_rows)
    ]
    outputs = _value_columns(rows, value, labels, {*key, *inputs})
    shown = [
        _Column(name, [cell_of(one) for one in values], "input")
        for name, values in inputs.items()
        if name not in key and len(values) == rows.num_rows
    ]
    drawn = {_row_texts(column) for column in outputs}
    return [*keys, *(column for column in shown if _row_texts(column) not in drawn), *outputs]


def _row_texts(column: _Column) -> tuple[Any, ...]:
    """What tells the columns of a path that shows what its input does."""
    return tuple(
        tuple((part.text, part.media and part.media.digest) for part in cell) for cell in column.cells
    )


def _key_cell(value: Any) -> Cell:
    return (Part(plain_text(value)),) if value is not None else NULL


def _value_columns(rows: pa.Table, name: str, labels: Sequence[str], taken: set[str]) -> list[_Column]:
    """One column, or of structured values one for each field; errors and nulls stand in the first."""
    values, errors = _values(rows[name]), _errors(rows, name)
    if any(map(is_vector, values)):
        cells = vector_cells(values, labels)
        return [_Column(name, [error or cell for error, cell in zip(errors, cells, strict=True)])]
    structs = [None if error else fields_of(value) for value, error in zip(values, errors, strict=True)]
    known = [error is not None or value is None for value, error in zip(values, errors, strict=True)]
    fields = list(dict.fromkeys(str(field) for struct in structs if struct for field in struct))
    if not fields or not all(struct or other for struct, other in zip(structs, known, strict=True)):
        return [_Column(name, [error or cell_of(value) for value, error in zip(values, errors, strict=True)])]
    columns = []
    for field in fields[:_MAX_COLUMNS]:
        cells = [
            (error or NULL if field == fields[0] else NOTHING)
            if struct is None
            else cell_of(struct[field])
            if field in struct
            else NOTHING
            for struct, error in zip(structs, errors, strict=True)
        ]
        columns.append(_Column(f"{name}.{field}" if field in taken else field, cells))
    if len(fields) > _MAX_COLUMNS:
        more = _Column(f"… {len(fields) - _MAX_COLUMNS:,} more", [NOTHING] * len(structs))
        return [*columns, more]
    return columns


def _cells(rows: pa.Table, name: str) -> list[Cell]:
    values, errors = _values(rows[name]), _errors(rows, name)
    return [error or cell_of(value) for value, error in zip(values, errors, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return to_python(column)
    except Exception:  # whatever a column holds is no reason to fail what was paid for
        return [...] * len(column)


def _errors(rows: pa.Table, name: str) -> list[Cell | None]:
    """The error of each row; None where there is none."""
    columns = [f"{name}{end}" for end in _ERROR_SUFFIXES]
    if not set(columns) <= set(rows.column_names):
        return [None] * rows.num_rows
    types, messages = (rows[column].to_pylist() for column in columns)
    return [
        None if kind is None else error_cell(kind, message or "")
        for kind, message in zip(types, messages, strict=True)
    ]


def _whole(columns: Sequence[_Column]) -> str:
    """All rows of the sample, with thumbnails."""
    thumbnails = Thumbnails()
    shown = list(columns[:_MAX_COLUMNS])
    if len(columns) > _MAX_COLUMNS:
        last = columns[-1] if columns[-1].name.startswith("…") else None
        left_out = len(columns) - len(shown)
        shown.append(last or _Column(f"… {left_out:,} more", [NOTHING] * len(columns[0].cells)))
    return _table(shown, None, _CELL_CHARACTERS, thumbnails.markdown)


def _short(columns: Sequence[_Column]) -> str:
    """As much as fits: rows give way first, then columns, then texts."""
    whole = _whole(columns) if not any(column.has_pictures for column in columns) else ""
    chosen = _narrow(columns)
    if len(chosen) == len(columns) and whole and fits_inline(whole) and _is_narrow(columns):
        return whole
    decoded: dict[str, bytes | None] = {}
    for count in range(len(chosen), 0, -1):
        some = _narrow(columns, count)
        for rows, most, picture in _sizes(some, decoded):
            table = _table(some, rows, most, picture, short=True)
            if fits_inline(table):
                return table
    return "*too long to be shown here*"


def _sizes(
    columns: Sequence[_Column], decoded: dict[str, bytes | None]
) -> Iterator[tuple[int, int, Picture]]:
    """Rows, characters of a text, and how images are drawn: the best first."""
    if any(column.has_pictures for column in columns):
        for rows, pixels in _ICONS:
            for most in _TEXTS[1:4]:
                yield rows, most, Icons(pixels, decoded).markdown
    yield from ((rows, most, _no_picture) for most, rows in product(_TEXTS, _ROWS))
    yield from ((rows, most, _no_picture) for rows, most in product(_FEW_ROWS, _TEXTS))


def _no_picture(media: Media) -> str | None:  # noqa: ARG001
    return None


def _is_narrow(columns: Sequence[_Column]) -> bool:
    rows = len(columns[0].cells) if columns else 0
    texts = (len(_text_of(cell)) for column in columns for cell in column.cells)
    return (
        sum(column.width(rows) + 2 for column in columns) - 1 <= _WIDTH and max(texts, default=0) <= _TEXTS[0]
    )


def _narrow(columns: Sequence[_Column], most: int = _SHORT_COLUMNS) -> list[_Column]:
    """The columns that the narrowest page has room for, in their order: the value, what it is of, its key, and so on."""
    of_role = {
        role: [column for column in columns if column.role == role and not column.name.startswith("…")]
        for role in ("value", "input", "key")
    }
    values, inputs, keys = of_role["value"], of_role["input"], of_role["key"]
    order = [*values[:1], *inputs[:1], *values[1:2], *keys[:1], *values[2:], *inputs[1:], *keys[1:]]
    chosen: list[_Column] = []
    left = _WIDTH + 1
    for column in order:
        width = column.width(_ROWS[0]) + 2
        if len(chosen) < most and (width <= left or not chosen):
            chosen.append(column)
            left -= width
    return [column for column in columns if any(column is one for one in chosen)]


def _table(
    columns: Sequence[_Column], rows: int | None, most: int, picture: Picture, *, short: bool = False
) -> str:
    heads = [
        wrapped(shortened(column.name, 24)) if short else escape_markdown(shortened(column.name, 60))
        for column in columns
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(columns)]
    for row in list(zip(*(column.cells for column in columns), strict=True))[:rows]:
        cells = [
            _markdown(cell, column.role, most, picture, short=short)
            for column, cell in zip(columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _markdown(cell: Cell, role: str, most: int, picture: Picture, *, short: bool) -> str:
    """A cell as Markdown, of at most `most` characters of text."""
    if role == "key":
        text = _path_text(_text_of(cell), short=short)
        shown = shortened_tail(text, _SHORT_KEY if short else _KEY_CHARACTERS)
        return f"*{shown}*" if cell is NULL else joined(shown)
    shown: list[str] = []
    left = most
    for part in cell:
        drawn = None if part.media is None else picture(part.media)
        if drawn is not None:
            if not short or not any(one.startswith("![") for one in shown):
                shown.append(drawn)
            continue
        text = media_text(part.media) if part.media is not None else _path_text(part.text, short=short)
        if left <= 0 or not text:
            continue
        text = shortened(text, left)
        left -= len(text)
        marked = wrapped(text) if short else _joined_ids(text)
        shown.append(f"{part.mark}{marked}{part.mark}")
    return " ".join(shown).replace(" &#58;", "&#58;")


def _path_text(text: str, *, short: bool) -> str:
    """The text; of a path the tail, where there is little room."""
    if not is_path(text):
        return text
    return path_tail(text) if short else without_query(text)


def _joined_ids(text: str) -> str:
    """A text of a wide table, where words are not broken, nor ids."""
    return " ".join(
        joined(word) if any(map(str.isdigit, word)) else escape_markdown(word) for word in text.split(" ")
    )


def _text_of(cell: Cell) -> str:
    return " ".join(one_line(part.text if part.media is None else media_text(part.media)) for part in cell)
