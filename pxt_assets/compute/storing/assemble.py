"""Assembles a column's file: keys, values, errors and digests, in row order, replaced in one step."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.finished_cells import Cells
from pxt_assets.compute.cells.gather import interleaved
from pxt_assets.compute.cells.refused_rows import Refused
from pxt_assets.compute.partition.column import FAILURES_KEPT, Column, cells_failed
from pxt_assets.compute.partition.findings import FINDINGS, Findings
from pxt_assets.compute.partition.made_from import MADE_FROM, MadeFrom
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.errors import CellError
from pxt_assets.storage.batches import split_by_bytes
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.values.conversion import back_to_arrow, to_arrow
from pxt_assets.values.digest import DIGEST_BYTES
from pxt_assets.values.types import (
    Array,
    Json,
    String,
    has_media,
    is_json,
    is_media,
    media_field,
    variable_length_type,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

_ROWS_A_GROUP = 8_192
_BYTES_A_GROUP = 32 * 2**20
_ROWS_AT_FIRST = 256
_MEDIA_ROWS = (4, 64)
"""Rows of images or sounds to take at once, at first and at most: each may be megabytes."""
_BYTES_AT_ONCE = 8 * 2**20
"""What the rows that are taken at once should come to, as the last ones did: each is copied several times."""
_SAMPLE_ROWS = 8
DATA_VERSION = "data_version"

Results = Callable[[], Iterator["pa.Table"]]
"""Gives the rows' cells in order, as tables of digest, value, errortype, errormsg; can be called again."""


@dataclass
class Assembly:
    """What was assembled."""

    schema: pa.Schema
    sample: pa.Table
    data_version: str = ""
    """Changes with the rows' keys, values and error types."""
    findings: Findings = field(default_factory=Findings)


def finished_cells(
    column: Column,
    cells: Cells,
    digests: Digests,
    refused: Refused,
    interrupted: threading.Event,
) -> Results:
    """The cells of rows with these digests, from wherever they are finished.

    Reading them raises InterruptedError once `interrupted` is set.
    """

    def results() -> Iterator[pa.Table]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        assert column.column_type is not None
        none = np.bytes_(NO_DIGEST)
        free = Array if issubclass(column.column_type, Array) else column.column_type  # vectors of any length
        step, most = _ROWS_AT_FIRST, _ROWS_A_GROUP
        if has_media(column.column_type.arrow()):
            step, most = _MEDIA_ROWS
        start = 0
        with cells.arranged(digests, interrupted):
            while start < len(digests):
                if interrupted.is_set():
                    raise InterruptedError
                names = digests[start : start + step]
                asked = np.flatnonzero(names != none)
                absent = np.flatnonzero(names == none)
                parts = [cells.take(names[asked])] if len(asked) else []
                if len(absent):
                    errors = refused.between(start, start + len(names))
                    error_of_row = pc.index_in(pa.array(start + absent), errors["row"])
                    parts.append(
                        pa.table(
                            {
                                "digest": pa.nulls(len(absent), pa.binary(16)),
                                "value": to_arrow([None] * len(absent), free),
                                "errortype": errors["errortype"].take(error_of_row),
                                "errormsg": errors["errormsg"].take(error_of_row),
                            }
                        )
                    )
                part = interleaved(parts, [asked, absent])
                start += len(names)
                step = min(4 * step, most, max(1, step * _BYTES_AT_ONCE // max(part.nbytes, 1)))
                yield part
        if interrupted.is_set():  # or the file would be replaced when the partition may be another run's
            raise InterruptedError

    return results


def provenance_of(
    cells: Cells, digests: Digests, is_first: npt.NDArray[np.bool_], interrupted: threading.Event
) -> Iterator[pa.Table]:
    """Where the cells of rows with these digests come from: of equal rows once, for the first one (`is_first`).

    Reading them raises InterruptedError once `interrupted` is set.
    """
    with cells.provenance_arranged(digests, interrupted):
        for start in range(0, len(digests), _ROWS_A_GROUP):
            if interrupted.is_set():
                raise InterruptedError
            some = slice(start, start + _ROWS_A_GROUP)
            yield cells.provenance(digests[some][is_first[some]])


def derived_cells(column: Column, interrupted: threading.Event) -> Results:
    """The cells of a column that calls no API: paths and templates alone.

    Reading them raises InterruptedError once `interrupted` is set; to the end, CellsFailedError if any failed under
    on_error="abort".
    """

    def results() -> Iterator[pa.Table]:
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
                    value = column.plan.settle(column.plan.prepare(row))
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
                    "value": _values(column, values),
                    "errortype": pa.array([e and e.errortype for e in errors], pa.string()),
                    "errormsg": to_arrow([e and e.message for e in errors], String),
                }
            )
        if failed and column.options.on_error == "abort":
            raise cells_failed(column, failures, failed)

    return results


def _values(column: Column, values: list[Any]) -> pa.Array:
    if column.column_type is not None:
        return to_arrow(values, column.column_type)
    return back_to_arrow(values, _source_type(column))


def _source_type(column: Column) -> pa.DataType:
    """The type of the column that is copied; null in a table that has no rows and hence no columns."""
    import pyarrow as pa

    ref = column.plan.columns[0]
    schema = column.inputs.rows[ref._asset].schema
    source = schema.field(ref._column).type if ref._column in schema.names else pa.null()
    return Json.arrow() if is_json(source) else source


def assemble(
    column: Column, results: Results, *, simulated: bool, made_from: MadeFrom | None = None
) -> Assembly:
    """Writes the column's file from its cells; of a trial (`limit`) only looks at them."""
    import pyarrow as pa

    value = column.column_type.arrow() if column.column_type else _source_type(column)
    if column.column_type is not None and issubclass(column.column_type, Array):
        length = _common_length(results())
        value = pa.list_(pa.float32(), -1 if length is None else length)
    schema = schema_of(column, value)
    assembly = Assembly(schema, schema.empty_table())
    contents = ContentsDigest()
    batches = _regrouped(_rows(column, results(), schema, assembly, contents))

    def said() -> Mapping[str, str]:
        assembly.data_version = contents.hexdigest()
        told = {DATA_VERSION: assembly.data_version, FINDINGS: assembly.findings.text()}
        return told if made_from is None else {**told, MADE_FROM: made_from.hexdigest()}

    if column.options.limit is None:
        metadata = {
            **column.file_metadata,
            "code_version": column.code_version,
            "simulated": simulated,
        }
        column.file.write(schema, batches, metadata, said)
    else:
        for _ in batches:
            pass
    return assembly


def schema_of(column: Column, value: pa.DataType) -> pa.Schema:
    """The columns of the file, with values of that type."""
    import pyarrow as pa

    name = column.name
    return pa.schema(
        [
            *column.inputs.key_schema,
            _field(column, value),
            (f"{name}_errortype", pa.string()),
            (f"{name}_errormsg", pa.string()),
            ("_digest", pa.binary(DIGEST_BYTES)),
        ]
    )


def columns_of(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """The names and types, whatever length the file has fixed for its vectors."""
    return [(field.name, variable_length_type(field.type)) for field in schema]


def _field(column: Column, arrow_type: pa.DataType) -> pa.Field:
    import pyarrow as pa

    column_type = column.column_type
    if column_type is not None and is_media(column_type):
        return media_field(column.name, column_type)
    return pa.field(column.name, arrow_type)


def _rows(
    column: Column,
    results: Iterable[pa.Table],
    schema: pa.Schema,
    assembly: Assembly,
    contents: ContentsDigest,
) -> Iterator[pa.Table]:
    """The rows of the file, counted on the way."""
    import pyarrow as pa

    next_keys = column.inputs.key_reader()
    for part in results:
        keys = next_keys(part.num_rows).columns
        cells = [part[name] for name in ("value", "errortype", "errormsg", "digest")]
        columns = [
            c if c.type == f.type else c.cast(f.type) for c, f in zip([*keys, *cells], schema, strict=True)
        ]
        rows = pa.table(columns, schema=schema)
        assembly.findings.add(rows, column.name, column.inputs.key, moderates=column.moderates)
        contents.add(rows.select([*column.inputs.key, column.name, f"{column.name}_errortype"]))
        if assembly.sample.num_rows < _SAMPLE_ROWS:
            assembly.sample = first_rows(pa.concat_tables([assembly.sample, rows.slice(0, _SAMPLE_ROWS)]))
        yield rows


def first_rows(rows: pa.Table) -> pa.Table:
    """A copy of the first rows: a slice would keep all of them in memory."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.slice(0, _SAMPLE_ROWS))
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _regrouped(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about _ROWS_A_GROUP rows or _BYTES_A_GROUP bytes, whichever is less."""
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


def _common_length(results: Iterable[pa.Table]) -> int | None:
    """The length that all vectors share, None if they differ or there is none."""
    import pyarrow.compute as pc

    lengths: set[int] = set()
    for part in results:
        bounds = pc.min_max(pc.list_value_length(part["value"])).as_py()
        lengths |= {n for n in bounds.values() if n is not None}
        if len(lengths) > 1:
            return None
    return lengths.pop() if lengths else None
