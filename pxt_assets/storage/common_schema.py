"""The schema that fits the tables of several partitions, which may differ in columns and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.errors import SourceError
from pxt_assets.storage.agreed_metadata import agreed_field, with_metadata_of
from pxt_assets.storage.common_type import cast_to, common_type
from pxt_assets.values.plain_types import plain_schema
from pxt_assets.values.types import is_json

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 3


@dataclass(frozen=True)
class CommonSchema:
    """The columns of all partitions, and which of them cannot be joined."""

    schema: pa.Schema
    """All columns; one that cannot be joined has the first partition's type."""
    labels: Sequence[str]
    """The names of the partitions, for messages."""
    conflicts: Mapping[str, str]
    """Of each column whose types have nothing in common, which partitions have which: `int64 in A, string in B`."""

    def of_columns(self, columns: Sequence[str]) -> pa.Schema:
        """The schema of some columns. Raises SourceError for one that cannot be joined."""
        import pyarrow as pa

        for name in columns:
            if name in self.conflicts:
                raise conflict_error(name, self.conflicts[name])
        return pa.schema([self.schema.field(name) for name in columns])

    def cast(self, batch: pa.RecordBatch, wanted: pa.Schema, part: int) -> pa.RecordBatch:
        """Rows of a partition with these columns, null where it lacks one. Raises SourceError for what does not fit."""
        import pyarrow as pa

        if batch.schema.equals(wanted):
            return with_metadata_of(batch, wanted)
        arrays = []
        for field in wanted:
            if field.name not in batch.schema.names:
                arrays.append(pa.nulls(batch.num_rows, field.type))
                continue
            array = batch[field.name]
            try:
                arrays.append(cast_to(array, field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
                msg = (
                    f"the partitions differ in types: the column {field.name!r} is {_type_text(array.type)} in "
                    f"{self.labels[part]}, with a value that does not fit {_type_text(field.type)}, which all have in common "
                    f"({e}); give it one type upstream and materialize those partitions again"
                )
                raise SourceError(msg) from e
        names = [*wanted.names]
        return with_metadata_of(pa.RecordBatch.from_arrays(arrays, names), wanted)

    def types_text(self, name: str, schemas: Sequence[pa.Schema]) -> str:
        """Which partitions have which type of a column: `int64 in A, string in B`."""
        return _types_text(name, schemas, self.labels)


def conflict_error(name: str, types: str) -> SourceError:
    """The error of reading a column whose types, as `types` tells them, have nothing in common."""
    return SourceError(
        f"the partitions differ in types: the column {name!r} is {types}, which have nothing in common; give it one type "
        "upstream and materialize those partitions again, or leave it out"
    )


def common_schema(schemas: Sequence[pa.Schema], labels: Sequence[str]) -> CommonSchema:
    """The schema that fits all partitions, whose names are `labels`."""
    import pyarrow as pa

    if not schemas:
        return CommonSchema(pa.schema([]), labels, {})
    first = schemas[0]
    if all(other.equals(first) for other in schemas[1:]) and plain_schema(first).equals(first):
        agreed = [
            agreed_field(first.field(i), [schema.field(i) for schema in schemas]) for i in range(len(first))
        ]
        return CommonSchema(
            pa.schema(agreed, metadata=first.metadata), labels, _repeated_names(schemas, labels)
        )
    conflicts = _repeated_names(schemas, labels)
    fields = []
    for name in dict.fromkeys(name for schema in schemas for name in schema.names):
        given = [field for schema in schemas for field in schema if field.name == name]
        common = common_type(field.type for field in given)
        if common is None:
            conflicts.setdefault(name, _types_text(name, schemas, labels))
            common = given[0].type
        fields.append(agreed_field(pa.field(name, common), given))
    return CommonSchema(pa.schema(fields, metadata=first.metadata), labels, conflicts)


def _repeated_names(schemas: Sequence[pa.Schema], labels: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for schema, label in zip(schemas, labels, strict=True):
        for name in {name for name in schema.names if schema.names.count(name) > 1}:
            found.setdefault(name, f"the name of two columns in {label}")
    return found


def _types_text(name: str, schemas: Sequence[pa.Schema], labels: Sequence[str]) -> str:
    partitions: dict[str, list[str]] = {}
    for schema, label in zip(schemas, labels, strict=True):
        for kind in [field.type for field in schema if field.name == name]:
            partitions.setdefault(_type_text(kind), []).append(label)
    return ", ".join(f"{kind} in {_labels_text(those)}" for kind, those in partitions.items())


def _labels_text(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return " and ".join(labels[:2]) if len(labels) <= 2 else ", ".join(labels[:_SHOWN]) + more


def _type_text(arrow_type: pa.DataType) -> str:
    return "json" if is_json(arrow_type) else str(arrow_type)
