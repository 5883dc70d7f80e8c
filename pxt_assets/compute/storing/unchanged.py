"""Whether the stored column is what would be stored again: then there is nothing to ask for, or to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import NO_DIGEST, digests_of, lookup_batches, simulated_digests
from pxt_assets.compute.cells.failed_answers import failed_rows
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.findings import findings_from_metadata
from pxt_assets.compute.partition.input_digest import INPUT_DIGEST, InputDigest
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.compute.storing.assemble import DATA_VERSION, Assembly, column_types, file_schema, first_rows
from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

_ROWS = 65_536
_ROWS_DIGESTED_ANEW = 64
"""How many first rows' digests are computed anew, to see that they are still the stored ones."""


def stored_if_unchanged(column: Column) -> Assembly | None:
    """The stored column, if it is made from just the rows that there are now; else None.

    Compares a digest of whole columns, which is many times as fast as the digests of all cells. Also None where this
    cannot tell: if columns name files by their paths, and after errors, which may be tried again; answers that earlier
    versions took for results are such errors.
    """
    options, metadata = column.options, column.file.metadata if column.file.exists() else {}
    if (
        INPUT_DIGEST not in metadata
        or options.refresh
        or options.limit is not None
        or column.inputs.holds_media
    ):
        return None
    stored = _stored_assembly(column)
    if stored is None or stored.findings.errors or not _first_digests_match(column):
        return None
    input_digest = InputDigest(column)
    for arrays, _ in column.inputs.arrays(_ROWS, column.total):
        input_digest.add(arrays)
    if input_digest.hexdigest() != metadata[INPUT_DIGEST]:
        return None
    return None if len(failed_rows(column.file, column.name, column.plan.endpoint)) else stored


def stored_if_same_digests(column: Column, digests: Digests) -> Assembly | None:
    """The stored column, if its cells have these digests `S16[n]`; else None."""
    stored = _stored_assembly(column)
    if stored is None:
        return None
    stored_digests = _stored_digests(column.file.rows().table(["_digest"])["_digest"])
    return stored if _digests_match(stored_digests, digests) else None


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
    kind = file.schema.field(column.name).type
    if pa.types.is_fixed_size_list(kind):  # all vectors have that length; Parquet renames the list's item
        schema = file_schema(column, pa.list_(kind.value_type, kind.list_size))
    assembly = Assembly(schema, schema.empty_table(), file.metadata[DATA_VERSION], findings)
    with file.open() as parquet:
        if parquet.num_row_groups:
            assembly.sample = first_rows(parquet.read_row_group(0))
    return assembly


def _first_digests_match(column: Column) -> bool:
    """Whether the first rows' cells have the stored digests: another version of a library may give others."""
    import numpy as np

    digests: list[bytes] = []
    try:
        for rows in column.inputs.batches(_ROWS_DIGESTED_ANEW, min(_ROWS_DIGESTED_ANEW, column.total)):
            cells = [column.plan.prepare(row) for row in rows]
            digests += [NO_DIGEST if cell is None else cell_digest(cell) for cell in cells]
    except CellError:
        return False
    first = next(column.file.rows().batches(["_digest"], _ROWS_DIGESTED_ANEW), None)
    stored = np.empty(0, "S16") if first is None else _stored_digests(first["_digest"])
    return _digests_match(stored, np.array(digests, "S16"))


def _stored_digests(digests: pa.Array | pa.ChunkedArray) -> Digests:
    return digests_of(digests.fill_null(NO_DIGEST))


def _digests_match(stored: Digests, digests: Digests) -> bool:
    """Whether the stored digests are these, or those of a simulator's answers."""
    import numpy as np

    if len(stored) != len(digests):
        return False
    for ours, theirs in zip(lookup_batches(digests), lookup_batches(stored), strict=True):
        others = np.flatnonzero(theirs != ours)
        if not bool((theirs[others] == simulated_digests(ours[others])).all()):
            return False
    return True
