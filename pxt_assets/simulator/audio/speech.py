"""POST /v1/audio/speech: which requests are refused, and the sound file of the answer.

The file is silence of a plausible length. Its comment contains the text, which the simulator's transcriptions
read again.
"""

from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.audio.sound.speech import CONTENT_TYPES, Speech
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    missing_parameter,
    not_simulated_error,
    unsupported_by_model,
    wrong_type,
    wrong_value,
)

KNOWN = frozenset(("model", "input", "voice", "instructions", "response_format", "speed", "stream_format"))
"""Every top-level argument of the API."""

VOICES_OF_TTS_1 = ("alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
VOICES = (*VOICES_OF_TTS_1, "ballad", "cedar", "marin", "verse")

MAX_CHARACTERS = 4096
"""Longest input, and longest instructions."""


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """A valid request for speech."""

    model: str
    speech: Speech
    format: str
    tokens: int
    """Tokens of the input and the instructions; 0 for tts-1 and tts-1-hd, which are limited by requests only."""

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """Tokens that the limit is charged."""
        return self.tokens

    def answer(self, digest: str) -> Answer:  # noqa: ARG002 - the API gives sounds no id
        """The sound file."""
        content = self.speech.encode(self.format)
        return Answer(content, self.tokens, inputs=1, content_type=CONTENT_TYPES[self.format])


def read_speech_call(body: dict[str, Any]) -> SpeechCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown(body, KNOWN)
    model = arguments.read_model(body)
    text = _read_input(body)
    voice = _read_voice(body, model)
    arguments.check_word(body, "response_format", CONTENT_TYPES)
    arguments.check_number(body, "speed", 0.25, 4)
    arguments.check_word(body, "stream_format", ("audio", "sse"))
    if body.get("stream_format") == "sse":
        raise not_simulated_error("stream_format", "Streaming")
    instructions = _read_instructions(body, model)
    tokens = 0 if _is_tts_1(model) else estimate_tokens(len(text) + len(instructions))
    speech = Speech(text, f"{model}, {voice}", body.get("speed") or 1.0)
    return SpeechCall(model, speech, body.get("response_format") or "mp3", tokens)


def _is_tts_1(model: str) -> bool:
    return model.startswith("tts-1")


def _read_input(body: dict[str, Any]) -> str:
    arguments.check_string(body, "input", MAX_CHARACTERS)
    text = body.get("input")
    if text is None:
        raise missing_parameter("input")
    if not text:
        raise bad_request(
            "Invalid 'input': string too short. Expected a string with minimum length 1, but got an empty "
            "string instead.",
            code="empty_string",
            param="input",
        )
    return str(text)


def _read_voice(body: dict[str, Any], model: str) -> str:
    """The name of a built-in voice, or the id of a custom one."""
    voice = body.get("voice")
    if voice is None:
        raise missing_parameter("voice")
    if isinstance(voice, dict):
        custom = arguments.read_string_at(voice, "id", "voice")
        arguments.refuse_unknown(voice, ("id",))
        return custom
    if not isinstance(voice, str):
        raise wrong_type("voice", "a string or an object", voice)
    allowed = VOICES_OF_TTS_1 if _is_tts_1(model) else VOICES
    if voice not in allowed:
        raise wrong_value("voice", voice, allowed)
    return voice


def _read_instructions(body: dict[str, Any], model: str) -> str:
    arguments.check_string(body, "instructions", MAX_CHARACTERS)
    instructions = body.get("instructions") or ""
    if instructions and _is_tts_1(model):
        raise unsupported_by_model("instructions", model)
    return str(instructions)
