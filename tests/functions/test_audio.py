"""`speech`, `transcriptions`, `translations`: what is sent, and what is made of answers."""

import json
from typing import Any

import pytest

from pxt_assets.api.request import ParsedAnswer, Usage
from pxt_assets.errors import CellError
from pxt_assets.functions import speech, transcriptions, translations
from pxt_assets.values.media import Media
from pxt_assets.values.types import Audio
from tests.pictures import picture, sound

MP3 = b"\xff\xfb\x90\0" + bytes(400)
SPEECH = {"input": "Hi", "model": "tts-1", "voice": "nova"}


def spoken(body: bytes, response_format: str | None = None, **asked: Any) -> ParsedAnswer:
    given = {**SPEECH, **asked, **({"response_format": response_format} if response_format else {})}
    return speech.endpoint.parse(body, given)


def heard(said: Any, response_format: str | None = None) -> ParsedAnswer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    asked = {"model": "whisper-1", **({"response_format": response_format} if response_format else {})}
    return transcriptions.endpoint.parse(body, asked)


class TestSpeech:
    def test_the_text_and_the_voice_are_sent(self):
        """And the API's other arguments."""
        request = speech.cell_request({**SPEECH, "model_kwargs": {"response_format": "flac"}, "speed": 1.2})
        assert request.body == {**SPEECH, "response_format": "flac", "speed": 1.2}
        assert request.endpoint.path == "/audio/speech"

    @pytest.mark.parametrize("format", ["sse", 3])
    def test_events_are_refused(self, format):
        """A cell holds a whole recording."""
        with pytest.raises(CellError, match=r"stream_format: got .*allowed: 'audio'"):
            speech.cell_request({**SPEECH, "stream_format": format})

    @pytest.mark.parametrize("text", [3, None, ["a"]])
    def test_only_text_is_read_aloud(self, text):
        """The message says what was got."""
        with pytest.raises(CellError, match="speech: input: got"):
            speech.cell_request({**SPEECH, "input": text})

    def test_the_answer_is_mp3_unless_asked_otherwise(self):
        """As the API has it; the value's name says so."""
        assert spoken(MP3).values == [Media(MP3, "speech.mp3")]
        assert speech.returns is Audio

    @pytest.mark.parametrize(
        ("format", "body"),
        [
            ("wav", sound()),
            ("flac", b"fLaC" + bytes(60)),
            ("opus", b"OggS" + bytes(60)),
            ("aac", b"\xff\xf1\x50\x80" + bytes(60)),
            ("pcm", bytes(60)),
        ],
    )
    def test_every_format_is_named_as_it_was_asked_for(self, format, body):
        """Raw samples have no header: nothing else can be said of them."""
        assert spoken(body, format).values == [Media(body, f"speech.{format}")]

    def test_another_format_is_named_as_what_it_is(self):
        """Some servers know one format alone; a player would go by the name."""
        assert spoken(sound(), "mp3").values == [Media(sound(), "speech.wav")]
        assert spoken(MP3, "pcm").values == [Media(MP3, "speech.mp3")]

    @pytest.mark.parametrize("format", [None, "wav", "pcm"])
    @pytest.mark.parametrize("body", [b"", b'{"error": {"message": "no"}}'])
    def test_another_body_is_no_answer(self, format, body):
        """Not even where anything might be a sound."""
        with pytest.raises(ValueError, match="the answer holds no"):
            spoken(body, format)

    @pytest.mark.parametrize("body", [b"<html>", picture(), b"data: {}"])
    def test_other_files_are_no_sound(self, body):
        """An image among them."""
        with pytest.raises(ValueError, match="the answer holds no mp3"):
            spoken(body)

    def test_models_that_charge_by_character_have_these_counted(self):
        """No answer states them."""
        assert spoken(MP3, input="Grüße").usage == Usage(characters=5)
        assert spoken(MP3, model="gpt-4o-mini-tts").usage is None


class TestRequests:
    @pytest.mark.parametrize("function", [transcriptions, translations], ids=lambda f: f.name)
    def test_the_recording_is_a_file(self, function):
        """Beside the API's other arguments."""
        request = function.cell_request({"audio": sound(), "model": "whisper-1", "response_format": "srt"})
        assert request.body["file"].media.content == sound()
        assert {k: v for k, v in request.body.items() if k != "file"} == {
            "model": "whisper-1",
            "response_format": "srt",
        }
        assert request.endpoint.path == f"/audio/{function.name}"
        assert request.endpoint.uploads
        assert not request.endpoint.sends_limits

    @pytest.mark.parametrize("bad", ["a.wav", 3, b"", picture(), Media(None, url="https://h/a.wav")])
    def test_anything_else_is_the_rows_error(self, bad):
        """Before anything is sent."""
        with pytest.raises(CellError, match="transcriptions: audio: got"):
            transcriptions.cell_request({"audio": bad, "model": "whisper-1"})

    def test_translations_are_into_english(self):
        """The language that Pixeltable's example gives is accepted, and not sent: the API has no such argument."""
        assert (
            "language"
            not in translations.cell_request({"audio": sound(), "model": "whisper-1", "language": "en"}).body
        )
        with pytest.raises(CellError, match=r"language: got .*'de'.*into English alone"):
            translations.cell_request({"audio": sound(), "model": "whisper-1", "language": "de"})

    def test_transcriptions_have_a_language(self):
        """That of the recording."""
        body = transcriptions.cell_request({"audio": sound(), "model": "m", "language": "de"}).body
        assert body["language"] == "de"


class TestTranscripts:
    @pytest.mark.parametrize("format", [None, "json", "verbose_json", "diarized_json"])
    def test_json_is_the_value(self, format):
        """With whatever the format adds to the text."""
        said = {"text": "Hi", "segments": [{"start": 0.0, "end": 1.0, "text": "Hi", "speaker": "A"}]}
        assert heard(said, format).values == [said]

    def test_text_is_the_text(self):
        """Without the line end that the API adds."""
        assert heard(b"Hi\n", "text").values == [{"text": "Hi"}]

    @pytest.mark.parametrize(
        ("format", "body"),
        [
            ("srt", "1\n00:00:00,000 --> 00:00:01,000\nGrüße\n\n"),
            ("vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nGrüße\n\n"),
            ("srt", ""),
            ("srt", "\n"),
        ],
    )
    def test_subtitles_stand_under_their_format(self, format, body):
        """As they come; nobody may have spoken."""
        assert heard(body.encode(), format).values == [{format: body}]

    def test_a_byte_order_mark_is_no_text(self):
        """Some servers begin with one."""
        assert heard(b"\xef\xbb\xbfHi\r\n", "text").values == [{"text": "Hi"}]
        assert heard(b"\xef\xbb\xbfWEBVTT\r\n", "vtt").values == [{"vtt": "WEBVTT\r\n"}]

    @pytest.mark.parametrize("format", ["text", "srt", "vtt"])
    @pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>-->", b"\n <HTML>Sign in", b"\xff\xfe\0"])
    def test_a_page_is_no_transcript(self, format, body):
        """A proxy may answer 200 with one."""
        with pytest.raises(ValueError, match=f"holds no {format}|codec"):
            heard(body, format)

    @pytest.mark.parametrize("format", ["srt", "vtt"])
    def test_json_in_place_of_subtitles_is_kept_as_it_is(self, format):
        """As a server answers that knows no other format: what it heard is paid for."""
        assert heard({"text": "Hi"}, format).values == [{"text": "Hi"}]

    @pytest.mark.parametrize("said", [{}, [], "x", {"text": None}, {"text": 3}, b"", b"<html>"])
    def test_another_body_is_no_answer(self, said):
        """A proxy may answer 200 with something else."""
        with pytest.raises(ValueError, match=r"no `text`|Expecting value"):
            heard(said)

    @pytest.mark.parametrize(
        ("stated", "usage"),
        [
            ({"type": "duration", "seconds": 3}, Usage(seconds=3.0)),
            (
                {"input_tokens": 14, "output_tokens": 5, "input_token_details": {"audio_tokens": 12}},
                Usage(14, 5, audio_tokens=12),
            ),
            (None, None),
            ({"seconds": "x"}, None),
        ],
    )
    def test_usage_is_what_the_answer_states(self, stated, usage):
        """Seconds of some models, tokens of others, of text formats nothing."""
        assert heard({"text": "Hi", "usage": stated}).usage == usage
        assert heard(b"Hi", "text").usage is None
