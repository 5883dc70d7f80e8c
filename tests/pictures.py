"""Images and sounds for tests, made on the spot."""

import io
import wave
from typing import Any

import PIL.Image


def picture(
    color: Any = "red", size: tuple[int, int] = (64, 64), format: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A picture of one colour as a file."""
    target = io.BytesIO()
    PIL.Image.new(mode, size, color).save(target, format)
    return target.getvalue()


def mask(size: tuple[int, int] = (64, 64), format: str = "PNG") -> bytes:
    """An opaque picture whose upper left corner is transparent."""
    image = PIL.Image.new("RGBA", size, (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
    target = io.BytesIO()
    image.save(target, format, **({"lossless": True} if format == "WEBP" else {}))
    return target.getvalue()


def animation(format: str = "GIF", frames: int = 2, **options: Any) -> bytes:
    """Several pictures in a file: frames, or pages of a TIFF."""
    target = io.BytesIO()
    first, *rest = (PIL.Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(frames))
    first.save(target, format, save_all=True, append_images=rest, **options)
    return target.getvalue()


def tiff_with_copy(subfile_type: int) -> bytes:
    """A TIFF whose second page is a copy of the first of another kind: 1 a smaller one, 4 a mask."""
    target = io.BytesIO()
    first, second = PIL.Image.new("RGB", (8, 8), "red"), PIL.Image.new("RGB", (4, 4), "red")
    second.encoderinfo = {"tiffinfo": {254: subfile_type}}
    first.save(target, "TIFF", save_all=True, append_images=[second])
    return target.getvalue()


def sound(seconds: float = 0.1, rate: int = 8_000) -> bytes:
    """A silent WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * int(seconds * rate))
    return target.getvalue()
