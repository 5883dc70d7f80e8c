"""The files of several partitions as one pyarrow dataset. Imports pyarrow's datasets: import it where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from pxt_assets.storage.common_schema import CommonSchema, conflict_error

if TYPE_CHECKING:
    from upath import UPath

_DIFFERS = "pxt_assets.differs"
"""The maker's name of the type of columns that cannot be read, whose name says why."""


class PartitionsDataset(ds.FileSystemDataset):  # type: ignore[misc]
    """A dataset whose columns can be read one by one: only reading one that the partitions disagree on is an error."""

    def scanner(self, columns: Any = None, **options: Any) -> ds.Scanner:
        """A scanner. Raises SourceError for columns whose types have nothing in common."""
        names = self.schema.names if columns is None else columns
        for name in names if isinstance(names, list | tuple) else ():
            kind: Any = self.schema.field(name).type if name in self.schema.names else None
            if getattr(kind, "vendor_name", None) == _DIFFERS:
                raise conflict_error(name, kind.type_name)
        return super().scanner(columns=columns, **options)

    def count_rows(self, filter: Any = None, **options: Any) -> int:
        """The number of rows, for which no column is read."""
        return int(self.scanner(columns=[], filter=filter, **options).count_rows())


def partitions_dataset(
    paths: Sequence[UPath], schemas: Sequence[pa.Schema], common: CommonSchema
) -> ds.Dataset:
    """The files at `paths` as one dataset; `schemas` are those of the files that have rows."""
    fields = []
    for field in common.schema:
        types = [schema.field(field.name).type for schema in schemas if field.name in schema.names]
        told = common.conflicts.get(field.name)
        if told is None and not all(_can_cast(kind, field.type) for kind in types):
            told = common.types_text(field.name, schemas)
        kind = field.type if told is None else pa.opaque(pa.null(), told, _DIFFERS)
        fields.append(field.with_type(kind))
    schema = pa.schema(fields, metadata=common.schema.metadata)
    found = ds.dataset([path.path for path in paths], schema, format="parquet", filesystem=paths[0].fs)
    return PartitionsDataset([*found.get_fragments()], schema, found.format, found.filesystem)


def _can_cast(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Arrow casts values as this package does: of extension types it takes what they are stored as."""
    if given == wanted:
        return True
    if not pa.types.is_null(given) and (_holds_extensions(given) or _holds_extensions(wanted)):
        return False
    try:
        pa.nulls(1, given).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return False
    return True


def _holds_extensions(arrow_type: pa.DataType) -> bool:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return True
    return any(_holds_extensions(arrow_type.field(i).type) for i in range(arrow_type.num_fields))
