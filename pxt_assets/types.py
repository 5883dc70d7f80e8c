"""Column types: the names users write, and the Arrow types that store them."""

from __future__ import annotations

import datetime
import decimal
import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import pyarrow as pa


class ColumnType:
    """Base of the column types. The subclasses themselves are the types; they are never instantiated.

    Example:
        `Table(pictures, key="id", schema={"image": Image, "caption": String})`
    """

    @classmethod
    def arrow(cls) -> pa.DataType:
        """The Arrow type that stores such a column."""
        raise NotImplementedError


class String(ColumnType):
    """Text: Arrow `string`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.string()


class Int(ColumnType):
    """A 64-bit integer: Arrow `int64`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.int64()


class Float(ColumnType):
    """A 64-bit float: Arrow `double`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.float64()


class Bool(ColumnType):
    """True or false: Arrow `bool`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.bool_()


class Json(ColumnType):
    """Any JSON value: Arrow's canonical extension type `arrow.json` over `string`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.json_(pa.string())


class Array(ColumnType):
    """A vector of float32; `Array[(1536,), "float32"]` fixes its length, `Array[(None,), "float32"]` does not."""

    dim: ClassVar[int | None] = None

    def __class_getitem__(cls, item: object) -> type[Array]:
        shape, dtype = item, "float32"
        if isinstance(item, tuple) and len(item) == 2:
            shape, dtype = item[0], getattr(item[1], "__name__", str(item[1]))
        if not _is_vector(shape) or dtype != "float32":
            msg = f"got Array[{item!r}]; a vector's type is Array[(length,), 'float32'] or Array[(None,), 'float32']"
            raise TypeError(msg)
        return _array(shape[0])

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.list_(pa.float32()) if cls.dim is None else pa.list_(pa.float32(), cls.dim)


def _is_vector(shape: object) -> TypeGuard[tuple[int | None]]:
    if not isinstance(shape, tuple) or len(shape) != 1:
        return False
    return shape[0] is None or (type(shape[0]) is int and shape[0] > 0)


@cache
def _array(dim: int | None) -> type[Array]:
    return Array if dim is None else type("Array", (Array,), {"dim": dim, "__doc__": Array.__doc__})


class _Media(ColumnType):
    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Image(_Media):
    """A picture: `struct<bytes: binary, path: string>`, as Hugging Face `datasets` stores it."""


class Audio(_Media):
    """A sound: `struct<bytes: binary, path: string>`, as Hugging Face `datasets` stores it."""


def type_name(column_type: type[ColumnType]) -> str:
    """The name as users write it: `String`, `Array[(1536,), float32]`."""
    if issubclass(column_type, Array):
        return f"Array[({column_type.dim},), float32]"
    return column_type.__name__


def is_json(arrow_type: pa.DataType) -> bool:
    """Whether an Arrow type is the JSON extension type."""
    return getattr(arrow_type, "extension_name", None) == "arrow.json"


def dumps(value: object) -> str:
    """Compact JSON text of a value, keys as they come, text unescaped: the form that is stored and sent.

    Dates and times become ISO 8601 text, decimals their digits. Raises TypeError or ValueError for what JSON cannot
    hold (bytes, NaN).
    """
    return _encoder.encode(value)


def canonical(value: object) -> str:
    """The same with keys sorted: the form that is hashed. Equal for dicts that differ in order alone."""
    return _canonical_encoder.encode(value)


def _default(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        msg = "got bytes where JSON is needed; declare the column as Image or Audio in the table's schema"
        raise TypeError(msg)
    msg = f"got {type(value).__name__} where JSON is needed; allowed: text, numbers, booleans, lists, dicts, dates"
    raise TypeError(msg)


_encoder, _canonical_encoder = (
    json.JSONEncoder(
        sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_default
    )
    for sort_keys in (False, True)
)


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def to_arrow(values: Sequence[Any], column_type: type[ColumnType]) -> pa.Array:
    """Python values (None is null) as an Arrow array of the column's type.

    Json values are any JSON-able objects; Array values are vectors `float32[dim]`.
    """
    import pyarrow as pa

    if column_type is Json:
        storage = pa.array([None if v is None else encodable(dumps(v)) for v in values], pa.string())
        return pa.ExtensionArray.from_storage(Json.arrow(), storage)
    if column_type is String:
        return pa.array([None if v is None else encodable(v) for v in values], pa.string())
    if issubclass(column_type, Array):
        vectors = _vectors(values)
        return vectors if column_type.dim is None else vectors.cast(column_type.arrow())
    return pa.array(values, column_type.arrow())


def _vectors(values: Sequence[Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    lengths = np.fromiter((0 if v is None else len(v) for v in values), np.int64, len(values))
    flat = np.concatenate(
        [np.asarray(v, np.float32) for v in values if v is not None] or [np.empty(0, np.float32)]
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = np.fromiter((v is None for v in values), bool, len(values))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array(mask) if mask.any() else None)


def to_python(column: pa.ChunkedArray | pa.Array, declared: type[ColumnType] | None = None) -> list[Any]:
    """A column's values as Python objects: JSON parsed, media as `{"bytes", "path"}`, nulls as None.

    A value that does not hold what the column is declared to hold is returned as the CellError that whoever uses it
    has to raise, so that one bad row does not fail the others.
    """
    if is_json(column.type):
        return [None if text is None else _parsed(text) for text in _storage(column).to_pylist()]
    values: list[Any] = column.to_pylist()
    if declared is Json and values:
        return [_parsed(v) if isinstance(v, str) else v for v in values]
    return values


def _storage(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    import pyarrow as pa

    return column.cast(column.type.storage_type) if isinstance(column, pa.ChunkedArray) else column.storage


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as e:
        return CellError("TypeError", f"got text that is not JSON ({e}): {text[:80]!r}")


def checked(value: object, column_type: type[ColumnType]) -> object:
    """The value, if a column of this type can hold it.

    Raises CellError("TypeError"), which says what was got and what is allowed.
    """
    if value is None:
        return value
    if column_type is Json:
        return _checked_json(value)
    if issubclass(column_type, Array):
        return _checked_vector(value, column_type)
    if column_type is Int and isinstance(value, int) and not -(2**63) <= value < 2**63:
        msg = f"got the integer {value}, allowed: 64 bits; keep it as text"
        raise CellError("OverflowError", msg)
    if column_type is Float and isinstance(value, int) and abs(value) > sys.float_info.max:
        msg = f"got an integer of {value.bit_length()} bits, allowed: what a 64-bit float can hold; keep it as text"
        raise CellError("OverflowError", msg)
    allowed = _PYTHON.get(column_type)
    if allowed is None or (
        isinstance(value, allowed) and not (isinstance(value, bool) and column_type is not Bool)
    ):
        return float(value) if column_type is Float else value  # type: ignore[arg-type]
    msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
    raise CellError("TypeError", msg)


def _checked_json(value: object) -> object:
    try:
        dumps(value)
    except (TypeError, ValueError) as e:
        msg = f"got a value that JSON cannot hold ({e}); convert it upstream"
        raise CellError(type(e).__name__, msg) from e
    return value


def _checked_vector(value: object, column_type: type[Array]) -> object:
    import numpy as np

    try:
        shape = np.asarray(value, np.float32).shape
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 1 or column_type.dim not in (None, shape[0]):
        msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
        raise CellError("TypeError", msg)
    return value


_PYTHON: dict[type[ColumnType], tuple[type, ...]] = {
    String: (str,),
    Int: (int,),
    Float: (float, int),
    Bool: (bool,),
}


def schema_entries(schema: pa.Schema) -> list[tuple[str, str]]:
    """Each column's name and type as the UI shows them: `("response", "json")`."""
    return [(field.name, "json" if is_json(field.type) else str(field.type)) for field in schema]


def plain_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type with a vector's length left open: what cells of different files have in common."""
    import pyarrow as pa

    return pa.list_(arrow_type.value_type) if pa.types.is_fixed_size_list(arrow_type) else arrow_type
