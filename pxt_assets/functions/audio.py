"""`speech`, `transcriptions`, `translations`: from text to sound and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pxt_assets.api.request import PAGE_TOKENS, Endpoint, ParsedAnswer, Usage
from pxt_assets.api.stated_usage import model_of, transcript_usage
from pxt_assets.errors import CellError
from pxt_assets.functions.declare import api_function, require_text, short_repr, with_kwargs
from pxt_assets.functions.uploads import audio_upload, file_arguments_adapter
from pxt_assets.values.json_text import loads_answer
from pxt_assets.values.media import Media
from pxt_assets.values.sniff import AUDIO_FORMATS
from pxt_assets.values.types import Audio, Json

_RAW_FORMAT = "pcm"
"""The one format of speech without a header to recognize it by."""
_SNIFFED_NAMES = {"opus": "ogg"}
"""The names that formats of speech are recognized as by their first bytes, if these differ."""
_MODEL_CHARGED_BY_CHARACTER = "tts-1"
"""Source: https://platform.openai.com/docs/pricing; no answer states what a text read aloud costs."""
_BYTES_PER_SECOND = 8_000
"""Bytes a second of a recording, taken to be an mp3 of 64 kbit/s."""
_TOKENS_PER_SECOND = 10
"""Source: https://platform.openai.com/docs/guides/speech-to-text"""
_TEXT_FORMATS = ("text", "srt", "vtt")
"""Formats of transcripts that are sent as plain text, not as JSON."""
_STRING_SHAPE = {"type": "string"}
_NUMBER_SHAPE = {"type": "number"}
_SHAPE = {
    "properties": {
        "text": _STRING_SHAPE,
        "srt": _STRING_SHAPE,
        "vtt": _STRING_SHAPE,
        "language": _STRING_SHAPE,
        "task": _STRING_SHAPE,
        "duration": _NUMBER_SHAPE,
        "segments": {
            "items": {
                "properties": {
                    "start": _NUMBER_SHAPE,
                    "end": _NUMBER_SHAPE,
                    "text": _STRING_SHAPE,
                    "speaker": _STRING_SHAPE,
                }
            }
        },
        "words": {
            "items": {"properties": {"start": _NUMBER_SHAPE, "end": _NUMBER_SHAPE, "word": _STRING_SHAPE}}
        },
    }
}


def _parse_speech(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    wanted = str(request.get("response_format") or "mp3")
    sound = Media(body)
    if not body or (sound.format not in AUDIO_FORMATS and (wanted != _RAW_FORMAT or _is_json(body))):
        msg = f"the answer holds no {wanted}"
        raise ValueError(msg)
    sniffed = _SNIFFED_NAMES.get(wanted, wanted)
    suffix = wanted if sound.format in (None, sniffed) else sound.format  # some servers know one format alone
    model = str(request["model"])
    usage = _speech_usage(request) if model.startswith(_MODEL_CHARGED_BY_CHARACTER) else None
    return ParsedAnswer([Media(body, f"speech.{suffix}")], usage, model)


def _speech_usage(body: Mapping[str, Any]) -> Usage:
    return Usage(characters=len(body["input"]))


def _recording_usage(body: Mapping[str, Any]) -> Usage:
    """The usage that a recording is charged for, its length estimated from its size."""
    seconds = body["file"].size / _BYTES_PER_SECOND
    if str(body["model"]).startswith("whisper"):
        return Usage(seconds=seconds)
    tokens = round(seconds * _TOKENS_PER_SECOND)
    return Usage(input_tokens=tokens, audio_tokens=tokens)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _is_error(body: bytes) -> bool:
    """Whether a JSON object tells of an error: somebody may have read JSON aloud, but hardly an error of the API."""
    answer = json.loads(body)
    return "text" not in answer and bool(answer.get("error"))


def _parse_transcript(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    wanted = request.get("response_format")
    is_object = body[:1] == b"{" and _is_json(body)
    if wanted in _TEXT_FORMATS and not (is_object and (wanted != "text" or _is_error(body))):
        text = _transcript_text(body, str(wanted))
        return ParsedAnswer([{wanted: text}], None, str(request["model"]))
    # some servers answer with JSON alone, and the transcript is paid for
    answer = loads_answer(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
        msg = "the answer has no `text`"
        raise ValueError(msg)
    return ParsedAnswer([answer], transcript_usage(answer), model_of(answer) or str(request["model"]))


def _transcript_text(body: bytes, wanted: str) -> str:
    """A transcript that is sent as text. Raises ValueError for a proxy's HTML page."""
    text = body.decode("utf-8-sig")
    if text.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        msg = f"the answer holds no {wanted}"
        raise ValueError(msg)
    return text.removesuffix("\n").removesuffix("\r") if wanted == "text" else text


_SPEECH = Endpoint(
    "/audio/speech",
    parse=_parse_speech,
    sends_limits=False,
    costly=True,
    charged_usage=_speech_usage,
    answer_bytes=2 * 2**20,  # some minutes as MP3
)
_TRANSCRIPTIONS = Endpoint(
    "/audio/transcriptions",
    parse=_parse_transcript,
    sends_limits=False,
    uploads=True,
    answer_tokens=PAGE_TOKENS,
    charged_usage=_recording_usage,
)
_TRANSLATIONS = Endpoint(
    "/audio/translations",
    parse=_parse_transcript,
    sends_limits=False,
    uploads=True,
    answer_tokens=PAGE_TOKENS,
    charged_usage=_recording_usage,
)


@api_function(_SPEECH, returns=Audio)
def speech(
    input: Any, *, model: Any, voice: Any, model_kwargs: Any = None, **kwargs: Any
) -> Mapping[str, Any]:
    """A text read aloud: the API's `audio/speech`, as Audio, mp3 unless `response_format` says otherwise.

    Paced at the requests a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    Args:
        input: the text; at most 4,096 characters, not empty (the API refuses both, which is that row's error).
        model: the model's name.
        voice: the voice's name: `alloy`, `echo`, `fable`, `onyx`, `nova`, `shimmer`, ...
        model_kwargs: other arguments of the API, as a dict: `{"response_format": "flac"}` (`pcm` is 16 bits, 24 kHz,
            mono, without a header, which few readers take).
        kwargs: other arguments of the API, one by one: `speed=1.2`.

    Example:
        ```python
        tbl.add_computed_column(spoken=speech(tbl.text, model="gpt-4o-mini-tts", voice="nova"))
        ```

    Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
    """
    body = with_kwargs(
        {"input": require_text(input, "input"), "model": model, "voice": voice}, model_kwargs, kwargs
    )
    if body.get("stream_format") not in (None, "audio"):
        msg = f"stream_format: got {short_repr(body['stream_format'])}, allowed: 'audio', since cells hold whole answers"
        raise CellError("ValueError", msg)
    return body


@api_function(_TRANSCRIPTIONS, returns=Json, shape=_SHAPE, adapt=file_arguments_adapter("audio"))
def transcriptions(audio: Any, *, model: Any, model_kwargs: Any = None, **kwargs: Any) -> Mapping[str, Any]:
    """What is said in a recording: the API's `audio/transcriptions`, as Json with `text`.

    With `response_format` "srt" or "vtt" the subtitles are at `srt` or `vtt`; "verbose_json" and "diarized_json" add
    `segments`, `duration`, ... Paced at the requests a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600
    where it gives none.

    Args:
        audio: the recording: flac, m4a, mp3, mp4, mpeg, ogg, wav or webm of at most 25 MB; a larger one is its row's
            error before anything is sent.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict: `{"response_format": "verbose_json"}`.
        kwargs: other arguments of the API, one by one: `language="en"`.

    Example:
        ```python
        tbl.add_computed_column(heard=transcriptions(tbl.audio, model="gpt-transcribe", language="en"))
        tbl.add_computed_column(text=tbl.heard.text)
        ```

    Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
    """
    return with_kwargs({"file": audio_upload(audio), "model": model}, model_kwargs, kwargs)


@api_function(_TRANSLATIONS, returns=Json, shape=_SHAPE, adapt=file_arguments_adapter("audio"))
def translations(audio: Any, *, model: Any, model_kwargs: Any = None, **kwargs: Any) -> Mapping[str, Any]:
    """What is said in a recording, in English: the API's `audio/translations`, as Json with `text`.

    `response_format`, pacing and limits are as in `transcriptions`. The API translates into English alone and has no
    `language`: "en" is accepted, and not sent.

    Args:
        audio: the recording, as in `transcriptions`.
        model: the model's name; whisper-1 is the only one.
        model_kwargs: other arguments of the API, as a dict.
        kwargs: other arguments of the API, one by one: `prompt="..."`.

    Example:
        ```python
        tbl.add_computed_column(english=translations(tbl.audio, model="whisper-1"))
        ```

    Source: https://platform.openai.com/docs/api-reference/audio/createTranslation
    """
    body = with_kwargs({"file": audio_upload(audio), "model": model}, model_kwargs, kwargs)
    if body.get("language") not in (None, "en"):
        msg = f"language: got {short_repr(body['language'])}, allowed: 'en': the API translates into English alone"
        raise CellError("ValueError", msg)
    return {k: v for k, v in body.items() if k != "language"}
