"""Pictures of a text: flat shapes in colours that depend on the text alone, and the text itself, readable.

Equal arguments give equal pixels, in every process and on every machine: the font comes with Pillow, and its
plain layout does not depend on what else is installed. It has Latin letters; others show as boxes.
"""

import struct
import zlib
from colorsys import hls_to_rgb
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pxt_assets.simulator.endpoint.endpoint import MARK

_LONGEST = 400
"""Characters of a text that are drawn at most; the rest becomes an ellipsis."""

_SMALLEST = 8
"""Height, in pixels, of the smallest letters."""

_SHARES = (8, 10, 13, 17, 22, 28, 36)
"""The heights of letters that are tried: the height of the picture divided by each."""

_LEADING = 1.25
"""The distance of lines, in heights of a letter."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {"RGB": 2, "RGBA": 6}

Colour = tuple[int, int, int]


def draw_text(
    text: str, size: tuple[int, int], *, variant: int = 0, transparent: bool = False
) -> Image.Image:
    """A picture of `text`, `size` pixels wide and high; each `variant` has colours of its own.

    Its mode is RGB, or RGBA where the background is `transparent`.
    """
    dark, middle, light = _colours(text, variant)
    width, height = size
    image = Image.new("RGBA", size) if transparent else Image.new("RGB", size, dark)
    pen = _pen(image)
    turn = blake2b(f"{variant} {text}".encode(errors="replace"), digest_size=3).digest()
    radius = min(size) * (64 + turn[0] // 4) // 256
    centre = (width * turn[1] // 255, height * turn[2] // 255)
    pen.circle(centre, radius, fill=middle)
    _write_text(pen, text, size, ink=light)
    draw_mark(image)
    return image


def draw_mark(image: Image.Image) -> None:
    """Write "[simulated]" into the lower left corner, white on black."""
    text = MARK.strip()
    font = _font(max(_SMALLEST, min(image.size) // 40))
    pen = _pen(image)
    left, top, right, bottom = pen.textbbox((0, image.height), text, font=font, anchor="ld")
    pen.rectangle((left, top, right + font.size // 2, bottom), fill=(0, 0, 0))
    pen.text((font.size // 4, image.height), text, font=font, fill=(255, 255, 255), anchor="ld")


def tint_of(text: str, variant: int) -> Colour:
    """A colour in the middle of the range, for `variant` of `text`."""
    return _colours(text, variant)[1]


def encode_image(image: Image.Image, format: str, quality: int = 100) -> bytes:
    """`image` as a file of the `format` "png", "jpeg" or "webp"; `quality` from 0 to 100 is of the latter two."""
    if format == "png":
        return _encode_png(image)
    file = BytesIO()
    # Beyond 95, files of photographs grow fast with no visible gain.
    quality = min(quality, 95)
    if format == "jpeg":
        image.convert("RGB").save(file, "JPEG", quality=quality)
    else:
        image.save(file, "WEBP", quality=quality, method=0)
    return file.getvalue()


def _encode_png(image: Image.Image) -> bytes:
    """`image` as PNG, several times faster than Pillow, which tries five filters for each row of pixels.

    A row is stored as its difference from the one above (filter 2): nothing but zeros where colours are flat.
    """
    if image.mode not in _PNG_COLOURS:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    pixels = np.asarray(image).reshape(image.height, -1)
    rows = np.empty((image.height, pixels.shape[1] + 1), np.uint8)
    rows[:, 0] = 2
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, _PNG_COLOURS[image.mode], 0, 0, 0)
    return b"".join(
        (
            _PNG_SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"tEXt", b"Comment\0" + MARK.strip().encode()),
            _chunk(b"IDAT", zlib.compress(rows.data, 2)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"%b%b%b%b" % (
        struct.pack(">I", len(content)),
        kind,
        content,
        struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))),
    )


def _colours(text: str, variant: int) -> tuple[Colour, Colour, Colour]:
    """A dark, a middle and a light colour of one hue."""
    digest = blake2b(f"{variant}\0{text}".encode(errors="replace"), digest_size=2).digest()
    hue = int.from_bytes(digest) / 65536
    return _colour(hue, 0.22), _colour(hue + 0.08, 0.38), _colour(hue, 0.93)


def _colour(hue: float, lightness: float) -> Colour:
    red, green, blue = (round(255 * part) for part in hls_to_rgb(hue % 1, lightness, 0.55))
    return red, green, blue


def _pen(image: Image.Image) -> ImageDraw.ImageDraw:
    pen = ImageDraw.Draw(image)
    # Letters without grey edges: a PNG of half the size.
    pen.fontmode = "1"
    return pen


@lru_cache(maxsize=64)
def _font(height: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, `height` pixels high."""
    font = ImageFont.load_default(height)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow has been built without FreeType"
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _write_text(pen: ImageDraw.ImageDraw, text: str, size: tuple[int, int], *, ink: Colour) -> None:
    """Write `text` into the middle of a picture of that `size`: as large as it fits, cut off if it never does."""
    width, height = (side - side // 8 for side in size)
    visible = " ".join(text[:_LONGEST].encode(errors="replace").decode().split())
    if not visible or width < _SMALLEST or height < _SMALLEST:
        return
    if len(text) > _LONGEST:
        visible += "…"
    # Average width of this text's letters, as a share of the font's height.
    mean = max(0.2, _font(_SMALLEST).getlength(visible) / len(visible) / _SMALLEST)
    for share in _SHARES:
        font = _font(max(_SMALLEST, min(height, 2 * width) // share))
        columns = max(1, int(width / (mean * font.size)))
        rows = max(1, int(height / (font.size * _LEADING)))
        lines = wrap(visible, columns)
        if len(lines) <= rows and all(font.getlength(line) <= width for line in lines):
            break
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"{lines[rows - 1]}…"]
    top = (size[1] - len(lines) * font.size * _LEADING) / 2
    for index, line in enumerate(lines):
        position = (size[0] / 2, top + (index + 0.5) * font.size * _LEADING)
        pen.text(position, line, font=font, fill=ink, anchor="mm")
