"""Assembles a column's file: keys, values, errors and digests, in row order, replaced in one step."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.cells.answered_by import RowServers
from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.failed_answers import ANSWERS_CHECKED
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.cells.gather import interleave_rows
from pxt_assets.compute.cells.refused_rows import RefusedRows
from pxt_assets.compute.partition.column import FAILURES_KEPT, Column, cells_failed_error
from pxt_assets.compute.partition.column_findings import add_inputs, finding_collector
from pxt_assets.compute.partition.findings import FINDINGS, Findings
from pxt_assets.compute.partition.input_digest import InputDigest
from pxt_assets.compute.partition.labels import labels_metadata
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.errors import CellError
from pxt_assets.storage.batches import split_by_bytes
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.storage.provenance import ANSWERED_BY
from pxt_assets.values.conversion import back_to_arrow, copied_type, to_arrow
from pxt_assets.values.digest import DIGEST_BYTES
from pxt_assets.values.types import (
    Array,
    String,
    has_media,
    is_media,
    media_field,
    variable_length_type,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import ManyDigests
    from pxt_assets.compute.cells.stored_array import StoredArray

_ROWS_A_GROUP = 8_192
_BYTES_A_GROUP = 16 * 2**20
_ROWS_AT_FIRST = 256
_MEDIA_ROWS = (1, 64)
"""Rows of images or sounds to read at once, at first and at most: each may be megabytes."""
_BYTES_AT_ONCE = 8 * 2**20
"""How large the rows read at once should be, judged by the last ones: each is copied several times."""
_SAMPLE_ROWS = 8
DATA_VERSION = "data_version"

CellReader = Callable[[], Iterator["pa.Table"]]
"""Reads the rows' cells in order, as tables of digest, value, errortype, errormsg, server (columns that call functions); can be called again."""


@dataclass
class Assembly:
    """What a column's file holds."""

    schema: pa.Schema
    sample: pa.Table
    data_version: str = ""
    """Changes with the rows' keys, values and error types."""
    findings: Findings = field(default_factory=Findings)
    servers: RowServers | None = None
    """Who answered the rows; None for a column that asks no server."""


def finished_cell_reader(
    column: Column,
    cells: FinishedCells,
    digests: ManyDigests,
    refused: RefusedRows,
    interrupted: threading.Event,
) -> CellReader:
    """Reads the cells of rows with these digests, from wherever they are finished.

    Reading raises InterruptedError once `interrupted` is set.
    """

    def read_cells() -> Iterator[pa.Table]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        assert column.column_type is not None
        no_digest = np.bytes_(NO_DIGEST)
        any_length = Array if issubclass(column.column_type, Array) else column.column_type  # of its vectors
        step, most = _ROWS_AT_FIRST, _ROWS_A_GROUP
        if has_media(column.column_type.arrow()):
            step, most = _MEDIA_ROWS
        start = 0
        with cells.prepare_order(digests, interrupted):
            while start < len(digests):
                if interrupted.is_set():
                    raise InterruptedError
                some = digests[start : start + step]
                asked = np.flatnonzero(some != no_digest)
                absent = np.flatnonzero(some == no_digest)
                parts = [cells.take(some[asked])] if len(asked) else []
                if len(absent):
                    errors = refused.errors_between(start, start + len(some))
                    error_of_row = pc.index_in(pa.array(start + absent), errors["row"])
                    parts.append(
                        pa.table(
                            {
                                "digest": pa.nulls(len(absent), pa.binary(16)),
                                "value": to_arrow([None] * len(absent), any_length),
                                "errortype": errors["errortype"].take(error_of_row),
                                "errormsg": errors["errormsg"].take(error_of_row),
                                "server": pa.nulls(len(absent), pa.string()),
                            }
                        )
                    )
                part = interleave_rows(parts, [asked, absent])
                start += len(some)
                step = min(4 * step, most, max(1, step * _BYTES_AT_ONCE // max(part.nbytes, 1)))
                yield part
        if interrupted.is_set():  # or the file would be replaced when the partition may be another run's
            raise InterruptedError

    return read_cells


def provenance_tables(
    cells: FinishedCells, digests: ManyDigests, is_first: StoredArray, interrupted: threading.Event
) -> Iterator[pa.Table]:
    """Where the cells of rows with these digests come from: of equal rows, only the first one's (`is_first`).

    Raises InterruptedError once `interrupted` is set.
    """
    with cells.prepare_provenance_order(digests, interrupted):
        for start in range(0, len(digests), _ROWS_A_GROUP):
            if interrupted.is_set():
                raise InterruptedError
            some = slice(start, start + _ROWS_A_GROUP)
            yield cells.provenance(digests[some][is_first[some]])


def derived_cell_reader(column: Column, interrupted: threading.Event) -> CellReader:
    """Computes the cells of a column that calls no function: of paths and templates alone.

    Reading raises InterruptedError once `interrupted` is set, and at its end CellsFailedError if any cell failed under
    on_error="abort".
    """

    def read_cells() -> Iterator[pa.Table]:
        import pyarrow as pa

        failures: list[tuple[int, CellError]] = []
        failed: Counter[str] = Counter()
        first = 0
        size = column.inputs.batch_rows if column.inputs.holds_media else _ROWS_A_GROUP
        for rows in column.inputs.batches(size, column.total):
            if interrupted.is_set():
                raise InterruptedError
            values: list[Any] = []
            errors: list[CellError | None] = []
            digests: list[bytes | None] = []
            for row in rows:
                try:
                    value = column.plan.check_value(column.plan.prepare(row))
                    is_derived = value is not None or all(v is not None for v in row)
                    digests.append(cell_digest(value) if is_derived else None)
                    values.append(value)
                    errors.append(None)
                except CellError as e:
                    if len(failures) < FAILURES_KEPT:
                        failures.append((first + len(values), e.without_frames()))
                    failed[e.errortype] += 1
                    values.append(None)
                    errors.append(e.without_frames())
                    digests.append(None)
            first += len(rows)
            yield pa.table(
                {
                    "digest": pa.array(digests, pa.binary(16)),
                    "value": _value_array(column, values),
                    "errortype": pa.array([e and e.errortype for e in errors], pa.string()),
                    "errormsg": to_arrow([e and e.message for e in errors], String),
                }
            )
        if failed and column.options.on_error == "abort":
            raise cells_failed_error(column, failures, failed)

    return read_cells


def _value_array(column: Column, values: list[Any]) -> pa.Array:
    if column.column_type is not None:
        return to_arrow(values, column.column_type)
    return back_to_arrow(values, _source_type(column))


def _source_type(column: Column) -> pa.DataType:
    """The type of the column that is copied; null in a table without rows, and hence without columns."""
    import pyarrow as pa

    ref = column.plan.columns[0]
    schema = column.inputs.rows[ref._asset].schema
    return copied_type(schema.field(ref._column).type) if ref._column in schema.names else pa.null()


def assemble(
    column: Column, read_cells: CellReader, *, simulated: bool, input_digest: InputDigest | None = None
) -> Assembly:
    """Writes the column's file from its cells; a trial (`limit`) only reads the cells."""
    import pyarrow as pa

    value = column.column_type.arrow() if column.column_type else _source_type(column)
    if column.column_type is not None and issubclass(column.column_type, Array):
        length = _common_length(read_cells())
        value = pa.list_(pa.float32(), -1 if length is None else length)
    schema = file_schema(column, value)
    assembly = Assembly(schema, schema.empty_table(), servers=RowServers() if column.plan.calls_api else None)
    contents = ContentsDigest()
    batches = _row_group_tables(_file_rows(column, read_cells(), schema, assembly, contents))

    def final_metadata() -> Mapping[str, str]:
        assembly.data_version = contents.hexdigest()
        add_inputs(assembly.findings, column.inputs)
        more = labels_metadata(column.inputs, column.labels)
        more |= {} if input_digest is None else input_digest.metadata()
        if assembly.servers is not None:
            more[ANSWERED_BY] = assembly.servers.to_metadata()
        return {DATA_VERSION: assembly.data_version, FINDINGS: assembly.findings.to_json(), **more}

    if column.options.limit is None:
        metadata = {
            **column.file_metadata,
            "code_version": column.code_version,
            "simulated": simulated,
            ANSWERS_CHECKED: True,
        }
        column.file.write(schema, batches, metadata, final_metadata)
    else:
        for _ in batches:
            pass
    return assembly


def file_schema(column: Column, value: pa.DataType) -> pa.Schema:
    """The columns of the file, with values of the type `value`."""
    import pyarrow as pa

    name = column.name
    return pa.schema(
        [
            *column.inputs.key_schema,
            _value_field(column, value),
            (f"{name}_errortype", pa.string()),
            (f"{name}_errormsg", pa.string()),
            ("_digest", pa.binary(DIGEST_BYTES)),
        ]
    )


def column_types(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """The names and types of the columns, without a fixed length of vectors."""
    return [(field.name, variable_length_type(field.type)) for field in schema]


def _value_field(column: Column, arrow_type: pa.DataType) -> pa.Field:
    import pyarrow as pa

    column_type = column.column_type
    if column_type is not None and is_media(column_type):
        return media_field(column.name, column_type)
    return pa.field(column.name, arrow_type)


def _file_rows(
    column: Column,
    cell_tables: Iterable[pa.Table],
    schema: pa.Schema,
    assembly: Assembly,
    contents: ContentsDigest,
) -> Iterator[pa.Table]:
    """The rows of the file. Adds them to the assembly's findings and sample, and to the contents' digest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    next_keys, add_findings = column.inputs.key_reader(), finding_collector(column, assembly.findings)
    for part in cell_tables:
        keys = next_keys(part.num_rows).columns
        cells = [part[name] for name in ("value", "errortype", "errormsg", "digest")]
        columns = [
            c if c.type == f.type else c.cast(f.type) for c, f in zip([*keys, *cells], schema, strict=True)
        ]
        rows = pa.table(columns, schema=schema)
        if assembly.servers is not None:
            answered = pc.and_(rows[column.name].is_valid(), rows[f"{column.name}_errortype"].is_null())
            assembly.servers.add(part["server"], answered)
        add_findings(rows)
        contents.add(rows.select([*column.inputs.key, column.name, f"{column.name}_errortype"]))
        if absent := _SAMPLE_ROWS - assembly.sample.num_rows:
            assembly.sample = pa.concat_tables([assembly.sample, first_rows(rows.slice(0, absent))])
        yield rows


def first_rows(rows: pa.Table) -> pa.Table:
    """A copy of the first rows: a slice would keep all rows in memory."""
    import pyarrow as pa

    def write(sink: pa.NativeFile) -> None:
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows.slice(0, _SAMPLE_ROWS))

    counter = pa.MockOutputStream()
    write(counter)
    buffer = pa.allocate_buffer(counter.size())  # one that grows would take up to twice as much
    write(pa.FixedSizeBufferWriter(buffer))
    return pa.ipc.open_stream(buffer).read_all()


def _row_group_tables(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, in tables of the size of a row group: about _ROWS_A_GROUP rows or _BYTES_A_GROUP bytes at most."""
    import pyarrow as pa

    kept: list[pa.Table] = []
    rows = size = 0
    for part in (piece for whole in parts for piece in split_by_bytes(whole, _BYTES_A_GROUP)):
        if kept and (rows + part.num_rows > _ROWS_A_GROUP or size + part.nbytes > _BYTES_A_GROUP):
            yield pa.concat_tables(kept)
            kept, rows, size = [], 0, 0
        kept.append(part)
        rows += part.num_rows
        size += part.nbytes
    if kept:
        yield pa.concat_tables(kept)


def _common_length(cell_tables: Iterable[pa.Table]) -> int | None:
    """The length of all vectors, None if they differ or there are none."""
    import pyarrow.compute as pc

    lengths: set[int] = set()
    for part in cell_tables:
        bounds = pc.min_max(pc.list_value_length(part["value"])).as_py()
        lengths |= {n for n in bounds.values() if n is not None}
        if len(lengths) > 1:
            return None
    return lengths.pop() if lengths else None
