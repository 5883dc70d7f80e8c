"""Files as rows: CSV, JSON Lines, Parquet and Arrow files, local or on any fsspec URL, streamed in batches.

An image or audio file is one row. May import `api` and the rooms below it.

pattern -> files (location) -> rows (csv | jsonl | columnar | media)
pattern -> its files as partitions (listing -> assigned, partition_keys) -> files -> rows
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from pxt_assets.files.media import media_columns, media_schema
from pxt_assets.files.pattern import check_pattern, format_of
from pxt_assets.files.separator import check_separator
from pxt_assets.files.text import codec_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File
    from pxt_assets.values.types import ColumnType

__all__ = [
    "check_file_partitions",
    "check_pattern",
    "check_text_options",
    "media_columns",
    "media_schema",
    "read_files",
    "read_files_at",
]


def check_text_options(pattern: str, encoding: str, separator: str | None) -> None:
    """Raises DefinitionError for an encoding that is unknown, and for a separator that is none."""
    codec_name(encoding)
    check_separator(separator, pattern)


def check_file_partitions(pattern: str) -> None:
    """Raises DefinitionError for a pattern whose files cannot be partitions."""
    from pxt_assets.files.listing import check_listable

    check_listable(pattern)


def read_files(
    pattern: str,
    *,
    partition_key: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    schema: Mapping[str, type[ColumnType]] | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pa.RecordBatchReader:
    """The rows of the files that a pattern names, in sorted path order, streamed in batches of a few MB.

    Args:
        pattern: a path or fsspec URL; `{partition_key}` (or a dimension's name, `{region}`) stands for the
            partition, `*`, `?`, `[..]` and `**` match as in a shell.
        partition_key: the partition to read; None for an unpartitioned table.
        dimensions: for multi-dimensional partitions, each dimension's part of the key.
        schema: types of columns that must not be left to the first rows to decide. CSV has text, Int, Float
            and Bool columns, whatever else is declared stays text; Parquet and Arrow files keep the types
            that they have unless String, Int, Float or Bool is declared. For a folder, `image` or `audio`
            says what files it is read for.
        encoding: of CSV and JSON Lines files, any that Python knows.
        separator: between the columns of CSV files, see `check_separator`; None finds it out of each file.
        storage_options: for the fsspec file system; none of them ever appears in a message.

    Raises:
        DefinitionError: the pattern does not suit the partitions (see `check_pattern`), the encoding is
            unknown, or the separator is none.
        SourceError: no file, or one that cannot be read as rows; names the file and, where it has lines, the
            line. Raised here for what the first rows show, and while the reader is read for the rest.
    """
    from pxt_assets.files import media
    from pxt_assets.files.location import find_files

    values = dict(dimensions or {})
    check_pattern(pattern, partition_key is not None or bool(values), list(values), schema)
    separator = check_separator(separator, pattern)
    declared = dict(media_schema(pattern, schema or {}))
    if partition_key is not None:
        values.setdefault("partition_key", partition_key)
    file_format, compression = format_of(pattern, declared)
    folder = media.is_folder(pattern, file_format)
    paths = posixpath.join(pattern, "*") if folder else pattern
    files = find_files(paths, values, partition_key, storage_options or {}, compression=compression)
    return _rows_of(files, pattern, declared, encoding, separator)


def read_files_at(
    pattern: str,
    paths: Sequence[str],
    *,
    schema: Mapping[str, type[ColumnType]] | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pa.RecordBatchReader | None:
    """The rows of the files at these paths below a pattern's folder, in this order; None if all of them are gone.

    What is gone has no rows. The other arguments, and the errors, are those of `read_files`.
    """
    from pxt_assets.files.listing import files_at

    declared = dict(media_schema(pattern, schema or {}))
    files = files_at(pattern, paths, declared, storage_options or {})
    separator = check_separator(separator, pattern)
    return _rows_of(files, pattern, declared, encoding, separator) if files else None


def _rows_of(
    files: Sequence[File],
    pattern: str,
    declared: Mapping[str, type[ColumnType]],
    encoding: str,
    separator: str | None,
) -> pa.RecordBatchReader:
    import pyarrow as pa

    from pxt_assets.files import columnar, csv, jsonl, media

    file_format = format_of(pattern, declared)[0]
    match file_format:
        case "csv" | "tsv":
            given = "\t" if file_format == "tsv" and separator is None else separator
            arrow_schema, batches = csv.read(files, declared, encoding, given)
        case "jsonl":
            arrow_schema, batches = jsonl.read(files, declared, encoding)
        case "parquet":
            arrow_schema, batches = columnar.read(files, declared, columnar.open_parquet)
        case "arrow":
            arrow_schema, batches = columnar.read(files, declared, columnar.open_arrow)
        case "image" | "audio":
            arrow_schema, batches = media.read(files, file_format, pattern)
    return pa.RecordBatchReader.from_batches(arrow_schema, batches)
