"""The form of POST /v1/audio/transcriptions: which fields it has, and which model takes which of them."""

import re
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.audio.recording_form import Recording, read_format, read_recording, read_temperature
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    SimulatedError,
    bad_request,
    missing_parameter,
    not_simulated_error,
    unsupported_by_model,
    wrong_value,
)

KNOWN = frozenset(
    (
        "file",
        "model",
        "language",
        "languages",
        "keywords",
        "prompt",
        "response_format",
        "temperature",
        "include",
        "timestamp_granularities",
        "stream",
        "chunking_strategy",
        "known_speaker_names",
        "known_speaker_references",
    )
)
"""Every top-level argument of the API."""

FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_DIARIZE = "gpt-4o-transcribe-diarize"
_FORMATS_OF_FAMILY = {
    "whisper-": ("json", "text", "srt", "verbose_json", "vtt"),
    _DIARIZE: ("json", "text", "diarized_json"),
    "gpt-4o-": ("json", "text"),
    "gpt-transcribe": ("json",),
}
"""Start of a model's name -> its formats; the first match counts."""

# Fields of a server_vad `chunking_strategy`, an object: clients write its fields in brackets.
_CHUNKING = re.compile(r"chunking_strategy\[(type|prefix_padding_ms|silence_duration_ms|threshold)\]")
_LANGUAGE = re.compile(r"[a-z]{2,3}")

MAX_SPEAKERS = 4
MAX_UNCHUNKED_SECONDS = 30


@dataclass(frozen=True, slots=True)
class TranscriptionForm:
    """A valid form."""

    model: str
    recording: Recording
    format: str
    language: str
    temperature: float
    granularities: tuple[str, ...]
    speakers: tuple[str, ...]
    prompt_characters: int
    """Characters of the prompt and the keywords."""
    logprobs: bool


def read_form(body: dict[str, Any]) -> TranscriptionForm:
    """The form that a body holds. Raises a 400 or 413 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown({name: None for name in body if not _CHUNKING.fullmatch(name)}, KNOWN)
    model = arguments.read_model(body)
    recording = read_recording(body)
    _refuse_other_models(body, model)
    _check_stream(body)
    format = read_format(body, model, _formats(model), FORMATS)
    arguments.check_string(body, "prompt")
    keywords = _read_words(body, "keywords")
    _check_chunking(body, model, recording)
    return TranscriptionForm(
        model=model,
        recording=recording,
        format=format,
        language=_read_language(body),
        temperature=read_temperature(body),
        granularities=_read_granularities(body, format),
        speakers=_read_speakers(body),
        prompt_characters=len(body.get("prompt") or "") + sum(map(len, keywords)),
        logprobs=_read_include(body, format),
    )


def _formats(model: str) -> tuple[str, ...]:
    return next(
        (formats for start, formats in _FORMATS_OF_FAMILY.items() if model.startswith(start)), FORMATS
    )


def _refuse_other_models(body: dict[str, Any], model: str) -> None:
    """Raise a 400 for a field that only other models have."""
    diarizes = model.startswith(_DIARIZE)
    takes_keywords = model.startswith("gpt-transcribe")
    accepted = {
        "prompt": not diarizes,
        "timestamp_granularities": not diarizes,
        "include": model.startswith("gpt-4o-") and not diarizes,
        "languages": takes_keywords,
        "keywords": takes_keywords,
        "known_speaker_names": diarizes,
        "known_speaker_references": diarizes,
    }
    for name, is_accepted in accepted.items():
        if body.get(name) is not None and not is_accepted:
            raise unsupported_by_model(name, model)


def _check_stream(body: dict[str, Any]) -> None:
    arguments.check_word(body, "stream", ("true", "false"))
    if body.get("stream") == "true":
        raise not_simulated_error("stream", "Streaming")


def _read_words(body: dict[str, Any], name: str, allowed: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The strings of the field `name[]`, each one of the `allowed`, if those are given."""
    words = arguments.read_array(body.get(name) or [], name)
    for word in words:
        arguments.check_string({name: word}, name)
        if allowed is not None and word not in allowed:
            raise wrong_value(name, word, allowed)
    return tuple(words)


def _read_language(body: dict[str, Any]) -> str:
    """The language of the recording as a code; English where the form names none."""
    arguments.check_string(body, "language")
    given = [language for language in (body.get("language"), *_read_words(body, "languages")) if language]
    for language in given:
        if not _LANGUAGE.fullmatch(language):
            raise bad_request(
                f"Invalid language '{language}'. Language parameter must be specified in ISO-639-1 format.",
                code="invalid_language_format",
                param="language",
            )
    return given[0] if given else "en"


def _read_granularities(body: dict[str, Any], format: str) -> tuple[str, ...]:
    granularities = _read_words(body, "timestamp_granularities", ("word", "segment"))
    if granularities and format != "verbose_json":
        raise _wrong_format_for("timestamp_granularities", "verbose_json", format)
    return granularities or ("segment",)


def _read_include(body: dict[str, Any], format: str) -> bool:
    included = _read_words(body, "include", ("logprobs",))
    if included and format != "json":
        raise _wrong_format_for("include", "json", format)
    return bool(included)


def _wrong_format_for(param: str, needed: str, got: str) -> SimulatedError:
    return bad_request(
        f"'{param}' is only supported with response_format '{needed}', but got '{got}' instead.",
        code="unsupported_value",
        param=param,
    )


def _read_speakers(body: dict[str, Any]) -> tuple[str, ...]:
    names = _read_words(body, "known_speaker_names")
    samples = _read_words(body, "known_speaker_references")
    if len(names) > MAX_SPEAKERS:
        raise bad_request(
            f"Invalid 'known_speaker_names': array too long. Expected an array with maximum length "
            f"{MAX_SPEAKERS}, but got an array with length {len(names)} instead.",
            code="array_above_max_length",
            param="known_speaker_names",
        )
    if len(names) != len(samples):
        raise bad_request(
            "'known_speaker_names' and 'known_speaker_references' must be of one length, but got "
            f"{len(names)} and {len(samples)}.",
            code="invalid_value",
            param="known_speaker_references",
        )
    if not all(sample.startswith("data:") for sample in samples):
        raise bad_request(
            "Invalid 'known_speaker_references': expected data URLs.",
            code="invalid_value",
            param="known_speaker_references",
        )
    return names


def _check_chunking(body: dict[str, Any], model: str, recording: Recording) -> None:
    bracketed = {found[1]: body[name] for name in body if (found := _CHUNKING.fullmatch(name))}
    if bracketed:
        name = "chunking_strategy.type"
        if "type" not in bracketed:
            raise missing_parameter(name)
        arguments.check_word({name: bracketed["type"]}, name, ("server_vad",))
    else:
        arguments.check_word(body, "chunking_strategy", ("auto",))
    is_chunked = bool(bracketed) or body.get("chunking_strategy") is not None
    if model.startswith(_DIARIZE) and recording.seconds > MAX_UNCHUNKED_SECONDS and not is_chunked:
        raise bad_request(
            "chunking_strategy is required for diarization models",
            code="missing_required_parameter",
            param="chunking_strategy",
        )
