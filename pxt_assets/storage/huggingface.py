"""The schema metadata that makes Hugging Face `datasets` read images and sounds of a Parquet file as such."""

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
    """The schema with that metadata, if it has columns of images or sounds."""
    features: dict[str, Any] = {}
    for field in schema:
        media = (field.metadata or {}).get(MEDIA_KEY)
        if media is not None:
            features[field.name] = {"_type": media.decode()}
        elif field.type == ImageData.arrow():
            features[field.name] = _IMAGE_DATA
        elif field.type == ImageList.arrow():
            features[field.name] = _IMAGE_LIST
    if not features:
        return schema
    metadata = json.dumps({"info": {"features": features}}).encode()
    return schema.with_metadata({**(schema.metadata or {}), _KEY: metadata})
