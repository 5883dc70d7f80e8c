"""Values of a column: from Python objects to Arrow, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError
from pxt_assets.json_text import dumps, encodable
from pxt_assets.types import Array, Bool, ColumnType, Float, Int, Json, String, is_json, type_name

if TYPE_CHECKING:
    import pyarrow as pa


def to_arrow(values: Sequence[Any], column_type: type[ColumnType]) -> pa.Array:
    """Python values (None is null) as an Arrow array of the column's type.

    Json values are any JSON-able objects; Array values are vectors `float32[dim]`.
    """
    import pyarrow as pa

    if column_type is Json:
        storage = pa.array([None if v is None else encodable(dumps(v)) for v in values], pa.string())
        return pa.ExtensionArray.from_storage(Json.arrow(), storage)
    if column_type is String:
        return pa.array([None if v is None else encodable(v) for v in values], pa.string())
    if issubclass(column_type, Array):
        vectors = _vectors(values)
        return vectors if column_type.dim is None else vectors.cast(column_type.arrow())
    return pa.array(values, column_type.arrow())


def _vectors(values: Sequence[Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    lengths = np.fromiter((0 if v is None else len(v) for v in values), np.int64, len(values))
    flat = np.concatenate(
        [np.asarray(v, np.float32) for v in values if v is not None] or [np.empty(0, np.float32)]
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = np.fromiter((v is None for v in values), bool, len(values))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array(mask) if mask.any() else None)


def to_python(column: pa.ChunkedArray | pa.Array, declared: type[ColumnType] | None = None) -> list[Any]:
    """A column's values as Python objects: JSON parsed, media as `{"bytes", "path"}`, nulls as None.

    A value that does not hold what the column is declared to hold is returned as the CellError that whoever uses it
    has to raise, so that one bad row does not fail the others.
    """
    if is_json(column.type):
        return [None if text is None else _parsed(text) for text in _storage(column).to_pylist()]
    values: list[Any] = column.to_pylist()
    if declared is Json and values:
        return [_parsed(v) if isinstance(v, str) else v for v in values]
    return values


def _storage(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    import pyarrow as pa

    return column.cast(column.type.storage_type) if isinstance(column, pa.ChunkedArray) else column.storage


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as e:
        return CellError("TypeError", f"got text that is not JSON ({e}): {text[:80]!r}")


def checked(value: object, column_type: type[ColumnType]) -> object:
    """The value, if a column of this type can hold it.

    Raises CellError("TypeError"), which says what was got and what is allowed.
    """
    if value is None:
        return value
    if column_type is Json:
        return _checked_json(value)
    if issubclass(column_type, Array):
        return _checked_vector(value, column_type)
    if column_type is Int and isinstance(value, int) and not -(2**63) <= value < 2**63:
        msg = f"got the integer {value}, allowed: 64 bits; keep it as text"
        raise CellError("OverflowError", msg)
    if column_type is Float and isinstance(value, int) and abs(value) > sys.float_info.max:
        msg = f"got an integer of {value.bit_length()} bits, allowed: what a 64-bit float can hold; keep it as text"
        raise CellError("OverflowError", msg)
    allowed = _PYTHON.get(column_type)
    if allowed is None or (
        isinstance(value, allowed) and not (isinstance(value, bool) and column_type is not Bool)
    ):
        return float(value) if column_type is Float else value  # type: ignore[arg-type]
    msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
    raise CellError("TypeError", msg)


def _checked_json(value: object) -> object:
    try:
        dumps(value)
    except (TypeError, ValueError) as e:
        msg = f"got a value that JSON cannot hold ({e}); convert it upstream"
        raise CellError(type(e).__name__, msg) from e
    return value


def _checked_vector(value: object, column_type: type[Array]) -> object:
    import numpy as np

    try:
        shape = np.asarray(value, np.float32).shape
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 1 or column_type.dim not in (None, shape[0]):
        msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
        raise CellError("TypeError", msg)
    return value


_PYTHON: dict[type[ColumnType], tuple[type, ...]] = {
    String: (str,),
    Int: (int,),
    Float: (float, int),
    Bool: (bool,),
}
