"""The columns that a file has, told before any of its rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.errors import SourceError
from pxt_assets.files import columnar, csv, jsonl
from pxt_assets.files.location import local_file
from pxt_assets.files.pattern import format_of
from pxt_assets.files.text import codec_name

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class FoundColumns:
    """The names of a file's columns, and what separates them in a CSV file."""

    names: list[str]
    separator: str | None = None
    doubt: str = ""
    """The end of a message about a missing column, where one column looks like several."""


def found_columns(
    path: str, *, encoding: str = "utf-8", separator: str | None = None, wanted: Collection[str] = ()
) -> FoundColumns:
    """The columns of the file at `path`, which is no pattern.

    Of JSON Lines, whose lines may have keys of their own, as many lines are read as it takes to find the `wanted` ones.

    Raises SourceError for a file that has none or cannot be read, DefinitionError for an unknown encoding.
    """
    file_format, compression = format_of(path)
    file = local_file(path, compression)
    match file_format:
        case "csv" | "tsv":
            given = "\t" if file_format == "tsv" and separator is None else separator
            header = csv.read_header(file, codec_name(encoding), given)
            if not header.names:
                msg = f"{file.name}: is empty; write the column names in its first line"
                raise SourceError(msg)
            return FoundColumns(header.names, header.dialect.delimiter, header.doubt)
        case "jsonl":
            if names := jsonl.keys(file, codec_name(encoding), wanted):
                return FoundColumns(names)
            msg = f"{file.name}: is empty; every line is to be an object, as many as there are rows"
            raise SourceError(msg)
        case _:
            opened = columnar.open_parquet if file_format == "parquet" else columnar.open_arrow
            with opened(file) as (schema, _):
                return FoundColumns(schema.names)
