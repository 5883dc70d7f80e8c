"""Arrow types that neither Parquet nor Arrow's own functions take, as the nearest that they do.

Categories that are no texts, or views of texts, as polars has them, or numbered in 8 bits, which cannot be joined with
others; views of lists, and of texts in lists and objects; run-end encoding; and booleans of a byte each. All other types stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def plain_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type as which such a column is read and stored, at any depth; the type itself for all others."""
    import pyarrow as pa

    if pa.types.is_dictionary(arrow_type):
        values = without_view(plain_type(arrow_type.value_type))
        if not _is_text(values):
            return values
        return pa.dictionary(pa.int32(), values, arrow_type.ordered)
    if is_bool8(arrow_type):
        return pa.bool_()
    if pa.types.is_run_end_encoded(arrow_type):
        return without_view(plain_type(arrow_type.value_type))
    if pa.types.is_struct(arrow_type):
        fields = [field.with_type(_plain_inside(field.type)) for field in arrow_type]
        return arrow_type if fields == [*arrow_type] else pa.struct(fields)
    if is_list(arrow_type):
        item = arrow_type.value_field.with_type(_plain_inside(arrow_type.value_type))
        is_view = pa.types.is_list_view(arrow_type) or pa.types.is_large_list_view(arrow_type)
        return list_of(item, arrow_type) if is_view or item != arrow_type.value_field else arrow_type
    if pa.types.is_map(arrow_type):
        key, item = _plain_inside(arrow_type.key_type), _plain_inside(arrow_type.item_type)
        same = key == arrow_type.key_type and item == arrow_type.item_type
        return arrow_type if same else pa.map_(key, item)
    return arrow_type


def _plain_inside(arrow_type: pa.DataType) -> pa.DataType:
    """The plain type of values in lists and objects, where Arrow cannot slice views, nor give them to pandas."""
    return without_view(plain_type(arrow_type))


def as_plain(array: pa.Array) -> pa.Array:
    """The same values in their plain type."""
    import numpy as np
    import pyarrow as pa

    kind, plain = array.type, plain_type(array.type)
    if pa.types.is_dictionary(kind):
        if kind == plain and not array.dictionary.null_count:
            return array
        values = as_text(as_plain(array.dictionary))
        if pa.types.is_dictionary(plain) and not values.null_count:
            return pa.DictionaryArray.from_arrays(
                array.indices.cast(pa.int32()), values, ordered=kind.ordered
            )
        taken = values.take(array.indices)
        return taken.dictionary_encode().cast(plain) if pa.types.is_dictionary(plain) else taken
    if kind == plain and not _holds_dictionary(kind):
        return array
    if is_bool8(kind):
        return array.storage.cast(pa.bool_())
    if pa.types.is_run_end_encoded(kind):
        ends = np.asarray(array.run_ends)
        runs = np.searchsorted(ends, np.arange(array.offset, array.offset + len(array)), side="right")
        return as_text(as_plain(array.values)).take(pa.array(runs))
    if pa.types.is_struct(kind):
        parts = [as_text(as_plain(part)) for part in array.flatten()]
        return pa.StructArray.from_arrays(parts, fields=list(plain), mask=array.is_null())
    if is_list(kind):
        return list_array(array, as_text(as_plain(array.flatten())), plain)
    return array if kind == plain else pa.array(array.to_pylist(), plain)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with every column in its plain type."""
    import pyarrow as pa

    fields = [field.with_type(plain_type(field.type)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every column in its plain type."""
    import pyarrow as pa

    arrays = [as_plain(array) for array in batch.columns]
    if all(new is old for new, old in zip(arrays, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(arrays, schema=plain_schema(batch.schema))


def list_array(source: pa.Array, items: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """The lists of `source`, with other items in place of those of its `flatten()`, as lists of the type `arrow_type`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = np.asarray(pc.list_value_length(source).fill_null(0).cast(pa.int64()))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mask = source.is_null() if source.null_count else None
    if pa.types.is_large_list(arrow_type):
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), items, arrow_type, mask=mask)
    if pa.types.is_list(arrow_type):
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, arrow_type, mask=mask)
    size = arrow_type.list_size
    slots = np.cumsum(np.repeat(np.asarray(source.is_valid()), size)) - 1  # a null has a place, but no items
    filled = items.take(pa.array(np.maximum(slots, 0))) if len(items) else pa.nulls(len(slots), items.type)
    return pa.FixedSizeListArray.from_arrays(filled, type=arrow_type, mask=mask)


def list_of(item: pa.Field, like: pa.DataType) -> pa.DataType:
    """A list of such items, of the size and length of another list, and no view."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(like):
        return pa.list_(item, like.list_size)
    is_large = pa.types.is_large_list(like) or pa.types.is_large_list_view(like)
    return pa.large_list(item) if is_large else pa.list_(item)


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a type is a list of any kind; a map is none."""
    import pyarrow as pa

    kinds = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(is_kind(arrow_type) for is_kind in kinds)


def _is_text(arrow_type: pa.DataType) -> bool:
    return str(arrow_type) in ("string", "large_string", "binary", "large_binary")


def is_bool8(arrow_type: pa.DataType) -> bool:
    """Whether a type is that of booleans of a byte each."""
    return getattr(arrow_type, "extension_name", None) == "arrow.bool8"


def without_view(arrow_type: pa.DataType) -> pa.DataType:
    """The type of texts or bytes in place of that of views of them."""
    import pyarrow as pa

    if pa.types.is_string_view(arrow_type):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(arrow_type) else arrow_type


def as_text(array: pa.Array) -> pa.Array:
    """Texts and bytes in place of views of them, from which Arrow cannot pick."""
    kind = without_view(array.type)
    return array if kind == array.type else array.cast(kind)


def _holds_dictionary(arrow_type: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(arrow_type):
        return True
    return any(_holds_dictionary(arrow_type.field(i).type) for i in range(arrow_type.num_fields))


def lacking_in_parquet(arrow_type: pa.DataType) -> str | None:
    """The part of a type that Parquet lacks, in words."""
    import pyarrow as pa

    if isinstance(arrow_type, pa.BaseExtensionType):
        return lacking_in_parquet(arrow_type.storage_type)
    if pa.types.is_interval(arrow_type):
        return "intervals of months, days and nanoseconds"
    if pa.types.is_union(arrow_type):
        return "unions"
    if pa.types.is_struct(arrow_type) and not arrow_type.num_fields:
        return "objects without fields"
    inner = (lacking_in_parquet(arrow_type.field(i).type) for i in range(arrow_type.num_fields))
    return next((lacking for lacking in inner if lacking is not None), None)
