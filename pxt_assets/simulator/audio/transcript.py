"""A text with the times of its recording, in the formats of the audio endpoints' answers.

The recordings are silent, so each character is given the same share of the time.
"""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+(?=\s)|[。！？]+|\Z)", re.DOTALL)
_WORD = re.compile(r"\S+")

LANGUAGES = {
    "ar": "arabic",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "tr": "turkish",
    "uk": "ukrainian",
    "zh": "chinese",
}
"""Code -> the name that `verbose_json` states; other codes stand for themselves."""


@dataclass(frozen=True, slots=True)
class TimedText:
    """A part of a text, with its times in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """A text, and the seconds that it takes."""

    text: str
    seconds: float

    def sentences(self) -> list[TimedText]:
        """The segments of an answer."""
        return self._timed_parts(_SENTENCE)

    def words(self) -> list[TimedText]:
        """The words, with their punctuation."""
        return self._timed_parts(_WORD)

    def _timed_parts(self, pattern: re.Pattern[str]) -> list[TimedText]:
        seconds_per_character = self.seconds / max(1, len(self.text))
        return [
            TimedText(
                match[0].rstrip(),
                round(match.start() * seconds_per_character, 3),
                round(match.end() * seconds_per_character, 3),
            )
            for match in pattern.finditer(self.text)
        ]


def write_plain(transcript: Transcript, format: str) -> bytes:
    """The transcript as one of the PLAIN_FORMATS."""
    return PLAIN_FORMATS[format](transcript).encode(errors="replace")


def _write_text(transcript: Transcript) -> str:
    return f"{transcript.text}\n"


def _write_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, decimal commas."""
    cues = (
        f"{number}\n{_timestamp(part.start, ',')} --> {_timestamp(part.end, ',')}\n{_cue_text(part.text)}\n\n"
        for number, part in enumerate(transcript.sentences(), start=1)
    )
    return "".join(cues)


def _write_vtt(transcript: Transcript) -> str:
    """WebVTT."""
    cues = (
        f"{_timestamp(part.start, '.')} --> {_timestamp(part.end, '.')}\n{_cue_text(part.text)}\n\n"
        for part in transcript.sentences()
    )
    return f"WEBVTT\n\n{''.join(cues)}"


PLAIN_FORMATS: dict[str, Callable[[Transcript], str]] = {
    "text": _write_text,
    "srt": _write_srt,
    "vtt": _write_vtt,
}
"""The values of `response_format` that are answered as text, not as JSON."""

PLAIN_CONTENT_TYPE = "text/plain; charset=utf-8"


def write_verbose(
    transcript: Transcript,
    *,
    task: str,
    language: str,
    temperature: float,
    granularities: tuple[str, ...] = ("segment",),
    usage: dict[str, Any] | None = None,
) -> bytes:
    """The `verbose_json` of whisper-1; `language` is a code."""
    body: dict[str, Any] = {
        "task": task,
        "language": LANGUAGES.get(language, language),
        "duration": round(transcript.seconds, 3),
        "text": transcript.text,
    }
    if "segment" in granularities:
        body["segments"] = [
            _segment(number, part, temperature) for number, part in enumerate(transcript.sentences())
        ]
    if "word" in granularities:
        body["words"] = [
            {"word": part.text, "start": part.start, "end": part.end} for part in transcript.words()
        ]
    if usage is not None:
        body["usage"] = usage
    return json.dumps(body).encode()


def _segment(number: int, part: TimedText, temperature: float) -> dict[str, Any]:
    encoded = part.text.encode(errors="replace")
    return {
        "id": number,
        "seek": 0,
        "start": part.start,
        "end": part.end,
        "text": f" {part.text}",  # whisper begins its segments with the space before them
        "tokens": [zlib.crc32(word) % 50_257 for word in encoded.split()],
        "temperature": temperature,
        "avg_logprob": -0.25,
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 3),
        "no_speech_prob": 0.01,
    }


def _timestamp(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _cue_text(text: str) -> str:
    """One line: a blank one would end the cue, and an arrow would begin another."""
    return " ".join(text.split()).replace("-->", "->")
