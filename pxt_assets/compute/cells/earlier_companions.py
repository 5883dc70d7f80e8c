"""Sidecars and journals that earlier versions left beside a column's file: moved to where they are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.journal import REFRESH_SUFFIX
from pxt_assets.compute.cells.segments import SUFFIX, names_in
from pxt_assets.compute.cells.sidecar import Sidecar
from pxt_assets.errors import RunError
from pxt_assets.storage.atomic_file import move_file, remove, remove_if_empty
from pxt_assets.storage.layout import earlier_layout, journal_folder, sidecar_of
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import pyarrow as pa


def move_earlier_companions(file: ParquetFile, check_claim: Callable[[], None]) -> None:
    """Moves the sidecar and the journal of an earlier version, if there are any, to their present places.

    To be called under the partition's claim. Each file is whole at one place or the other at any moment, so that this can
    be broken off and called again. `check_claim` raises if the claim is lost. Raises RunError where the store fails, and
    SourceError for a sidecar that is broken.
    """
    earlier = earlier_layout(file)
    if earlier is None:
        return
    try:
        move_sidecar(earlier, file, check_claim)
        move_journal(earlier, file)
    except OSError as e:
        msg = (
            f"cannot move the files that an earlier version left beside {file.uri} ({type(e).__name__}: {e}); let "
            "this process write there, and materialize again: nothing is lost"
        )
        raise RunError(msg) from e


def move_sidecar(earlier: ParquetFile, file: ParquetFile, check_claim: Callable[[], None]) -> None:
    """Moves a sidecar. Where there is one at either place, what the earlier one tells of a cell counts.

    For then a run of an earlier version has written it after the other was moved, or a move was broken off.
    """
    source, target = Sidecar(sidecar_of(earlier)), Sidecar(sidecar_of(file))

    def rows() -> Iterator[pa.Table]:
        yield from source.row_groups()
        check_claim()

    if not source.file.exists():
        return
    if target.file.exists():
        target.write(rows(), keep_others=True)
        remove(source.file.path)
    else:
        move_file(source.file.path, target.file.path)
    remove_if_empty(source.file.path.parent)


def move_journal(earlier: ParquetFile, file: ParquetFile) -> None:
    """Moves the segments of a journal. Each was written once: of two with one name, either will do."""
    source, target = journal_folder(earlier), journal_folder(file)
    names = [name for name in names_in(source) if name.endswith((SUFFIX, REFRESH_SUFFIX))]
    for name in names:
        if not name.startswith("."):
            move_file(source / name, target / name)
    if names:
        remove_if_empty(source)
