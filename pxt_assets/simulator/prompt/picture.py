"""Format and size of a PNG, JPEG, WebP or GIF picture, read from its first bytes without decoding it."""

from collections.abc import Callable
from dataclasses import dataclass

_SOLITARY = frozenset((0x01, *range(0xD0, 0xD9)))
"""JPEG markers without a segment: TEM, RST0 to RST7, SOI."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of a frame, which states the size: SOF0 to SOF15."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Format and size of a picture."""

    format: str
    width: int
    height: int
    """In pixels, as the file states them: the rotation of its Exif data is ignored."""


def read_picture_header(content: bytes) -> Picture | None:
    """Format and size of the picture in `content`; None if it is no picture, or is cut off before its size."""
    for format, signature, size_of in _FORMATS:
        if content.startswith(signature):
            size = size_of(content)
            return Picture(format, *size) if size is not None and min(size) > 0 else None
    return None


def _png_size(content: bytes) -> tuple[int, int] | None:
    if content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _gif_size(content: bytes) -> tuple[int, int] | None:
    if content[4:6] not in (b"7a", b"9a") or len(content) < 10:
        return None
    return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")


def _webp_size(content: bytes) -> tuple[int, int] | None:
    kind = content[8:16]
    if len(content) < 30:
        return None
    if kind == b"WEBPVP8 " and content[23:26] == b"\x9d\x01\x2a":
        both = int.from_bytes(content[26:30], "little")
        return both & 0x3FFF, both >> 16 & 0x3FFF
    if kind == b"WEBPVP8L" and content[20] == 0x2F:
        both = int.from_bytes(content[21:25], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    offset = 2
    while offset + 9 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker in _FRAMES:
            return int.from_bytes(content[offset + 7 : offset + 9]), int.from_bytes(
                content[offset + 5 : offset + 7]
            )
        if marker == 0xFF:  # padding
            offset += 1
        elif marker in _SOLITARY:
            offset += 2
        else:
            offset += 2 + int.from_bytes(content[offset + 2 : offset + 4])
    return None


_FORMATS: tuple[tuple[str, bytes, Callable[[bytes], tuple[int, int] | None]], ...] = (
    ("PNG", b"\x89PNG\r\n\x1a\n", _png_size),
    ("JPEG", b"\xff\xd8\xff", _jpeg_size),
    ("WebP", b"RIFF", _webp_size),
    ("GIF", b"GIF8", _gif_size),
)
