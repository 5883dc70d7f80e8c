"""The columns that an index can keep beside its vectors, for filters and results, and their stored types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.storage.common_type import cast_to
from pxt_assets.values.plain_types import as_plain, plain_type, without_view
from pxt_assets.values.types import has_media, is_json

if TYPE_CHECKING:
    import pyarrow as pa


def is_plain_type(arrow_type: pa.DataType) -> bool:
    """Whether an index keeps columns of that type by default: texts, numbers, dates, booleans and UUIDs."""
    import pyarrow as pa

    arrow_type = plain_type(arrow_type)
    if pa.types.is_dictionary(arrow_type):
        return is_plain_type(arrow_type.value_type)
    if arrow_type == pa.uuid():
        return True
    if pa.types.is_nested(arrow_type) or pa.types.is_interval(arrow_type) or has_media(arrow_type):
        return False
    return not isinstance(arrow_type, pa.BaseExtensionType) and not pa.types.is_null(arrow_type)


def is_keepable_type(arrow_type: pa.DataType) -> bool:
    """Whether an index can keep a column of that type if it is asked to: plain types, Json as text, and bytes."""
    bytes_types = ("binary", "large_binary", "binary_view")
    return is_plain_type(arrow_type) or is_json(arrow_type) or str(arrow_type) in bytes_types


def as_stored(array: pa.Array) -> pa.Array:
    """The values in the type that an index stores them in."""
    import pyarrow as pa

    stored = stored_type(array.type)
    array = as_plain(array)
    if is_json(array.type):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array if array.type == stored else cast_to(array, stored)


def stored_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type in which an index stores a column: one that LanceDB has, and texts in one that it can filter by."""
    import pyarrow as pa

    arrow_type = without_view(plain_type(arrow_type))
    if pa.types.is_dictionary(arrow_type):
        return stored_type(arrow_type.value_type)
    if is_json(arrow_type) or pa.types.is_large_string(arrow_type) or arrow_type == pa.uuid():
        return pa.string()
    if pa.types.is_decimal32(arrow_type) or pa.types.is_decimal64(arrow_type):
        return pa.decimal128(arrow_type.precision, arrow_type.scale)
    return arrow_type
