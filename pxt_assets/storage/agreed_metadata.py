"""What the metadata of a column's fields says alike in all partitions.

Libraries keep there how values are to be read: polars takes the values of an Enum from it, and reads all others as null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pxt_assets.values.plain_types import list_of

if TYPE_CHECKING:
    import pyarrow as pa


def agreed_field(field: pa.Field, given: Sequence[pa.Field]) -> pa.Field:
    """The field with what the fields of all partitions have in their metadata, those inside of it too.

    Partitions without values have no say.
    """
    import pyarrow as pa

    told = [one for one in given if not pa.types.is_null(one.type)] or given
    if all(one.equals(told[0], check_metadata=True) for one in told) and told[0].type == field.type:
        return field.with_type(told[0].type).with_metadata(told[0].metadata)
    agreed = set((told[0].metadata or {}).items()).intersection(
        *((one.metadata or {}).items() for one in told)
    )
    kind = field.type if field.type.num_fields == 0 else _without_metadata(field.type)
    return field.with_type(kind).with_metadata(dict(agreed) or None)


def with_metadata_of(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same values with the metadata of another schema of their types, at any depth."""
    import pyarrow as pa

    if batch.schema.equals(schema, check_metadata=True):
        return batch
    whole = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    given = [column.type for column in batch.columns]
    if all(
        _inner_metadata(kind) == _inner_metadata(field.type)
        for kind, field in zip(given, schema, strict=True)
    ):
        return whole
    return pa.record_batch(_Described(whole, schema))


def _inner_metadata(arrow_type: pa.DataType) -> list[object]:
    inner = [arrow_type.field(i) for i in range(arrow_type.num_fields)]
    return [(field.metadata, _inner_metadata(field.type)) for field in inner]


@dataclass(frozen=True)
class _Described:
    """Values that describe themselves by another schema: Arrow changes what is inside of types in no other way."""

    batch: pa.RecordBatch
    schema: pa.Schema

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.schema.__arrow_c_schema__(), self.batch.__arrow_c_array__()[1]


def _without_metadata(arrow_type: pa.DataType) -> pa.DataType:
    """The type without what the fields inside of it say in their metadata."""
    import pyarrow as pa

    if isinstance(arrow_type, pa.BaseExtensionType) or arrow_type.num_fields == 0:
        return arrow_type
    inner = [arrow_type.field(i) for i in range(arrow_type.num_fields)]
    plain = [field.with_type(_without_metadata(field.type)).remove_metadata() for field in inner]
    if pa.types.is_struct(arrow_type):
        return pa.struct(plain)
    if pa.types.is_map(arrow_type):
        key, item = plain[0].type
        return pa.map_(key, item, arrow_type.keys_sorted)
    return list_of(plain[0], arrow_type)
