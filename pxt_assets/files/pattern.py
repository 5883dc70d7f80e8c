"""The pattern that names a table's files: its placeholders, its suffix, and its text in messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.values.types import Audio, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pxt_assets.values.types import ColumnType

MediaKind = Literal["image", "audio"]
FileFormat = Literal["csv", "tsv", "jsonl", "parquet", "arrow"] | MediaKind

FORMAT_BY_SUFFIX: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
MEDIA_TYPES: dict[MediaKind, type[Image | Audio]] = {"image": Image, "audio": Audio}
"""The column of a table of media files, by its name, and the column's type."""
MEDIA_SUFFIXES: dict[MediaKind, dict[str, str]] = {
    "image": {
        ".jpg": "jpeg",
        ".tif": "tiff",
        **{f".{name}": name for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff")},
    },
    "audio": {
        f".{name}": name
        for name in (
            *("mp3", "wav", "flac", "ogg", "m4a", "mp4"),
            *("mpeg", "mpga", "oga", "webm", "opus", "aac"),
        )
    },
}
"""The format of media files by their suffix."""
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
"""How text files may be compressed, by the suffix after their own."""
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
SPREADSHEET_REMEDY = "save each sheet as CSV (in Excel: Save As, CSV UTF-8) and read that"
_TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_ALL_SUFFIXES = ", ".join(
    [
        *_TEXT_SUFFIXES,
        *(f"{s}.gz" for s in _TEXT_SUFFIXES),
        f"the same with {', '.join(s for s in COMPRESSIONS if s != '.gz')}",
        *(s for s in FORMAT_BY_SUFFIX if s not in _TEXT_SUFFIXES),
        *(s for suffixes in MEDIA_SUFFIXES.values() for s in suffixes),
    ]
)
_SUFFIX = re.compile(r"(\.[a-z][a-z0-9]*)(\.(?:gz|bz2|xz|zst))?\Z")
_EITHER_CASE = re.compile(r"\[([a-z0-9])\1\]")
"""What a glob for both cases of a letter, `[cC]`, is in lower case."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_pattern(
    pattern: str,
    partitioned: bool,
    dimensions: Sequence[str] = (),
    schema: Mapping[str, type[ColumnType]] | None = None,
) -> None:
    """Check, from the text alone, that a pattern suits a table's partitions.

    `dimensions` are the names of multi-dimensional partitions, empty for any other. Such a pattern names the
    whole key with `{partition_key}`, or every dimension, as without one of them several partitions would be
    the same rows. `schema` says what a folder's files are, see `format_of`.

    Raises DefinitionError for a placeholder that is unknown or that has no partition to stand for, for a
    missing one, for a suffix of no known format, and for a `**` that is not a whole folder.
    """
    named = set(_PLACEHOLDER.findall(pattern))
    got = f"got the file pattern {redact_urls(pattern)!r}"
    allowed = ["partition_key", *dimensions] if partitioned else []
    if not partitioned and named & {"partition_key", *dimensions}:
        msg = (
            f"{got} for a table without partitions; give it a partitions_def, or write a path without "
            "placeholders"
        )
        raise DefinitionError(msg)
    if unknown := sorted(named - set(allowed)):
        msg = f"{got} with the unknown placeholder {_in_braces(unknown)}; allowed: {_in_braces(allowed) or 'none'}"
        raise DefinitionError(msg)
    missing = [d for d in dimensions if d not in named] if dimensions else ["partition_key"]
    if partitioned and missing and "partition_key" not in named:
        write = f"{_in_braces(missing)} or {{partition_key}}" if dimensions else "{partition_key}"
        msg = (
            f"{got} for a partitioned table; several partitions would read the same files. Write "
            f"{write} into it, as in 'data/{{{missing[0]}}}.csv'"
        )
        raise DefinitionError(msg)
    if any("**" in part and part != "**" for part in pattern.split("/")):
        msg = (
            f"{got}; ** stands for any number of folders and must be a path's whole part, as in "
            "'data/**/*.csv'"
        )
        raise DefinitionError(msg)
    format_of(pattern, schema)


def format_of(
    pattern: str, schema: Mapping[str, type[ColumnType]] | None = None
) -> tuple[FileFormat, str | None]:
    """A pattern's format by its suffix, and how it is compressed, None if it is not.

    Without a suffix it names a folder, or some of its files, of the kind whose column `schema` declares.

    Raises DefinitionError that lists the suffixes there are.
    """
    links = pattern.split("::")  # fsspec chains URLs so: the first with a path of its own names the file
    path = next((link for link in links if "://" in link), links[-1])
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0].partition("#")[0]
    got = f"got the file pattern {redact_urls(pattern)!r}, whose suffix names no known format"
    found = _SUFFIX.search(_EITHER_CASE.sub(r"\1", path.lower()))
    if found is None and path:
        kinds = [
            kind for kind, column_type in MEDIA_TYPES.items() if schema and schema.get(kind) is column_type
        ]
        if len(kinds) == 1:
            return kinds[0], None
        msg = (
            f'{got}; to read a folder of images or of audio files, say which: schema={{"image": Image}} or '
            f'schema={{"audio": Audio}}, one of the two. The suffixes there are: {_ALL_SUFFIXES}'
        )
        raise DefinitionError(msg)
    if found is not None and found[1] in FORMAT_BY_SUFFIX and (not found[2] or found[1] in _TEXT_SUFFIXES):
        return FORMAT_BY_SUFFIX[found[1]], COMPRESSIONS.get(found[2])
    for kind, suffixes in MEDIA_SUFFIXES.items():
        if found is not None and found[1] in suffixes and not found[2]:
            return kind, None
    if found is not None and found[1] in SPREADSHEETS:
        msg = (
            f"got the file pattern {redact_urls(pattern)!r}: spreadsheets are not read; {SPREADSHEET_REMEDY}"
        )
        raise DefinitionError(msg)
    msg = f"{got}; allowed: {_ALL_SUFFIXES}, and / after the name of a folder of media files"
    raise DefinitionError(msg)


def table_suffix(name: str) -> str:
    """The end of a file's name that says it holds rows, such as `.csv.gz`, in lower case; empty without one."""
    found = _SUFFIX.search(name.lower())
    if found is None or found[1] not in FORMAT_BY_SUFFIX or (found[2] and found[1] not in _TEXT_SUFFIXES):
        return ""
    return found[0]


def fill_placeholders(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """The text with its placeholders replaced by the partition's values, each passed through `escape`.

    Partition keys are untrusted: raises SourceError for one that would lead out of the folder that the
    pattern names.
    """

    def value_of(found: re.Match[str]) -> str:
        return values.get(found[1], found[0])

    for name in values.keys() & set(_PLACEHOLDER.findall(text)):
        if not values[name] or any(c in values[name] for c in "/\\\0"):
            msg = (
                f"got {values[name]!r} for {{{name}}}; allowed as a part of a path is text without / \\ "
                "and NUL"
            )
            raise SourceError(msg)
    for part in text.split("/"):
        bare = _PLACEHOLDER.sub(value_of, part)
        if bare != part and bare in {".", ".."}:
            msg = (
                f"got a partition key that makes {part!r} the folder {bare!r}, which leads out of the "
                "pattern's folder; allowed is any other text"
            )
            raise SourceError(msg)
    return _PLACEHOLDER.sub(lambda found: escape(value_of(found)) if found[1] in values else found[0], text)


def without_placeholders(pattern: str) -> str:
    """The pattern's own text, its placeholders left out."""
    return _PLACEHOLDER.sub("", pattern)


def redact_urls(text: str) -> str:
    """A text with the user names and passwords in its URLs, and the query strings of http ones, replaced by ***."""
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return re.sub(r"(https?://[^\s?]*)\?[^\s'\"]*", r"\1?***", text)


def _in_braces(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
