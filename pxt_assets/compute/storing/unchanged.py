"""Whether the stored column is what would be stored again: then there is nothing to ask for, or to write.

A cell is named by its digest, which is computed row by row. A column of a million unchanged rows is told faster, by
digests of all that its cells' digests are made of. That nothing is left out of them:

- A cell is what `Plan.prepare(row)` makes of a row, and nothing else goes into its digest.
- The row: the contents of every column that is read, in order, their Arrow types with all parameters, and what they were
  declared as (`InputDigest.hexdigest`, `_full_type`). The keys and the number of rows are compared themselves.
- Files that rows or constants name by their paths are not seen in them, so a column with such paths is looked at cell by
  cell, as is one whose inputs hold images or sounds at all (`Column.names_files`). A URL is handed to the API as it is.
- The expression: its functions, constants, paths and the columns it reads (`code_version`), and what it is bound to when
  the run opens it (`Plan.bound_to`): the version of each local function and tool, which holds their sources, closures and
  globals; the contents of each index that is searched; the types of constants whose JSON form is another type's.
- The code of this package and of Arrow, by their versions. Between versions, as while this package is worked on, a sample
  of cells is named anew; a sample that holds no cell with a name decides nothing.
- What the environment holds reaches a cell through one of these, as a constant of the expression that was loaded. Keys,
  limits, time-outs, and where columns are kept are no part of a cell; nor is the server, which `answered_by` looks at.
- Whether rows are a simulator's is compared: cells made of them are marked, though their digests are the same.

The cells themselves are then the stored ones: none is an error, an answer that earlier versions took for a result, or
a simulator's while the server is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pxt_assets.api.server_name import UNKNOWN
from pxt_assets.compute.cells.answered_by import row_servers
from pxt_assets.compute.cells.digest_index import LOOKUP_ROWS, NO_DIGEST, digests_of, simulated_digests
from pxt_assets.compute.cells.failed_answers import ANSWERS_CHECKED, failed_rows
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.findings import findings_from_metadata
from pxt_assets.compute.partition.input_digest import BOUND_TO, INPUT_DIGEST, InputDigest
from pxt_assets.compute.partition.labels import are_those_of
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.compute.storing.assemble import DATA_VERSION, Assembly, column_types, file_schema, first_rows
from pxt_assets.errors import CellError
from pxt_assets.values.numpy_views import arrow_of, valid_flags

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests, ManyDigests

_ROWS = 65_536
_ROWS_DIGESTED_ANEW = 64
"""How many rows' digests are computed anew, to see that they are still the stored ones."""


def stored_if_unchanged(column: Column) -> Assembly | None:
    """The stored column, if it is made from just what there is now; else None.

    Compares digests of whole columns, which is many times as fast as the digests of all cells. Also None where this
    cannot tell, and after errors, which may be tried again; answers that earlier versions took for results are such errors.
    """
    options, metadata = column.options, column.file.metadata if column.file.exists() else {}
    if (
        not {INPUT_DIGEST, BOUND_TO} <= metadata.keys()
        or options.refresh
        or options.limit is not None
        or column.names_files
        or (column.inputs.simulated and not metadata["simulated"])
    ):
        return None
    stored = _stored_assembly(column)
    if stored is None or stored.findings.errors:
        return None
    sampled, stored_digests = _sampled_cells(column)
    input_digest, rows, start = InputDigest(column), [], 0
    for arrays, count in column.inputs.arrays(_ROWS, column.total):
        input_digest.add(arrays)
        here = sampled[(sampled >= start) & (sampled < start + count)] - start
        rows += column.inputs.rows_at(arrays, here.tolist())
        start += count
    if not (input_digest.is_that_of(metadata) and _have_digests(column, rows, stored_digests)):
        return None
    return None if len(failed_rows(column.file, column.name, column.plan.endpoint)) else stored


def stored_if_same_digests(
    column: Column, digests: ManyDigests, input_digest: InputDigest | None, *, simulated: bool
) -> Assembly | None:
    """The stored column, if its cells have these digests `S16[n]`, and its file says what it is made from; else None."""
    stored, metadata = _stored_assembly(column), column.file.metadata if column.file.exists() else {}
    if stored is None or bool(metadata["simulated"]) != simulated:
        return None
    if input_digest is not None and not stored.findings.errors and not input_digest.is_that_of(metadata):
        return None  # written again, the next run sees at once that nothing changed
    start = 0
    for stored_digests in _digest_batches(column):
        end = start + len(stored_digests)
        if not _digests_match(digests_of(stored_digests.fill_null(NO_DIGEST)), digests[start:end]):
            return None
        start = end
    return stored if start == len(digests) else None


def _stored_assembly(column: Column) -> Assembly | None:
    """The stored column, if its rows have the keys of the rows that there are now; else None."""
    import pyarrow as pa

    file = column.file
    assert column.column_type is not None
    schema = file_schema(column, column.column_type.arrow())
    if not file.exists() or column_types(file.schema) != column_types(schema):
        return None  # also where the stored column has no value column
    findings, rows = findings_from_metadata(file.metadata), file.rows()
    if findings is None or rows.num_rows != column.total or not column.inputs.has_same_keys(rows):
        return None
    if not are_those_of(column.inputs, column.labels, file.metadata):
        return None  # what the file says of its answers is to be said anew, for which nothing is asked
    kind = file.schema.field(column.name).type
    if pa.types.is_fixed_size_list(kind):  # all vectors have that length; Parquet renames the list's item
        schema = file_schema(column, pa.list_(kind.value_type, kind.list_size))
    if ANSWERS_CHECKED not in file.metadata and not findings.skipped:
        findings.skipped = _rows_without_call(column)  # which versions before did not count
    assembly = Assembly(schema, schema.empty_table(), file.metadata[DATA_VERSION], findings)
    if column.plan.calls_api:
        assembly.servers = row_servers(file.metadata, file.num_rows)
        if not assembly.servers.counts:
            unknown = findings.rows - findings.errors.total() - findings.absent
            assembly.servers.counts.update({UNKNOWN: unknown} if unknown else {})
    with file.open() as parquet:
        if parquet.num_row_groups:
            assembly.sample = first_rows(parquet.read_row_group(0))
    return assembly


def _rows_without_call(column: Column) -> int:
    """Stored rows that are null because a required input is: they have neither a digest nor an error."""
    import pyarrow.compute as pc

    errortype = f"{column.name}_errortype"
    cells = column.file.rows().table(["_digest", errortype])
    return pc.sum(pc.and_(cells["_digest"].is_null(), cells[errortype].is_null())).as_py() or 0


def _sampled_cells(column: Column) -> tuple[npt.NDArray[np.int64], Digests]:
    """Some rows whose stored cells have digests, `int64[n]`, evenly spread over all of them, and these digests, `S16[n]`."""
    import numpy as np

    named = sum(len(digests) - digests.null_count for digests in _digest_batches(column))
    ranks = np.unique(np.linspace(0, max(named - 1, 0), _ROWS_DIGESTED_ANEW).astype(np.int64))
    rows, found, start, before = [np.empty(0, np.int64)], [np.empty(0, "S16")], 0, 0
    for digests in _digest_batches(column) if named else ():
        valid = np.flatnonzero(valid_flags(digests))
        here = valid[ranks[(ranks >= before) & (ranks < before + len(valid))] - before]
        rows.append(here + start)
        found.append(digests_of(digests.take(arrow_of(here))))
        start, before = start + len(digests), before + len(valid)
    return np.concatenate(rows), np.concatenate(found)


def _digest_batches(column: Column) -> Iterator[pa.Array]:
    """The stored digests, some rows at a time."""
    for batch in column.file.rows().batches(["_digest"], LOOKUP_ROWS):
        yield batch["_digest"]


def _have_digests(column: Column, rows: Sequence[Sequence[Any]], stored: Digests) -> bool:
    """Whether the rows' cells have the stored digests, `S16[n]`; not if there are none, which tells nothing."""
    import numpy as np

    try:
        cells = [column.plan.prepare(row) for row in rows]
    except CellError:
        return False
    digests = [NO_DIGEST if cell is None else cell_digest(cell) for cell in cells]
    return bool(digests) and _digests_match(stored, np.array(digests, "S16"))


def _digests_match(stored: Digests, digests: Digests) -> bool:
    """Whether the stored digests are these, or those of a simulator's answers."""
    import numpy as np

    if len(stored) != len(digests):
        return False
    others = np.flatnonzero(stored != digests)
    return bool((stored[others] == simulated_digests(digests[others])).all())
