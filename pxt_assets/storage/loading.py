"""Stored tables as what a downstream parameter is annotated with."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pxt_assets.errors import CellError, SourceError
from pxt_assets.storage.common_schema import common_schema
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.rows import Rows, concat_rows
from pxt_assets.values.conversion import to_user_values
from pxt_assets.values.plain_types import plain_batch, plain_schema
from pxt_assets.values.types import is_json

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as ds

Loader = Callable[[Sequence[ParquetFile]], object]

_BATCH_ROWS = 10_000
_ALLOWED = (
    "pyarrow.Table (also without an annotation), pyarrow.RecordBatchReader, pyarrow.dataset.Dataset, pandas.DataFrame, "
    "polars.DataFrame, polars.LazyFrame, list[dict], each also with `| None`, and dict[str, ...] of these by partition"
)


def load_as(python_type: object, files: Mapping[str | None, ParquetFile], label: str) -> object:
    """Files by partition key, one with the key None of an asset without partitions, as `python_type` asks.

    That is one table of all partitions in order, or for a dict one of each by its key. Raises SourceError for a type that
    no table can be loaded as; `label` names what is loaded.
    """
    wanted = _without_wrapping(python_type)
    origin, arguments = typing.get_origin(wanted) or wanted, typing.get_args(wanted)
    if origin is dict or origin is Mapping:
        load = _loader(arguments[1] if len(arguments) == 2 else Any)
        if load is not None and None not in files:
            return {key: load([file]) for key, file in files.items()}
        if load is not None:
            msg = (
                f"{label}: got the annotation {_name(python_type)}, which asks for a dict by partition, for an asset without "
                f"partitions; allowed: {_ALLOWED}"
            )
            raise SourceError(msg)
    else:
        load = _loader(wanted)
        if load is not None:
            return load([*files.values()])
    msg = f"{label}: got the annotation {_name(python_type)}, allowed: {_ALLOWED}"
    raise SourceError(msg)


def _without_wrapping(python_type: object) -> object:
    """A type without `| None` and without `Annotated`."""
    origin = typing.get_origin(python_type)
    if origin is typing.Annotated:
        return _without_wrapping(typing.get_args(python_type)[0])
    if origin is typing.Union or origin is UnionType:
        inner = [one for one in typing.get_args(python_type) if one is not type(None)]
        return _without_wrapping(inner[0]) if len(inner) == 1 else python_type
    return python_type


def _loader(python_type: object) -> Loader | None:
    """How to load one table as a type; None for one that no table can be."""
    wanted = _without_wrapping(python_type)
    if wanted is None or wanted is Any or wanted is object:
        return _table
    if typing.get_origin(wanted) in (list, Sequence):
        (element,) = typing.get_args(wanted) or (Any,)
        element = _without_wrapping(element)
        return _dicts if (typing.get_origin(element) or element) in (dict, Mapping, Any, object) else None
    if not isinstance(wanted, type):
        return None
    module = wanted.__module__.partition(".")[0]
    return next((load for loaded, load in _loaders(module) if wanted in loaded.__mro__), None)


def _loaders(module: str) -> Sequence[tuple[type, Loader]]:
    """What can be loaded of a module's types: imports only the module of a type that was asked for."""
    if module == "pyarrow":
        import pyarrow as pa
        import pyarrow.dataset as ds

        return (pa.Table, _table), (pa.RecordBatchReader, _reader), (ds.FileSystemDataset, _dataset)
    if module == "pandas":
        import pandas as pd

        return ((pd.DataFrame, lambda files: to_pandas(_table(files))),)
    if module == "polars":
        import polars as pl

        return (pl.DataFrame, _polars_frame), (pl.LazyFrame, _lazy_frame)
    return ((list, _dicts),) if module == "builtins" else ()


def _name(python_type: object) -> str:
    if isinstance(python_type, type) and not typing.get_args(python_type):
        module = python_type.__module__
        return python_type.__qualname__ if module == "builtins" else f"{module}.{python_type.__qualname__}"
    return str(python_type)


def _rows(files: Sequence[ParquetFile]) -> Rows:
    return concat_rows([file.rows() for file in files], _partition_names(files))


def _table(files: Sequence[ParquetFile]) -> pa.Table:
    rows = _rows(files)
    return rows.table(rows.schema.names)


def _reader(files: Sequence[ParquetFile]) -> pa.RecordBatchReader:
    import pyarrow as pa

    rows = _rows(files)
    return pa.RecordBatchReader.from_batches(rows.schema, rows.batches(rows.schema.names, _BATCH_ROWS))


def _dataset(files: Sequence[ParquetFile]) -> ds.Dataset:
    from pxt_assets.storage.partitions_dataset import partitions_dataset

    if not files:
        import pyarrow.dataset as ds

        return ds.dataset(_table(files))
    nonempty = [file for file in files if file.num_rows] or files
    schemas = [file.schema for file in nonempty]
    common = common_schema(schemas, _partition_names(nonempty))
    return partitions_dataset([file.path for file in files], schemas, common)


def _partition_names(files: Sequence[ParquetFile]) -> list[str]:
    return [unquote(file.path.stem) for file in files]


def _dicts(files: Sequence[ParquetFile]) -> list[dict[str, Any]]:
    table = _table(files)
    columns = [
        column.to_pylist() if (values := _user_values(table, i)) is None else values
        for i, column in enumerate(table.columns)
    ]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as a DataFrame: Json cells as Python objects, images as PIL images, the rest as pandas has it."""
    import pandas as pd
    import pyarrow as pa

    values_of = {i: _user_values(table, i) for i in range(table.num_columns)}
    converted = {i: values for i, values in values_of.items() if values is not None}
    others = table.drop_columns([table.column_names[i] for i in converted])
    schema = plain_schema(others.schema)
    if schema != others.schema:
        others = pa.Table.from_batches([plain_batch(batch) for batch in others.to_batches()], schema)
    frame: pd.DataFrame = others.to_pandas()
    for i, values in converted.items():
        frame.insert(i, table.column_names[i], pd.Series(values, dtype=object, index=frame.index))
    return frame


def _user_values(table: pa.Table, i: int) -> list[Any] | None:
    try:
        return to_user_values(table.column(i), table.schema.field(i))
    except CellError as e:
        msg = f"column {table.column_names[i]!r}: {e.message}"
        raise SourceError(msg) from e


def _polars_frame(files: Sequence[ParquetFile]) -> pl.DataFrame:
    return _to_polars(_table(files))


def _lazy_frame(files: Sequence[ParquetFile]) -> pl.LazyFrame:
    """Reads the columns that are needed, batch by batch, once the frame is collected."""
    from polars.io.plugins import register_io_source

    rows = _rows(files)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows.num_rows if limit is None else limit
        for batch in rows.batches(
            rows.schema.names if columns is None else columns, batch_size or _BATCH_ROWS
        ):
            if left <= 0:
                return
            frame = _to_polars(_one_batch(batch)).head(left)
            left -= frame.height
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(read, schema=_to_polars(rows.schema.empty_table()).schema)


def _one_batch(batch: pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _to_polars(table: pa.Table) -> pl.DataFrame:
    """A table in polars, with Json cells as text: polars 2 has no functions for Arrow's type of them, 1 warns of it."""
    import polars as pl

    for i, field in enumerate(table.schema):
        if is_json(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(field.type.storage_type))
    frame = pl.from_arrow(table, rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    return frame
