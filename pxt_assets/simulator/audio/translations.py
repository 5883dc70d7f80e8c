"""POST /v1/audio/translations: which requests are refused, and the answer.

The "translation" is the transcription with `[translated] ` before it: the simulator knows no languages.
"""

import json
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.audio.recording_form import read_format, read_recording, read_temperature
from pxt_assets.simulator.audio.transcript import (
    PLAIN_CONTENT_TYPE,
    PLAIN_FORMATS,
    Transcript,
    write_plain,
    write_verbose,
)
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Answer

KNOWN = frozenset(("file", "model", "prompt", "response_format", "temperature"))
"""Every top-level argument of the API."""

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
MARK = "[translated] "


@dataclass(frozen=True, slots=True)
class TranslationCall:
    """A valid request for a translation into English."""

    model: str
    transcript: Transcript
    format: str
    temperature: float

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """No tokens: whisper-1 is limited by requests only."""
        return 0

    def answer(self, digest: str) -> Answer:  # noqa: ARG002 - the API gives translations no id
        """The translation, in the format asked for."""
        if self.format in PLAIN_FORMATS:
            content = write_plain(self.transcript, self.format)
            return Answer(content, 0, inputs=1, content_type=PLAIN_CONTENT_TYPE)
        if self.format == "verbose_json":
            content = write_verbose(
                self.transcript, task="translate", language="en", temperature=self.temperature
            )
            return Answer(content, 0, inputs=1)
        return Answer(json.dumps({"text": self.transcript.text}).encode(), 0, inputs=1)


def read_translation_call(body: dict[str, Any]) -> TranslationCall:
    """The call that the form asks for. Raises a `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown(body, KNOWN)
    model = arguments.read_model(body)
    recording = read_recording(body)
    arguments.check_string(body, "prompt")
    format = read_format(body, model, FORMATS, FORMATS)
    return TranslationCall(
        model, Transcript(MARK + recording.text, recording.seconds), format, read_temperature(body)
    )
