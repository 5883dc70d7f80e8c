"""Columns of a stored index that get a more general type: of integers to floats, of dates to timestamps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pxt_assets.index.spec import INTERNAL, WIDER
from pxt_assets.storage.common_type import common_type

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table as LanceTable


def widen_columns(table: LanceTable, schema: pa.Schema) -> None:
    """Gives each stored column the type that it has in common with that of `schema`, if there is one.

    Where LanceDB cannot change a type, the values are copied to another column that then takes the first one's place. A
    crash in between is mended by the next call.
    """
    _finish(table)
    stored = table.schema
    for field in schema:
        if field.name in INTERNAL or field.name not in stored.names:
            continue
        ours = stored.field(field.name).type
        common = common_type([ours, field.type])
        if common is None or common == ours:
            continue
        sql_type = _sql_type(ours, common)
        if sql_type is None:
            _alter(table, {"path": field.name, "data_type": common})
        else:
            copy = f"{WIDER}{field.name}"
            table.add_columns({copy: f"arrow_cast(`{field.name}`, '{sql_type}')"})
            table.drop_columns([field.name])
            _alter(table, {"path": copy, "rename": field.name})


def _alter(table: Any, change: Mapping[str, Any]) -> None:
    table.alter_columns(dict(change))  # its annotation allows no data types


def _finish(table: LanceTable) -> None:
    """Ends or undoes what a crash left half done."""
    names = table.schema.names
    for name in names:
        if not name.startswith(WIDER):
            continue
        if name.removeprefix(WIDER) in names:
            table.drop_columns([name])
        else:
            _alter(table, {"path": name, "rename": name.removeprefix(WIDER)})


def _sql_type(given: pa.DataType, wanted: pa.DataType) -> str | None:
    """The name of a type for `arrow_cast`, where LanceDB cannot change the column's type by itself."""
    import pyarrow as pa

    if pa.types.is_floating(given) or (pa.types.is_decimal(given) and pa.types.is_decimal(wanted)):
        return None
    if pa.types.is_floating(wanted):
        return {16: "Float16", 32: "Float32", 64: "Float64"}[wanted.bit_width]
    return (
        f"Decimal{wanted.bit_width}({wanted.precision}, {wanted.scale})"
        if pa.types.is_decimal(wanted)
        else None
    )
