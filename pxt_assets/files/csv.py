"""CSV and TSV files: read as text, then typed column by column, exactly or not at all.

A column is Int, Float or Bool only if its values give back its text, and text otherwise. Dates stay text, so
that a prompt shows what the file shows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from pxt_assets.errors import SourceError
from pxt_assets.files.csv_lines import (
    OpenQuoteError,
    first_record_error,
    line_of_row,
    open_quote_error,
    records,
)
from pxt_assets.files.text import codec_name, decoding_error, open_text
from pxt_assets.values.types import Bool, ColumnType, Float, Int, String, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File

_BLOCK_SIZES = (2 << 20, 1 << 26)
"""Bytes to parse at a time, first and, if a record is longer, on the second attempt."""

_INFERRED_FORMS: dict[type[ColumnType], str] = {
    Int: r"\A(0|-?[1-9][0-9]{0,18})\z",
    # At most 15 digits before the point: a longer number is an identifier, which a float would change.
    Float: r"\A-?((0|[1-9][0-9]{0,14})(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?\z",
    Bool: r"\A(?i:true|false)\z",
}
"""The form that a column's texts must have for its type to be inferred."""
_DECLARED_FORMS: dict[type[ColumnType], str] = {
    Int: r"\A[+-]?[0-9]+\z",
    Float: r"\A[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\z",
    Bool: _INFERRED_FORMS[Bool],
}
"""The form that they may have if the type is declared."""


@dataclass(frozen=True)
class _TextRows:
    """Some rows of a file as text, with the columns in the first file's order."""

    file: File
    first: int
    """The position of the first row in the file, counted from 0."""
    batch: pa.RecordBatch


def read(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str, delimiter: str
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema, and the rows of the files one after the other; the first block with rows decides the types.

    Raises SourceError, here or from the iterator, naming the file and the line.
    """
    import pyarrow as pa

    encoding = codec_name(encoding)
    rows = _text_rows(files, declared, encoding, delimiter)
    head: list[_TextRows] = []
    for block in rows:
        head.append(block)
        if block.batch.num_rows:
            break
    if head:
        sample = head[-1].batch
        types = {name: _column_type(sample.column(name), declared.get(name)) for name in sample.schema.names}
    else:  # only files of 0 bytes
        types = {name: _csv_type(kind) for name, kind in declared.items()}
    schema = pa.schema([(name, kind.arrow()) for name, kind in types.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for block in chain(head, rows):
            if block.batch.num_rows:
                columns = [
                    _typed_column(block, name, types[name], declared, encoding=encoding, delimiter=delimiter)
                    for name in types
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def _text_rows(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str, delimiter: str
) -> Iterator[_TextRows]:
    """All rows as text. Each file that has a header gives at least one batch, which may be empty."""
    import pyarrow as pa

    first: tuple[File, list[str]] | None = None
    for file in files:
        names, has_rows = _header(file, declared, encoding, delimiter)
        if not names:
            continue
        if missing := [name for name in declared if name not in names]:
            msg = f"{file.name}: lacks the columns {missing} of the schema; it has {names}"
            raise SourceError(msg)
        if first is None:
            first = (file, names)
        elif set(names) != set(first[1]):
            lacks, more = sorted(set(first[1]) - set(names)), sorted(set(names) - set(first[1]))
            msg = (
                f"{file.name} and {first[0].name} must have the same columns; the former lacks {lacks} "
                f"and has {more} that the latter has not"
            )
            raise SourceError(msg)
        if has_rows:
            yield from _file_rows(file, names, first[1], encoding, delimiter)
        else:
            nothing = pa.schema([(name, pa.string()) for name in first[1]])
            yield _TextRows(file, 0, pa.RecordBatch.from_pylist([], nothing))


def _header(
    file: File, declared: Mapping[str, type[ColumnType]], encoding: str, delimiter: str
) -> tuple[list[str], bool]:
    """The column names, none for an empty file if a schema is given, and whether any row follows."""
    with open_text(file, encoding, "") as text:
        try:
            _, names = next(records(text, delimiter), (0, []))
        except OpenQuoteError as e:
            raise open_quote_error(file, e) from None
        has_rows = any(line.strip("\r\n") for line in text)
    if not names and not declared:
        msg = (
            f"{file.name}: is empty, it has no header line; write the column names in its first "
            "line, or declare them with schema= so that it is a table without rows"
        )
        raise SourceError(msg)
    if any("\0" in name for name in names):
        msg = (
            f"{file.name}, line 1: has NUL bytes, so that it is not a text file, or one in UTF-16; "
            "for the latter write encoding='utf-16-le'"
        )
        raise SourceError(msg)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or "" in names:
        what = (
            f"names the columns {twice} more than once"
            if twice
            else f"has no name for column {names.index('') + 1}"
        )
        msg = f"{file.name}: the header {what}; got {names}. Give every column a name of its own"
        raise SourceError(msg)
    return names, has_rows


def _file_rows(
    file: File, names: Sequence[str], order: Sequence[str], encoding: str, delimiter: str
) -> Iterator[_TextRows]:
    """The rows of a file that has any, with the columns in the given order."""
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

    parse = ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=list(order),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,  # `""` is an empty text, no text at all is null
    )
    done = 0
    for block_size in _BLOCK_SIZES:
        with file.errors_as_source_error(), file.open() as raw:
            tail = _TailRecorder(raw)
            # One thread: text needs no conversion, and more would each hold blocks of their own.
            options = ReadOptions(block_size=block_size, encoding=encoding, use_threads=False)
            seen, last = 0, ""
            try:
                for batch in open_csv(tail, options, parse, convert):
                    new = batch.slice(
                        max(done - seen, 0)
                    )  # what a smaller block size has read is not read twice
                    seen += batch.num_rows
                    if batch.num_rows:
                        last = batch.column(names[-1])[-1].as_py()
                    if new.num_rows:
                        yield _TextRows(file, done, new)
                        done += new.num_rows
            except UnicodeDecodeError:
                raise decoding_error(file, encoding) from None
            except pa.ArrowInvalid as e:
                if "straddling" in str(e) and block_size != _BLOCK_SIZES[-1]:
                    continue
                raise (first_record_error(file, encoding, delimiter) or _arrow_error(file, e)) from None
        if tail.may_end_in_open_quote(last or "", delimiter) and (
            error := first_record_error(file, encoding, delimiter)
        ):
            raise error
        return


def _arrow_error(file: File, error: Exception) -> SourceError:
    if "straddling" in str(error):
        return SourceError(
            f"{file.name}: has a row of more than {_BLOCK_SIZES[-1] >> 20} MB, the most that is read"
        )
    return SourceError(f"{file.name}: is not CSV as it should be: {error}")


class _TailRecorder:
    """A file that keeps its last 64 KB: Arrow takes a quote that is left open to be closed at the end of the file."""

    _LENGTH = 1 << 16

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._tail = b""
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._tail = (
            (self._tail + data)[-self._LENGTH :] if len(data) < self._LENGTH else data[-self._LENGTH :]
        )
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def may_end_in_open_quote(self, last: str, delimiter: str) -> bool:
        """Whether the file's last value may come from a quote left open, so that the records must be checked."""
        tail = self._tail.replace(b"\0", b"")  # the zero bytes of UTF-16
        quoted = tail.rstrip(b"\r\n").endswith(b'"')
        if "\n" in last or "\r" in last:
            return not quoted or last.rstrip("\r\n").endswith('"')
        if tail.endswith((b"\n", b"\r")):
            return False
        plain = tuple((before + last).encode() for before in (delimiter, "\n", "\r"))
        return not tail.endswith(plain) and (not quoted or not last or last.endswith('"'))


def _column_type(sample: pa.Array, declared: type[ColumnType] | None) -> type[ColumnType]:
    """The declared type of a column, or the one that its first values have."""
    import pyarrow.compute as pc

    if declared is not None:
        return _csv_type(declared)
    filled = sample.filter(pc.not_equal(sample, ""))
    for kind, form in _INFERRED_FORMS.items():
        if len(filled) and pc.all(pc.match_substring_regex(filled[:100], form)).as_py():
            try:
                _parse_column(sample, kind, form)
            except _MisfitError:
                continue
            return kind
    return String


def _csv_type(declared: type[ColumnType]) -> type[ColumnType]:
    """A declared type that CSV has a form for; any other is read as text, and cast where it is used."""
    return declared if declared in _DECLARED_FORMS else String


class _MisfitError(Exception):
    """The value at `index` has not the form of the column's type."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def _parse_column(text: pa.Array, kind: type[ColumnType], form: str) -> pa.Array:
    """The values of a column of text; null and empty texts are null. Raises _MisfitError for the first misfit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = pc.equal(text, "")
    fits = pc.or_(empty, pc.match_substring_regex(text, form))
    values = pc.if_else(pc.and_(fits, pc.invert(empty)), text, pa.scalar(None, pa.string()))
    if kind is Bool:
        values = pc.equal(pc.ascii_lower(values), "true")
    elif kind is Float:
        values = pc.cast(pc.ascii_ltrim(values, "+"), pa.float64())
        fits = pc.and_(fits, pc.fill_null(pc.is_finite(values), True))
    else:
        values = pc.ascii_ltrim(values, "+")
        try:
            values = pc.cast(values, pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            inside = [v is None or -(2**63) <= int(v) < 2**63 for v in values.to_pylist()]
            fits = pc.and_(fits, pa.array(inside))
    if (index := pc.index(fits, False).as_py()) >= 0:
        raise _MisfitError(index)
    return values


def _typed_column(
    rows: _TextRows,
    name: str,
    kind: type[ColumnType],
    declared: Mapping[str, type[ColumnType]],
    *,
    encoding: str,
    delimiter: str,
) -> pa.Array:
    text = rows.batch.column(name)
    if kind is String:
        return text
    try:
        return _parse_column(text, kind, (_DECLARED_FORMS if name in declared else _INFERRED_FORMS)[kind])
    except _MisfitError as e:
        value = text[e.index].as_py()
        line = line_of_row(rows.file, encoding, delimiter, rows.first + e.index)
        known = "is declared" if name in declared else "has so far been"
        msg = (
            f"{rows.file.name}, line {line}, column {name!r}: got {value[:80]!r}, but the column "
            f"{known} {type_name(kind)}; correct the value, or read the column as text with "
            f'schema={{"{name}": String}}'
        )
        raise SourceError(msg) from None
