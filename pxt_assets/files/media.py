"""Images and audio files: one row a file, from the file system's listing. No file is opened."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pxt_assets.errors import DefinitionError, SourceError, UnknownColumnError
from pxt_assets.files.location import first_few
from pxt_assets.files.pattern import MEDIA_SUFFIXES, MEDIA_TYPES, format_of, redact_urls, without_placeholders
from pxt_assets.values.types import Int, String, media_field, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from pxt_assets.files.location import File
    from pxt_assets.files.pattern import FileFormat, MediaKind
    from pxt_assets.values.types import ColumnType

_BATCH_ROWS = 10_000
"""Rows in a batch."""


def media_schema(pattern: str, schema: Mapping[str, type[ColumnType]]) -> Mapping[str, type[ColumnType]]:
    """The schema of a table of files; where these are media, with the type of `image` or `audio`.

    Raises DefinitionError for a pattern that names no list of files, for a column that such a table does not have,
    and for a type that its column does not have.
    """
    kind = format_of(pattern, schema)[0]
    if kind not in MEDIA_SUFFIXES:
        return schema
    got = f"got the file pattern {redact_urls(pattern)!r}"
    if pattern.startswith(("http://", "https://")):
        msg = (
            f"{got} for a table of {kind} files; a web server does not list its files. Write the URLs into a "
            f"CSV file and declare their column {MEDIA_TYPES[kind].__name__}"
        )
        raise DefinitionError(msg)
    if "::" in pattern:
        msg = (
            f"{got} for a table of {kind} files; each of them is opened by its own path later on, which a chain "
            "of URLs does not give it. Write the URL of the storage itself, and unpack archives"
        )
        raise DefinitionError(msg)
    columns: dict[str, type[ColumnType]] = {
        kind: MEDIA_TYPES[kind],
        "path": String,
        "size": Int,
        "format": String,
    }
    for name, column_type in schema.items():
        if name not in columns:
            msg = f"{got}: a table of {kind} files has no column {name!r}; it has {', '.join(columns)}"
            raise UnknownColumnError(msg)
        if column_type is not columns[name]:
            msg = (
                f"{got}: schema[{name!r}] of a table of {kind} files is {type_name(columns[name])}, got "
                f"{type_name(column_type)}"
            )
            raise DefinitionError(msg)
    return {kind: MEDIA_TYPES[kind], **schema}


def media_columns(
    pattern: str, schema: Mapping[str, type[ColumnType]] | None = None
) -> list[tuple[str, str]] | None:
    """The columns of a table of media files and their Arrow types, as the UI shows them; None for other files."""
    kind = format_of(pattern, schema)[0]
    if kind not in MEDIA_SUFFIXES:
        return None
    media = "struct<bytes: binary, path: string>"
    return [(kind, media), ("path", "string"), ("size", "int64"), ("format", "string")]


def is_folder(pattern: str, file_format: FileFormat) -> bool:
    """Whether a pattern names a folder: all the media files directly in it."""
    if file_format not in MEDIA_SUFFIXES:
        return False
    last = pattern.rpartition("/")[2]
    return not last or (not _has_glob(last) and _suffix(last) not in MEDIA_SUFFIXES[file_format])


def read(files: Sequence[File], kind: MediaKind, pattern: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema, and one row for each file of that kind.

    As in a shell, `*` does not match hidden files. In a folder, files that are something else are left out.

    Raises SourceError if no file is left, for one that a glob matches though it is of another kind, and for a name
    that is not Unicode.
    """
    import pyarrow as pa

    suffixes = MEDIA_SUFFIXES[kind]
    folder = is_folder(pattern, kind)
    last = pattern.rpartition("/")[2]
    if folder or (_has_glob(last) and not last.startswith(".")):
        kept = [file for file in files if not posixpath.basename(file.path).startswith(".")]
    else:
        kept = list(files)
    kept = [file for file in kept if file.is_regular]
    of_kind = [file for file in kept if _suffix(file.path) in suffixes]
    if not folder and len(of_kind) < len(kept):
        other = next(file for file in kept if _suffix(file.path) not in suffixes)
        msg = (
            f"{_escape_surrogates(other.name)}: is no {kind} file by its suffix, but matches {redact_urls(pattern)}; allowed: "
            f"{', '.join(suffixes)}. Write a suffix into the pattern, as in '*{next(iter(suffixes))}', or the "
            "folder alone, in which other files are left out"
        )
        raise SourceError(msg)
    if not of_kind:
        raise SourceError(_no_files_message(files, kind, pattern))
    addresses = [_unicode_address(file.address) for file in of_kind]
    struct = MEDIA_TYPES[kind].arrow()
    schema = pa.schema(
        [
            media_field(kind, MEDIA_TYPES[kind]),
            pa.field("path", pa.string()),
            pa.field("size", pa.int64()),
            pa.field("format", pa.string()),
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(of_kind), _BATCH_ROWS):
            part = of_kind[start : start + _BATCH_ROWS]
            paths = pa.array(addresses[start : start + _BATCH_ROWS], pa.string())
            unread = pa.nulls(len(part), pa.binary())
            columns = [
                pa.StructArray.from_arrays([unread, paths], fields=list(struct)),
                paths,
                pa.array([file.size for file in part], pa.int64()),
                pa.array([suffixes[_suffix(file.path)] for file in part], pa.string()),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def _has_glob(part: str) -> bool:
    return re.search(r"[*?[]", without_placeholders(part)) is not None


def _suffix(path: str) -> str:
    """A file's suffix in lower case, its dot included; empty if it has none."""
    dot, suffix = path.rpartition("/")[2].lower().rpartition(".")[1:]
    return dot + suffix if dot else ""


def _unicode_address(address: str) -> str:
    try:
        address.encode()
    except UnicodeEncodeError:
        msg = f"{_escape_surrogates(address)}: its name is not Unicode text, which a column could hold; rename it"
        raise SourceError(msg) from None
    return address


def _no_files_message(files: Sequence[File], kind: MediaKind, pattern: str) -> str:
    """The message for files that were found, none of which is read."""
    folders = sorted({posixpath.dirname(file.name) for file in files})
    names = [posixpath.basename(f.path) + ("" if f.is_regular else " (a link)") for f in files]
    return _escape_surrogates(
        f"no {kind} file matches {redact_urls(pattern)}; in {first_few(folders)} there is {first_few(names)}. Read are "
        f"files with a suffix of {', '.join(MEDIA_SUFFIXES[kind])} that are neither hidden nor links"
    )


def _escape_surrogates(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
