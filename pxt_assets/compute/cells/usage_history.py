"""What a column's earlier runs used, as its sidecars and its journal tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.api.estimate import ObservedUsage
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.storage.parquet import ParquetFile, sidecar_of

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

_PARTITIONS = 4
"""Other partitions that are looked at, the latest ones."""
_COLUMNS = ["estimated_tokens", "input_tokens", "output_tokens"]


def observed(file: ParquetFile, journal: UPath) -> ObservedUsage:
    """What the answers used that are known of a column: of this partition, and of the latest other ones."""
    total = ObservedUsage()
    for sidecar in _sidecars(file):
        if set(_COLUMNS) <= set(sidecar.schema.names):
            _add(total, sidecar.rows().table(_COLUMNS))
    segments = Segments(journal)
    try:
        names = segments.names()[-100:]
        segments.fetch(names)
        for name in names:
            _add_segment(total, segments, name)
    finally:
        segments.close()
    return total


def _sidecars(file: ParquetFile) -> list[ParquetFile]:
    mine = sidecar_of(file)
    folder = mine.path.parent
    folder.fs.invalidate_cache(folder.path)
    if not folder.exists():
        return []
    others = sorted(
        path for path in folder.iterdir() if path.name != mine.path.name and path.suffix == ".parquet"
    )
    return [one for one in (mine, *(ParquetFile(path) for path in others[-_PARTITIONS:])) if one.exists()]


def _add_segment(total: ObservedUsage, segments: Segments, name: str) -> None:
    import pyarrow as pa

    try:
        table = segments.read(name)
    except (pa.ArrowInvalid, OSError):
        return  # whoever loads the journal says so
    if set(_COLUMNS) <= set(table.schema.names):
        _add(total, table.select(_COLUMNS))


def _add(total: ObservedUsage, table: pa.Table) -> None:
    import pyarrow.compute as pc

    answered = table.filter(pc.is_valid(table["input_tokens"]))
    total.answers += answered.num_rows
    total.estimated_tokens += pc.sum(answered["estimated_tokens"]).as_py() or 0.0
    total.input_tokens += pc.sum(answered["input_tokens"]).as_py() or 0
    total.output_tokens += pc.sum(answered["output_tokens"]).as_py() or 0
