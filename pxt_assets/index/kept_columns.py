"""The columns that an index can keep beside its vectors, for filters and results, and their stored types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.index.spec import INTERNAL, RESULT_COLUMNS
from pxt_assets.values.types import has_media, is_json

if TYPE_CHECKING:
    import pyarrow as pa


def is_plain_type(arrow_type: pa.DataType) -> bool:
    """Whether an index keeps columns of that type by default: texts, numbers, dates and booleans."""
    import pyarrow as pa

    if pa.types.is_dictionary(arrow_type):
        return is_plain_type(arrow_type.value_type)
    if pa.types.is_nested(arrow_type) or has_media(arrow_type):
        return False
    return not isinstance(arrow_type, pa.BaseExtensionType) and not pa.types.is_null(arrow_type)


def is_keepable_name(name: str) -> bool:
    """Whether an index can keep a column of that name beside its own columns."""
    return name not in INTERNAL and name not in RESULT_COLUMNS and not {*".`"} & {*name}


def is_keepable_type(arrow_type: pa.DataType) -> bool:
    """Whether an index can keep a column of that type if it is asked to: plain types, Json as text, and bytes."""
    return is_plain_type(arrow_type) or is_json(arrow_type) or str(arrow_type) in ("binary", "large_binary")


def as_stored(array: pa.Array) -> pa.Array:
    """The values in the type that an index stores them in."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_json(array.type):
        array = array.storage
    stored = stored_type(array.type)
    return array if array.type == stored else array.cast(stored)


def stored_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type in which an index stores a column; texts in one that LanceDB can filter by."""
    import pyarrow as pa

    if pa.types.is_dictionary(arrow_type):
        return stored_type(arrow_type.value_type)
    if is_json(arrow_type) or pa.types.is_large_string(arrow_type) or arrow_type == pa.string_view():
        return pa.string()
    return arrow_type
