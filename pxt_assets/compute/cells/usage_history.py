"""The tokens that a column's earlier runs used, from its sidecars and its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.api.estimate import ObservedUsage
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.storage.layout import SIDECAR_SUFFIX, earlier_layout, journal_folder, sidecar_of
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import pyarrow as pa

_PARTITIONS = 4
"""How many other partitions are looked at, the latest ones."""
_COLUMNS = ["estimated_tokens", "input_tokens", "output_tokens"]
_LENGTHS = ["model", "output_tokens"]

Lengths = dict[str, tuple[int, int]]
"""Of answers by their model: how many there are, and the output tokens of the longest."""


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


def answer_lengths(provenance: pa.Table) -> Lengths:
    """How long the answers are that cells come from."""
    import pyarrow.compute as pc

    answered = provenance.filter(pc.is_valid(provenance["output_tokens"]))
    found = answered.group_by("model").aggregate([("output_tokens", "count"), ("output_tokens", "max")])
    return {
        row["model"] or "": (row["output_tokens_count"], row["output_tokens_max"])
        for row in found.to_pylist()
    }


def stored_lengths(file: ParquetFile, code_version: str | None, *, simulated: bool) -> Lengths:
    """How long the answers are that this partition and the latest others hold, as far as their column is defined alike.

    `simulated` says whether a simulator's answers are meant.
    """
    total: Lengths = {}
    for sidecar in _latest_sidecars(file):
        stored = file.path.parent / f"{sidecar.path.name.removesuffix(SIDECAR_SUFFIX)}.parquet"
        of = ParquetFile(stored, file.companions)
        if not set(_LENGTHS) <= set(sidecar.schema.names) or not of.exists():
            continue
        metadata = of.metadata
        is_alike = code_version is not None and metadata.get("code_version") == code_version
        if is_alike and bool(metadata.get("simulated")) == simulated:
            add_lengths(total, answer_lengths(sidecar.rows().table(_LENGTHS)))
    return total


def add_lengths(total: Lengths, more: Lengths) -> None:
    """Adds the lengths of more answers."""
    for model, (answers, longest) in more.items():
        before, most = total.get(model, (0, 0))
        total[model] = before + answers, max(most, longest)


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
