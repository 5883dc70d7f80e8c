"""A finished cell, and the table of finished cells: value or error, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.types import ColumnType, String

if TYPE_CHECKING:
    import pyarrow as pa

RESULT_COLUMNS = ("digest", "value", "errortype", "errormsg")
"""The columns of a cell's result."""
_NO_PROVENANCE = Provenance()


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished cell: its value or its error."""

    digest: bytes
    value: Any
    errortype: str | None = None
    errormsg: str | None = None
    simulated: bool = False
    size: int = 0
    """Bytes of its value; 0 for small ones."""
    provenance: Provenance = _NO_PROVENANCE
    finished_ns: int = 0
    """When it was finished, in nanoseconds since 1970."""


def provenance_schema() -> pa.Schema:
    """The columns that say where a cell comes from. Source of the names: `Provenance`."""
    import pyarrow as pa

    return pa.schema(
        {
            "request_id": pa.string(),
            "model": pa.string(),
            "server": pa.string(),
            "input_tokens": pa.int64(),
            "output_tokens": pa.int64(),
            "cached_tokens": pa.int64(),
            "estimated_tokens": pa.float64(),
            "cost_usd": pa.float64(),
            "latency_s": pa.float64(),
            "attempts": pa.int32(),
            "run_id": pa.string(),
            "finished_at": pa.timestamp("us", tz="UTC"),
        }
    )


def with_server(cells: pa.Table) -> pa.Table:
    """The same cells; what earlier versions wrote names no server."""
    import pyarrow as pa

    if "server" in cells.schema.names or "digest" not in cells.schema.names:
        return cells
    return cells.append_column("server", pa.nulls(cells.num_rows, pa.string()))


def table_of_cells(cells: Sequence[Cell], column_type: type[ColumnType], run_id: str | None) -> pa.Table:
    """The cells as a table: RESULT, `simulated`, and the columns of `provenance_schema`."""
    import pyarrow as pa

    schema = provenance_schema()
    provenance: dict[str, Sequence[Any]] = {
        **{name: [getattr(cell.provenance, name) for cell in cells] for name in schema.names[:-2]},
        "run_id": [run_id] * len(cells),
        "finished_at": [cell.finished_ns // 1_000 for cell in cells],
    }
    return pa.table(
        {
            "digest": pa.array([c.digest for c in cells], pa.binary(16)),
            "value": to_arrow([c.value for c in cells], column_type),
            "errortype": pa.array([c.errortype for c in cells], pa.string()),
            "errormsg": to_arrow([c.errormsg for c in cells], String),
            "simulated": pa.array([c.simulated for c in cells], pa.bool_()),
            **{field.name: pa.array(provenance[field.name], field.type) for field in schema},
        }
    )
