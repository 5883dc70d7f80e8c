"""Files of several images: pages of a TIFF, frames of an animation. The API takes one image at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError

if TYPE_CHECKING:
    import PIL.Image

SEVERAL_IMAGES = "SeveralImages"
"""The errortype of a file that stands for several images."""
_PAGED_FORMATS = ("TIFF", "HEIF", "DCX", "MIC")
"""Pillow's names of the formats whose images are pages, and no animation."""
_SINGLE_FORMATS = ("MPO", "PSD")
"""Those whose further images belong to the first: a telephone's preview or depth, the layers of a drawing."""
_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
"""TIFF's tag that says what a page is to the others: a smaller copy, the mask of one."""
_APNG_CHUNK, _PNG_PIXELS = b"acTL", b"IDAT"
_WEBP_ANIMATION_FLAG = 2


def may_have_frames(content: bytes, format: str | None) -> bool:
    """Whether a file of this format may hold several images, as far as its first bytes tell."""
    if format == "png":
        return _APNG_CHUNK in content[: content.find(_PNG_PIXELS)]
    if format == "webp":
        return content[12:16] == b"VP8X" and len(content) > 20 and bool(content[20] & _WEBP_ANIMATION_FLAG)
    return format != "jpeg"


def frame_count(image: PIL.Image.Image) -> int:
    """How many images of equal standing a file that was opened holds, 1 where it does not tell.

    Smaller copies of a page and masks do not count. 1 also where somebody has gone to a frame already, which is
    then the one that is meant.
    """
    try:
        count = int(getattr(image, "n_frames", 1))
        if count < 2 or image.format in _SINGLE_FORMATS or not _is_at_first(image):
            return 1
        return _full_pages(image, count) if image.format == "TIFF" else count
    except Exception:  # Pillow's plugins raise what they like for a broken file; decoding it says so
        return 1


def _is_at_first(image: Any) -> bool:
    """Whether an image is at the frame at which its file is opened: the first, in a HEIC whichever is its main one."""
    return bool(image.info.get("primary")) if image.format == "HEIF" else image.tell() == 0


def _full_pages(image: Any, count: int) -> int:
    pages = 0
    try:
        for i in range(count):
            image.seek(i)
            pages += not int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & (_REDUCED | _MASK)
    finally:
        with suppress(Exception):
            image.seek(0)
    return pages


def several_frames_error(image: PIL.Image.Image, count: int, advice: str) -> CellError:
    """The error for an image that stands for `count` images; `advice` says what to do."""
    is_paged = image.format in _PAGED_FORMATS
    name = {"HEIF": "HEIC"}.get(image.format or "", image.format)
    got = f"a {name} of {count} pages" if is_paged else f"an animated {name} of {count} frames"
    part = "page" if is_paged else "frame"
    msg = f"got {got}, of which only the first {part} would be sent; take out one {part} upstream{advice}"
    return CellError(SEVERAL_IMAGES, msg)
