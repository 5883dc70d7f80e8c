"""What the asset page shows of a table that is read from files: which files these are, and its first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pxt_assets.assets.page.preview import preview_metadata
from pxt_assets.assets.page.sentence import code
from pxt_assets.files.pattern import MEDIA_SUFFIXES, format_of, redact_urls
from pxt_assets.values.types import media_type

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.values.types import ColumnType

_FORMATS = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "image": "image",
    "audio": "audio",
}
"""Formats as they are named in a sentence."""
_PATH_CHARACTERS = 60
_PREVIEW_ROWS = 8

Metadata = Mapping[str, Any]


def files_description(
    path: str,
    schema: Mapping[str, type[ColumnType]],
    row_key: Sequence[str],
    user_text: str | None,
) -> str:
    """Markdown: the user's description of the table, if any, and which files its rows are read from."""
    file_format, _ = format_of(path, schema)
    several = "*" in path or "?" in path or "{" in path or file_format in MEDIA_SUFFIXES
    files = f"{_FORMATS[file_format]} {'files' if several else 'file'} {code(_tail(redact_urls(path)))}"
    rows = f"The {files}, one a row" if file_format in MEDIA_SUFFIXES else f"The rows of the {files}"
    key = " and ".join(map(code, row_key)) if row_key else "position"
    sentence = f"{rows}, each known by its {key}."
    return f"{user_text}\n\n{sentence}" if user_text else sentence


def files_metadata(
    path: str,
    schema: Mapping[str, type[ColumnType]],
    row_key: Sequence[str],
    *,
    encoding: str,
    separator: str | None,
) -> dict[str, Any]:
    """The metadata of the table's definition: its files, and by what they are read where that is not the default."""
    file_format, compression = format_of(path, schema)
    options = {"encoding": None if encoding == "utf-8" else encoding, "separator": separator}
    return {
        "pxt/files": redact_urls(path),
        "pxt/format": f"{_FORMATS[file_format]}{f', {compression}' if compression else ''}",
        "pxt/key": ", ".join(row_key) if row_key else "the position of the row",
        **{f"pxt/{name}": value for name, value in options.items() if value is not None},
    }


def previewed(
    reader: pa.RecordBatchReader, row_key: Sequence[str], show: Callable[[Metadata], None]
) -> pa.RecordBatchReader:
    """The same rows; once the first ones are read, `show` is given metadata with their preview.

    Images and sounds are not in it: they are listed, not opened.
    """
    import pyarrow as pa

    listed = [field.name for field in reader.schema if media_type(field) is not None]

    def show_rows(first: list[pa.RecordBatch]) -> None:
        rows = pa.Table.from_batches(first, reader.schema).drop_columns(listed)
        show(preview_metadata(rows, row_key=row_key))

    def batches() -> Iterator[pa.RecordBatch]:
        first: list[pa.RecordBatch] = []
        wanted = _PREVIEW_ROWS
        for batch in reader:
            if wanted:
                first.append(batch.slice(0, wanted))
                wanted -= first[-1].num_rows
                if not wanted:
                    show_rows(first)
            yield batch
        if wanted:
            show_rows(first)

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _tail(path: str) -> str:
    """The end of a path, by whole folders where it is long."""
    if len(path) <= _PATH_CHARACTERS:
        return path
    parts = path.split("/")
    tail = parts[-1]
    for part in reversed(parts[:-1]):
        if len(tail) + len(part) >= _PATH_CHARACTERS:
            break
        tail = f"{part}/{tail}"
    return f"…/{tail}"
