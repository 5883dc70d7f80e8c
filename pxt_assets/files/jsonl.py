"""JSON Lines files: every line an object, every key a column.

Two passes: the first reads all lines for their keys and types, so that a key or a type that comes late is as
good as one of the first line; the second streams. Nested values stay exactly what the file says, in Json
columns.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from pxt_assets.errors import CellError, SourceError
from pxt_assets.files.text import codec, open_text
from pxt_assets.types import (
    Array,
    Audio,
    Bool,
    ColumnType,
    Float,
    Image,
    Int,
    Json,
    String,
    checked,
    dumps,
    encodable,
    to_arrow,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File

_BATCH = 4 << 20
"""Characters of lines in a batch."""
_EXACT = 1 << 53
"""Up to here a float holds every integer."""

_Rows = list[tuple[int, dict[str, Any]]]
"""Objects, each with the 1-based line that it stands on."""


def read(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema, and the rows of the files one after the other. Keys that a line lacks are null.

    A column whose values are objects, lists or of several types is Json; integers and floats together are
    Float. A declared String takes any value as its JSON text. Image and Audio columns keep what the files
    have, to be cast by whoever uses them.

    Raises SourceError, here or from the iterator, naming the file and the line.
    """
    import pyarrow as pa

    encoding = codec(encoding)
    types = _types(files, declared, encoding)
    schema = pa.schema([(name, kind.arrow()) for name, kind in types.items()])
    # What was inferred fits, unless the file has changed since.
    to_check = {name: kind for name, kind in types.items() if declared.get(name) is kind}

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            for rows in _batched(_objects(file, encoding)):
                yield _batch(file, rows, schema, types, to_check)

    return schema, batches()


def _objects(file: File, encoding: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Line number, length of the line in characters, and object. Blank lines are left out."""
    decode = json.JSONDecoder(parse_constant=_refuse).decode
    with open_text(file, encoding, "\n") as text:
        for number, line in enumerate(text, 1):
            try:
                value = decode(line)
            except (ValueError, RecursionError) as e:
                if not line.strip():
                    continue
                what = f"column {e.colno}: {e.msg}" if isinstance(e, json.JSONDecodeError) else str(e)
                msg = f"{file.name}, line {number}: is not JSON ({what}): {line[:80].rstrip()!r}"
                raise SourceError(msg) from None
            if type(value) is not dict:
                msg = (
                    f"{file.name}, line {number}: got {type(value).__name__} {line[:80].rstrip()!r}; "
                    'every line must be an object, such as {"id": 1}'
                )
                raise SourceError(msg)
            yield number, len(line), value


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON value; write null or text"
    raise ValueError(msg)


def _types(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str
) -> dict[str, type[ColumnType]]:
    """Every key's type, in order of appearance; reads all lines once."""
    kinds: dict[str, set[object]] = {}
    lines = 0
    for file in files:
        for line, _, row in _objects(file, encoding):
            lines += 1
            for name, value in row.items():
                if name not in kinds:
                    if not name or name != encodable(name):
                        msg = (
                            f"{file.name}, line {line}: got the key {name!r}; a column's name is "
                            "non-empty Unicode text"
                        )
                        raise SourceError(msg)
                    kinds[name] = set()
                kinds[name].add(_kind(value))
    if lines and not kinds:
        msg = f"{files[0].name}: every line is an object without keys; a table has at least one column"
        raise SourceError(msg)
    if lines and (missing := [name for name in declared if name not in kinds]):
        names = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
        msg = f"{names}: lacks the columns {missing} of the schema in every line; it has {list(kinds)}"
        raise SourceError(msg)
    known = kinds if lines else {key: set[object]() for key in declared}
    media = {Image, Audio}
    return {
        n: declared[n] if n in declared and declared[n] not in media else _unified(known[n]) for n in known
    }


def _kind(value: object) -> object:
    """A value's type; for integers also whether a float, and 64 bits, hold them."""
    kind = type(value)
    if kind is int and not -_EXACT <= value <= _EXACT:  # type: ignore[operator]
        return "long" if -(2**63) <= value < 2**63 else "longer"  # type: ignore[operator]
    if kind is float and not math.isfinite(value):  # type: ignore[arg-type]
        return "longer"  # 1e999
    return kind


def _unified(kinds: set[object]) -> type[ColumnType]:
    values = frozenset(kinds - {type(None)})
    if not values:
        return String
    for allowed, column_type in _UNIONS:
        if values <= allowed:
            return column_type
    return Json


_UNIONS: list[tuple[set[object], type[ColumnType]]] = [
    ({str}, String),
    ({bool}, Bool),
    ({int, "long"}, Int),
    ({int, float}, Float),
]


def _batched(objects: Iterator[tuple[int, int, dict[str, Any]]]) -> Iterator[_Rows]:
    rows: _Rows = []
    size = 0
    for line, length, row in objects:
        rows.append((line, row))
        size += length
        if size >= _BATCH:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _batch(
    file: File,
    rows: _Rows,
    schema: pa.Schema,
    types: Mapping[str, type[ColumnType]],
    to_check: Mapping[str, type[ColumnType]],
) -> pa.RecordBatch:
    import pyarrow as pa

    for line, row in rows:
        if not row.keys() <= types.keys():
            msg = (
                f"{file.name}, line {line}: has keys that were not there a moment ago; it is being "
                "written to. Read it when it is complete"
            )
            raise SourceError(msg)
    columns = []
    for name, kind in types.items():
        values = [row.get(name) for _, row in rows]
        if name in to_check:
            values = [_fitting(file, line, name, row.get(name), kind) for line, row in rows]
        text = kind in {String, Json}
        try:
            columns.append(to_arrow(values, kind) if text else pa.array(values, kind.arrow()))
        except (ValueError, TypeError, RecursionError):
            raise _unstorable(file, rows, name) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _unstorable(file: File, rows: _Rows, name: str) -> SourceError:
    """The error for the first value of a column that Python could read, but that JSON cannot hold: 1e999."""
    for line, row in rows:
        try:
            dumps(row.get(name))
        except (ValueError, TypeError, RecursionError) as e:
            return SourceError(f"{file.name}, line {line}, column {name!r}: cannot be stored: {e}")
    return SourceError(f"{file.name}, column {name!r}: cannot be stored as a column")


def _fitting(file: File, line: int, name: str, value: Any, kind: type[ColumnType]) -> object:
    """A value of a declared column, as it is stored."""
    if value is None or kind is Json:
        return value
    if kind is String:
        return value if isinstance(value, str) else dumps(value)
    if issubclass(kind, Array):
        numbers = isinstance(value, list) and all(type(v) in {int, float} for v in value)
        fits = numbers and kind.dim in {None, len(value)}
    else:
        try:
            value = checked(value, kind)
            fits = -(2**63) <= value < 2**63 if kind is Int else kind is not Float or math.isfinite(value)
        except (CellError, OverflowError):
            fits = False
    if not fits:
        msg = (
            f"{file.name}, line {line}, column {name!r}: got {str(value)[:80]!r}, but the column is "
            f"declared {type_name(kind)}; correct the value, or take any with "
            f'schema={{"{name}": Json}}'
        )
        raise SourceError(msg)
    return value
