"""Where what belongs to a column's file is kept: its sidecar, its journal, its claim.

Readers of a folder take every file in it for the table's: DuckDB and polars read hidden ones too, and polars refuses a
folder with files of two endings. So a table's folder holds nothing but its `*.parquet`, and all else is in a folder of
the same name below `<base>/.pxt_assets`, under names that no pattern for Parquet files meets:

    <base>/tickets/response/2027-03-01.parquet
    <base>/.pxt_assets/tickets/response/2027-03-01.provenance
                                        2027-03-01.journal/
                                        2027-03-01.lock
                                        batches/
    <base>/.pxt_assets/tickets/files.assigned
                               files.requested-6634d4ad...

Earlier versions had all of it beside the file: `_meta/2027-03-01.meta.parquet`, `.2027-03-01.journal/`,
`.2027-03-01.lock`. A file without companions has it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    from upath import UPath

COMPANIONS = ".pxt_assets"
"""The folder of a store for all that is no table. No asset's: in theirs, dots are quoted."""
SIDECAR_SUFFIX = ".provenance"
BACKGROUND_SUFFIX = ".background"
EARLIER_SIDECARS = "_meta"
EARLIER_SIDECAR_SUFFIX = ".meta.parquet"


def stored_file(base: UPath, folders: tuple[str, ...], name: str) -> ParquetFile:
    """The file `<name>.parquet` in a folder of a store, with its companions."""
    return ParquetFile(base.joinpath(*folders, f"{name}.parquet"), base.joinpath(COMPANIONS, *folders))


def sidecar_of(file: ParquetFile) -> ParquetFile:
    """The file of a column's provenance."""
    name = file.path.stem
    if file.companions is None:
        return ParquetFile(file.path.parent / EARLIER_SIDECARS / f"{name}{EARLIER_SIDECAR_SUFFIX}")
    return ParquetFile(file.companions / f"{name}{SIDECAR_SUFFIX}")


def journal_folder(file: ParquetFile) -> UPath:
    """The folder of a column's journal."""
    return _companion(file, "journal")


def background_folder(file: ParquetFile) -> UPath:
    """The folder of the ids of responses that are made in the background for a column's file."""
    return _companion(file, BACKGROUND_SUFFIX.removeprefix("."))


def lock_path(file: ParquetFile) -> UPath:
    """The lock that is a claim on a column's file, on a local disk."""
    return _companion(file, "lock")


def batches_folder(file: ParquetFile) -> UPath:
    """The folder of what is on record of a column's batches, of all its partitions."""
    return companion_folder(file) / "batches"


def companion_folder(file: ParquetFile) -> UPath:
    """The folder of what belongs to a file but is no table."""
    return file.path.parent if file.companions is None else file.companions


def _companion(file: ParquetFile, kind: str) -> UPath:
    name = f"{file.path.stem}.{kind}"
    return companion_folder(file) / (f".{name}" if file.companions is None else name)


def earlier_layout(file: ParquetFile) -> ParquetFile | None:
    """The file as earlier versions had it, its companions beside it; None if they are there now."""
    return None if file.companions is None else ParquetFile(file.path)
