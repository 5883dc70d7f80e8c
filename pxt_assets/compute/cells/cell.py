"""A finished cell, and the table of finished cells: value or error, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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


@cache
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

    count = len(cells)
    errortypes = [cell.errortype for cell in cells]
    failed = any(one is not None for one in errortypes)
    value = to_arrow([c.value for c in cells], column_type)
    schema = _schema(value.type)
    origins = [cell.provenance for cell in cells]
    arrays = [
        pa.array([c.digest for c in cells], pa.binary(16)),
        value,
        pa.array(errortypes, pa.string()) if failed else pa.nulls(count, pa.string()),
        to_arrow([c.errormsg for c in cells], String) if failed else pa.nulls(count, pa.string()),
        pa.array([c.simulated for c in cells], pa.bool_()),
        *(
            pa.array([getattr(origin, field.name) for origin in origins], field.type)
            for field in list(provenance_schema())[:-2]
        ),
        pa.repeat(pa.scalar(run_id, pa.string()), count),
        pa.array([cell.finished_ns // 1_000 for cell in cells], schema.field("finished_at").type),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@cache
def _schema(value: pa.DataType) -> pa.Schema:
    import pyarrow as pa

    result = {"digest": pa.binary(16), "value": value, "errortype": pa.string(), "errormsg": pa.string()}
    return pa.schema([*({**result, "simulated": pa.bool_()}).items(), *provenance_schema()])
