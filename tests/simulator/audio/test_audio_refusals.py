"""What the audio endpoints refuse, and how they say so."""

import asyncio
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pxt_assets.simulator.audio.sound.speech import Speech

API = json.loads((Path(__file__).parent / "openai_audio_answers.json").read_text())

SPEECH = "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
SOUND = Speech("Hello.", "tts-1, alloy").encode("mp3")
FORMATS = "['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']"
TWENTY_FIVE_MEGABYTES = 26_214_400


def wav(samples):
    """A WAV file of that many samples, at 24 kHz."""
    whole = Speech("a" * 200, "").encode("wav")
    start = whole.index(b"data")
    return whole[:start] + b"data" + (2 * samples).to_bytes(4, "little") + bytes(2 * samples)


def speak(simulator, **changes):
    body = {"model": "tts-1", "voice": "alloy", "input": "Hello.", **changes}
    return simulator.post(SPEECH, {name: value for name, value in body.items() if value is not ...})


def send(simulator, path, file=("a.mp3", SOUND), **fields):
    """Post a form; a field that is `...` is left out, one that is a list is repeated."""
    parts = [] if file is None else [("file", file)]
    for name, value in {"model": "whisper-1", **fields}.items():
        for each in value if isinstance(value, list) else [value]:
            # A part without a file's name is a text.
            parts += [] if each is ... else [(name, each if isinstance(each, tuple) else (None, each))]

    async def post():
        async with simulator.client() as client:
            return await client.post(path, files=parts, headers={"authorization": "Bearer sk-test"})

    return asyncio.run(post())


def expect(response, status, code, telling):
    error = response.json()["error"]
    assert response.status_code == status, error
    schema = {"$ref": "#/components/schemas/ErrorResponse", "components": API["components"]}
    Draft202012Validator(schema).validate(response.json())
    assert error["code"] == code, error
    assert telling in error["message"]
    assert response.headers["x-pxt-simulated"] == "true"
    return error


@pytest.mark.parametrize(
    ("changes", "status", "code", "telling"),
    [
        ({"model": ...}, 400, None, "model"),
        ({"model": "whisper-1"}, 404, "model_not_found", "whisper-1"),
        ({"model": "gpt-4o"}, 404, "model_not_found", "gpt-4o"),
        ({"input": ...}, 400, "missing_required_parameter", "'input'"),
        ({"input": None}, 400, "missing_required_parameter", "'input'"),
        ({"input": ""}, 400, "empty_string", "minimum length 1"),
        ({"input": ["Hello."]}, 400, "invalid_type", "a string"),
        ({"input": "a" * 4097}, 400, "string_above_max_length", "length 4097"),
        ({"voice": ...}, 400, "missing_required_parameter", "'voice'"),
        ({"voice": "nobody"}, 400, "invalid_value", "'alloy'"),
        ({"voice": "marin"}, 400, "invalid_value", "'marin'"),
        ({"voice": 4}, 400, "invalid_type", "a string or an object"),
        ({"voice": {}}, 400, "missing_required_parameter", "'voice.id'"),
        ({"voice": {"id": 4}}, 400, "invalid_type", "'voice.id'"),
        ({"voice": {"id": "voice_1", "name": "x"}}, 400, None, "name"),
        ({"instructions": "Shout."}, 400, "unsupported_parameter", "tts-1"),
        ({"model": "gpt-4o-mini-tts", "instructions": "a" * 4097}, 400, "string_above_max_length", "4097"),
        ({"response_format": "ogg"}, 400, "invalid_value", "'opus'"),
        ({"speed": 0.2}, 400, "decimal_below_min_value", "0.25"),
        ({"speed": 4.1}, 400, "decimal_above_max_value", "4.1"),
        ({"speed": "1"}, 400, "invalid_type", "a decimal"),
        ({"stream_format": "sse"}, 400, "not_simulated", "'stream_format'"),
        ({"stream_format": "wav"}, 400, "invalid_value", "'wav'"),
        ({"language": "en"}, 400, None, "language"),
    ],
)
def test_a_wrong_request_for_speech_is_refused(simulator, changes, status, code, telling):
    """With the message and the code of the API."""
    expect(speak(simulator, **changes), status, code, telling)


@pytest.mark.parametrize("changes", [{"input": "a" * 4096}, {"input": " "}, {"speed": 4}, {"speed": 0.25}])
def test_the_last_right_values_are_taken(simulator, changes):
    """The limits are inclusive."""
    assert speak(simulator, **changes).status_code == 200


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
@pytest.mark.parametrize(
    "file",
    [
        ("a", SOUND),
        ("mp3", SOUND),
        ("a.", SOUND),
        ("a.txt", SOUND),
        ("a.aac", SOUND),
        ("a.opus", SOUND),
        ("a.mp3.zip", SOUND),
        ("a.mp3", b""),
        ("a.mp3", b"This is no sound."),
        ("a.wav", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_a_file_that_is_no_sound_is_refused(simulator, path, file):
    """By its name's ending, and by its content."""
    expect(send(simulator, path, file), 400, None, f"Invalid file format. Supported formats: {FORMATS}")


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_a_file_that_is_too_large_is_refused(simulator, path):
    """413 above 25 MB, exactly; the API calls it an error of the server."""
    most = SOUND.ljust(TWENTY_FIVE_MEGABYTES, b"\0")
    assert send(simulator, path, ("a.mp3", most)).status_code == 200
    message = "Maximum content size limit (26214400) exceeded (26214401 bytes read)"
    error = expect(send(simulator, path, ("a.mp3", most + b"\0")), 413, None, message)
    assert error["type"] == "server_error"


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_a_sound_that_is_too_short_is_refused(simulator, path):
    """Below a tenth of a second."""
    assert send(simulator, path, ("a.wav", wav(2400))).status_code == 200
    expect(send(simulator, path, ("a.wav", wav(2399))), 400, "audio_too_short", "0.1 seconds")


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
@pytest.mark.parametrize(
    ("fields", "status", "code", "telling"),
    [
        ({"file": None}, 400, "missing_required_parameter", "'file'"),
        ({"file": (None, "a.mp3")}, 400, "invalid_type", "a file"),
        ({"model": ...}, 400, None, "model"),
        ({"model": ""}, 400, None, "model"),
        ({"model": "tts-1"}, 404, "model_not_found", "tts-1"),
        ({"model": "whisper-2"}, 404, "model_not_found", "whisper-2"),
        ({"response_format": "xml"}, 400, "invalid_value", "'verbose_json'"),
        ({"temperature": "warm"}, 400, "invalid_type", "a decimal"),
        ({"temperature": "1.1"}, 400, "decimal_above_max_value", "<= 1"),
        ({"temperature": "-1"}, 400, "decimal_below_min_value", ">= 0"),
        ({"temperature": "nan"}, 400, "invalid_type", "a decimal"),
        ({"voice": "alloy"}, 400, None, "voice"),
        ({"prompt": ["a", "b"]}, 400, "invalid_type", "a string"),
    ],
)
def test_a_wrong_form_is_refused(simulator, path, fields, status, code, telling):
    """By both endpoints alike."""
    expect(send(simulator, path, **fields), status, code, telling)


@pytest.mark.parametrize(
    ("fields", "code", "telling"),
    [
        ({"language": "english"}, "invalid_language_format", "ISO-639-1"),
        ({"stream": "true"}, "not_simulated", "'stream'"),
        ({"stream": "yes"}, "invalid_value", "'yes'"),
        ({"chunking_strategy": "never"}, "invalid_value", "'auto'"),
        ({"chunking_strategy[type]": "vad"}, "invalid_value", "'server_vad'"),
        ({"chunking_strategy[threshold]": "0.5"}, "missing_required_parameter", "chunking_strategy.type"),
        ({"chunking_strategy[loud]": "1"}, None, "chunking_strategy[loud]"),
        ({"timestamp_granularities[]": "word"}, "unsupported_value", "'verbose_json'"),
        (
            {"timestamp_granularities[]": "letter", "response_format": "verbose_json"},
            "invalid_value",
            "'segment'",
        ),
        (
            {"timestamp_granularities": "word", "response_format": "verbose_json"},
            "invalid_type",
            "an array",
        ),
        ({"include[]": "logprobs"}, "unsupported_parameter", "whisper-1"),
        ({"keywords[]": "zip"}, "unsupported_parameter", "whisper-1"),
        ({"languages[]": "en"}, "unsupported_parameter", "whisper-1"),
        ({"model": "gpt-transcribe", "languages[]": "English"}, "invalid_language_format", "English"),
        ({"model": "gpt-4o-transcribe", "include[]": "everything"}, "invalid_value", "'logprobs'"),
        (
            {"model": "gpt-4o-transcribe", "include[]": "logprobs", "response_format": "text"},
            "unsupported_value",
            "'json'",
        ),
        ({"model": "gpt-4o-transcribe-diarize", "prompt": "Hi."}, "unsupported_parameter", "prompt"),
        ({"model": "gpt-4o-transcribe", "known_speaker_names[]": "a"}, "unsupported_parameter", "names"),
        (
            {"model": "gpt-4o-transcribe-diarize", "known_speaker_names[]": "a"},
            "invalid_value",
            "1 and 0",
        ),
        (
            {
                "model": "gpt-4o-transcribe-diarize",
                "known_speaker_names[]": "a",
                "known_speaker_references[]": "a.mp3",
            },
            "invalid_value",
            "data URLs",
        ),
        (
            {
                "model": "gpt-4o-transcribe-diarize",
                "known_speaker_names[]": list("abcde"),
                "known_speaker_references[]": ["data:,"] * 5,
            },
            "array_above_max_length",
            "length 5",
        ),
    ],
)
def test_a_wrong_form_for_a_transcription_is_refused(simulator, fields, code, telling):
    """What only some models or formats have, is refused with the others."""
    expect(send(simulator, TRANSCRIPTIONS, **fields), 400, code, telling)


@pytest.mark.parametrize(
    "name", [*sorted(API["arguments"]["audio/transcriptions"]), "chunking_strategy[type]"]
)
@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe", "gpt-4o-transcribe-diarize"])
def test_a_file_in_another_field_is_refused(simulator, name, model):
    """Whichever field it is, alone or in a list."""
    for field in (name, f"{name}[]"):
        if field != "file":
            response = send(simulator, TRANSCRIPTIONS, **{"model": model, field: ("a.mp3", SOUND)})
            assert response.status_code == 400
            assert len(response.content) < 500


@pytest.mark.parametrize(
    ("model", "formats"),
    [
        ("whisper-1", ["json", "text", "srt", "verbose_json", "vtt"]),
        ("gpt-transcribe", ["json"]),
        ("gpt-4o-transcribe", ["json", "text"]),
        ("gpt-4o-mini-transcribe-2025-12-15", ["json", "text"]),
        ("gpt-4o-transcribe-diarize", ["json", "text", "diarized_json"]),
    ],
)
def test_a_model_has_its_own_formats(simulator, model, formats):
    """Any other is refused, and the message names those there are."""
    for format in ("json", "text", "srt", "verbose_json", "vtt", "diarized_json"):
        response = send(simulator, TRANSCRIPTIONS, model=model, response_format=format)
        if format in formats:
            assert response.status_code == 200
            plain = format in ("text", "srt", "vtt")
            expected = "text/plain; charset=utf-8" if plain else "application/json"
            assert response.headers["content-type"] == expected
        else:
            telling = f"response_format '{format}' is not compatible with model '{model}'. Use '{formats[0]}'"
            expect(response, 400, "unsupported_value", telling)


def test_only_whisper_translates(simulator):
    """The models that merely transcribe are not found there; nor has a translation a language to choose."""
    expect(send(simulator, TRANSLATIONS, model="gpt-4o-transcribe"), 404, "model_not_found", "gpt-4o")
    expect(send(simulator, TRANSLATIONS, language="de"), 400, None, "language")
    expect(
        send(simulator, TRANSLATIONS, response_format="diarized_json"), 400, "invalid_value", "diarized_json"
    )


def test_long_recordings_are_diarized_in_chunks_only(simulator):
    """From half a minute on, the request has to say how to cut."""
    long, model = ("a.wav", wav(31 * 24_000)), "gpt-4o-transcribe-diarize"
    expect(
        send(simulator, TRANSCRIPTIONS, long, model=model),
        400,
        "missing_required_parameter",
        "chunking_strategy",
    )
    for fields in ({"chunking_strategy": "auto"}, {"chunking_strategy[type]": "server_vad"}):
        assert send(simulator, TRANSCRIPTIONS, long, model=model, **fields).status_code == 200
    assert send(simulator, TRANSCRIPTIONS, long, model="gpt-4o-transcribe").status_code == 200


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_recordings_come_as_forms_only(simulator, path):
    """A JSON body is refused, and so is a form for speech."""
    response = simulator.post(path, {"model": "whisper-1"})
    assert response.status_code == 400
    assert "multipart/form-data" in response.json()["error"]["message"]
    assert send(simulator, SPEECH).status_code == 400


def test_refusals_are_counted(simulator):
    """As errors of the client, a 413 too; nothing else is."""
    speak(simulator, voice="nobody")
    send(simulator, TRANSCRIPTIONS, ("a.mp3", bytes(TWENTY_FIVE_MEGABYTES + 1)))
    counters = simulator.counters()
    assert [counters["client_errors"], counters["answered"], counters["inputs"]] == [2, 0, 0]
