"""The files of each partition of a step, of a table whose partitions are files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pxt_assets.assets.declarations.file_partitions import FilePartitions
from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.files import read_files_at
from pxt_assets.files.listing import folder_of
from pxt_assets.files.partition_keys import path_of_key
from pxt_assets.files.pattern import format_of
from pxt_assets.storage.files_record import FilesRecord
from pxt_assets.storage.store import ColumnStore

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa

Partition = str | None
_NAMED = 3


def check_range(partitions: Sequence[Partition], asked: str | None) -> None:
    """Raises SourceError where a run's range has other partitions than when the sensor asked for it."""
    if asked is not None and asked != str(len(partitions)):
        msg = (
            f"the run was asked for {asked} partitions, but its range has {len(partitions)} now: partitions were deleted, and "
            "those whose files are there came back in another place. The sensor asks for them again"
        )
        raise SourceError(msg)


class PartitionFiles:
    """The files of the partitions of a step."""

    def __init__(
        self, declared: FilePartitions, table: dg.AssetKey, store: object, partitions: Sequence[Partition]
    ) -> None:
        self._declared = declared
        self._table = table
        self._store = store
        self._partitions = {one for one in partitions if one is not None}

    def rows(self, partition: str, encoding: str, separator: str | None) -> pa.RecordBatchReader:
        """The rows of a partition's files, in the order in which they were assigned to it; what is gone has none.

        Raises SourceError for a partition that has no files.
        """
        paths = self._recorded.get(partition) or self._path_in_key(partition)
        declared = self._declared
        rows = read_files_at(
            declared.path,
            paths,
            schema=declared.schema,
            encoding=encoding,
            separator=separator,
            storage_options=declared.storage_options,
        )
        if rows is None:
            named = ", ".join(paths[:_NAMED]) + (
                f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            )
            msg = (
                f"partition {partition!r}: {named} {'is' if len(paths) == 1 else 'are'} not in {self._folder} any more, or empty. "
                "What is stored of the partition stays; delete the partition in Dagster if it is not wanted"
            )
            raise SourceError(msg)
        return rows

    @cached_property
    def _recorded(self) -> dict[str, list[str]]:
        """The paths of each partition's files below the folder."""
        if not isinstance(self._store, ColumnStore):
            return {}
        paths: dict[str, list[str]] = {}
        for file in FilesRecord(self._store, self._table).assigned(self._partitions).values():
            paths.setdefault(file.partition, []).append(file.path)
        return paths

    def _path_in_key(self, partition: str) -> list[str]:
        """The path of a file that no sensor has seen, whose partition somebody added by hand."""
        path = path_of_key(partition)
        declared = self._declared
        try:
            suits = path is not None and format_of(path) == format_of(declared.path, declared.schema)
        except DefinitionError:
            suits = False
        if not suits:
            msg = (
                f"partition {partition!r}: its files are not known. The table's sensor (tbl.files_sensor()) adds the partitions "
                f"of what is in {self._folder}, and records it in the ColumnStore; let it tick first"
            )
            raise SourceError(msg)
        assert path is not None
        return [path]

    @property
    def _folder(self) -> str:
        return folder_of(self._declared.path, self._declared.schema, self._declared.storage_options)
