"""Rows: a partition of a table, read in record batches, from any kind of table."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError, SourceError
from pxt_assets.storage.batches import BATCH_BYTES, exact_batches
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media, is_image, media_of
from pxt_assets.values.types import Image, Json, variable_length_type

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Reader = Callable[[Sequence[str], int], Iterable["pa.RecordBatch"]]
_MAX_OPEN_PARTS = 64
"""The most files that are kept open at once."""


class Rows:
    """Rows that can be read again and again, some columns at a time, in order.

    `read(columns, batch_size)` gives batches of at most about `batch_size` rows with those columns.
    """

    def __init__(self, schema: pa.Schema, num_rows: int, read: Reader, *, simulated: bool = False) -> None:
        self.schema = schema
        self.num_rows = num_rows
        self.simulated = simulated
        """Whether any row was made by a simulator."""
        self._read = read

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Batches of `size` rows, or of fewer that have BATCH_BYTES; the last one of the rest."""
        return exact_batches(self._read(columns, size), size, BATCH_BYTES)

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns as one table."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(self._read(columns, 65_536), schema)

    def latest(self) -> Rows:
        """The current rows, if they are stored and may have been replaced."""
        return self

    def keep_open(self) -> AbstractContextManager[None]:
        """Within the block, stored rows can be read even after they are replaced."""
        return nullcontext()


def concat_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of several partitions, joined in order, in the most general of their types.

    Raises SourceError if they differ in columns, or have types with nothing in common.
    """
    if len(parts) == 1:
        return parts[0]
    import pyarrow as pa

    nonempty = [part for part in parts if part.num_rows] or parts  # empty parts have no say in types
    schema = _common_schema([part.schema for part in nonempty]) if parts else pa.schema([])

    def read(columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([schema.field(name) for name in columns])
        for part in nonempty:
            for batch in part.batches(columns, size):
                yield _cast(batch, wanted)

    return _ConcatRows(nonempty, schema, read, simulated=any(part.simulated for part in parts))


class _ConcatRows(Rows):
    """The rows of several partitions."""

    def __init__(self, parts: Sequence[Rows], schema: pa.Schema, read: Reader, *, simulated: bool) -> None:
        super().__init__(schema, sum(part.num_rows for part in parts), read, simulated=simulated)
        self._parts = parts

    @contextmanager
    def keep_open(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part in self._parts[:_MAX_OPEN_PARTS]:  # a process may have so many open
                stack.enter_context(part.keep_open())
            yield


def _common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema that fits all partitions, though one has only nulls, or vectors of another length."""
    import pyarrow as pa

    first = schemas[0]
    for other in schemas[1:]:
        if sorted(other.names) != sorted(first.names):
            msg = f"the partitions differ in columns: {first.names} and {other.names}; materialize them again"
            raise SourceError(msg)
    if all(other.equals(first) for other in schemas):
        return first
    plain = [pa.schema([f.with_type(_general_type(f.type)) for f in schema]) for schema in schemas]
    try:
        return pa.unify_schemas(plain, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        msg = (
            f"the partitions differ in types ({e}); declare the column in schema=, and materialize them again"
        )
        raise SourceError(msg) from e


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    try:
        return batch if batch.schema == schema else batch.cast(schema)
    except pa.ArrowInvalid as e:
        msg = f"the partitions differ in types, and a value does not fit the one they have in common ({e})"
        raise SourceError(msg) from e


def _general_type(arrow_type: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else variable_length_type(arrow_type)


def rows_of(value: object) -> Rows:
    """The rows of a pa.Table, pandas.DataFrame, list of dicts, dataset, or anything that exports an Arrow stream.

    Raises SourceError for anything else, and for a column whose values have no common type.
    """
    import pyarrow.dataset as ds

    if isinstance(value, Rows):
        return value.latest()
    if isinstance(value, ds.Dataset):
        dataset = value

        def read(columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
            scanner = dataset.scanner(columns=list(columns), batch_size=size, batch_readahead=2)
            yield from scanner.to_batches()

        return Rows(dataset.schema, dataset.count_rows(), read)
    table = table_of(value)

    def slices(columns: Sequence[str], size: int) -> list[pa.RecordBatch]:
        return table.select(list(columns)).to_batches(max_chunksize=size)  # type: ignore[no-any-return]

    return Rows(table.schema, table.num_rows, slices)


def table_of(value: object) -> pa.Table:
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
        return pa.table(value)
    msg = (
        f"got {type(value).__name__}, allowed: pa.Table, pandas.DataFrame, list of dicts, or an Arrow stream"
    )
    raise SourceError(msg)


def _collected(value: object) -> object:
    """A polars frame in memory and in one piece, of which alone polars 1.30 exports structs that are right."""
    frame: Any = value
    if type(value).__module__.partition(".")[0] != "polars":
        return value
    if type(value).__name__ == "LazyFrame":
        frame = frame.collect(engine="streaming")
    return frame.rechunk() if type(frame).__name__ == "DataFrame" else frame


def _is_pandas(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns")


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


def _table_from_frame(frame: pd.DataFrame | Any) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for i, name in enumerate(frame.columns):
        series = frame.iloc[:, i]
        if str(name) in columns:
            msg = f"the DataFrame has two columns named {name!r}; rename one"
            raise SourceError(msg)
        if series.dtype == object:
            missing = series.isna()
            values = [
                None if gone is True else v for v, gone in zip(series.tolist(), missing.tolist(), strict=True)
            ]
            columns[str(name)] = column_of(str(name), values)
        else:
            columns[str(name)] = _column_from_series(str(name), series)
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
