"""Values of a column: from Python objects to Arrow, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError
from pxt_assets.values.json_text import replace_surrogates
from pxt_assets.values.media import Media, ReadOptions, is_image, media_of, open_image
from pxt_assets.values.plain_types import lacking_in_parquet
from pxt_assets.values.sniff import IMAGE_FORMATS
from pxt_assets.values.stored_json import StoredJson, stored_json
from pxt_assets.values.types import (
    Array,
    Bool,
    ColumnType,
    Float,
    ImageData,
    ImageList,
    Int,
    Json,
    String,
    is_json,
    is_media,
    is_media_struct,
    media_type,
    type_name,
)

if TYPE_CHECKING:
    import pyarrow as pa


def to_arrow(values: Sequence[Any], column_type: type[ColumnType]) -> pa.Array:
    """Python values (None is null) as an Arrow array of the column's type.

    Json values are any JSON-able objects, or StoredJson; Array values vectors `float32[dim]`, Image and Audio values Media.
    """
    import pyarrow as pa

    if column_type is Json:
        storage = pa.array([None if v is None else stored_json(v).utf8 for v in values], pa.string())
        return pa.ExtensionArray.from_storage(Json.arrow(), storage)
    if column_type is String:
        return pa.array([None if v is None else replace_surrogates(v) for v in values], pa.string())
    if issubclass(column_type, Array):
        vectors = _vector_array(values)
        return vectors if column_type.dim is None else vectors.cast(column_type.arrow())
    if is_media(column_type):
        return pa.array([None if v is None else _media_struct(v) for v in values], column_type.arrow())
    if column_type is ImageData:
        return _image_data_array(values)
    if column_type is ImageList:
        return back_to_arrow(values, column_type.arrow())
    return pa.array(values, column_type.arrow())


def back_to_arrow(values: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    """Values that `to_python` returned, as an Arrow array of their original type."""
    import pyarrow as pa

    if is_json(arrow_type):
        return to_arrow(values, Json)
    return pa.array([_arrow_form(v) for v in values], arrow_type)


def copied_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type of a column that copies values as `to_python` returned them, where they come from a column of this type."""
    import pyarrow as pa

    if is_json(arrow_type) or lacking_in_parquet(arrow_type) is not None or _holds_extensions(arrow_type):
        return Json.arrow()
    return pa.string() if _is_period(arrow_type) else arrow_type


def _arrow_form(value: Any) -> Any:
    if isinstance(value, list):
        return [_arrow_form(v) for v in value]
    return _media_struct(value) if isinstance(value, Media) else value


def _media_struct(media: Media) -> dict[str, Any]:
    return {"bytes": media.content, "path": media.path or media.url}


def _image_data_array(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    wanted = ImageData.arrow()
    present = [v or {} for v in values]
    data = [
        None if v is None else [None if image is None else _media_struct(image) for image in v["data"]]
        for v in values
    ]
    return pa.StructArray.from_arrays(
        [
            pa.array([v.get("created") for v in present], pa.int64()),
            pa.array(data, wanted.field("data").type),
            to_arrow([v.get("usage") for v in present], Json).storage,
        ],
        fields=list(wanted),
        mask=pa.array([v is None for v in values], pa.bool_()),
    )


def _vector_array(values: Sequence[Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    lengths = np.fromiter((0 if v is None else len(v) for v in values), np.int64, len(values))
    flat = np.concatenate(
        [np.asarray(v, np.float32) for v in values if v is not None] or [np.empty(0, np.float32)]
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = np.fromiter((v is None for v in values), bool, len(values))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array(mask) if mask.any() else None)


def to_python(
    column: pa.ChunkedArray | pa.Array,
    declared: type[ColumnType] | None = None,
    options: ReadOptions | None = None,
) -> list[Any]:
    """A column's values as Python objects: JSON parsed, images and sounds as Media, nulls as None.

    Where the column is declared Image or Audio, paths are read. A value that is not of the declared type is returned as a
    CellError, which its user raises, so that one bad row does not fail the others.
    """
    if is_json(column.type):
        values = [None if text is None else _parse_json(text) for text in json_texts(column).to_pylist()]
        return [_media_or_error(v, declared, options) for v in values] if is_media(declared) else values
    values = column.to_pylist()
    if declared is Json and values:
        return [_parse_json(v) if isinstance(v, str) else v for v in values]
    if is_media(declared):
        return [_media_or_error(v, declared, options) for v in values]
    convert = _converter(column.type)
    return values if convert is None else [None if v is None else convert(v) for v in values]


def to_user_values(column: pa.ChunkedArray | pa.Array, field: pa.Field) -> list[Any] | None:
    """A column's values for users: JSON parsed, images as PIL images, sounds as `{"bytes", "path"}`.

    An image that is missing or cannot be opened is `{"bytes", "path"}` too, so that the others can be loaded. None where
    Arrow's own conversion is enough. Raises CellError for text that is not JSON.
    """
    declared = media_type(field)
    if declared is None and (_is_period(field.type) or _converter(field.type) is None):
        return column.to_pylist() if _holds_uuids(field.type) else None
    values = to_python(column, declared)
    if declared is not None and any(isinstance(value, CellError) for value in values):
        stored = column.to_pylist()
        values = [s if isinstance(v, CellError) else v for v, s in zip(values, stored, strict=True)]
    return [_user_value(value) for value in values]


def _holds_extensions(arrow_type: pa.DataType) -> bool:
    """Whether lists or objects hold values of an extension type, which Arrow cannot make of Python values."""
    import pyarrow as pa

    inner = [arrow_type.field(i).type for i in range(arrow_type.num_fields)]
    return any(isinstance(kind, pa.BaseExtensionType) or _holds_extensions(kind) for kind in inner)


def _holds_uuids(arrow_type: pa.DataType) -> bool:
    """Whether lists or objects hold UUIDs, which Arrow gives to pandas as bytes."""
    import pyarrow as pa

    inner = [arrow_type.field(i).type for i in range(arrow_type.num_fields)]
    return any(kind == pa.uuid() or _holds_uuids(kind) for kind in inner)


def _user_value(value: Any) -> Any:
    if isinstance(value, CellError):
        raise value
    if isinstance(value, Media):
        if value.content is not None and value.format in IMAGE_FORMATS:
            with suppress(CellError):
                return open_image(value.content)
        return _media_struct(value)
    if isinstance(value, dict):
        return {k: _user_value(v) for k, v in value.items()}
    return [_user_value(v) for v in value] if isinstance(value, list) else value


def _media_or_error(
    value: Any, declared: type[ColumnType] | None, options: ReadOptions | None = None
) -> Media | CellError | None:
    if value is None or isinstance(value, CellError):
        return value
    if (
        isinstance(value, Mapping)
        and value.keys() == {"bytes", "path"}
        and list(value.values()) == [None, None]
    ):
        return None
    try:
        return media_of(value, declared, options or ReadOptions())
    except CellError as e:
        return e.without_frames()


def _converter(arrow_type: pa.DataType) -> Callable[[Any], Any] | None:
    """The function from Arrow's Python values to ours; None where they are the same."""
    import pyarrow as pa

    if is_media_struct(arrow_type):
        return partial(_media_or_error, declared=None)
    if is_json(arrow_type):
        return _parse_json
    if _is_period(arrow_type):
        return partial(_period_text, freq=arrow_type.freq)
    if pa.types.is_struct(arrow_type):
        inner = {f.name: _converter(f.type) for f in arrow_type}
        if arrow_type == ImageData.arrow():
            inner["usage"] = _parse_json
        converters = {name: convert for name, convert in inner.items() if convert is not None}
        return partial(_convert_struct, converters) if converters else None
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        convert = _converter(arrow_type.value_type)
        return None if convert is None else partial(_convert_list, convert)
    return None


def _is_period(arrow_type: pa.DataType) -> bool:
    """Whether a type is that of pandas' periods, such as months, which Arrow gives as their numbers."""
    return getattr(arrow_type, "extension_name", None) == "pandas.period"


def _period_text(ordinal: int, freq: str) -> str:
    import pandas as pd

    return str(pd.Period(ordinal=ordinal, freq=freq))


def _convert_struct(converters: Mapping[str, Callable[[Any], Any]], value: Mapping[str, Any]) -> Any:
    return {k: v if v is None or k not in converters else converters[k](v) for k, v in value.items()}


def _convert_list(convert: Callable[[Any], Any], value: Sequence[Any]) -> Any:
    return [None if v is None else convert(v) for v in value]


def json_texts(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """A Json column as text."""
    import pyarrow as pa

    return column.cast(column.type.storage_type) if isinstance(column, pa.ChunkedArray) else column.storage


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as e:
        return CellError("TypeError", f"got text that is not JSON ({e}): {text[:80]!r}")


def check_value(value: object, column_type: type[ColumnType]) -> object:
    """The value, if a column of this type can hold it.

    Raises CellError otherwise, which says what was got and what is allowed.
    """
    if value is None:
        return value
    if column_type is Json:
        return _check_json(value)
    if is_media(column_type):
        return _check_media(value, column_type)
    if column_type is ImageList:
        return _check_images(value)
    if issubclass(column_type, Array):
        return _check_vector(value, column_type)
    if column_type is Int and isinstance(value, int) and not -(2**63) <= value < 2**63:
        msg = f"got the integer {value}, allowed: 64 bits; keep it as text"
        raise CellError("OverflowError", msg)
    if column_type is Float and isinstance(value, int) and abs(value) > sys.float_info.max:
        msg = f"got an integer of {value.bit_length()} bits, allowed: what a 64-bit float can hold; keep it as text"
        raise CellError("OverflowError", msg)
    allowed = _PYTHON_TYPES.get(column_type)
    if allowed is None or (
        isinstance(value, allowed) and not (isinstance(value, bool) and column_type is not Bool)
    ):
        return float(value) if column_type is Float else value  # type: ignore[arg-type]
    msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
    raise CellError("TypeError", msg)


def to_store(value: object, column_type: type[ColumnType]) -> object:
    """The value as it waits to be stored, JSON as its text. Raises CellError for one that the column cannot hold."""
    if column_type is Json and value is not None:
        return _to_json(value)
    return check_value(value, column_type)


def _check_json(value: object) -> object:
    _to_json(value)
    return value


def _to_json(value: object) -> StoredJson:
    try:
        return stored_json(value)
    except (TypeError, ValueError, RecursionError) as e:
        msg = f"got a value that JSON cannot hold ({e}); convert it upstream"
        raise CellError(type(e).__name__, msg) from e


def _check_media(value: object, column_type: type[ColumnType]) -> Media:
    if isinstance(value, bytes | PurePath | Media) or is_image(value):
        return media_of(value, column_type)
    msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} (bytes, a PIL image or a pathlib.Path) or null"
    raise CellError("TypeError", msg)


def _check_images(value: object) -> object:
    if isinstance(value, list) and all(v is None or isinstance(v, Media) for v in value):
        return value
    msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: a list of images or null"
    raise CellError("TypeError", msg)


def _check_vector(value: object, column_type: type[Array]) -> object:
    import numpy as np

    try:
        shape = value.shape if type(value) is np.ndarray else np.asarray(value, np.float32).shape
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 1 or column_type.dim not in (None, shape[0]):
        msg = f"got {type(value).__name__} {str(value)[:80]!r}, allowed: {type_name(column_type)} or null"
        raise CellError("TypeError", msg)
    return value


_PYTHON_TYPES: dict[type[ColumnType], tuple[type, ...]] = {
    String: (str,),
    Int: (int,),
    Float: (float, int),
    Bool: (bool,),
}
