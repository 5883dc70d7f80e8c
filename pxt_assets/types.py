"""The types of columns, as `Table(schema={"photo": Image})` and `@udf` hints name them."""

from pxt_assets.values.types import (
    Array,
    Audio,
    Bool,
    ColumnType,
    Float,
    Image,
    ImageData,
    ImageList,
    Int,
    Json,
    String,
)

__all__ = [
    "Array",
    "Audio",
    "Bool",
    "ColumnType",
    "Float",
    "Image",
    "ImageData",
    "ImageList",
    "Int",
    "Json",
    "String",
]
