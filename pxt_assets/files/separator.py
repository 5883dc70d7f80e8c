"""What separates the columns of a CSV file: the character that is given, or found out of the file's head.

A file that commas divide into columns stays as it is: another separator is looked for only where they make one column
of every line, or lines of different widths.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.errors import DefinitionError
from pxt_assets.files.pattern import format_of, redact_urls

if TYPE_CHECKING:
    from collections.abc import Iterator

CANDIDATES = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t"}
_MOST_RECORDS = 1_000
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?(\r\n|\r|\n)', re.IGNORECASE)
"""A first line that says what separates the columns; Excel writes and reads it."""


@dataclass(frozen=True)
class Dialect:
    """How a file's lines are divided into columns."""

    delimiter: str
    found: bool = False
    """Whether it was found out of the file, rather than given."""
    skipped_lines: int = 0
    """How many lines come before the header."""

    @property
    def has_decimal_comma(self) -> bool:
        """Whether numbers may have one: where `;` separates the columns, as where people write so."""
        return self.delimiter == ";"


def check_separator(separator: str | None, pattern: str = "") -> str | None:
    """The character that `separator` means: itself, and a tab for `tab` and a backslash with a t.

    Raises DefinitionError for what is not one ASCII character, or none that can separate columns, and for one that is
    given for files, those of `pattern`, that have none.
    """
    if separator is None:
        return None
    if pattern and format_of_text(pattern) not in {"csv", "tsv"}:
        msg = f"got separator={separator!r} for the files {redact_urls(pattern)!r}; only CSV files have a separator"
        raise DefinitionError(msg)
    character = _NAMES.get(separator, separator) if isinstance(separator, str) else ""
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        msg = (
            f"got separator={separator!r}; allowed is one ASCII character that stands between the columns, such as ',', "
            "';', '|' or 'tab', or None to find it out"
        )
        raise DefinitionError(msg)
    return character


def format_of_text(pattern: str) -> str:
    """The format of a pattern's files; "media" where only a schema tells."""
    try:
        return format_of(pattern)[0]
    except DefinitionError:
        return "media"


def find_dialect(head: str, separator: str | None, *, is_whole: bool) -> Dialect:
    """How a file is divided into columns: by `separator`, or as the `head` of its text shows.

    `is_whole` says that the head is all of the text; otherwise its last record may be cut off.
    """
    line = _SEPARATOR_LINE.match(head)
    skipped = 1 if line and (separator is None or line[1] == separator) else 0
    if separator is not None:
        return Dialect(separator, skipped_lines=skipped)
    if line and line[1].isascii() and line[1] != '"':
        return Dialect(line[1], found=True, skipped_lines=1)
    best, best_fit, best_width = ",", 0.0, 0
    for delimiter in CANDIDATES:
        widths = _widths(head, delimiter, is_whole=is_whole)
        fit, width = _fit(widths), widths[0] if widths else 0
        if (fit, width) > (best_fit, best_width):
            best, best_fit, best_width = delimiter, fit, width
        if best == "," and fit == 1.0:
            break
    # Text in one column may have a separator in its header: then few of the lines have as many. Of half of them, an
    # error about the others says more than one column would.
    return Dialect(best if best_fit >= 0.5 else ",", found=True)


def _fit(widths: list[int]) -> float:
    """How well lines of these widths agree, 0 to 1: 1 where all are as wide as the header, 0 for one column.

    Rows that agree with each other alone are a little less: the error about them is to count their columns.
    """
    if not widths or widths[0] < 2:
        return 0.0
    if len(widths) == 1:
        return 1.0
    as_header = sum(width == widths[0] for width in widths[1:])
    width, alike = Counter(widths[1:]).most_common(1)[0]
    return max(as_header, alike * 0.99 if width > 1 else 0.0) / (len(widths) - 1)


def _widths(head: str, delimiter: str, *, is_whole: bool) -> list[int]:
    """How many columns each of the first records has."""
    widths: list[int] = []
    try:
        for row in itertools.islice(csv.reader(_lines(head), delimiter=delimiter), _MOST_RECORDS + 1):
            if row:
                widths.append(len(row))
    except csv.Error:  # a field of more than 128 KB: what comes before it tells enough
        return widths
    return widths if is_whole or len(widths) < 2 else widths[:-1]


def _lines(text: str) -> Iterator[str]:
    return iter(io.StringIO(text, newline="").readline, "")
