"""Files as partitions, as a user declares them: `partitions="files"` and what belongs to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.errors import DefinitionError
from pxt_assets.files import check_file_partitions, media_columns
from pxt_assets.values.types import ColumnType

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B\s*")
_THOUSANDS = " kMGT"
PARTITIONS_PER_RUN = 100


@dataclass(frozen=True)
class FilePartitions:
    """A table each of whose partitions is a file, or a group of files."""

    table: dg.AssetKey
    """The table's key, as it is declared: its record of files is kept under it, whatever prefix it is loaded with."""
    path: str
    schema: Mapping[str, type[ColumnType]]
    storage_options: Mapping[str, Any] = field(repr=False)
    group_bytes: int | None
    """The size up to which files make one partition; None where each is one."""
    per_run: int
    """How many partitions a run has at most."""

    @property
    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        """The dynamic partitions, to which the sensor adds the files."""
        return dg.DynamicPartitionsDefinition(name=f"{identifier(self.table)}_files")


def file_partitions(
    table: dg.AssetKey,
    path: str,
    schema: Mapping[str, type[ColumnType]],
    storage_options: Mapping[str, Any] | None,
    *,
    partitions: object,
    partition_size: object,
    partitions_per_run: object,
    partitions_def: object,
) -> FilePartitions | None:
    """What `partitions="files"` declares; None without it. Raises DefinitionError."""
    if partitions is None:
        for name, given in (("partition_size", partition_size), ("partitions_per_run", partitions_per_run)):
            if given is not None:
                msg = f"got {name}={given!r} for a table whose files are no partitions; give partitions='files', too"
                raise DefinitionError(msg)
        return None
    if partitions != "files":
        msg = f"got partitions={partitions!r:.60}, allowed: 'files'; other partitions are given as partitions_def"
        raise DefinitionError(msg)
    if partitions_def is not None:
        msg = f"got partitions='files' and partitions_def={partitions_def!r:.60}; give one of the two"
        raise DefinitionError(msg)
    check_file_partitions(path)
    group_bytes = None if partition_size is None else size_in_bytes(partition_size)
    if group_bytes is None and media_columns(path, schema):
        msg = (
            "got partitions='files' for images or sounds, each of which is one row: a partition a row is more than Dagster "
            "stands. Say how large a partition may be, as in partition_size='256MB'"
        )
        raise DefinitionError(msg)
    per_run = PARTITIONS_PER_RUN if partitions_per_run is None else partitions_per_run
    if not isinstance(per_run, int) or isinstance(per_run, bool) or per_run < 1:
        msg = (
            f"got partitions_per_run={per_run!r:.60}, allowed: how many partitions a run may have, 1 or more"
        )
        raise DefinitionError(msg)
    return FilePartitions(table, path, dict(schema), dict(storage_options or {}), group_bytes, per_run)


def size_in_bytes(given: object) -> int:
    """A size, 256MB or 1.5GiB or a number of bytes, in bytes. Raises DefinitionError."""
    found = _SIZE.fullmatch(given) if isinstance(given, str) else None
    size = 0.0
    if found:
        unit = found[2] or " "
        size = float(found[1]) * (1024 if unit.endswith("i") else 1000) ** _THOUSANDS.index(
            unit[0].replace("K", "k")
        )
    elif isinstance(given, int) and not isinstance(given, bool):
        size = given
    if size < 1:
        msg = f"got partition_size={given!r:.60}, allowed: a size such as '256MB' or '1GiB', or a number of bytes"
        raise DefinitionError(msg)
    return int(size)
