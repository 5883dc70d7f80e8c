"""Column types: the names users write, and the Arrow types that store them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, TypeGuard

if TYPE_CHECKING:
    import pyarrow as pa


_PUBLIC_MODULE = "pxt_assets.types"
"""Where users import the types from. The digest of a stored column's inputs holds this name: it must stay."""


class ColumnType:
    """Base of the column types. The subclasses themselves are the types; they are never instantiated.

    Example:
        `Table(pictures, key="id", schema={"image": Image, "caption": String})`
    """

    __module__ = _PUBLIC_MODULE

    def __init_subclass__(cls) -> None:
        cls.__module__ = _PUBLIC_MODULE

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
        if not _is_vector_shape(shape) or dtype != "float32":
            msg = f"got Array[{item!r}]; a vector's type is Array[(length,), 'float32'] or Array[(None,), 'float32']"
            raise TypeError(msg)
        return _array(shape[0])

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.list_(pa.float32()) if cls.dim is None else pa.list_(pa.float32(), cls.dim)


def _is_vector_shape(shape: object) -> TypeGuard[tuple[int | None]]:
    if not isinstance(shape, tuple) or len(shape) != 1:
        return False
    return shape[0] is None or (type(shape[0]) is int and shape[0] > 0)


@cache
def _array(dim: int | None) -> type[Array]:
    return Array if dim is None else type("Array", (Array,), {"dim": dim, "__doc__": Array.__doc__})


class _MediaType(ColumnType):
    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Image(_MediaType):
    """A picture: `struct<bytes: binary, path: string>`, as Hugging Face `datasets` stores it."""


class Audio(_MediaType):
    """A sound: `struct<bytes: binary, path: string>`, as Hugging Face `datasets` stores it."""


MEDIA_KEY = b"pxt_assets.type"
"""The metadata key of an Arrow field that says `Image` or `Audio`."""


class ImageData(Json):
    """The Json of the image functions, `{"created", "data": [Image, ...], "usage"}`: its images are not JSON.

    `usage` is JSON text: Arrow cannot yet pick rows out of a struct that holds its JSON type.
    """

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.struct([("created", pa.int64()), ("data", pa.list_(Image.arrow())), ("usage", pa.string())])


class ImageList(Json):
    """A list of images of such a result: `tbl.drawn.data`, `tbl.drawn.data["*"]`."""

    @classmethod
    def arrow(cls) -> pa.DataType:
        import pyarrow as pa

        return pa.list_(Image.arrow())


def is_media(column_type: type[ColumnType] | None) -> bool:
    """Whether a column of this type holds images or sounds, and nothing else."""
    return column_type is not None and issubclass(column_type, _MediaType)


def is_media_struct(arrow_type: pa.DataType) -> bool:
    """Whether an Arrow type is that of images and sounds."""
    import pyarrow as pa

    if not pa.types.is_struct(arrow_type) or {f.name for f in arrow_type} != {"bytes", "path"}:
        return False
    bytes_type = arrow_type.field("bytes").type
    return _is_bytes(bytes_type) or bool(pa.types.is_null(bytes_type))


def _is_bytes(arrow_type: pa.DataType) -> bool:
    """Whether a type is bytes, also as views or as a dictionary, which other programs use."""
    import pyarrow as pa

    if pa.types.is_dictionary(arrow_type):
        return _is_bytes(arrow_type.value_type)
    return bool(
        pa.types.is_binary(arrow_type)
        or pa.types.is_large_binary(arrow_type)
        or pa.types.is_binary_view(arrow_type)
    )


def has_media(arrow_type: pa.DataType) -> bool:
    """Whether values of an Arrow type hold images or sounds at any depth, or bytes, which may be such."""
    if is_media_struct(arrow_type) or _is_bytes(arrow_type):
        return True
    return any(has_media(arrow_type.field(i).type) for i in range(arrow_type.num_fields))


def media_field(name: str, column_type: type[ColumnType]) -> pa.Field:
    """An Arrow field of images or sounds; its metadata says which, as their Arrow type is the same."""
    import pyarrow as pa

    return pa.field(name, column_type.arrow(), metadata={MEDIA_KEY: column_type.__name__.encode()})


def media_type(field: pa.Field) -> type[ColumnType] | None:
    """Image or Audio by the metadata of a field, None where it says neither."""
    return {b"Image": Image, b"Audio": Audio}.get((field.metadata or {}).get(MEDIA_KEY, b""))


def type_name(column_type: type[ColumnType]) -> str:
    """The name as users write it: `String`, `Array[(1536,), float32]`."""
    if issubclass(column_type, Array):
        return f"Array[({column_type.dim},), float32]"
    return "Json" if column_type in (ImageData, ImageList) else column_type.__name__


def is_json(arrow_type: pa.DataType) -> bool:
    """Whether an Arrow type is the JSON extension type."""
    return getattr(arrow_type, "extension_name", None) == "arrow.json"


def schema_entries(schema: pa.Schema) -> list[tuple[str, str]]:
    """Each column's name and type as the UI shows them: `("response", "json")`.

    Checks of a changed schema compare the types, so that all but those of the package's own results are whole.
    """
    return [(field.name, _shown_type(field.type)) for field in schema]


def _shown_type(arrow_type: pa.DataType) -> str:
    if is_json(arrow_type):
        return "json"
    return "images" if arrow_type == ImageData.arrow() else str(arrow_type)


def variable_length_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type, for a vector with its length left open, so that cells of different files fit it."""
    import pyarrow as pa

    return pa.list_(arrow_type.value_type) if pa.types.is_fixed_size_list(arrow_type) else arrow_type
