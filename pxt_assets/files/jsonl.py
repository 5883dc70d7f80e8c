"""JSON Lines files: every line an object, every key a column.

Two passes: the first reads the keys and types of all lines, so that those of late lines count as well; the second
streams the rows. Nested values are kept as they are, in Json columns.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from pxt_assets.errors import CellError, SourceError
from pxt_assets.files.text import codec_name, open_text
from pxt_assets.values.conversion import check_value, to_arrow
from pxt_assets.values.json_text import dumps, replace_surrogates
from pxt_assets.values.types import Array, Audio, Bool, ColumnType, Float, Image, Int, Json, String, type_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File

_BATCH_CHARACTERS = 2 << 20
"""Characters of lines in a batch."""
_MAX_EXACT_INTEGER = 1 << 53
"""A float holds every integer up to this one."""

_LinesAndValues = tuple[list[int], dict[str, list[Any]]]
"""The 1-based lines of some objects, and their values by key."""


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

    encoding = codec_name(encoding)
    types = _column_types(files, declared, encoding)
    schema = pa.schema([(name, kind.arrow()) for name, kind in types.items()])
    # Inferred types fit, unless the file has changed since.
    to_check = {name: kind for name, kind in types.items() if declared.get(name) is kind}

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            for rows in _row_batches(file, encoding, types):
                yield _record_batch(file, rows, schema, types, to_check)

    return schema, batches()


def _read_objects(file: File, encoding: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Line number, length of the line in characters, and object. Blank lines are left out."""
    decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
    with open_text(file, encoding, "\n") as text:
        for number, padded in enumerate(text, 1):
            line = padded.strip(" \t\r\n")
            if not line:
                continue
            try:
                value, end = decode(line)
                if end < len(line):
                    raise json.JSONDecodeError("Extra data", line, end)
            except (ValueError, RecursionError) as e:
                what = f"column {e.colno}: {e.msg}" if isinstance(e, json.JSONDecodeError) else str(e)
                msg = f"{file.name}, line {number}: is not JSON ({what}): {line[:80]!r}"
                raise SourceError(msg) from None
            if type(value) is not dict:
                msg = (
                    f"{file.name}, line {number}: got {type(value).__name__} {line[:80]!r}; "
                    'every line must be an object, such as {"id": 1}'
                )
                raise SourceError(msg)
            yield number, len(line), value


def keys(file: File, encoding: str, wanted: Collection[str]) -> list[str]:
    """The keys of a file's lines in order of appearance, as far as the line that has the last of the `wanted` ones."""
    found: dict[str, None] = {}
    for _, _, row in _read_objects(file, encoding):
        found.update(dict.fromkeys(row))
        if found.keys() >= set(wanted):
            break
    return list(found)


def _refuse_constant(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON value; write null or text"
    raise ValueError(msg)


def _column_types(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str
) -> dict[str, type[ColumnType]]:
    """The column types by key, in order of appearance. Reads all lines once."""
    kinds: dict[str, set[object]] = {}
    lines = 0
    for file in files:
        for line, _, row in _read_objects(file, encoding):
            lines += 1
            for name, value in row.items():
                kind = type(value)
                seen = kinds.get(name)
                if seen is None:
                    if not name or name != replace_surrogates(name):
                        msg = (
                            f"{file.name}, line {line}: got the key {name!r}; a column's name is "
                            "non-empty Unicode text"
                        )
                        raise SourceError(msg)
                    seen = kinds[name] = set()
                seen.add(_number_kind(value) if kind is int or kind is float else kind)
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
        n: declared[n] if n in declared and declared[n] not in media else _common_type(known[n])
        for n in known
    }


def _number_kind(number: float) -> object:
    """A number's type; "long" for an integer that no float holds, "longer" for one beyond 64 bits or infinite."""
    if isinstance(number, int):
        if -_MAX_EXACT_INTEGER <= number <= _MAX_EXACT_INTEGER:
            return int
        return "long" if -(2**63) <= number < 2**63 else "longer"
    return float if math.isfinite(number) else "longer"  # 1e999


def _common_type(kinds: set[object]) -> type[ColumnType]:
    """The column type that holds values of all these kinds."""
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


def _row_batches(file: File, encoding: str, names: Collection[str]) -> Iterator[_LinesAndValues]:
    """The rows of a file in batches. Raises SourceError for keys that are not among `names`."""
    lines: list[int] = []
    columns: dict[str, list[Any]] = {name: [] for name in names}
    size = 0
    for line, length, row in _read_objects(file, encoding):
        if not row.keys() <= columns.keys():
            msg = (
                f"{file.name}, line {line}: has keys that were not there a moment ago; it is being "
                "written to. Read it when it is complete"
            )
            raise SourceError(msg)
        lines.append(line)
        for name, values in columns.items():
            values.append(row.get(name))
        size += length
        if size >= _BATCH_CHARACTERS:
            yield lines, columns
            lines, columns, size = [], {name: [] for name in names}, 0
    if lines:
        yield lines, columns


def _record_batch(
    file: File,
    rows: _LinesAndValues,
    schema: pa.Schema,
    types: Mapping[str, type[ColumnType]],
    to_check: Mapping[str, type[ColumnType]],
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = []
    for name, kind in types.items():
        lines, values = rows[0], rows[1][name]
        if name in to_check:
            values = [
                _declared_value(file, line, name, v, kind) for line, v in zip(lines, values, strict=True)
            ]
        text = kind in {String, Json}
        try:
            columns.append(to_arrow(values, kind) if text else pa.array(values, kind.arrow()))
        except (ValueError, TypeError, RecursionError):
            raise _storage_error(file, lines, name, values) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _storage_error(file: File, lines: Sequence[int], name: str, values: Sequence[Any]) -> SourceError:
    """The error for a column's first value that Python can read but JSON cannot hold, such as 1e999."""
    for line, value in zip(lines, values, strict=True):
        try:
            dumps(value)
        except (ValueError, TypeError, RecursionError) as e:
            return SourceError(f"{file.name}, line {line}, column {name!r}: cannot be stored: {e}")
    return SourceError(f"{file.name}, column {name!r}: cannot be stored as a column")


def _declared_value(file: File, line: int, name: str, value: Any, kind: type[ColumnType]) -> object:
    """A value of a declared column as it is stored. Raises SourceError if it does not fit."""
    if value is None or kind is Json:
        return value
    if kind is String:
        return value if isinstance(value, str) else dumps(value)
    if issubclass(kind, Array):
        numbers = isinstance(value, list) and all(type(v) in {int, float} for v in value)
        fits = numbers and kind.dim in {None, len(value)}
    else:
        try:
            value = check_value(value, kind)
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
