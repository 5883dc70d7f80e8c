"""Parquet and Arrow files: read with their own types, in batches of a few MB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import SourceError
from pxt_assets.values.types import Bool, ColumnType, Float, Int, String, type_name

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.files.location import File

_BATCH_BYTES = 2 << 20
"""Bytes in a batch."""
_MAX_BATCH_ROWS = 1 << 16

SchemaAndBatches = tuple["pa.Schema", Iterator["pa.RecordBatch"]]
FileOpener = Callable[["File"], AbstractContextManager[SchemaAndBatches]]


def read(
    files: Sequence[File], declared: Mapping[str, type[ColumnType]], open_file: FileOpener
) -> SchemaAndBatches:
    """The schema of the first file, and the rows of all, later ones cast to it where that loses nothing.

    Columns declared String, Int, Float or Bool are cast to that; a column of nulls alone takes its type
    from the next file that has values.

    Raises SourceError, here or from the iterator, naming the file and the column.
    """
    import pyarrow as pa

    with open_file(files[0]) as (first, _):
        types = dict(zip(first.names, first.types, strict=True))
    if missing := [name for name in declared if name not in types]:
        msg = f"{files[0].name}: lacks the columns {missing} of the schema; it has {first.names}"
        raise SourceError(msg)
    types |= {n: kind.arrow() for n, kind in declared.items() if kind in {String, Int, Float, Bool}}
    for file in files[1:]:
        unknown = [name for name, kind in types.items() if pa.types.is_null(kind)]
        if not unknown:
            break
        with open_file(file) as (schema, _):
            types |= {name: schema.field(name).type for name in unknown if name in schema.names}
    target = pa.schema(list(types.items()))

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with open_file(file) as (schema, stream):
                _check_same_columns(file, schema, files[0], target)
                for batch in stream:
                    yield from _split_batch(_cast_batch(file, batch, target, declared))

    return target, batches()


@contextmanager
def open_parquet(file: File) -> Iterator[SchemaAndBatches]:
    """A Parquet file's schema and batches; they hold a few MB, however large its row groups are."""
    import pyarrow.parquet as pq

    with file.errors_as_source_error(), file.open() as raw:
        # Buffered and in one thread, so that a row group's columns are not read whole, nor all at once.
        parquet = pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
        groups = [parquet.metadata.row_group(i) for i in range(parquet.num_row_groups)]
        row = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
        rows = int(min(_MAX_BATCH_ROWS, max(1, _BATCH_BYTES / max(row, 1))))
        yield (
            _check_unique_names(file, parquet.schema_arrow),
            parquet.iter_batches(batch_size=rows, use_threads=False),
        )


@contextmanager
def open_arrow(file: File) -> Iterator[SchemaAndBatches]:
    """The schema and batches, as they were written, of an Arrow file (Feather version 2 is one) or stream."""
    import pyarrow as pa

    with file.errors_as_source_error():
        with file.open() as raw:
            magic = raw.read(6)
        if magic.startswith(b"FEA1"):
            msg = f"{file.name}: is Feather version 1; write it anew with pyarrow.feather.write_feather"
            raise SourceError(msg)
        with file.open() as raw:
            if magic == b"ARROW1":
                reader: Any = pa.ipc.open_file(raw)
                yield (
                    _check_unique_names(file, reader.schema),
                    map(reader.get_batch, range(reader.num_record_batches)),
                )
            else:
                reader = pa.ipc.open_stream(raw)
                yield _check_unique_names(file, reader.schema), iter(reader)


def _check_unique_names(file: File, schema: pa.Schema) -> pa.Schema:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        msg = f"{file.name}: has the columns {twice} more than once; give every column a name of its own"
        raise SourceError(msg)
    return schema


def _check_same_columns(file: File, schema: pa.Schema, first: File, target: pa.Schema) -> None:
    lacks = sorted(set(target.names) - set(schema.names))
    more = sorted(set(schema.names) - set(target.names))
    if lacks or more:
        msg = (
            f"{file.name} and {first.name} must have the same columns; the former lacks {lacks} and "
            f"has {more} that the latter has not"
        )
        raise SourceError(msg)


def _cast_batch(
    file: File, batch: pa.RecordBatch, target: pa.Schema, declared: Mapping[str, type[ColumnType]]
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = []
    for field in target:
        column = batch.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as e:
                kind = declared.get(field.name)
                wanted = f"declared {type_name(kind)}" if kind else f"{field.type} in the files before"
                msg = (
                    f"{file.name}, column {field.name!r}: is {column.type}, but {wanted}, and "
                    f"cannot be cast to that without loss: {e}"
                )
                raise SourceError(msg) from None
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _split_batch(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in parts of a few MB: the writer may have made one batch of the whole file."""
    parts = min(max(1, round(batch.nbytes / _BATCH_BYTES)), max(batch.num_rows, 1))
    rows = -(-batch.num_rows // parts)
    for start in range(0, batch.num_rows, max(rows, 1)):
        yield batch.slice(start, rows)
