"""Small copies of images as Markdown; what cannot be drawn is told by what it is."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from pxt_assets.values.media import Media, open_image
from pxt_assets.values.sniff import IMAGE_FORMATS

if TYPE_CHECKING:
    import PIL.Image

_PIXELS = 96
_BYTES = 40_000
"""The size of all thumbnails of a preview, which is stored in Dagster's event log."""
_DECODED_PIXELS = 50_000_000
"""The most pixels that are decoded: an image of a few KB may claim to have billions."""
_QUALITY_OF_ICONS = 30


class Thumbnails:
    """Copies of at most _PIXELS a side, as JPEGs, as many as a preview may hold."""

    def __init__(self) -> None:
        self._bytes_left = _BYTES

    def markdown(self, media: Media) -> str | None:
        """A thumbnail as Markdown; None of a sound, an image that cannot be opened, or where no more are drawn."""
        if not is_drawable(media) or self._bytes_left <= 0:
            return None
        small = encoded(media, _PIXELS, "JPEG", quality=70)
        if small is None:
            return None
        self._bytes_left -= len(small)
        return _image_markdown(media, "jpeg", small)


class Icons:
    """Copies of at most `pixels` a side, as WebP, which takes a few hundred bytes for one."""

    def __init__(self, pixels: int, decoded: dict[str, bytes | None]) -> None:
        self._pixels = pixels
        self._decoded = decoded
        """Copies by digest that were made before, of _PIXELS a side: an image is decoded once."""
        self._drawn: dict[str, str | None] = {}

    def markdown(self, media: Media) -> str | None:
        """An icon as Markdown, None where there is none."""
        if not is_drawable(media):
            return None
        if media.digest not in self._drawn:
            self._drawn[media.digest] = self._draw(media)
        return self._drawn[media.digest]

    def _draw(self, media: Media) -> str | None:
        if media.digest not in self._decoded:
            self._decoded[media.digest] = encoded(media, _PIXELS, "PNG")
        larger = self._decoded[media.digest]
        if larger is None:
            return None
        small = encoded(Media(larger), self._pixels, "WEBP", quality=_QUALITY_OF_ICONS, method=6)
        return None if small is None else _image_markdown(media, "webp", small)


def is_drawable(media: Media) -> bool:
    """Whether it is an image whose bytes are here: what is at a URL would see whoever looks at the page."""
    return media.content is not None and media.format in IMAGE_FORMATS


def encoded(media: Media, pixels: int, format: str, **options: Any) -> bytes | None:
    """The image with at most `pixels` a side, in a format of Pillow's; None where it cannot be opened or written."""
    try:
        file = io.BytesIO()
        _small(media.content or b"", pixels).save(file, format, **options)
        return file.getvalue()
    except Exception:  # Pillow's plugins raise errors of many types for broken images
        return None


def _image_markdown(media: Media, kind: str, content: bytes) -> str:
    return f"![{media.format}](data:image/{kind};base64,{base64.b64encode(content).decode()})"


def _small(content: bytes, pixels: int) -> PIL.Image.Image:
    """An image of at most `pixels` a side, transparent parts white. Raises whatever Pillow does."""
    import PIL.Image

    image: Any = open_image(content)
    image.draft("RGB", (pixels * 2, pixels * 2))  # a JPEG is decoded at about that size
    if image.width * image.height > _DECODED_PIXELS:
        msg = "it would take too much memory"
        raise ValueError(msg)
    image.thumbnail((pixels, pixels))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(paper, image)
    small: PIL.Image.Image = image.convert("RGB")
    return small
