"""The form fields that transcriptions and translations share: the recording, the format, the temperature."""

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.audio.sound.embedded_text import embedded_text
from pxt_assets.simulator.audio.sound.recording import guess_seconds, measure_seconds, recognise_format
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Upload
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request, missing_parameter, wrong_type

EXTENSIONS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
"""The endings of a file's name that the API takes."""

MAX_FILE_BYTES = 25 * 2**20
MIN_SECONDS = 0.1

_SENTENCE_WORDS = (
    ("A careful", "The quiet", "A famous", "The tired", "A young", "The curious", "A polite", "The old"),
    ("baker", "pilot", "gardener", "teacher", "sailor", "doctor", "painter", "clerk"),
    ("counted", "repaired", "photographed", "sold", "found", "returned", "measured", "described"),
    ("seven", "nine", "eleven", "twelve", "fifteen", "twenty", "thirty", "forty"),
    ("lanterns", "parcels", "bicycles", "maps", "tickets", "clocks", "bridges", "letters"),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """An uploaded sound."""

    text: str
    """The spoken text: that of the simulator's own speech, else a sentence invented from the content."""

    seconds: float


def read_recording(body: dict[str, Any]) -> Recording:
    """The recording in the field `file`. Raises a 400 or a 413 for one that the API would refuse."""
    file = body.get("file")
    if file is None:
        raise missing_parameter("file")
    if not isinstance(file, Upload):
        raise wrong_type("file", "a file", file)
    size = len(file.content)
    if size > MAX_FILE_BYTES:
        message = f"Maximum content size limit ({MAX_FILE_BYTES}) exceeded ({size} bytes read)"
        raise SimulatedError(413, message, type="server_error")
    _, dot, extension = (file.filename or "").rpartition(".")
    kind = recognise_format(file.content)
    if not dot or extension.lower() not in EXTENSIONS or kind is None:
        raise bad_request(f"Invalid file format. Supported formats: {list(EXTENSIONS)}")
    seconds = measure_seconds(file.content, kind)
    if seconds is not None and seconds < MIN_SECONDS:
        raise bad_request(
            f"Audio file is too short. Minimum audio length is {MIN_SECONDS} seconds.",
            code="audio_too_short",
            param="file",
        )
    text = embedded_text(file.content)
    return Recording(
        _invented_sentence(file.content) if text is None else text,
        guess_seconds(file.content) if seconds is None else seconds,
    )


def read_temperature(body: dict[str, Any]) -> float:
    """The temperature, from 0 to 1; 0 where absent."""
    value = body.get("temperature")
    if value is None:
        return 0.0
    try:
        temperature = float(value)
    except (TypeError, ValueError):
        temperature = math.nan
    if math.isnan(temperature):
        raise wrong_type("temperature", "a decimal", value)
    arguments.check_number({"temperature": temperature}, "temperature", 0, 1)
    return temperature


def read_format(body: dict[str, Any], model: str, allowed: tuple[str, ...], known: tuple[str, ...]) -> str:
    """The `response_format`: one of the `known` of the endpoint, and of those `allowed` with the model."""
    arguments.check_word(body, "response_format", known)
    format = body.get("response_format") or "json"
    if format not in allowed:
        instead = " or ".join(f"'{word}'" for word in allowed)
        raise bad_request(
            f"response_format '{format}' is not compatible with model '{model}'. Use {instead} instead.",
            code="unsupported_value",
            param="response_format",
        )
    return format


def _invented_sentence(content: bytes) -> str:
    digest = blake2b(content, digest_size=len(_SENTENCE_WORDS)).digest()
    words = (words[byte % len(words)] for words, byte in zip(_SENTENCE_WORDS, digest, strict=True))
    return f"[simulated] {' '.join(words)}."
