"""The pattern that names a table's files: its placeholders, its suffix, and how it is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pxt_assets.errors import DefinitionError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Format = Literal["csv", "tsv", "jsonl", "parquet", "arrow"]

FORMATS: dict[str, Format] = {
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
_TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
_SUFFIXES = ", ".join([*_TEXT, *(f"{s}.gz" for s in _TEXT), *(s for s in FORMATS if s not in _TEXT)])
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_pattern(pattern: str, partitioned: bool, dimensions: Sequence[str] = ()) -> None:
    """Check, from the text alone, that a pattern suits a table's partitions.

    `dimensions` are the names of multi-dimensional partitions, empty for any other. Such a pattern names the
    whole key with `{partition_key}`, or every dimension, as without one of them several partitions would be
    the same rows.

    Raises DefinitionError for a placeholder that is unknown or that has no partition to stand for, for a
    missing one, for a suffix of no known format, and for a `**` that is not a whole folder.
    """
    named = set(_PLACEHOLDER.findall(pattern))
    got = f"got the file pattern {shown(pattern)!r}"
    allowed = ["partition_key", *dimensions] if partitioned else []
    if not partitioned and named & {"partition_key", *dimensions}:
        msg = (
            f"{got} for a table without partitions; give it a partitions_def, or write a path without "
            "placeholders"
        )
        raise DefinitionError(msg)
    if unknown := sorted(named - set(allowed)):
        msg = f"{got} with the unknown placeholder {_braced(unknown)}; allowed: {_braced(allowed) or 'none'}"
        raise DefinitionError(msg)
    missing = [d for d in dimensions if d not in named] if dimensions else ["partition_key"]
    if partitioned and missing and "partition_key" not in named:
        write = f"{_braced(missing)} or {{partition_key}}" if dimensions else "{partition_key}"
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
    format_of(pattern)


def format_of(pattern: str) -> tuple[Format, bool]:
    """A pattern's format by its suffix, and whether it is gzipped.

    Raises DefinitionError that lists the suffixes there are.
    """
    links = pattern.split("::")  # fsspec chains URLs so: the first with a path of its own names the file
    path = next((link for link in links if "://" in link), links[-1])
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0].partition("#")[0]
    found = re.search(r"(\.[a-z]+)(\.gz)?$", path.lower())
    if found is None or found[1] not in FORMATS or (found[2] and found[1] not in _TEXT):
        msg = (
            f"got the file pattern {shown(pattern)!r}, whose suffix names no known format; allowed: "
            f"{_SUFFIXES}"
        )
        raise DefinitionError(msg)
    return FORMATS[found[1]], bool(found[2])


def filled(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """The text with its placeholders replaced by the partition's values, each passed through `escape`.

    Partition keys are untrusted: raises SourceError for one that would lead out of the folder that the
    pattern names.
    """

    def put(found: re.Match[str]) -> str:
        return values.get(found[1], found[0])

    for name in values.keys() & set(_PLACEHOLDER.findall(text)):
        if not values[name] or any(c in values[name] for c in "/\\\0"):
            msg = (
                f"got {values[name]!r} for {{{name}}}; allowed as a part of a path is text without / \\ "
                "and NUL"
            )
            raise SourceError(msg)
    for part in text.split("/"):
        bare = _PLACEHOLDER.sub(put, part)
        if bare != part and bare in {".", ".."}:
            msg = (
                f"got a partition key that makes {part!r} the folder {bare!r}, which leads out of the "
                "pattern's folder; allowed is any other text"
            )
            raise SourceError(msg)
    return _PLACEHOLDER.sub(lambda found: escape(put(found)) if found[1] in values else found[0], text)


def without_placeholders(pattern: str) -> str:
    """The pattern's own text, its placeholders left out."""
    return _PLACEHOLDER.sub("", pattern)


def shown(text: str) -> str:
    """A text, its URLs without user names, passwords and the query strings of signed links."""
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return re.sub(r"(https?://[^\s?]*)\?[^\s'\"]*", r"\1?***", text)


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
