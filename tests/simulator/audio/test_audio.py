"""Speech, transcriptions and translations, as OpenAI's own client meets them."""

import asyncio
import json
import math
import re
import warnings
from pathlib import Path

import httpx2
import openai
import pytest
from jsonschema import Draft202012Validator

from pxt_assets.simulator.audio.sound.embedded_text import embedded_text
from pxt_assets.simulator.audio.sound.speech import Speech
from pxt_assets.simulator.audio.sound.wave import comment_of_pcm
from pxt_assets.simulator.audio.speech import KNOWN as SPEECH_ARGUMENTS
from pxt_assets.simulator.audio.transcription_form import KNOWN as TRANSCRIPTION_ARGUMENTS
from pxt_assets.simulator.audio.translations import KNOWN as TRANSLATION_ARGUMENTS

API = json.loads((Path(__file__).parent / "openai_audio_answers.json").read_text())

TEXT = "The zip broke after 2 days. Größe: 5 µm — 日本語 🎉! Who answers?"
SENTENCES = ["The zip broke after 2 days.", "Größe: 5 µm — 日本語 🎉!", "Who answers?"]
SECONDS = 3.72
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
UPLOAD_NAMES = {"mp3": "a.mp3", "opus": "a.ogg", "aac": "a.m4a", "flac": "a.FLAC", "wav": "dir/a.b.wav"}
REAL = b"fLaC\0\0\0\x22" + bytes(10) + (16_000 << 44 | 15 << 36 | 40_000).to_bytes(8, "big") + b"real" * 9

CLOCK = r"\d\d:[0-5]\d:[0-5]\d{}\d{{3}}"


def ask(simulator, call):
    """What `call(client)` answers, with a client that does not retry."""

    async def with_client():
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator.app))
        client = openai.AsyncOpenAI(
            base_url="http://simulator/v1", api_key="sk-test", max_retries=0, http_client=http_client
        )
        async with client:
            return await call(client)

    return asyncio.run(with_client())


def speak(simulator, text=TEXT, **arguments):
    arguments = {"model": "tts-1", "voice": "onyx", **arguments}
    return ask(simulator, lambda client: client.audio.speech.create(input=text, **arguments))


def transcribe(simulator, file, model="whisper-1", **arguments):
    return ask(
        simulator,
        lambda client: client.audio.transcriptions.create(file=file, model=model, **arguments),
    )


def translate(simulator, file, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ask(
            simulator,
            lambda client: client.audio.translations.create(file=file, model="whisper-1", **arguments),
        )


def spoken(text=TEXT, **changes):
    return ("a.mp3", Speech(text, "tts-1, onyx", **changes).encode("mp3"))


def conforms(name, answer):
    reference = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    Draft202012Validator(reference).validate(answer.model_dump(mode="json", exclude_unset=True))


@pytest.mark.parametrize("format", sorted(UPLOAD_NAMES))
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
def test_transcribing_speech_gives_its_text_back(simulator, format, model):
    """In every format that can be uploaded, under the names that its files may have."""
    content = speak(simulator, response_format=format).content
    assert transcribe(simulator, (UPLOAD_NAMES[format], content), model).text == TEXT


@pytest.mark.parametrize("format", [*CONTENT_TYPES, None])
def test_speech_comes_in_the_format_asked_for(simulator, format):
    """With its content type; MP3 where none is asked for."""
    answer = speak(simulator, **({} if format is None else {"response_format": format}))
    assert answer.response.headers["content-type"] == CONTENT_TYPES[format or "mp3"]
    assert answer.response.headers["x-pxt-simulated"] == "true"
    content = answer.content
    assert embedded_text(comment_of_pcm(content) if format == "pcm" else content) == TEXT


def test_speech_can_be_streamed_to_a_file(simulator, tmp_path):
    """As people mostly use the client; the file is the answer's body."""

    async def stream(client):
        streaming = client.audio.speech.with_streaming_response
        async with streaming.create(input=TEXT, model="tts-1", voice="onyx") as answer:
            await answer.stream_to_file(tmp_path / "a.mp3")

    ask(simulator, stream)
    assert (tmp_path / "a.mp3").read_bytes() == speak(simulator).content


def test_the_same_request_has_the_same_sound(simulate):
    """To the byte, on any simulator; another voice, model or speed makes another sound."""
    first = speak(simulate(seed=1)).content
    assert first == speak(simulate(seed=2)).content
    others = ({"voice": "nova"}, {"model": "tts-1-hd"}, {"speed": 2}, {"voice": {"id": "voice_1"}})
    assert len({first, *(speak(simulate(), **other).content for other in others)}) == 5


def test_faster_speech_is_shorter(simulator):
    """A transcription measures it."""
    lasts = [
        transcribe(
            simulator, ("a.mp3", speak(simulator, speed=speed).content), response_format="verbose_json"
        ).duration
        for speed in (0.5, 1, 2)
    ]
    assert lasts[0] > 1.9 * lasts[1] > 3.6 * lasts[2]


@pytest.mark.parametrize("voice", ["marin", {"id": "voice_1234"}])
@pytest.mark.parametrize("model", ["gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"])
def test_newer_models_take_instructions_and_more_voices(simulator, model, voice):
    """A custom voice among them; the text stays the input alone."""
    content = speak(
        simulator, model=model, voice=voice, instructions="Whisper.", stream_format="audio"
    ).content
    assert embedded_text(content) == TEXT


@pytest.mark.parametrize(
    "model",
    [
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe-diarize",
    ],
)
def test_every_model_transcribes(simulator, model):
    """As JSON where nothing else is asked for; whisper-1 bills seconds, the others tokens."""
    answer = transcribe(simulator, spoken(), model)
    conforms("CreateTranscriptionResponseJson", answer)
    assert answer.text == TEXT
    assert answer.usage.type == ("duration" if model == "whisper-1" else "tokens")
    assert (answer.languages is not None) is (model == "gpt-transcribe")


def test_usage_follows_from_the_recording_and_the_prompt(simulator):
    """Ten tokens a second, a token for four characters; seconds are rounded up."""
    usage = transcribe(simulator, spoken(), "gpt-4o-transcribe", prompt="Eight!!!").usage
    assert usage.input_token_details.audio_tokens == math.ceil(10 * SECONDS)
    assert usage.input_token_details.text_tokens == 2
    assert usage.input_tokens == usage.input_token_details.audio_tokens + 2
    assert usage.output_tokens == math.ceil(len(TEXT) / 4)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert transcribe(simulator, spoken()).usage.seconds == math.ceil(SECONDS)


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-transcribe-diarize"])
def test_a_transcription_may_be_plain_text(simulator, model):
    """With a line feed at its end, as the API's."""
    assert transcribe(simulator, spoken(), model, response_format="text") == f"{TEXT}\n"


@pytest.mark.parametrize(("ask_for", "mark"), [(transcribe, ""), (translate, "[translated] ")])
@pytest.mark.parametrize(("format", "point"), [("srt", ","), ("vtt", r"\.")])
def test_subtitles_are_well_formed(simulator, ask_for, mark, format, point):
    """A cue for each sentence, numbered in SRT, one after the other until the end."""
    answer = ask_for(simulator, spoken(), response_format=format)
    cues = answer.removesuffix("\n\n").split("\n\n")
    if format == "vtt":
        assert cues.pop(0) == "WEBVTT"
    clock = CLOCK.format(point)
    shape = re.compile(rf"(?:(\d+)\n)?({clock}) --> ({clock})\n(.+)")
    numbers, starts, ends, texts = zip(*(shape.fullmatch(cue).groups() for cue in cues), strict=True)
    assert list(numbers) == (["1", "2", "3"] if format == "srt" else [None] * 3)
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] == f"00:00:03{point[-1]}720"
    assert " ".join(texts) == mark + TEXT


def test_no_text_can_break_subtitles(simulator):
    """Blank lines and arrows are what would."""
    answer = transcribe(simulator, spoken("One\n\ntwo --> three."), response_format="srt")
    assert answer.count("\n\n") == answer.count("-->") == 1
    assert "One two -> three." in answer


def test_verbose_transcriptions_have_segments(simulator):
    """One for each sentence, and words only where asked for; the language by its name."""
    answer = transcribe(simulator, spoken(), response_format="verbose_json", language="de", temperature=0.5)
    conforms("CreateTranscriptionResponseVerboseJson", answer)
    assert (answer.text, answer.language, answer.duration) == (TEXT, "german", SECONDS)
    assert [segment.text.strip() for segment in answer.segments] == SENTENCES
    assert [segment.id for segment in answer.segments] == [0, 1, 2]
    assert {segment.temperature for segment in answer.segments} == {0.5}
    assert answer.segments[-1].end == SECONDS
    assert answer.words is None


@pytest.mark.parametrize("granularities", [["word"], ["word", "segment"]])
def test_verbose_transcriptions_have_words_when_asked(simulator, granularities):
    """In order and in time; segments too where those are asked for as well."""
    answer = transcribe(
        simulator, spoken(), response_format="verbose_json", timestamp_granularities=granularities
    )
    conforms("CreateTranscriptionResponseVerboseJson", answer)
    assert [word.word for word in answer.words] == TEXT.split()
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] == SECONDS
    assert (answer.segments is not None) is ("segment" in granularities)


def test_diarized_transcriptions_name_the_speakers(simulator):
    """Two unknown ones take turns, or those that the request names."""
    answer = transcribe(
        simulator, spoken(), "gpt-4o-transcribe-diarize",
        response_format="diarized_json", chunking_strategy="auto",
    )  # fmt: skip
    conforms("CreateTranscriptionResponseDiarizedJson", answer)
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "A"]
    assert [segment.text for segment in answer.segments] == SENTENCES
    named = transcribe(
        simulator, spoken(), "gpt-4o-transcribe-diarize",
        response_format="diarized_json", chunking_strategy={"type": "server_vad", "threshold": 0.4},
        known_speaker_names=["agent"], known_speaker_references=["data:audio/wav;base64,AAAA"],
    )  # fmt: skip
    assert {segment.speaker for segment in named.segments} == {"agent"}


def test_log_probabilities_come_when_asked_for(simulator):
    """Their tokens make up the text."""
    answer = transcribe(simulator, spoken(), "gpt-4o-transcribe", include=["logprobs"])
    conforms("CreateTranscriptionResponseJson", answer)
    assert "".join(token.token for token in answer.logprobs) == TEXT
    assert all(bytes(map(int, token.bytes)).decode() == token.token for token in answer.logprobs)


def test_gpt_transcribe_takes_keywords_and_languages(simulator):
    """The keywords are read as a prompt; the first language is the one found."""
    answer = transcribe(
        simulator, spoken(), "gpt-transcribe", keywords=["zip", "size"], languages=["de", "en"]
    )
    assert answer.languages[0].code == "de"
    assert answer.usage.input_token_details.text_tokens == 2


@pytest.mark.parametrize("format", ["json", "verbose_json"])
def test_translations_are_marked(simulator, format):
    """They are the transcription after a mark: nothing is translated here."""
    answer = translate(simulator, spoken(), response_format=format, prompt="Hello.", temperature=1)
    name = "Json" if format == "json" else "VerboseJson"
    conforms(f"CreateTranslationResponse{name}", answer)
    assert answer.text == f"[translated] {TEXT}"
    if format == "verbose_json":
        assert answer.language == "english"
        assert " ".join(segment.text.strip() for segment in answer.segments) == answer.text


def test_translations_may_be_plain_text(simulator):
    """With a line feed at its end."""
    assert translate(simulator, spoken(), response_format="text") == f"[translated] {TEXT}\n"


def test_a_real_recording_has_an_invented_text(simulator):
    """The same for the same content, whatever its name; another for another."""
    answers = [
        transcribe(simulator, file).text
        for file in (("a.flac", REAL), ("b.mp3", REAL), ("a.flac", REAL + b"more"))
    ]
    assert answers[0] == answers[1] != answers[2]
    assert all(re.fullmatch(r"\[simulated\] \w+ \w+ \w+ \w+ \w+ \w+\.", text) for text in answers)
    verbose = transcribe(simulator, ("a.flac", REAL), response_format="verbose_json")
    assert verbose.duration == 2.5


def test_audio_is_counted(simulator):
    """A sound made or heard is an input; tokens count where the model is billed by them."""
    speak(simulator)
    transcribe(simulator, spoken())
    translate(simulator, spoken())
    counters = simulator.counters()
    assert [counters["answered"], counters["inputs"]] == [3, 3]
    assert [counters["input_tokens"], counters["output_tokens"]] == [0, 0]
    usage = transcribe(simulator, spoken(), "gpt-transcribe").usage
    speak(simulator, "Eight!!!", model="gpt-4o-mini-tts", instructions="Four")
    counters = simulator.counters()
    assert [counters["input_tokens"], counters["output_tokens"]] == [
        usage.input_tokens + 3,
        usage.output_tokens,
    ]


def test_tokens_are_limited_only_where_a_model_is_billed_by_them(simulate):
    """A recording beyond the limit of tokens is too large for gpt-4o-transcribe, not for whisper-1."""
    simulator = simulate(tpm=10)
    transcribe(simulator, spoken())
    speak(simulator)
    with pytest.raises(openai.RateLimitError, match="Request too large"):
        transcribe(simulator, spoken(), "gpt-4o-transcribe")


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        ("audio/speech", SPEECH_ARGUMENTS),
        ("audio/transcriptions", TRANSCRIPTION_ARGUMENTS),
        ("audio/translations", TRANSLATION_ARGUMENTS),
    ],
)
def test_the_arguments_of_the_api_are_known(endpoint, known):
    """All of them, and no others."""
    assert sorted(known) == API["arguments"][endpoint]


def test_audio_models_are_listed(simulator):
    """With the dates on which the API will drop them."""
    listed = {model["id"]: model["shutdown_date"] for model in simulator.get("/v1/models").json()["data"]}
    assert listed["tts-1"] == "2027-01-06"
    assert listed["whisper-1"] == "2027-02-26"
    assert listed["gpt-transcribe"] is None
