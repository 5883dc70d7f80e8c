"""Finding files: the list of files that a pattern and a partition name."""

from __future__ import annotations

import glob
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

from pxt_assets.errors import PxtError, SourceError
from pxt_assets.files.pattern import (
    SPREADSHEET_REMEDY,
    SPREADSHEETS,
    fill_placeholders,
    redact_urls,
    without_placeholders,
)


@dataclass(frozen=True)
class File:
    """One file of a pattern."""

    fs: Any
    """The fsspec file system that holds it."""
    path: str
    """Its path in that file system."""
    compression: str | None
    """How it is compressed, as fsspec names it."""
    secrets: Sequence[str] = field(repr=False)
    """Texts that must not appear in a message."""
    size: int | None = None
    """Its size in bytes as stored, None if the file system's listing does not give it."""
    is_regular: bool = True
    """Whether the listing reports a file, rather than a link or a device."""

    @property
    def name(self) -> str:
        """Its name in messages: the path of a local file, the URL of any other, without credentials."""
        return display_name(self.fs, self.path)

    @property
    def address(self) -> str:
        """Its absolute path, or its URL without credentials: opens the file with the same storage options."""
        url = _full_url(self.fs, self.path)
        return url if url == self.path else re.sub(r"\A([^:/]+://)[^/]*@", r"\1", url)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """The file's bytes, decompressed."""
        from fsspec.core import OpenFile

        if self.compression == "zstd":
            return _open_zstd(self.fs, self.path)
        return cast(
            "AbstractContextManager[BinaryIO]",
            OpenFile(self.fs, self.path, "rb", compression=self.compression),
        )

    def errors_as_source_error(self) -> AbstractContextManager[None]:
        """Within the block, errors of the storage or the format are raised as a SourceError that names the file."""
        return errors_as_source_error(self.name, self.secrets)


def local_file(path: str, compression: str | None) -> File:
    """The file at an absolute path of this machine, whatever characters its name has."""
    from fsspec.implementations.local import LocalFileSystem

    return File(LocalFileSystem(), path, compression, ())


@contextmanager
def _open_zstd(fs: Any, path: str) -> Iterator[BinaryIO]:
    """The file's bytes; fsspec needs a package of its own for what Arrow knows."""
    import pyarrow as pa

    with fs.open(path, "rb") as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        yield cast("BinaryIO", stream)


def find_files(
    pattern: str,
    values: Mapping[str, str],
    partition_key: str | None,
    storage_options: Mapping[str, Any],
    *,
    compression: str | None = None,
) -> list[File]:
    """The files that a pattern names once its placeholders have the given values, in sorted path order.

    Raises SourceError if there is none, if the storage fails, or if a value would lead out of the pattern's
    folder.
    """
    from fsspec.core import url_to_fs

    secrets = secrets_of(pattern, storage_options)
    with errors_as_source_error(redact_urls(pattern), secrets):
        # The key goes in only after the URL is taken apart: nothing in it can name another protocol or host.
        fs, path = url_to_fs(pattern, **storage_options)
        if without_placeholders(path) == path and without_placeholders(pattern) != pattern:
            msg = (
                f"{redact_urls(pattern)}: placeholders must stand in the path, not in the host or in a later "
                "link of a chain"
            )
            raise SourceError(msg)
        http = pattern.startswith(("http://", "https://"))
        quoted = partial(quote, safe="") if http else None
        magic = "[*[]" if http else "[*?[]"  # a query string makes no glob
        if re.search(magic, without_placeholders(pattern)):
            folder = path.removesuffix(
                pattern.removeprefix("./")
            )  # the folder that a relative path starts from
            path = glob.escape(folder) + path[len(folder) :] if folder != path else path
            path = fill_placeholders(path, values, quoted or glob.escape)
            fs.invalidate_cache()
            found = {p: i for p, i in fs.glob(path, detail=True).items() if i["type"] != "directory"}
            folder = re.split(magic, path)[0].rpartition("/")[0]
        else:
            path = fill_placeholders(path, values, quoted or str)
            found = _file_info(fs, path, redact_urls(pattern))
            folder = posixpath.dirname(path)
        if not found:
            where = f" in partition {partition_key!r}" if partition_key is not None else ""
            msg = (
                f"no file matches {redact_urls(pattern)}{where} (looked for {display_name(fs, path)}); "
                f"{folder_contents_text(fs, folder)}"
            )
            raise SourceError(msg)
    return [
        File(fs, p, compression, secrets, found[p].get("size"), found[p]["type"] == "file")
        for p in sorted(found)
    ]


def _file_info(fs: Any, path: str, pattern: str) -> dict[str, dict[str, Any]]:
    """The storage's information about the file, by its path; {} if there is no such file."""
    fs.invalidate_cache()
    try:
        info = fs.info(path)
    except FileNotFoundError:
        return {}
    if info["type"] == "directory":
        msg = (
            f"{display_name(fs, path)} is a folder; to read the files in it, write a pattern such as "
            f"{pattern + '/*' + posixpath.splitext(pattern)[1]!r}"
        )
        raise SourceError(msg)
    return {path: info}


def folder_contents_text(fs: Any, folder: str) -> str:
    """A sentence on what the folder holds instead, if it can be listed."""
    name = display_name(fs, folder)
    try:
        entries = fs.ls(folder, detail=True)
    except FileNotFoundError:
        return f"there is no folder {name}"
    except Exception:  # not every storage can list, nor may every user: the message does without
        return f"the folder {name} cannot be listed"
    names = [posixpath.basename(e["name"].rstrip("/")) for e in entries if e["type"] != "directory"]
    folders = [posixpath.basename(e["name"].rstrip("/")) for e in entries if e["type"] == "directory"]
    if not names:
        below = f", but the folders {first_few(folders)}" if folders else ""
        return f"the folder {name} holds no files{below}"
    sheets = any(n.lower().endswith(SPREADSHEETS) for n in names)
    remedy = f"; spreadsheets are not read, {SPREADSHEET_REMEDY}" if sheets else ""
    return f"the folder {name} holds {first_few(names)}{remedy}"


def first_few(names: Sequence[str]) -> str:
    """The first five names in sorted order, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(sorted(names)[:5]) + more


def display_name(fs: Any, path: str) -> str:
    """A path as messages show it: of a local file itself, of any other its URL without credentials."""
    url = _full_url(fs, path)
    return path if url == path else redact_urls(url)


def _full_url(fs: Any, path: str) -> str:
    """The URL of a path; of a local file the path itself."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return path if "file" in protocols else str(fs.unstrip_protocol(path))


@contextmanager
def errors_as_source_error(name: str, secrets: Sequence[str]) -> Iterator[None]:
    """Within the block, any error is raised as a SourceError that begins with `name` and shows no secret."""
    try:
        yield
    except (PxtError, MemoryError):
        raise
    except Exception as e:  # every storage has errors of its own
        text = str(e)
        for secret in secrets:
            text = text.replace(secret, "***")
        msg = f"{name} cannot be read: {type(e).__name__}: {redact_urls(text)}"
        # Without its cause: that would show up beside it, secrets and all.
        raise SourceError(msg) from None


def secrets_of(pattern: str, storage_options: Mapping[str, Any]) -> list[str]:
    """The texts of four characters and more in the storage options and in the pattern's user names and passwords."""
    found: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, Mapping):
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list | tuple | set):
            for inner in value:
                collect(inner)
        elif isinstance(value, bytes):
            found.append(value.decode("utf-8", "replace"))
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found.append(str(value))

    collect(storage_options)
    for link in pattern.split("::"):
        userinfo = urlsplit(link).netloc.rpartition("@")[0]
        password = userinfo.partition(":")[2]
        found += [userinfo, password, unquote(password)]
    return sorted({text for text in found if len(text) >= 4}, key=len, reverse=True)
