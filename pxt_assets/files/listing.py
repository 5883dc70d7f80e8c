"""The files of a pattern as partitions see them: each by its path below the pattern's folder, with what tells a change."""

from __future__ import annotations

import glob
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import DefinitionError
from pxt_assets.files.location import (
    File,
    display_name,
    errors_as_source_error,
    folder_contents_text,
    secrets_of,
)
from pxt_assets.files.media import is_folder
from pxt_assets.files.pattern import MEDIA_SUFFIXES, format_of, redact_urls, without_placeholders

if TYPE_CHECKING:
    from pxt_assets.values.types import ColumnType

_TAGS = ("ETag", "etag", "generation")
"""What object stores call an object's version. They show an object only once it is whole."""
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_MAGIC = re.compile(r"[*?[]")
_LOOKUPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing tells of a file."""

    size: int
    """In bytes; 0 where the storage does not tell."""
    version: str
    """Another one once the file is changed."""
    modified: float | None
    """Seconds since 1970, by the storage's clock; None where no file can be seen before it is whole."""


def check_listable(pattern: str) -> None:
    """Raises DefinitionError for a pattern whose files cannot be partitions: placeholders, web servers, chained URLs."""
    got = f"got the file pattern {redact_urls(pattern)!r} with partitions='files'"
    if without_placeholders(pattern) != pattern:
        msg = f"{got}, where each file is a partition; a placeholder needs partitions_def. Write a glob, as in 'data/*.csv'"
        raise DefinitionError(msg)
    if "::" in pattern or pattern.startswith(("http://", "https://")):
        msg = f"{got}; only a folder or a bucket can list its files, which a web server or a chain of URLs does not"
        raise DefinitionError(msg)


def list_files(
    pattern: str, schema: Mapping[str, type[ColumnType]], storage_options: Mapping[str, Any]
) -> dict[str, Listed]:
    """The files that a pattern names, by their paths below its folder, in sorted order; {} if there are none.

    Hidden files are left out, and what is in folders whose names begin with a dot or an underscore, where Spark and others
    keep what is not finished, unless the pattern names them. So is what is no file (a pipe, a link that leads nowhere), and
    what has no bytes: it holds no rows, or somebody has just begun to write it. Raises SourceError if the storage fails.
    """
    place = _Place.of(pattern, schema, storage_options)
    with place.errors(redact_urls(pattern)):
        place.fs.invalidate_cache()
        return dict(sorted(place.found(), key=lambda one: one[0]))


def files_at(
    pattern: str,
    paths: Sequence[str],
    schema: Mapping[str, type[ColumnType]],
    storage_options: Mapping[str, Any],
) -> list[File]:
    """The files at these paths below the pattern's folder, in this order, without those that are gone or have no bytes.

    Raises SourceError if the storage fails.
    """
    place = _Place.of(pattern, schema, storage_options)
    compression = format_of(pattern, schema)[1]

    def file_at(path: str) -> File | None:
        full = f"{place.root}/{path}"
        with suppress(FileNotFoundError):
            info = place.fs.info(full)
            if _has_bytes(place.fs, full, info):
                is_file = info["type"] == "file"
                return File(place.fs, full, compression, place.secrets, info.get("size"), is_file)
        return None

    with place.errors(redact_urls(pattern)):
        place.fs.invalidate_cache()
        if len(paths) == 1:
            found = [file_at(paths[0])]
        else:  # an object store is asked for each of them
            with ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "pxt-files") as pool:
                found = list(pool.map(file_at, paths))
    return [file for file in found if file is not None]


def folder_of(
    pattern: str, schema: Mapping[str, type[ColumnType]], storage_options: Mapping[str, Any]
) -> str:
    """The folder below which a pattern's files are, as messages name it."""
    place = _Place.of(pattern, schema, storage_options)
    return display_name(place.fs, place.root)


def nothing_found_text(
    pattern: str, schema: Mapping[str, type[ColumnType]], storage_options: Mapping[str, Any]
) -> str:
    """A sentence on a pattern that names no file: what there is instead."""
    place = _Place.of(pattern, schema, storage_options)
    return f"no file matches {redact_urls(pattern)}; {folder_contents_text(place.fs, place.root)}"


@dataclass(frozen=True)
class _Place:
    """A pattern, taken apart."""

    fs: Any
    glob: str
    root: str
    """The folder before its first wildcard, without a slash at its end."""
    suffixes: frozenset[str] | None
    """Of the files that belong to it, of a folder of images or sounds; None where the glob alone decides."""
    secrets: Sequence[str]

    @classmethod
    def of(
        cls, pattern: str, schema: Mapping[str, type[ColumnType]], storage_options: Mapping[str, Any]
    ) -> _Place:
        from fsspec.core import url_to_fs

        secrets = secrets_of(pattern, storage_options)
        with errors_as_source_error(redact_urls(pattern), secrets):
            fs, path = url_to_fs(pattern, **storage_options)
        kind = format_of(pattern, schema)[0]
        if kind in MEDIA_SUFFIXES and is_folder(pattern, kind):
            root = path.rstrip("/")
            return cls(fs, f"{glob.escape(root)}/*", root, frozenset(MEDIA_SUFFIXES[kind]), secrets)
        start = path.removesuffix(pattern.removeprefix("./"))  # where a relative path starts from
        start = "" if start == path else start
        own = path[len(start) :]
        root = (start + _MAGIC.split(own)[0]).rpartition("/")[0]
        return cls(fs, glob.escape(start) + own, root, None, secrets)

    def errors(self, name: str) -> Any:
        return errors_as_source_error(name, self.secrets)

    def found(self) -> Iterator[tuple[str, Listed]]:
        below = len(self.root) + 1
        *parts, last = self.glob[below:].split("/")
        shows_hidden = last.startswith(".")
        named = [part for part in parts if part.startswith((".", "_"))]
        for path, info in self._infos():
            inside = path[below:]
            *folders, name = inside.split("/")
            hidden = [folder for folder in folders if folder.startswith((".", "_"))]
            if (name.startswith(".") and not shows_hidden) or not all(
                any(fnmatchcase(folder, part) for part in named) for folder in hidden
            ):
                continue
            if self.suffixes is not None and posixpath.splitext(name)[1].lower() not in self.suffixes:
                continue
            if _has_bytes(self.fs, path, info):
                yield inside, _listed(_followed(path, info) if info.get("islink") else info)

    def _infos(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not _MAGIC.search(self.glob):
            with suppress(FileNotFoundError):
                yield self.glob, self.fs.info(self.glob)
            return
        for path, info in self.fs.glob(self.glob, detail=True).items():
            if info["type"] != "directory":
                yield path, info


def _has_bytes(fs: Any, path: str, info: Mapping[str, Any]) -> bool:
    """Whether there is something to read: opening a pipe would wait for its writer for ever."""
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(fs, LocalFileSystem) and (info["type"] != "file" or info.get("islink")):
        return Path(path).is_file() and Path(path).stat().st_size > 0
    return info["type"] != "directory" and info.get("size") != 0


def _followed(path: str, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a local link leads to: it is that file that changes."""
    with suppress(OSError):
        found = Path(path).stat()
        return {**info, "size": found.st_size, "mtime": found.st_mtime}
    return info


def _listed(info: Mapping[str, Any]) -> Listed:
    size = info.get("size")
    tag = next((info[name] for name in _TAGS if info.get(name)), None)
    if tag is not None:
        return Listed(size or 0, f"{size} {tag}".replace('"', ""), None)
    time = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    modified = time.timestamp() if isinstance(time, datetime) else time
    return Listed(size or 0, f"{size} {modified}", modified if isinstance(modified, int | float) else None)
