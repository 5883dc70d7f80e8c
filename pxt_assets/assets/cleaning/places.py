"""What a path in a store is, by its name: a column's file, or what belongs to one, here or where earlier versions had it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pxt_assets.storage.layout import (
    COMPANIONS,
    EARLIER_SIDECAR_SUFFIX,
    EARLIER_SIDECARS,
    SIDECAR_SUFFIX,
    stored_file,
)
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    from upath import UPath

STAGED = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")
_JOURNAL = re.compile(r"\.?(.+)\.journal")
_LOCK = re.compile(r"\.?(.+)\.lock")
_COLUMN = ".parquet"

Kind = Literal["column", "sidecar", "journal", "in_journal", "staged", "lock"]


@dataclass(frozen=True)
class Place:
    """What a path is, and the file of the column and partition that it belongs to."""

    kind: Kind
    column_file: ParquetFile
    is_earlier: bool = False
    """Whether earlier versions put it there."""


def place_of(base: UPath, path: UPath) -> Place | None:
    """What a path below the base path of a store is; None for a name that no store gives."""
    inside = path_parts(path)[len(path_parts(base)) :]
    is_companion = inside[0] == COMPANIONS
    folders, name = (inside[1:-1] if is_companion else inside[:-1]), inside[-1]
    if folders and (journal := _named(_JOURNAL, folders[-1], is_companion)):
        kind: Kind = "in_journal"
        folders, stem = folders[:-1], journal
    elif journal := _named(_JOURNAL, name, is_companion):
        kind, stem = "journal", journal
    elif staged := STAGED.fullmatch(name):
        kind, stem = "staged", staged[1]
        if not is_companion and folders[-1:] == (EARLIER_SIDECARS,):
            folders = folders[:-1]
    elif lock := _named(_LOCK, name, is_companion):
        kind, stem = "lock", lock
    elif is_companion and name.endswith(SIDECAR_SUFFIX):
        kind, stem = "sidecar", name
    elif not is_companion and folders[-1:] == (EARLIER_SIDECARS,) and name.endswith(EARLIER_SIDECAR_SUFFIX):
        kind, stem, folders = "sidecar", name, folders[:-1]
    elif not is_companion and name.endswith(_COLUMN):
        kind, stem = "column", name
    else:
        return None
    for suffix in (EARLIER_SIDECAR_SUFFIX, SIDECAR_SUFFIX, _COLUMN):
        stem = stem.removesuffix(suffix)
    return Place(kind, stored_file(base, folders, stem), not is_companion and kind != "column")


def _named(pattern: re.Pattern[str], name: str, is_companion: bool) -> str | None:
    """The name inside a name, which begins with a dot where earlier versions had such files."""
    found = pattern.fullmatch(name)
    return found[1] if found and name.startswith(".") != is_companion else None


def path_parts(path: UPath) -> tuple[str, ...]:
    """The folders of a path, and its name."""
    return PurePosixPath(path.path).parts
