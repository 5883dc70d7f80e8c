"""Images inside the messages of `chat_completions` and the input of `responses`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions.declare import constant_media, short_repr
from pxt_assets.values.frames import SEVERAL_IMAGES
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import (
    MAX_IMAGE_BYTES,
    Media,
    MediaArgument,
    media_of,
    require_single_image,
)
from pxt_assets.values.types import Image

MAX_PAYLOAD_BYTES = 512 * 2**20
"""All images of a request, as base64. Source: https://platform.openai.com/docs/guides/images-vision"""
MAX_IMAGES = 1_500
"""Images a request. Source: the same page."""
_WITH_PARTS = ("content", "output")
"""What of a message, or of a tool's result, may be a list of parts."""
_IMAGE_TYPES = ("image_url", "input_image")
"""Types of the content parts that hold an image, in a chat and in a response."""
_URL_PREFIXES = ("http://", "https://", "data:")
SENDABLE_FORMATS = ("gif", "jpeg", "png", "webp")
"""Formats that the API takes; others are sent as PNG."""
_ADVICE = ", or give each its own image_url"
_DATA_URL_FORMATS = ("image/apng", "image/gif", "image/png", "image/tiff", "image/webp")
"""MIME types of files that may hold several images."""


def with_images(
    items: Sequence[Mapping[str, Any]],
    image_url: Callable[[Any], Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Sequence[Mapping[str, Any]]:
    """The messages with the images of their content parts as the API takes them.

    `image_url` gives the value at a part's `image_url` for an image or its URL; `defaults` are other fields that the API
    requires of such a part. Raises CellError, TypeError.
    """
    if not any(isinstance(item.get(name), list | tuple) for item in items for name in _WITH_PARTS):
        return items
    images = size = 0

    def prepare_part(part: Any) -> Any:
        nonlocal images, size
        if not isinstance(part, Mapping) or part.get("image_url") is None:
            return part
        images += 1
        given = part["image_url"]
        image = (
            {**given, "url": _image_to_send(given.get("url"))}
            if isinstance(given, Mapping)
            else _image_to_send(given)
        )
        sent = image["url"] if isinstance(image, Mapping) else image
        size += sent.size if isinstance(sent, MediaArgument) else 0
        return {**defaults, **part, "image_url": image_url(image)}

    sent = [
        {
            **item,
            **{
                name: [prepare_part(part) for part in item[name]]
                for name in _WITH_PARTS
                if isinstance(item.get(name), list | tuple)
            },
        }
        for item in items
    ]
    if images > MAX_IMAGES:
        raise CellError("TooManyImages", f"got {images:,} images, allowed: {MAX_IMAGES:,} a request")
    if size * 4 / 3 > MAX_PAYLOAD_BYTES:
        msg = f"got images of {size * 4 // 3:,} bytes as base64, allowed: {MAX_PAYLOAD_BYTES:,} a request"
        raise CellError("ImageTooLarge", msg)
    return sent


class PartsSize(NamedTuple):
    """What the content parts of messages hold."""

    characters: int = 0
    images: int = 0
    low_images: int = 0
    """Those of the images that are asked for at low detail."""

    def plus(self, content: Sequence[Any]) -> PartsSize:
        """The same with the parts of one more message."""
        characters, images, low_images = self
        for part in content:
            if not isinstance(part, Mapping):
                continue
            characters += len(str(part.get("text", "")))
            if part.get("type") == "input_json":
                characters += len(dumps(part.get("data")))
            if part.get("type") in _IMAGE_TYPES:
                images += 1
                image = part.get("image_url")
                detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
                low_images += detail == "low"
        return PartsSize(characters, images, low_images)


def _image_to_send(value: Any) -> Any:
    """An image to send: a URL unchanged, anything else by its content. Raises CellError."""
    if isinstance(value, str):
        if not value[:8].lower().startswith(_URL_PREFIXES):
            msg = (
                f"image_url: got the text {short_repr(value)}, allowed: an http(s) or data URL; a path is read from a column "
                "that schema= declares as Image"
            )
            raise CellError("TypeError", msg)
        if value[5:16].lower().startswith(_DATA_URL_FORMATS):
            _require_single_image_at(value)
        return value
    # a path is read only if it stands in code, never one in a table's cell
    media = media_of(value, Image if isinstance(value, PurePath) else None)
    return MediaArgument(media if media.content is None else sendable_image(media))


def _require_single_image_at(data_url: str) -> None:
    """Raises CellError for a data URL of several pages or frames; one that cannot be read is left to the API."""
    try:
        media = media_of(data_url, Image)
        require_single_image(media, _ADVICE)
    except CellError as e:
        if e.errortype == SEVERAL_IMAGES:
            raise


def sendable_image(media: Media) -> Media:
    """The image in a format that the API takes: unchanged if it is in one, otherwise as PNG. Raises CellError."""
    assert media.content is not None
    if media.size > MAX_IMAGE_BYTES:
        msg = f"got an image of {media.size:,} bytes, allowed: {MAX_IMAGE_BYTES:,}; make it smaller upstream"
        raise CellError("ImageTooLarge", msg)
    if media.format not in SENDABLE_FORMATS:
        require_single_image(media, _ADVICE)
        return sendable_image(media.png)
    require_single_image(media, _ADVICE)
    return media


def with_constant_images(value: Any) -> Any:
    """Arguments with the constants at `image_url` as images, or as files to read if they are paths.

    Only paths in code are read, never a table's texts. Raises DefinitionError for a path anywhere else, which would fail
    every row.
    """
    if isinstance(value, PurePath):
        msg = f"got the path {str(value)!r} outside of image_url, where only JSON can stand"
        raise DefinitionError(msg)
    if isinstance(value, Mapping):
        return {
            k: _constant_image(v) if k == "image_url" else with_constant_images(v) for k, v in value.items()
        }
    return [with_constant_images(v) for v in value] if isinstance(value, list | tuple) else value


def _constant_image(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _constant_image(v) if k == "url" else v for k, v in value.items()}
    is_path = isinstance(value, str) and value and not urlsplit(value).scheme
    return PurePath(value) if is_path else constant_media(value)
