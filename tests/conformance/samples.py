"""Images and recordings to send."""

import io
import wave

import PIL.Image


def picture(format: str = "PNG", size: tuple[int, int] = (32, 32), mode: str = "RGB") -> bytes:
    """An image file."""
    target = io.BytesIO()
    PIL.Image.new(mode, size).save(target, format)
    return target.getvalue()


def recording() -> bytes:
    """A WAV file of a tenth of a second."""
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(3_200))
    return target.getvalue()
