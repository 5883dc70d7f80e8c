"""Whether what is stored is what would be stored again: then there is nothing to ask for, or to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import NO_DIGEST, digests_of, parts_of, simulated_digests
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.findings import findings_of
from pxt_assets.compute.partition.made_from import MADE_FROM, MadeFrom
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.compute.storing.assemble import DATA_VERSION, Assembly, columns_of, first_rows, schema_of
from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

_ROWS = 65_536
_NAMED = 64
"""Rows whose cells are named anew, to see that they are still named in the same way."""


def unchanged(column: Column) -> Assembly | None:
    """What is stored, if all is made from just the rows that there are now.

    Found out from the contents of whole columns, which is many times as fast as to name every cell. None where that
    cannot tell: of files that columns name by their paths, and after errors, which may be tried again.
    """
    options, metadata = column.options, column.file.metadata if column.file.exists() else {}
    if MADE_FROM not in metadata or options.refresh or options.limit is not None or column.inputs.holds_media:
        return None
    stored = _stored(column)
    if stored is None or stored.findings.errors or not _named_as_before(column):
        return None
    made_from = MadeFrom(column)
    for arrays, _ in column.inputs.arrays(_ROWS, column.total):
        made_from.add(arrays)
    return stored if made_from.hexdigest() == metadata[MADE_FROM] else None


def already_stored(column: Column, digests: Digests) -> Assembly | None:
    """What is stored, if its cells are those with these digests."""
    stored = _stored(column)
    if stored is None:
        return None
    names = _names(column.file.rows().table(["_digest"])["_digest"])
    return stored if _same(names, digests) else None


def _stored(column: Column) -> Assembly | None:
    """What is stored, if its rows have the keys of those that there are now."""
    import pyarrow as pa

    file = column.file
    assert column.column_type is not None
    schema = schema_of(column, column.column_type.arrow())
    if not file.exists() or columns_of(file.schema) != columns_of(schema):
        return None  # also where it has no value, which would tell nothing of what is computed
    findings, rows = findings_of(file.metadata), file.rows()
    if findings is None or rows.num_rows != column.total or not column.inputs.has_keys(rows):
        return None
    kind = file.schema.field(column.name).type
    if pa.types.is_fixed_size_list(kind):  # all its vectors have that length; Parquet renames what is in it
        schema = schema_of(column, pa.list_(kind.value_type, kind.list_size))
    assembly = Assembly(schema, schema.empty_table(), file.metadata[DATA_VERSION], findings)
    with file.open() as opened:
        if opened.num_row_groups:
            assembly.sample = first_rows(opened.read_row_group(0))
    return assembly


def _named_as_before(column: Column) -> bool:
    """Whether the cells of the first rows have the names that are stored: another version of a library may name others."""
    import numpy as np

    names: list[bytes] = []
    try:
        for rows in column.inputs.batches(_NAMED, min(_NAMED, column.total)):
            cells = [column.plan.prepare(row) for row in rows]
            names += [NO_DIGEST if cell is None else cell_digest(cell) for cell in cells]
    except CellError:
        return False
    first = next(column.file.rows().batches(["_digest"], _NAMED), None)
    stored = np.empty(0, "S16") if first is None else _names(first["_digest"])
    return _same(stored, np.array(names, "S16"))


def _names(digests: pa.Array | pa.ChunkedArray) -> Digests:
    return digests_of(digests.fill_null(NO_DIGEST))


def _same(stored: Digests, names: Digests) -> bool:
    """Whether stored cells have these names, or those of a simulator's answers."""
    import numpy as np

    if len(stored) != len(names):
        return False
    for ours, theirs in zip(parts_of(names), parts_of(stored), strict=True):
        others = np.flatnonzero(theirs != ours)
        if not bool((theirs[others] == simulated_digests(ours[others])).all()):
            return False
    return True
