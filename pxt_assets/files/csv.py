"""CSV and TSV files: read as text, then typed column by column, exactly or not at all.

A column is Int, Float or Bool only if its values give back its text, and text otherwise. Dates stay text, so
that a prompt shows what the file shows.
"""

from __future__ import annotations

import io
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
    text_lines,
)
from pxt_assets.files.csv_types import MisfitError, csv_type, decimal_sign, inferred_type, parse_column
from pxt_assets.files.separator import CANDIDATES, find_dialect
from pxt_assets.files.text import codec_name, decoding_error, open_text
from pxt_assets.values.types import ColumnType, Float, String, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File
    from pxt_assets.files.separator import Dialect

_BLOCK_SIZES = (2 << 20, 1 << 26)
"""Bytes to parse at a time, first and, if a record is longer, on the second attempt."""
_HEAD_CHARACTERS = 1 << 16
"""Characters of a file that show what separates its columns."""


@dataclass(frozen=True)
class _TextRows:
    """Some rows of a file as text, with the columns in the first file's order."""

    file: File
    first: int
    """The position of the first row in the file, counted from 0."""
    dialect: Dialect
    batch: pa.RecordBatch


def read(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str, separator: str | None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema, and the rows of the files one after the other; the first block with rows decides the types.

    `separator` stands between the columns; None finds it out of each file.

    Raises SourceError, here or from the iterator, naming the file and the line.
    """
    import pyarrow as pa

    encoding = codec_name(encoding)
    rows = _text_rows(files, declared, encoding, separator)
    head: list[_TextRows] = []
    for block in rows:
        head.append(block)
        if block.batch.num_rows:
            break
    if head:
        sample = head[-1].batch
        decimal_comma = head[-1].dialect.has_decimal_comma
        types = {
            name: csv_type(declared[name])
            if name in declared
            else inferred_type(sample.column(name), decimal_comma=decimal_comma)
            for name in sample.schema.names
        }
    else:  # only files of 0 bytes
        types = {name: csv_type(kind) for name, kind in declared.items()}
    schema = pa.schema([(name, kind.arrow()) for name, kind in types.items()])
    columns = {name: _Column(name, kind, name in declared) for name, kind in types.items()}

    def batches() -> Iterator[pa.RecordBatch]:
        for block in chain(head, rows):
            if block.batch.num_rows:
                arrays = [column.values(block, encoding) for column in columns.values()]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return schema, batches()


def _text_rows(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], encoding: str, separator: str | None
) -> Iterator[_TextRows]:
    """All rows as text. Each file that has a header gives at least one batch, which may be empty."""
    import pyarrow as pa

    first: tuple[File, list[str]] | None = None
    for file in files:
        header = read_header(file, encoding, separator)
        names = header.names
        if not names and not declared:
            msg = (
                f"{file.name}: is empty, it has no header line; write the column names in its first "
                "line, or declare them with schema= so that it is a table without rows"
            )
            raise SourceError(msg)
        if not names:
            continue
        if missing := [name for name in declared if name not in names]:
            msg = f"{file.name}: lacks the columns {missing} of the schema; it has {names}{header.doubt}"
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
        if header.has_rows:
            yield from _file_rows(file, names, first[1], encoding, header.dialect)
        else:
            nothing = pa.schema([(name, pa.string()) for name in first[1]])
            yield _TextRows(file, 0, header.dialect, pa.RecordBatch.from_pylist([], nothing))


@dataclass(frozen=True)
class Header:
    """The column names of a file, none if it is empty, and how it is divided into them."""

    names: list[str]
    dialect: Dialect
    has_rows: bool

    @property
    def doubt(self) -> str:
        """The end of a message about missing columns, where one column looks like several."""
        name = self.names[0] if len(self.names) == 1 else ""
        if inside := next((c for c in CANDIDATES if c in name and c != self.dialect.delimiter), ""):
            return f". That is one column; if {inside!r} separates several, write separator={inside!r}"
        return ""


def read_header(file: File, encoding: str, separator: str | None) -> Header:
    """The header of a file; `separator` stands between the columns, None finds it out of the file's head.

    Raises SourceError for one that does not give every column a name of its own.
    """
    with open_text(file, encoding, "") as text:
        head = text.read(_HEAD_CHARACTERS)
        is_whole = len(head) < _HEAD_CHARACTERS
        head += "" if is_whole else text.readline()
        dialect = find_dialect(head, separator, is_whole=is_whole)
        lines = chain(text_lines(io.StringIO(head, newline="")), text_lines(text))
        try:
            _, names = next(records(lines, dialect), (0, []))
        except OpenQuoteError as e:
            raise open_quote_error(file, e) from None
        has_rows = any(line.strip("\r\n") for line in lines)
    _check_names(file, names)
    return Header(names, dialect, has_rows)


def _check_names(file: File, names: Sequence[str]) -> None:
    """Raises SourceError unless every column has a name of its own."""
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


def _file_rows(
    file: File, names: Sequence[str], order: Sequence[str], encoding: str, dialect: Dialect
) -> Iterator[_TextRows]:
    """The rows of a file that has any, with the columns in the given order."""
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

    parse = ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
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
            options = ReadOptions(
                block_size=block_size,
                encoding=encoding,
                use_threads=False,
                skip_rows=dialect.skipped_lines,
            )
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
                        yield _TextRows(file, done, dialect, new)
                        done += new.num_rows
            except UnicodeDecodeError:
                raise decoding_error(file, encoding) from None
            except pa.ArrowInvalid as e:
                if "straddling" in str(e) and block_size != _BLOCK_SIZES[-1]:
                    continue
                raise (first_record_error(file, encoding, dialect) or _arrow_error(file, e)) from None
        if tail.may_end_in_open_quote(last or "", dialect.delimiter) and (
            error := first_record_error(file, encoding, dialect)
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


class _Column:
    """One column: makes values of its text, block after block."""

    def __init__(self, name: str, kind: type[ColumnType], declared: bool) -> None:
        self._name = name
        self._kind = kind
        self._declared = declared
        self._sign: str | None = None
        """The decimal sign of its numbers, once a file that may have a decimal comma has shown it."""

    def values(self, rows: _TextRows, encoding: str) -> pa.Array:
        """The values in a block. Raises SourceError for the first one that does not fit the column's type."""
        text = rows.batch.column(self._name)
        if self._kind is String:
            return text
        decimal_comma = rows.dialect.has_decimal_comma
        if decimal_comma and self._kind is Float:
            self._sign = self._sign or decimal_sign(text)
        try:
            return parse_column(
                text,
                self._kind,
                declared=self._declared,
                sign=self._sign if decimal_comma else None,
                grouped=decimal_comma,
            )
        except MisfitError as e:
            value = text[e.index].as_py()
            line = line_of_row(rows.file, encoding, rows.dialect, rows.first + e.index)
            known = "is declared" if self._declared else "has so far been"
            comma = " with a decimal comma" if decimal_comma and self._sign == "," else ""
            msg = (
                f"{rows.file.name}, line {line}, column {self._name!r}: got {value[:80]!r}, but the column "
                f"{known} {type_name(self._kind)}{comma}; correct the value, or read the column as text with "
                f'schema={{"{self._name}": String}}'
            )
            raise SourceError(msg) from None
