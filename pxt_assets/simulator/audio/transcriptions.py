"""POST /v1/audio/transcriptions: the answer, in each of its formats.

The text is that of the simulator's own speech; other recordings get an invented one.
"""

import json
import math
import re
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from pxt_assets.simulator.audio.transcript import (
    PLAIN_CONTENT_TYPE,
    PLAIN_FORMATS,
    Transcript,
    write_plain,
    write_verbose,
)
from pxt_assets.simulator.audio.transcription_form import TranscriptionForm, read_form
from pxt_assets.simulator.endpoint.endpoint import Answer, estimate_tokens

AUDIO_TOKENS_A_SECOND = 10
_TOKEN = re.compile(r"\s*\S{1,4}")
_LOG_PROBABILITY = -0.01
"""The log probability of every token: exp(-0.01) is 99 %."""


@dataclass(frozen=True, slots=True)
class TranscriptionCall:
    """A valid request for a transcription."""

    form: TranscriptionForm

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.form.model

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """Tokens of the recording and of the prompt; none for whisper-1, which is limited by requests only."""
        return 0 if self._is_billed_by_duration else self._audio_tokens + self._text_tokens

    def answer(self, digest: str) -> Answer:  # noqa: ARG002 - the API gives transcriptions no id
        """The transcription, in the format asked for."""
        form = self.form
        transcript = Transcript(form.recording.text, form.recording.seconds)
        content_type = "application/json"
        if form.format in PLAIN_FORMATS:
            content, content_type = write_plain(transcript, form.format), PLAIN_CONTENT_TYPE
        elif form.format == "verbose_json":
            content = write_verbose(
                transcript,
                task="transcribe",
                language=form.language,
                temperature=form.temperature,
                granularities=form.granularities,
                usage=self._usage(),
            )
        elif form.format == "diarized_json":
            content = json.dumps(self._diarize(transcript)).encode()
        else:
            content = json.dumps(self._write_json()).encode()
        output_tokens = 0 if self._is_billed_by_duration else self._output_tokens
        return Answer(
            content,
            self.charge(count_max_tokens=False),
            output_tokens,
            inputs=1,
            content_type=content_type,
        )

    @property
    def _is_billed_by_duration(self) -> bool:
        return self.form.model.startswith("whisper-")

    @property
    def _audio_tokens(self) -> int:
        return math.ceil(self.form.recording.seconds * AUDIO_TOKENS_A_SECOND)

    @property
    def _text_tokens(self) -> int:
        return estimate_tokens(self.form.prompt_characters)

    @property
    def _output_tokens(self) -> int:
        return estimate_tokens(len(self.form.recording.text))

    def _usage(self) -> dict[str, Any]:
        if self._is_billed_by_duration:
            return {"type": "duration", "seconds": math.ceil(self.form.recording.seconds)}
        audio, text, output = self._audio_tokens, self._text_tokens, self._output_tokens
        return {
            "type": "tokens",
            "input_tokens": audio + text,
            "input_token_details": {"text_tokens": text, "audio_tokens": audio},
            "output_tokens": output,
            "total_tokens": audio + text + output,
        }

    def _write_json(self) -> dict[str, Any]:
        form = self.form
        body: dict[str, Any] = {"text": form.recording.text}
        if form.model.startswith("gpt-transcribe"):
            body["languages"] = [{"code": form.language}]
        if form.logprobs:
            body["logprobs"] = [
                {"token": token, "logprob": _LOG_PROBABILITY, "bytes": list(token.encode(errors="replace"))}
                for token in _TOKEN.findall(form.recording.text)
            ]
        return {**body, "usage": self._usage()}

    def _diarize(self, transcript: Transcript) -> dict[str, Any]:
        """The `diarized_json`: the speakers take turns, sentence by sentence."""
        turns = zip(transcript.sentences(), cycle(self.form.speakers or ("A", "B")), strict=False)
        return {
            "task": "transcribe",
            "duration": round(transcript.seconds, 3),
            "text": transcript.text,
            "segments": [
                {
                    "type": "transcript.text.segment",
                    "id": f"seg_{number:03}",
                    "start": part.start,
                    "end": part.end,
                    "text": part.text,
                    "speaker": speaker,
                }
                for number, (part, speaker) in enumerate(turns, start=1)
            ],
            "usage": self._usage(),
        }


def read_transcription_call(body: dict[str, Any]) -> TranscriptionCall:
    """The call that the form asks for. Raises a `SimulatedError` for one that the API would refuse."""
    return TranscriptionCall(read_form(body))
