"""How long a sound is, by what its file holds, whatever its header claims: a module for each kind of file.

Imports no other room.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pxt_assets.values.duration import flac, matroska, mp4, mpeg, ogg, riff

_READERS: dict[str, Callable[[bytes], float | None]] = {
    "aac": mpeg.adts_seconds,
    "flac": flac.seconds,
    "m4a": mp4.seconds,
    "mp3": mpeg.mp3_seconds,
    "mp4": mp4.seconds,
    "ogg": ogg.seconds,
    "wav": riff.seconds,
    "webm": matroska.seconds,
}


def duration_seconds(content: bytes, format: str | None) -> float | None:
    """The length of a sound in seconds; None where it cannot be told, or the file is broken.

    Sounds that were streamed have no length in their headers, which were written before their end was known: then what
    is there is counted. Bare samples have no header that would tell their rate.
    """
    reader = _READERS.get(format or "")
    if reader is None:
        return None
    try:
        seconds = reader(content)
    except (ValueError, IndexError, ArithmeticError):  # a header that ends too early, or a rate of zero
        return None
    return seconds if seconds is not None and 0 <= seconds < math.inf else None
