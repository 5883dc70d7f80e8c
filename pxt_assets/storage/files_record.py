"""What is on record of a table's files: which partition each belongs to, and which of them a sensor has asked runs for.

The partitions of files are kept for good: a file is never in two. What was asked for is a file of its own each time, which
Dagster's cursor names: it keeps the cursor of a tick that came to its end, so that one that did not is made again.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.errors import SourceError
from pxt_assets.files.assigned import AssignedFile
from pxt_assets.storage.atomic_file import is_local, remove
from pxt_assets.storage.layout import companion_folder
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa

    from pxt_assets.storage.store import ColumnStore

_ID = re.compile(r"[0-9a-f]{32}")
_BEFORE = "before"


class Asked(NamedTuple):
    """What a run was asked for with."""

    digest: str
    """Of the partition's files as they were then."""
    run: str = ""
    after: int = 0
    """Dagster's last event then: what was made of the partition comes after it."""
    again: int = 0
    """0 for the first time; see `asked.again`."""


class FilesRecord:
    """The record of one table, in its store."""

    def __init__(self, store: ColumnStore, table: dg.AssetKey) -> None:
        self._folder = companion_folder(store.file(table))
        self._assigned = ParquetFile(self._folder / "files.assigned")

    def assigned(self, partitions: Collection[str] | None = None) -> dict[str, AssignedFile]:
        """The files by their paths, in the order in which they were assigned; of these partitions, or of all.

        Raises SourceError for a record that cannot be read.
        """
        import pyarrow.compute as pc

        table = _read(self._assigned)
        if table is None:
            return {}
        if partitions is not None:
            import pyarrow as pa

            table = table.filter(pc.is_in(table["partition"], pa.array([*partitions], pa.string())))
        columns = [table[name].to_pylist() for name in AssignedFile._fields]
        columns[0] = [path.decode(errors="surrogateescape") for path in columns[0]]
        return {one[0]: AssignedFile(*one) for one in zip(*columns, strict=True)}

    def assign(self, files: Mapping[str, AssignedFile]) -> None:
        """Records the files, those included that it has, in one step."""
        import pyarrow as pa

        schema = pa.schema(
            [  # the names of local files need not be text
                ("path", pa.binary()),
                ("partition", pa.string()),
                ("size", pa.int64()),
                ("version", pa.string()),
            ]
        )
        columns = [*zip(*files.values(), strict=True)]
        columns[0] = tuple(path.encode(errors="surrogateescape") for path in columns[0])
        _write(self._assigned, pa.table(columns, schema=schema), {})

    def requested(self, cursor: str | None) -> dict[str, Asked]:
        """What runs were asked for, by partition, by a cursor; {} for an unknown one."""
        table = _read(self._request(cursor)) if cursor and _ID.fullmatch(cursor) else None
        if table is None:
            return {}
        keys, *columns = (table[name].to_pylist() for name in table.column_names)
        return {key: Asked(*one) for key, *one in zip(keys, *columns, strict=True)}

    def request(self, requested: Mapping[str, Asked], cursor: str | None) -> str:
        """Records what is asked for after the tick of a cursor, and returns the next cursor."""
        before = cursor if cursor and _ID.fullmatch(cursor) else None
        if before is not None:  # what came before it is not needed any more: Dagster has gone past it
            with suppress(SourceError, FileNotFoundError):
                if earlier := self._request(before).metadata.get(_BEFORE):
                    remove(self._request(earlier).path)
        made = uuid.uuid4().hex
        self._keep(requested, made, before)
        return made

    def forget(self, partitions: Collection[str], cursor: str | None) -> None:
        """Takes partitions out of what was asked for by a cursor: they are asked for whatever becomes of the tick."""
        requested = self.requested(cursor)
        if cursor is not None and not requested.keys().isdisjoint(partitions):
            kept = {key: one for key, one in requested.items() if key not in partitions}
            self._keep(kept, cursor, self._request(cursor).metadata.get(_BEFORE))

    def _keep(self, requested: Mapping[str, Asked], cursor: str, before: str | None) -> None:
        import pyarrow as pa

        columns = zip(*requested.values(), strict=True) if requested else [()] * len(Asked._fields)
        table = pa.table(
            {"partition": [*requested]} | dict(zip(Asked._fields, map(list, columns), strict=True))
        )
        _write(self._request(cursor), table, {_BEFORE: before})

    def _request(self, cursor: str | None) -> ParquetFile:
        return ParquetFile(self._folder / f"files.requested-{cursor}")


def _read(file: ParquetFile) -> pa.Table | None:
    if not is_local(file.path):
        file.path.fs.invalidate_cache(str(file.path.parent.path))  # which lacks what other processes stored
    if not file.exists():
        return None
    rows = file.rows()
    return rows.table(rows.schema.names)


def _write(file: ParquetFile, table: pa.Table, metadata: Mapping[str, str | None]) -> None:
    file.write(table.schema, table.to_batches(max_chunksize=100_000), metadata)
