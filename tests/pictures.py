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


def animation() -> bytes:
    """A GIF of two pictures."""
    target = io.BytesIO()
    frames = [PIL.Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
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
