"""The note by which Hugging Face `datasets` reads a Parquet file's images and sounds as what they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pxt_assets.values.types import MEDIA_KEY, ImageData, ImageList

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = b"huggingface"
_IMAGE_LIST = {"feature": {"_type": "Image"}, "_type": "List"}
_IMAGE_DATA = {
    "created": {"dtype": "int64", "_type": "Value"},
    "data": _IMAGE_LIST,
    "usage": {"dtype": "string", "_type": "Value"},
}


def add_huggingface_features(schema: pa.Schema) -> pa.Schema:
    """The schema with such a note, if it has columns of images or sounds."""
    features: dict[str, Any] = {}
    for field in schema:
        told = (field.metadata or {}).get(MEDIA_KEY)
        if told is not None:
            features[field.name] = {"_type": told.decode()}
        elif field.type == ImageData.arrow():
            features[field.name] = _IMAGE_DATA
        elif field.type == ImageList.arrow():
            features[field.name] = _IMAGE_LIST
    if not features:
        return schema
    note = json.dumps({"info": {"features": features}}).encode()
    return schema.with_metadata({**(schema.metadata or {}), _KEY: note})
