"""Leftovers in a store: files that a crash, or a column that is no longer defined, left behind.

Images and sounds are stored inside their columns' files, so that none of them can be left over. Only a file at a path
where the store itself would put it is the store's: one that was copied, linked or derived from it is its owner's. Cells
that are paid for and in no column's file are kept, and so is a file of which it cannot be told.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import dagster as dg

from pxt_assets.assets.cleaning.code_locations import CodeLocations
from pxt_assets.assets.cleaning.places import STAGED, Place, path_parts, place_of
from pxt_assets.errors import PxtError, SourceError
from pxt_assets.storage.atomic_file import is_local, remove, remove_if_empty
from pxt_assets.storage.layout import (
    COMPANIONS,
    EARLIER_SIDECARS,
    earlier_layout,
    journal_folder,
    sidecar_of,
)
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.store import ColumnStore, file_name

if TYPE_CHECKING:
    from upath import UPath

    from pxt_assets.compute.claims.claim import Pause

_CLAIM = re.compile(r"[0-9a-f]{32}\.claim")
_SEGMENT = re.compile(r"\d{20}-[0-9a-f]{8}\.(arrow|refresh)")
_REFRESH = ".refresh"
_UNTOUCHED_SECONDS = 86_400.0
"""How long nothing must have been written to a file that a run may still be writing."""


@dataclass(frozen=True)
class Leftover:
    """A file, or a journal's folder, that no run needs any more, or that looks like it."""

    path: UPath
    reason: str
    size_bytes: int
    column_file: ParquetFile
    """The file of the column and partition that it belongs to."""
    kept: bool = False
    """Whether it has to stay; `reason` says why."""
    segment_names: tuple[str, ...] | None = None
    """The segments in a journal's folder; None for a file."""
    is_claim: bool = False
    """Whether it is a claim on the partition by a run that died: the next claim on the partition removes it."""
    is_orphaned: bool = False
    """Whether the column is no longer defined."""
    moves_to: UPath | None = None
    """Where it belongs, if it is needed and is where earlier versions had it."""


def find_leftovers(
    store: ColumnStore, locations: CodeLocations, *, clock: Callable[[], float] = time.time
) -> Iterator[Leftover]:
    """The leftovers in a store, by what its code locations define; those that have to stay are `kept`.

    `clock` gives the seconds since 1970.
    """
    scan = _StoreScan(store, locations, clock)
    base = scan.base
    base.fs.invalidate_cache(base.path)
    if not base.exists():
        return
    root = PurePosixPath(base.fs._strip_protocol(base.path))
    # a column's journal before its file: without the file its cells would seem to be stored nowhere
    for companions in (True, False):
        for folder, folders, files in base.fs.walk((base / COMPANIONS if companions else base).path):
            inside = PurePosixPath(str(folder)).relative_to(root).parts
            if (inside[:1] == (COMPANIONS,)) == companions:
                for name in [*sorted(folders), *sorted(files)]:
                    leftover = scan.examine(base.joinpath(*inside, name))
                    if leftover is not None:
                        yield leftover


def remove_leftover(
    leftover: Leftover,
    store: ColumnStore,
    locations: CodeLocations,
    *,
    clock: Callable[[], float] = time.time,
    pause: Pause = threading.Event.wait,
) -> Leftover | None:
    """Claims the partition, looks at the leftover again, and removes it, or moves it, if it still is one.

    Returns what it was then: one that is `kept` was not removed; None where it is no leftover any more. Raises RunError
    while a run computes that column and partition.
    """
    from pxt_assets.compute.claims.claim import hold_claim

    scan = _StoreScan(store, locations, clock)

    async def remove_claimed() -> Leftover | None:
        async with hold_claim(leftover.column_file, pause=pause) as check_claim:
            if leftover.is_claim:
                return leftover
            scan.base.fs.invalidate_cache()
            now = scan.examine(leftover.path)
            if now is not None and now.moves_to is not None:
                _move(now, check_claim)
            elif now is not None and not now.kept:
                check_claim()
                _remove_files(now)
            return now

    now = asyncio.run(remove_claimed())
    if now is not None and now.is_orphaned and not now.kept and is_local(now.path):
        assert now.column_file.companions is not None
        folder = now.column_file.path.parent
        for empty in (folder / EARLIER_SIDECARS, folder, now.column_file.companions):
            remove_if_empty(empty)
    return now


def _move(leftover: Leftover, check_claim: Callable[[], None]) -> None:
    from pxt_assets.compute.cells.earlier_companions import move_journal, move_sidecar

    earlier = earlier_layout(leftover.column_file)
    assert earlier is not None
    if leftover.segment_names is None:
        move_sidecar(earlier, leftover.column_file, check_claim)
    else:
        move_journal(earlier, leftover.column_file)


def _remove_files(leftover: Leftover) -> None:
    names = leftover.segment_names
    for path in [leftover.path] if names is None else [leftover.path / name for name in names]:
        remove(path)
    if names is not None:
        remove_if_empty(leftover.path)
    elif leftover.path.parent.suffix == ".journal":
        remove_if_empty(leftover.path.parent)


class _StoreScan:
    """Looks for leftovers in a store, by what code locations define."""

    def __init__(self, store: ColumnStore, locations: CodeLocations, clock: Callable[[], float]) -> None:
        self.base = store.root
        self._store = store
        self._clock = clock
        self._assets = {_asset_folder(key): key for key in locations.assets}
        self._tables = {_asset_folder(key) for key in locations.tables}

    def examine(self, path: UPath) -> Leftover | None:
        """The leftover that a file or a journal's folder is; None where it is none."""
        if self._is_linked(path):
            return None
        place = place_of(self.base, path)
        if place is None:
            return None
        match place.kind:
            case "in_journal":
                return self._examine_journal_file(path, place.column_file)
            case "journal":
                return self._examine_journal(path, place)
            case "staged":
                return self._examine_staged_file(path, place.column_file)
            case "lock":
                return self._examine_lock(path, place.column_file)
            case "sidecar":
                return self._examine_sidecar(path, place)
            case "column":
                return self._examine_column_file(place.column_file)

    def _is_linked(self, path: UPath) -> bool:
        """Whether it is a link, or in a linked folder: what a link leads to is not the store's."""
        if not is_local(path):
            return False
        depth = len(path_parts(path)) - len(path_parts(self.base))
        return any(one.is_symlink() for one in [Path(path.path), *Path(path.path).parents][:depth])

    def _folder_names(self, column_file: ParquetFile) -> tuple[str, ...]:
        """The names of the folders below the base path in which a column's file is."""
        return path_parts(column_file.path)[len(path_parts(self.base)) : -1]

    def _is_defined(self, column_file: ParquetFile) -> bool:
        """Whether its folder is that of a defined asset, or of a column of a defined table."""
        folder = self._folder_names(column_file)
        return folder in self._assets or folder[:-1] in self._tables

    def _undefined_asset(self, column_file: ParquetFile) -> dg.AssetKey | None:
        """The asset of a computed column's file, if no code location defines it; None for any other file."""
        if self._folder_names(column_file) in self._assets or self._is_linked(column_file.path):
            return None
        try:
            metadata = column_file.reopened().metadata
        except (SourceError, OSError, ValueError):
            return None  # it is no file of a column
        asset, partition = metadata.get("asset"), metadata.get("partition")
        if not isinstance(asset, list) or len(asset) < 2 or not isinstance(partition, str | None):
            return None
        key = dg.AssetKey([str(part) for part in asset])
        return key if self._store.file(key, partition).path.path == column_file.path.path else None

    def _as_orphan(self, leftover: Leftover, key: dg.AssetKey) -> Leftover:
        """The leftover of a column that is not defined: kept, unless its table is defined."""
        table = dg.AssetKey(key.path[:-1])
        if _asset_folder(table) in self._tables:
            return replace(leftover, is_orphaned=True)
        reason = f"no loaded code location defines the table {table.to_user_string()}"
        return replace(leftover, reason=reason, kept=True)

    def _examine_column_file(self, file: ParquetFile) -> Leftover | None:
        key = self._undefined_asset(file)
        if key is None:
            return None
        return self._as_orphan(
            Leftover(file.path, "its column is no longer defined", _size_bytes(file.path), file), key
        )

    def _examine_sidecar(self, path: UPath, place: Place) -> Leftover | None:
        from pxt_assets.compute.cells.sidecar import sidecar_schema

        column_file = place.column_file
        leftover = Leftover(path, "its column is no longer defined", _size_bytes(path), column_file)
        if column_file.exists() or self._is_linked(column_file.path):
            key = self._undefined_asset(column_file)
            if key is not None:
                return self._as_orphan(leftover, key)
            if not place.is_earlier or self._folder_names(column_file) not in self._assets:
                return None
            reason = "an earlier version has put it where readers of the column's folder meet it"
            return replace(leftover, reason=reason, moves_to=sidecar_of(column_file).path)
        if not self._is_defined(column_file):
            return None
        with suppress(SourceError, OSError, ValueError):  # it is no sidecar
            if set(sidecar_schema().names) <= set(ParquetFile(path).schema.names):
                reason = "it tells of a column's file that is gone"
                return replace(
                    leftover, reason=reason, is_orphaned=self._folder_names(column_file) not in self._assets
                )
        return None

    def _examine_staged_file(self, path: UPath, column_file: ParquetFile) -> Leftover | None:
        if not self._is_defined(column_file) or not self._is_untouched(path):
            return None
        return Leftover(path, "a write that was broken off", _size_bytes(path), column_file)

    def _examine_lock(self, path: UPath, column_file: ParquetFile) -> Leftover | None:
        if not self._is_defined(column_file) or not self._is_untouched(path):
            return None
        from pxt_assets.compute.claims.owner import parse_owner

        try:
            owner = parse_owner(path.read_bytes())
        except OSError:
            return None
        if not {"run_id", "host", "pid"} <= set(owner):
            return None  # another program's
        reason = f"the lock of process {owner['pid']} on {owner['host']}, unless that still computes"
        return Leftover(path, reason, _size_bytes(path), column_file, is_claim=True)

    def _examine_journal_file(self, path: UPath, column_file: ParquetFile) -> Leftover | None:
        if STAGED.fullmatch(path.name):
            return self._examine_staged_file(path, column_file)
        if _CLAIM.fullmatch(path.name) and self._is_defined(column_file) and self._is_untouched(path):
            return Leftover(
                path, "the claim of a run that died", _size_bytes(path), column_file, is_claim=True
            )
        return None

    def _examine_journal(self, folder: UPath, place: Place) -> Leftover | None:
        column_file = place.column_file
        try:
            file_names = sorted(path.name for path in folder.iterdir())
        except OSError:
            return None  # a run has ended meanwhile
        names = tuple(name for name in file_names if _SEGMENT.fullmatch(name))
        if file_names and not names:
            return None  # claims, or another program's
        size = sum(_size_bytes(folder / name) for name in names)
        reason = "all its cells are in the column's file"
        leftover = Leftover(folder, reason, size, column_file, segment_names=names)
        key = self._undefined_asset(column_file)
        if key is not None:
            reason = "the journal of a column that is no longer defined"
            return self._as_orphan(replace(leftover, reason=reason), key)
        asset = self._assets.get(self._folder_names(column_file))
        if asset is not None:
            to_keep = _reason_to_keep(folder, names, column_file.reopened(), asset.path[-1])
            if to_keep is None:
                return leftover
            if place.is_earlier:
                return replace(leftover, reason=to_keep, moves_to=journal_folder(column_file))
            return replace(leftover, reason=to_keep, kept=True)
        if not names:
            return None
        reason = "no loaded code location defines its column, and no file of the column is there"
        return replace(leftover, reason=reason, kept=True)

    def _is_untouched(self, path: UPath) -> bool:
        """Whether nothing was written to it for _UNTOUCHED_SECONDS."""
        try:
            written = path.fs.modified(path.path)
        except (OSError, NotImplementedError):  # it is gone, or its store does not tell
            return False
        return bool(written.timestamp() < self._clock() - _UNTOUCHED_SECONDS)


def _reason_to_keep(folder: UPath, names: Sequence[str], file: ParquetFile, column: str) -> str | None:
    """Why a column still needs its journal; None if it does not."""
    from pxt_assets.compute.cells.segments import Segments
    from pxt_assets.compute.cells.unstored_cells import count_unstored_cells

    if any(name.endswith(_REFRESH) for name in names):
        return "a refresh that was broken off: the next one goes on with it"
    segments = Segments(folder)
    try:
        waiting = count_unstored_cells(segments, names, file, column)
    except (PxtError, OSError, ValueError) as e:
        return str(e)
    finally:
        segments.close()
    if not waiting:
        return None
    return f"{waiting} finished cells that are not in the column's file yet: the next run takes them over"


def _asset_folder(key: dg.AssetKey) -> tuple[str, ...]:
    """The names of the folders that hold an asset's files."""
    return tuple(file_name(part) for part in key.path)


def _size_bytes(path: UPath) -> int:
    with suppress(OSError):
        return int(path.stat().st_size) if path.is_file() else 0
    return 0
