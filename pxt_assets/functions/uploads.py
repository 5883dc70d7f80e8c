"""Images and recordings as the API's upload endpoints take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pxt_assets.errors import CellError
from pxt_assets.functions.declare import AdaptedCall, constant_media, short_repr
from pxt_assets.values.media import (
    MAX_AUDIO_BYTES,
    MAX_IMAGE_BYTES,
    Media,
    MediaArgument,
    encode_image,
    media_of,
    open_image,
    require_single_image,
)
from pxt_assets.values.types import ColumnType, Image

UPLOADABLE_AUDIO_FORMATS = ("flac", "m4a", "mp3", "mp4", "mpeg", "ogg", "wav", "webm")
MAX_SQUARE_BYTES = 4 * 2**20
"""A mask, and an image for dall-e-2. Source: https://platform.openai.com/docs/api-reference/images/createEdit"""
UPLOADABLE_IMAGE_FORMATS = ("jpeg", "png", "webp")


def file_arguments_adapter(*names: str) -> Any:
    """An `adapt` that reads constant texts in the media arguments `names` as paths of files."""

    def adapt(arguments: dict[str, Any]) -> AdaptedCall:
        return AdaptedCall({k: _constant_file(v) if k in names else v for k, v in arguments.items()})

    return adapt


def _constant_file(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_constant_file(v) for v in value]
    return PurePath(value) if isinstance(value, str) else constant_media(value)


def audio_upload(value: Any) -> MediaArgument:
    """A recording as a file to upload. Raises CellError."""
    from pxt_assets.values.types import Audio

    media = _require_media(value, "audio", Audio)
    if media.size > MAX_AUDIO_BYTES:
        msg = f"audio: got {media.size:,} bytes, allowed: {MAX_AUDIO_BYTES:,}; split the recording upstream"
        raise CellError("AudioTooLarge", msg)
    if media.format not in UPLOADABLE_AUDIO_FORMATS:
        got = media.format or "no recording of a known format"
        msg = f"audio: got {got}, allowed: {', '.join(UPLOADABLE_AUDIO_FORMATS)}; convert it upstream"
        raise CellError("UnsupportedFormat", msg)
    return MediaArgument(media)


def image_upload(value: Any, argument: str = "image") -> MediaArgument:
    """An image for a GPT image model as a file to upload. Raises CellError."""
    media = _require_media(value, argument, Image, ", or give all of them as a list of images")
    if media.format not in UPLOADABLE_IMAGE_FORMATS:
        media = _as_png(media)
    _check_size(media, argument, MAX_IMAGE_BYTES)
    return MediaArgument(media)


def square_upload(value: Any) -> MediaArgument:
    """An image for dall-e-2 as a file to upload: a square PNG. Raises CellError."""
    media = _require_media(value, "image", Image)
    if media.format != "png":
        media = _as_png(media)
    _check_size(media, "image", MAX_SQUARE_BYTES)
    width, height = open_image(_content(media)).size
    if width != height:
        msg = f"image: got {width}x{height} pixels, allowed by dall-e-2: a square; crop or pad it upstream"
        raise CellError("ImageError", msg)
    return MediaArgument(media)


def mask_upload(value: Any, image: MediaArgument) -> MediaArgument:
    """A mask as a file to upload: a PNG of the image's size with an alpha channel. Raises CellError."""
    media = _require_media(value, "mask", Image)
    mask, base = open_image(_content(media)), open_image(_content(image.media))
    if not mask.has_transparency_data:
        msg = f"mask: got an image of mode {mask.mode}, allowed: one with an alpha channel, transparent where to edit"
        raise CellError("ImageError", msg)
    if mask.size != base.size:
        msg = (
            f"mask: got {_size_text(mask.size)} pixels, allowed: those of the image, {_size_text(base.size)}"
        )
        raise CellError("ImageError", msg)
    if media.format != "png" or mask.mode not in ("RGBA", "LA"):
        media = _as_png(media, "RGBA")
    _check_size(media, "mask", MAX_SQUARE_BYTES)
    return MediaArgument(media)


def _size_text(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def _require_media(value: Any, argument: str, column_type: type[ColumnType], advice: str = "") -> Media:
    if isinstance(value, str) or (isinstance(value, Mapping) and value.get("bytes") is None):
        msg = (
            f"{argument}: got {short_repr(value)}, allowed: bytes, a PIL image, or a column that schema= declares as "
            f"{column_type.__name__}; text is never read as a path"
        )
        raise CellError("TypeError", msg)
    try:
        media = media_of(value, column_type)
    except CellError as e:
        raise CellError(e.errortype, f"{argument}: {e.message}") from e
    if media.content is None:
        msg = f"{argument}: got a URL, allowed: the file itself, since URLs out of tables are not fetched; fetch it upstream"
        raise CellError("UrlNotFetched", msg)
    if not media.content:
        raise CellError("EmptyFile", f"{argument}: got a file of 0 bytes")
    if column_type is Image:
        try:
            require_single_image(media, advice)
        except CellError as e:
            raise CellError(e.errortype, f"{argument}: {e.message}") from e
    return media


def _content(media: Media) -> bytes:
    assert media.content is not None
    return media.content


def _as_png(media: Media, mode: str | None = None) -> Media:
    return (
        media.png
        if mode is None
        else Media(encode_image(open_image(_content(media)), "PNG", mode), media.path)
    )


def _check_size(media: Media, argument: str, limit: int) -> None:
    if media.size > limit:
        msg = f"{argument}: got {media.size:,} bytes as {media.format}, allowed: {limit:,}; make it smaller upstream"
        raise CellError("ImageTooLarge", msg)
