"""The columns of a preview: the rows' keys, what each row was asked with, and what was answered, by its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    plain_text,
    vector_cells,
)
from pxt_assets.assets.page.markdown import one_line
from pxt_assets.assets.page.thumbnails import is_drawable
from pxt_assets.values.conversion import to_python

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 16
_CONSIDERED_COLUMNS = 64
"""Columns of a table among which those to be shown are chosen, its keys aside."""
_ENDS = 256
"""Characters at both ends of a text that are looked at: more than is shown of any."""
_ERROR_SUFFIXES = ("_errortype", "_errormsg")


@dataclass(frozen=True)
class PreviewColumn:
    """A column of a preview."""

    name: str
    cells: Sequence[Cell]
    role: str = "value"
    """`key`, `input`, `value`, or `more` of one that stands for those that are left out."""
    is_aside: bool = False
    """Whether it says nothing to a reader: vectors, unless they are what was made."""
    weight: float = 0
    """Of values those with more stay longer."""

    @property
    def has_pictures(self) -> bool:
        """Whether any of its images can be drawn."""
        return any(part.media is not None and is_drawable(part.media) for cell in self.cells for part in cell)


def preview_columns(
    rows: pa.Table, inputs: Mapping[str, Sequence[Any]], row_key: Sequence[str] = ()
) -> list[PreviewColumn]:
    """The key, the inputs, and the value, of which structured ones have a column for each field.

    Of a table that is no computed column's, its columns; `row_key` are the keys among them.
    """
    names = rows.column_names
    if names[-1:] != ["_digest"]:
        error_columns = {f"{name}{end}" for name in names for end in _ERROR_SUFFIXES}
        shown = [name for name in names if name not in error_columns]
        considered = {*shown[:_CONSIDERED_COLUMNS], *row_key}
        return [
            _table_column(rows, name, row_key)
            if name in considered
            else PreviewColumn(name, [NOTHING] * rows.num_rows)
            for name in shown
        ]
    *key, value = names[:-3]
    keys = [PreviewColumn(name, [_key_cell(one) for one in _values(rows[name])], "key") for name in key]
    labels = [
        ", ".join(text_of(column.cells[i]) for column in keys) or f"row {i}" for i in range(rows.num_rows)
    ]
    outputs = _value_columns(rows, value, labels, {*key, *inputs})
    shown = [
        PreviewColumn(name, [cell_of(one) for one in values], "input", is_aside=any(map(is_vector, values)))
        for name, values in inputs.items()
        if name not in key and len(values) == rows.num_rows
    ]
    drawn = {_row_texts(column) for column in outputs[:1] if len(outputs) == 1}
    return [*keys, *(column for column in shown if _row_texts(column) not in drawn), *outputs]


def _row_texts(column: PreviewColumn) -> tuple[Any, ...]:
    """What tells the columns of a path that shows what its input does."""
    return tuple(
        tuple((part.text, part.media and part.media.digest) for part in cell) for cell in column.cells
    )


def _key_cell(value: Any) -> Cell:
    return (Part(plain_text(value)),) if value is not None else NULL


def _value_columns(rows: pa.Table, name: str, labels: Sequence[str], taken: set[str]) -> list[PreviewColumn]:
    """One column, or of structured values one for each field; errors and nulls stand in the first."""
    values, errors = _values(rows[name]), _errors(rows, name)
    if any(map(is_vector, values)):
        cells = vector_cells(values, labels)
        return [PreviewColumn(name, [error or cell for error, cell in zip(errors, cells, strict=True)])]
    structs = [None if error else fields_of(value) for value, error in zip(values, errors, strict=True)]
    known = [error is not None or value is None for value, error in zip(values, errors, strict=True)]
    fields = list(dict.fromkeys(str(field) for struct in structs if struct for field in struct))
    if not fields or not all(struct or other for struct, other in zip(structs, known, strict=True)):
        return [
            PreviewColumn(
                name, [error or cell_of(value) for value, error in zip(values, errors, strict=True)]
            )
        ]
    columns = []
    for field in fields[:MAX_COLUMNS]:
        cells = [
            (error or NULL if field == fields[0] else NOTHING)
            if struct is None
            else cell_of(struct[field])
            if field in struct
            else NOTHING
            for struct, error in zip(structs, errors, strict=True)
        ]
        columns.append(PreviewColumn(f"{name}.{field}" if field in taken else field, cells))
    if len(fields) > MAX_COLUMNS:
        more = PreviewColumn(f"… {len(fields) - MAX_COLUMNS:,} more", [NOTHING] * len(structs), "more")
        return [*columns, more]
    return columns


def _table_column(rows: pa.Table, name: str, row_key: Sequence[str]) -> PreviewColumn:
    values, errors = _values(rows[name]), _errors(rows, name)
    cells = [error or cell_of(value) for value, error in zip(values, errors, strict=True)]
    texts = [text_of(cell) for cell in cells]
    has_paths = any(map(is_path, texts))
    # a path says more than the few characters of a key
    role = "value" if name not in row_key else "input" if has_paths else "key"
    letters = 0 if has_paths else sum(sum(map(str.isalpha, text)) for text in texts) / max(len(texts), 1)
    return PreviewColumn(name, cells, role, is_aside=any(map(is_vector, values)), weight=letters)


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


def text_of(cell: Cell) -> str:
    """A cell as plain text, of long ones the ends."""
    texts = (part.text if part.media is None else media_text(part.media) for part in cell)
    return " ".join(
        one_line(text if len(text) <= 2 * _ENDS else f"{text[:_ENDS]}{text[-_ENDS:]}") for text in texts
    )
