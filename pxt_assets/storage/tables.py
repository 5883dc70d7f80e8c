"""Tables in memory, of whichever library, as Arrow tables."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError, SourceError
from pxt_assets.storage.frames import column_series
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media, is_image, media_of
from pxt_assets.values.types import Image, Json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def table_of(value: Any) -> pa.Table:
    """A table in memory as one Arrow table. Raises SourceError for a value that is no table."""
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
        msg = "got a dict of dicts, allowed: a table, a DataFrame or a list of dicts, one a row"
        raise SourceError(msg)
    if isinstance(value, list | tuple):
        return _table_from_dicts(value)
    if _is_pandas(value):
        return _table_from_frame(value)
    value = _collected(value)
    if hasattr(value, "__arrow_c_stream__"):
        return _table_from_stream(value)
    msg = (
        f"got {type(value).__name__}, allowed: pa.Table, pandas.DataFrame, list of dicts, or an Arrow stream"
    )
    raise SourceError(msg)


def _is_pandas(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns")


def _collected(value: Any) -> Any:
    """A polars frame in memory and in one piece, of which alone polars 1.30 exports structs that are right."""
    if type(value).__module__.partition(".")[0] != "polars":
        return value
    frame = value.collect(engine="streaming") if type(value).__name__ == "LazyFrame" else value
    return frame.rechunk() if type(frame).__name__ == "DataFrame" else frame


def _table_from_stream(value: Any) -> pa.Table:
    import pyarrow as pa

    is_polars = type(value).__module__.partition(".")[0] == "polars" and hasattr(value, "schema")
    objects = [name for name, kind in value.schema.items() if str(kind) == "Object"] if is_polars else []
    try:
        table = pa.table(value.drop(objects) if objects else value)
    except (pa.ArrowException, TypeError, ValueError) as e:
        msg = f"{type(value).__name__} gives no table that Arrow can hold ({e}){_unreadable_columns(value)}"
        raise SourceError(msg) from e
    for name in objects:  # polars would give the places of its objects in memory
        table = table.append_column(name, column_of(name, value[name].to_list()))
    return table.select(list(value.columns)) if objects else table


def _unreadable_columns(value: Any) -> str:
    """Which columns of a frame Arrow cannot hold, and what to do, as the end of a message."""
    import pyarrow as pa

    names = []
    for name in getattr(value, "columns", None) or []:
        try:
            pa.table(value.select(name))
        except Exception:  # whatever library this is
            names.append(name)
    if not names:
        return ""
    return f": the columns {', '.join(map(repr, names))}; convert them upstream, for example to text"


def _table_from_dicts(rows: Sequence[object]) -> pa.Table:
    import pyarrow as pa

    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            msg = f"row {i}: got {type(row).__name__}, allowed: a dict of column values"
            raise SourceError(msg)
    names = dict.fromkeys(name for row in rows for name in row)  # type: ignore[attr-defined]
    columns: dict[str, pa.Array] = {}
    for name in names:
        if str(name) in columns:
            msg = f"the rows have two columns named {str(name)!r}; rename one"
            raise SourceError(msg)
        columns[str(name)] = column_of(str(name), [row.get(name) for row in rows])  # type: ignore[attr-defined]
    return pa.table(columns)


def _table_from_frame(frame: Any) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for name, series in column_series(frame).items():
        if series.dtype == object:
            missing = series.isna()
            values = [
                None if gone is True else v for v, gone in zip(series.tolist(), missing.tolist(), strict=True)
            ]
            columns[name] = column_of(name, values)
        else:
            columns[name] = _column_from_series(name, series)
    return pa.table(columns) if columns else pa.table({})


def _column_from_series(name: str, series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as e:
        msg = f"column {name!r} is of the type {series.dtype}, which Arrow cannot hold ({e}); convert it upstream"
        raise SourceError(msg) from e


def column_of(name: str, values: Sequence[Any]) -> pa.Array:
    """Python values as an Arrow column: dicts, and lists that hold anything but numbers, become Json.

    Arrow's own inference would add the keys of all other objects to each.
    """
    import pyarrow as pa

    try:
        if any(is_image(v) or _is_stored_media(v) for v in values):
            return to_arrow([_media(v) for v in values], Image)
        if any(_is_json(v) for v in values):
            return to_arrow(values, Json)
        column = pa.array(values, from_pandas=True)
        pairs = zip(values, column.is_valid().to_pylist(), strict=True)
        if len({_value_family(v) for v, valid in pairs if valid}) > 1:
            msg = f"as {column.type}, some would change"
            raise TypeError(msg)
        return column
    except (pa.ArrowException, CellError, TypeError, ValueError, OverflowError) as e:
        kinds = sorted({type(v).__name__ for v in values if v is not None})
        msg = f"column {name!r} holds {' and '.join(kinds)}, which make no one column ({e}); convert it upstream"
        raise SourceError(msg) from e


def _is_stored_media(value: object) -> bool:
    """Whether a value is an image or a sound as a stored column loads it."""
    return isinstance(value, Mapping) and value.keys() == {"bytes", "path"} and _is_bytes(value["bytes"])


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _media(value: Any) -> Media | None:
    """An image or a sound of an undeclared column, whose file is not read. Raises CellError."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Mapping) and value.keys() == {"bytes", "path"} and value["bytes"] is None:
        path = value["path"]
        return None if path is None else Media(None, str(path))
    return media_of(value, None)


def _value_family(value: object) -> object:
    """Values of different families must not share a column: Arrow reads numbers among dates as dates, and cuts off times."""
    if isinstance(value, datetime.datetime):
        return "datetime", value.tzinfo is None
    if isinstance(value, bool | str | bytes):
        return next(t for t in (bool, str, bytes) if isinstance(value, t))
    if isinstance(value, numbers.Number):
        return numbers.Number
    return Iterable if isinstance(value, Iterable) else type(value)


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and not all(isinstance(v, float | int) for v in value)
