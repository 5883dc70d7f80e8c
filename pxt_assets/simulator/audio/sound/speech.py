"""Silence that stands for a spoken text, as a file of each format of the API.

All formats are mono at 24 kHz, as the API's are (Opus counts at 48 kHz, whatever it carries).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pxt_assets.simulator.audio.sound import flac, mpeg, opus, wave
from pxt_assets.simulator.audio.sound.embedded_text import comment_for

RATE = 24_000
"""Samples/second."""

STEP = 2880
"""Every length is a multiple of this many samples: whole frames of MP3 (576), FLAC (576) and Opus (480)."""

CHARACTERS_A_STEP = 2
"""0.06 seconds a character, which is a brisk reader."""

MAX_STEPS = 83
"""Just below ten seconds, so that no file is large."""

_ENCODERS: dict[str, Callable[[bytes, bytes, int], bytes]] = {
    "mp3": mpeg.encode_mp3,
    "opus": opus.encode,
    "aac": mpeg.encode_aac,
    "flac": flac.encode,
    "wav": wave.encode_wav,
    "pcm": wave.encode_pcm,
}

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""Format, as `response_format` names it -> the content type of its files."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken text."""

    text: str
    speaker: str
    """Who speaks: the artist in the file's tags."""

    speed: float = 1.0
    """Faster speech is shorter."""

    @property
    def samples(self) -> int:
        """The length at 24 kHz."""
        steps = math.ceil(len(self.text) / (CHARACTERS_A_STEP * self.speed))
        return STEP * min(max(steps, 1), MAX_STEPS)

    def encode(self, format: str) -> bytes:
        """The file in one of the CONTENT_TYPES; the same bytes for the same speech."""
        speaker = self.speaker.encode(errors="replace")
        return _ENCODERS[format](comment_for(self.text), speaker, self.samples)
