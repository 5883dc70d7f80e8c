"""The type that columns of different types have in common, and values cast to it.

Arrow's permissive promotion, and what it lacks: dates to timestamps, time zones to UTC, views, categories of one column
with different values, UUIDs to text, and lists and objects to Json.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pxt_assets.errors import CellError
from pxt_assets.values.conversion import to_arrow, to_python
from pxt_assets.values.plain_types import as_plain, as_text, is_list, list_array, plain_type, without_view
from pxt_assets.values.types import Json, is_json, is_media_struct

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""The most decimal digits of integers, by their bits."""
_UNITS = ("s", "ms", "us", "ns")


def common_type(types: Iterable[pa.DataType]) -> pa.DataType | None:
    """The type that holds the values of all these types; None where they have nothing in common."""
    import pyarrow as pa

    found: pa.DataType | None = pa.null()
    for other in types:
        found = None if found is None else _common(found, plain_type(other))
    return found


def cast_to(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """The values in a type that they have in common with others. Raises ArrowInvalid for one that does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = as_plain(array)
    kind = array.type
    if kind == arrow_type:
        return array
    if pa.types.is_null(kind):
        return pa.nulls(len(array), arrow_type)
    if pa.types.is_dictionary(kind):
        return cast_to(as_text(array.dictionary_decode()), arrow_type)
    if is_json(arrow_type):
        return _json_array(array, arrow_type)
    if isinstance(kind, pa.BaseExtensionType):
        if kind == pa.uuid():
            return pa.array([v and str(v) for v in array.to_pylist()], pa.string()).cast(arrow_type)
        return cast_to(array.storage, arrow_type)
    if pa.types.is_struct(kind):
        given = dict(zip([field.name for field in kind], array.flatten(), strict=True))
        parts = [
            cast_to(given[field.name], field.type)
            if field.name in given
            else pa.nulls(len(array), field.type)
            for field in arrow_type
        ]
        return pa.StructArray.from_arrays(parts, fields=list(arrow_type), mask=array.is_null())
    if is_list(kind):
        return list_array(array, cast_to(array.flatten(), arrow_type.value_type), arrow_type)
    if pa.types.is_date(kind) and pa.types.is_timestamp(arrow_type):
        return pc.cast(array.cast(pa.date32()), arrow_type)
    return array.cast(arrow_type)


def _common(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if pa.types.is_dictionary(a) or pa.types.is_dictionary(b):
        return _common(_decoded(a), _decoded(b))
    a, b = without_view(a), without_view(b)
    if isinstance(a, pa.BaseExtensionType) or isinstance(b, pa.BaseExtensionType):
        return _common_with_extension(a, b) or _common_with_extension(b, a)
    if is_list(a) and is_list(b):
        item = _common(a.value_type, b.value_type)
        is_large = pa.types.is_large_list(a) or pa.types.is_large_list(b)
        return None if item is None else (pa.large_list(item) if is_large else pa.list_(item))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return _common_struct(a, b)
    if pa.types.is_map(a) and pa.types.is_map(b):
        key, item = _common(a.key_type, b.key_type), _common(a.item_type, b.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    return _common_number(a, b) or _common_time(a, b) or _common_time(b, a) or _promoted(a, b)


def _decoded(arrow_type: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _common_with_extension(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    if is_json(a):
        is_value = (
            is_list(b) or pa.types.is_struct(b) or pa.types.is_map(b)
        )  # a text may be meant as one or as JSON
        return Json.arrow() if is_json(b) or (is_value and not is_media_struct(b)) else None
    return b if a == pa.uuid() and b in (pa.string(), pa.large_string()) else None


def _common_struct(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for field in (*a, *b):
        common = _common(types.get(field.name, pa.null()), field.type)
        if common is None:
            return None
        types[field.name] = common
    is_told_apart = len({f.name for f in a}) == a.num_fields and len({f.name for f in b}) == b.num_fields
    return pa.struct([*types.items()]) if is_told_apart else None


def _common_number(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The type of integers and decimals that holds every value of both; doubles where either is a float."""
    import pyarrow as pa

    if not (pa.types.is_decimal(a) or pa.types.is_decimal(b)):
        return None
    if pa.types.is_floating(a) or pa.types.is_floating(b):
        return pa.float64()
    digits = scale = 0
    for kind in (a, b):
        if pa.types.is_decimal(kind):
            digits, scale = max(digits, kind.precision - kind.scale), max(scale, kind.scale)
        elif pa.types.is_integer(kind):
            digits = max(digits, _DIGITS[kind.bit_width])
        else:
            return None
    return pa.decimal128(digits + scale, scale) if digits + scale <= 38 else _wide_decimal(digits, scale)


def _wide_decimal(digits: int, scale: int) -> pa.DataType | None:
    import pyarrow as pa

    return pa.decimal256(digits + scale, scale) if digits + scale <= 76 else None


def _common_time(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    if not pa.types.is_timestamp(a):
        return None
    if pa.types.is_date(b):
        return a if a.tz is None else None
    if pa.types.is_timestamp(b) and a.tz and b.tz and a.tz != b.tz:
        return pa.timestamp(max(a.unit, b.unit, key=_UNITS.index), "UTC")
    return None


def _promoted(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    schemas = [pa.schema([("", kind)]) for kind in (a, b)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def _json_array(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if is_json(array.type):
        return pa.ExtensionArray.from_storage(arrow_type, array.storage.cast(arrow_type.storage_type))
    values = to_python(array)
    try:
        for value in values:
            if isinstance(value, CellError):
                raise value
        return to_arrow(values, Json)
    except (CellError, TypeError, ValueError) as e:
        msg = f"a value is no JSON: {e}"
        raise pa.ArrowInvalid(msg) from e
