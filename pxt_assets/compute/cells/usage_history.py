"""The tokens that a column's earlier runs used, from its sidecars and its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.api.estimate import ObservedUsage
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.storage.layout import earlier_layout, journal_folder, sidecar_of
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import pyarrow as pa

_PARTITIONS = 4
"""How many other partitions are looked at, the latest ones."""
_COLUMNS = ["estimated_tokens", "input_tokens", "output_tokens"]


def observed_usage(file: ParquetFile) -> ObservedUsage:
    """The tokens that a column's answers used, in this partition and in the latest other ones."""
    before = earlier_layout(file)
    total = ObservedUsage()
    for sidecar in [*_latest_sidecars(file), *([] if before is None else _latest_sidecars(before))]:
        if set(_COLUMNS) <= set(sidecar.schema.names):
            _add_answers(total, sidecar.rows().table(_COLUMNS))
    segments = Segments(journal_folder(file), None if before is None else journal_folder(before))
    try:
        names = segments.names()[-100:]
        segments.fetch(names)
        for name in names:
            _add_segment(total, segments, name)
    finally:
        segments.close()
    return total


def _latest_sidecars(file: ParquetFile) -> list[ParquetFile]:
    mine = sidecar_of(file)
    folder = mine.path.parent
    folder.fs.invalidate_cache(folder.path)
    if not folder.exists():
        return []
    others = sorted(
        path for path in folder.iterdir() if path.name != mine.path.name and path.suffix == mine.path.suffix
    )
    sidecars = (mine, *(ParquetFile(path) for path in others[-_PARTITIONS:]))
    return [sidecar for sidecar in sidecars if sidecar.exists()]


def _add_segment(total: ObservedUsage, segments: Segments, name: str) -> None:
    import pyarrow as pa

    try:
        table = segments.read(name)
    except (pa.ArrowInvalid, OSError):
        return  # loading the journal warns of it
    if set(_COLUMNS) <= set(table.schema.names):
        _add_answers(total, table.select(_COLUMNS))


def _add_answers(total: ObservedUsage, table: pa.Table) -> None:
    import pyarrow.compute as pc

    answered = table.filter(pc.is_valid(table["input_tokens"]))
    total.answers += answered.num_rows
    total.estimated_tokens += pc.sum(answered["estimated_tokens"]).as_py() or 0.0
    total.input_tokens += pc.sum(answered["input_tokens"]).as_py() or 0
    total.output_tokens += pc.sum(answered["output_tokens"]).as_py() or 0
