"""Assembles a column's file: keys, values, errors and digests, in row order, replaced in one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.ask import NO_DIGEST
from pxt_assets.compute.cells import Cells
from pxt_assets.compute.column import FAILURES_KEPT, Column, cells_failed
from pxt_assets.compute.digests import digests_of
from pxt_assets.compute.gather import interleaved
from pxt_assets.compute.plan import cell_digest
from pxt_assets.digest import DIGEST_BYTES, simulated_digest
from pxt_assets.errors import CellError
from pxt_assets.types import Array, Json, String, has_media, is_json, is_media, media_field
from pxt_assets.values import copied, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.compute.digests import Digests

_ROWS_A_GROUP = 8_192
_BYTES_A_GROUP = 32 * 2**20
_MEDIA_ROWS = (4, 64)
"""Rows of images or sounds to take at once, at first and at most: each may be megabytes."""
_MEDIA_BYTES = 8 * 2**20
"""What they should come to, as the last ones did."""
_SAMPLE_ROWS = 8

Results = Callable[[], Iterator["pa.Table"]]
"""Gives the rows' cells in order, as tables of digest, value, errortype, errormsg; can be called again."""


@dataclass
class Assembly:
    """What was assembled."""

    schema: pa.Schema
    sample: pa.Table
    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def count(self, errortypes: pa.Array | pa.ChunkedArray) -> None:
        """Counts some rows by their `<name>_errortype`."""
        self.rows += len(errortypes)
        for entry in errortypes.drop_null().value_counts().to_pylist():
            self.errors[entry["values"]] += entry["counts"]


def finished_cells(
    column: Column, cells: Cells, digests: Digests, refused: Mapping[int, CellError]
) -> Results:
    """The cells of rows with these digests, from wherever they are finished."""

    def results() -> Iterator[pa.Table]:
        import numpy as np
        import pyarrow as pa

        assert column.column_type is not None
        none = np.bytes_(NO_DIGEST)
        free = Array if issubclass(column.column_type, Array) else column.column_type  # vectors of any length
        is_large = has_media(column.column_type.arrow())
        step = _MEDIA_ROWS[0] if is_large else _ROWS_A_GROUP
        start = 0
        while start < len(digests):
            names = digests[start : start + step]
            asked = np.flatnonzero(names != none)
            absent = np.flatnonzero(names == none)
            parts = [cells.take(names[asked])] if len(asked) else []
            if len(absent):
                errors = [refused.get(start + int(i)) for i in absent]
                parts.append(
                    pa.table(
                        {
                            "digest": pa.nulls(len(absent), pa.binary(16)),
                            "value": to_arrow([None] * len(absent), free),
                            "errortype": pa.array([e and e.errortype for e in errors], pa.string()),
                            "errormsg": to_arrow([e and e.message for e in errors], String),
                        }
                    )
                )
            part = interleaved(parts, [asked, absent])
            start += len(names)
            if is_large:
                step = min(2 * step, _MEDIA_ROWS[1], max(1, step * _MEDIA_BYTES // max(part.nbytes, 1)))
            yield part

    return results


def derived_cells(column: Column) -> Results:
    """The cells of a column that calls no API: paths and templates alone.

    Under on_error="abort" reading them to the end raises CellsFailedError if any failed.
    """

    def results() -> Iterator[pa.Table]:
        import pyarrow as pa

        failures: list[tuple[int, CellError]] = []
        first = failed = 0
        size = column.inputs.batch_rows if column.inputs.holds_media else _ROWS_A_GROUP
        for rows in column.inputs.batches(size, column.total):
            values: list[Any] = []
            errors: list[CellError | None] = []
            for row in rows:
                try:
                    values.append(column.plan.settle(column.plan.prepare(row)))
                    errors.append(None)
                except CellError as e:
                    if failed < FAILURES_KEPT:
                        failures.append((first + len(values), e.to_keep()))
                    failed += 1
                    values.append(None)
                    errors.append(e.to_keep())
            first += len(rows)
            yield pa.table(
                {
                    "digest": pa.array(
                        [None if v is None else cell_digest(v) for v in values], pa.binary(16)
                    ),
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
    return copied(values, _source_type(column))


def _source_type(column: Column) -> pa.DataType:
    """The type of the column that is copied; null in a table that has no rows and hence no columns."""
    import pyarrow as pa

    ref = column.plan.columns[0]
    schema = column.inputs.rows[ref._asset].schema
    source = schema.field(ref._column).type if ref._column in schema.names else pa.null()
    return Json.arrow() if is_json(source) else source


def assemble(column: Column, results: Results, *, simulated: bool) -> Assembly:
    """Writes the column's file from its cells; of a trial (`limit`) only looks at them."""
    import pyarrow as pa

    value = column.column_type.arrow() if column.column_type else _source_type(column)
    if column.column_type is not None and issubclass(column.column_type, Array):
        length = _common_length(results())
        value = pa.list_(pa.float32(), -1 if length is None else length)
    name = column.name
    schema = pa.schema(
        [
            *(column.inputs.keys.schema if column.inputs.key else []),
            _field(column, value),
            (f"{name}_errortype", pa.string()),
            (f"{name}_errormsg", pa.string()),
            ("_digest", pa.binary(DIGEST_BYTES)),
        ]
    )
    assembly = Assembly(schema, schema.empty_table())
    batches = _regrouped(_rows(column, results(), schema, assembly))
    if column.options.limit is None:
        column.file.write(schema, batches, {**column.file_metadata, "simulated": simulated})
    else:
        for _ in batches:
            pass
    return assembly


def _field(column: Column, arrow_type: pa.DataType) -> pa.Field:
    import pyarrow as pa

    column_type = column.column_type
    if column_type is not None and is_media(column_type):
        return media_field(column.name, column_type)
    return pa.field(column.name, arrow_type)


def already_stored(column: Column, digests: Digests) -> Assembly | None:
    """What is stored, if it is just these rows with these keys: then there is nothing to write."""
    import numpy as np
    import pyarrow as pa

    file, name = column.file, column.name
    if not file.exists() or {"_digest", name, *column.inputs.key} - set(file.schema.names):
        return None
    rows = file.rows()
    if rows.num_rows != len(digests) or column.inputs.keys != rows.table(column.inputs.key):
        return None
    stored = rows.table(["_digest"])["_digest"].fill_null(NO_DIGEST)
    names = digests_of(stored)
    for i in np.flatnonzero(names != digests):
        if names[i] != np.bytes_(simulated_digest(bytes(digests[i]).ljust(DIGEST_BYTES, b"\0"))):
            return None
    assembly = Assembly(file.schema, file.schema.empty_table())
    for part in rows.batches([f"{name}_errortype"], _ROWS_A_GROUP):
        assembly.count(part[0])
    head = next(rows.batches(rows.schema.names, _SAMPLE_ROWS), None)
    if head is not None:
        assembly.sample = pa.Table.from_batches([head])
    return assembly


def _rows(
    column: Column, results: Iterable[pa.Table], schema: pa.Schema, assembly: Assembly
) -> Iterator[pa.Table]:
    """The rows of the file, counted on the way."""
    import pyarrow as pa

    start = 0
    for part in results:
        keys = column.inputs.keys.slice(start, part.num_rows).columns if column.inputs.key else []
        cells = [part[name] for name in ("value", "errortype", "errormsg", "digest")]
        columns = [
            c if c.type == f.type else c.cast(f.type) for c, f in zip([*keys, *cells], schema, strict=True)
        ]
        rows = pa.table(columns, schema=schema)
        start += part.num_rows
        assembly.count(part["errortype"])
        if assembly.sample.num_rows < _SAMPLE_ROWS:
            assembly.sample = pa.concat_tables([assembly.sample, rows.slice(0, _SAMPLE_ROWS)]).slice(
                0, _SAMPLE_ROWS
            )
        yield rows


def _regrouped(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about _ROWS_A_GROUP rows or _BYTES_A_GROUP bytes, whichever is less."""
    import pyarrow as pa

    kept: list[pa.Table] = []
    rows = size = 0
    for part in (piece for whole in parts for piece in _pieces(whole)):
        if kept and (rows + part.num_rows > _ROWS_A_GROUP or size + part.nbytes > _BYTES_A_GROUP):
            yield pa.concat_tables(kept)
            kept, rows, size = [], 0, 0
        kept.append(part)
        rows += part.num_rows
        size += part.nbytes
    if kept:
        yield pa.concat_tables(kept)


def _pieces(part: pa.Table) -> Iterator[pa.Table]:
    """The same rows in tables of at most _BYTES_A_GROUP bytes, or of one row that is larger."""
    if part.num_rows <= 1 or part.nbytes <= _BYTES_A_GROUP:
        yield part
        return
    middle = part.num_rows // 2
    yield from _pieces(part.slice(0, middle))
    yield from _pieces(part.slice(middle))


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
