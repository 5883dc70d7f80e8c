"""Updates one partition of an index: only rows that changed are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.index.partition_rows import IndexRows, PartitionScan
from pxt_assets.index.spec import IndexSpec
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_servers import record_servers

if TYPE_CHECKING:
    from lancedb.db import DBConnection


@dataclass(frozen=True)
class PartitionUpdate:
    """What an update did to a partition. Counts are of rows."""

    scan: PartitionScan
    written: int
    """New and changed rows."""
    unchanged: int
    removed: int


def write_partition(
    database: DBConnection, spec: IndexSpec, rows: IndexRows, partition: str | None
) -> tuple[StoredIndex, PartitionUpdate]:
    """Makes the index hold exactly these rows of the partition. Nothing is written if one of them is at fault.

    Raises PartitionError.
    """
    import numpy as np

    found = StoredIndex.open(spec, database, simulated=rows.simulated)
    scanned = rows.scan(None if found is None else found.dim)
    schema = rows.schema(scanned.dim)
    stored = StoredIndex.create(spec, database, schema, simulated=rows.simulated)
    known = stored.rows_of(partition or "")
    wanted = np.ones(len(scanned.indexed), bool)
    gone = known.keys
    if len(known.keys):
        at = np.minimum(np.searchsorted(known.keys, scanned.rows.keys), len(known.keys) - 1)
        wanted = ~((known.keys[at] == scanned.rows.keys) & (known.contents[at] == scanned.rows.contents))
        gone = known.keys[~np.isin(known.keys, scanned.rows.keys)]
        if wanted.any() or len(gone):
            schema = stored.schema
            stored.replace(rows.batches(scanned, wanted, schema), rows.rows_to_remove(gone, schema), schema)
    elif wanted.any():
        schema = stored.schema
        stored.append(rows.batches(scanned, wanted, schema), schema)
    record_servers(stored, partition or "", rows.servers)
    count = int(wanted.sum())
    return stored, PartitionUpdate(scanned, count, len(scanned.indexed) - count, len(gone))
