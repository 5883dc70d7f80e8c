"""Line numbers of a CSV file: a slow second reader that finds where the fast one failed.

A record may span several lines (quoted newlines), so a row's number does not give its line.
"""

from __future__ import annotations

import csv
import itertools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pxt_assets.errors import SourceError
from pxt_assets.files.text import open_text
from pxt_assets.values.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from pxt_assets.files.location import File
    from pxt_assets.files.separator import Dialect

_LONGEST_FIELD = 1 << 26
_field_size_lock = threading.Lock()


class OpenQuoteError(Exception):
    """A quoted value is not closed before the file ends, or in 64 MB; its record begins on `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def text_lines(text: TextIO) -> Iterator[str]:
    """The lines of a text that was opened with newline="", as they end there."""
    return iter(text.readline, "")


def records(lines: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Each record with the 1-based line that it begins on; blank lines left out. Raises OpenQuoteError."""
    ended = False
    skipped = len(list(itertools.islice(lines, dialect.skipped_lines)))

    def lines_and_sentinel() -> Iterator[str]:
        nonlocal ended
        yield from lines
        ended = True
        yield "end"  # a record of its own, unless a quote is left open

    reader = csv.reader(lines_and_sentinel(), delimiter=dialect.delimiter)
    begin = skipped + 1
    try:
        for row in reader:
            if ended:
                if reader.line_num + skipped > begin:
                    raise OpenQuoteError(begin)
                return
            if row:
                yield begin, row
            begin = reader.line_num + skipped + 1
    except csv.Error:  # a field beyond the limit
        raise OpenQuoteError(begin) from None


def first_record_error(file: File, encoding: str, dialect: Dialect) -> SourceError | None:
    """The error for the first record of another width than the header, or for a quote left open; None without one."""
    width = 0
    with _allow_long_fields(), open_text(file, encoding, "") as text:
        try:
            for line, row in records(text_lines(text), dialect):
                width = width or len(row)
                if len(row) != width:
                    more = len(row) > width
                    hint = (
                        f"quote values that contain {dialect.delimiter!r}" if more else "add the missing ones"
                    )
                    other = ", or say with separator= what stands between them" if dialect.found else ""
                    msg = (
                        f"{file.name}, line {line}: expected {counted(width, 'column')}, as in the header, got "
                        f"{len(row)}; {hint}{other}"
                    )
                    return SourceError(msg)
        except OpenQuoteError as e:
            return open_quote_error(file, e)
    return None


def open_quote_error(file: File, error: OpenQuoteError) -> SourceError:
    """The error for a quote left open."""
    msg = (
        f'{file.name}, line {error.line}: a quoted value that begins here has no closing "; '
        'close it, and write a quote inside a value as ""'
    )
    return SourceError(msg)


def line_of_row(file: File, encoding: str, dialect: Dialect, row: int) -> int | None:
    """The 1-based line that a data row begins on, by its 0-based number; None if the file is shorter."""
    with _allow_long_fields(), open_text(file, encoding, "") as text:
        found = next(itertools.islice(records(text_lines(text), dialect), row + 1, None), None)
    return found[0] if found else None


@contextmanager
def _allow_long_fields() -> Iterator[None]:
    """Within the block, the csv module reads fields of up to 64 MB."""
    with _field_size_lock:  # the csv module has one limit for the process
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            yield
        finally:
            csv.field_size_limit(before)
