"""The validator of the requests: it finds what is wrong, so that a request in which it finds nothing is right."""

from typing import Any

import pytest

from tests.conformance.openapi import problems
from tests.conformance.text_calls import HELLO, asking, chat_image
from tests.scripted_server import Asked, Uploaded

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
CHAT = Asked("/v1/chat/completions", JSON, {"model": "m", "messages": HELLO})
SOUND = Uploaded("file.wav", "audio/wav", b"RIFF")
HEARD = Asked("/v1/audio/transcriptions", FORM, {"file": SOUND, "model": "m"})


def changed(asked: Asked, **more: Any) -> Asked:
    """The request with other fields; those that are None are left out."""
    body = {**asked.body, **more}
    return Asked(asked.path, asked.headers, {k: v for k, v in body.items() if v is not None}, asked.method)


@pytest.mark.parametrize("right", [CHAT, HEARD], ids=["JSON", "form"])
def test_nothing_is_wrong_with_these(right):
    """What the tests below change conforms."""
    assert problems(right) == []


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (changed(CHAT, temprature=1), "'temprature' was unexpected"),
        (changed(CHAT, messages=[{**HELLO[0], "nme": "x"}]), "'nme' was unexpected"),
        (
            changed(CHAT, response_format={"type": "json_object", "strict": True}),
            "'strict' was unexpected",
        ),
        (changed(CHAT, tools=[{"type": "function", "name": "f"}]), "$.tools[0]"),
        (changed(HEARD, langauge="en"), "'langauge' was unexpected"),
        (changed(HEARD, **{"chunking_strategy[kind]": "server_vad"}), "$.chunking_strategy"),
    ],
)
def test_unknown_fields(asked, problem):
    """At any depth, also of objects that the description leaves open."""
    assert problem in " ".join(problems(asked))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (changed(CHAT, temperature="1"), "$.temperature: '1' is not of type 'number'"),
        (changed(CHAT, n=1.5), "$.n: 1.5 is not of type 'integer'"),
        (changed(CHAT, store=0), "$.store: 0 is not of type 'boolean'"),
        (changed(CHAT, messages="Hello"), "$.messages: 'Hello' is not of type 'array'"),
        (changed(CHAT, messages=[]), "$.messages: [] should be non-empty"),
        (changed(HEARD, temperature="warm"), "$.temperature: 'warm' is not of type 'number'"),
        (changed(HEARD, stream="True"), "$.stream: 'True' is not of type 'boolean'"),
        (changed(HEARD, include="logprobs"), "$.include: 'logprobs' is not of type 'array'"),
        (changed(HEARD, file="file.wav"), "$.file: 'file.wav' is not of type 'object'"),
    ],
)
def test_wrong_types(asked, problem):
    """Text of a form counts as what it says, nothing else is converted."""
    (found,) = problems(asked)
    assert problem in found


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (changed(CHAT, service_tier="cheap"), "'cheap' is not one of ['auto', "),
        (changed(CHAT, messages=[{"role": "robot", "content": "x"}]), "'robot' is not one of"),
        (changed(CHAT, temperature=3), "3 is greater than the maximum of 2"),
        (changed(CHAT, n=0), "0 is less than the minimum of 1"),
        (changed(CHAT, stop=list("abcde")), "['a', 'b', 'c', 'd', 'e'] is too long"),
        (changed(CHAT, messages=chat_image("a cat.png")), "$.messages[0].content"),
        (changed(HEARD, response_format="xml"), "'xml' is not one of"),
        (changed(HEARD, **{"include[]": "all"}), "$.include[0]: 'all' is not one of"),
    ],
)
def test_wrong_values(asked, problem):
    """Out of an enumeration or a range, or no URL."""
    assert problem in " ".join(problems(asked))


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (changed(CHAT, model=None), "model"),
        (changed(CHAT, messages=None), "messages"),
        (changed(CHAT, messages=asking({"type": "text"})), "text"),
        (changed(HEARD, file=None), "file"),
        (changed(HEARD, **{"chunking_strategy[threshold]": "0.5"}), "type"),
    ],
)
def test_missing_fields(asked, missing):
    """Those that are required."""
    assert f"'{missing}' is a required property" in " ".join(problems(asked))


@pytest.mark.parametrize(
    ("upload", "problem"),
    [
        (Uploaded("file", "audio/wav", b"RIFF"), "$.file.filename: 'file' does not match"),
        (Uploaded("file.wav", "application/octet-stream", b"RIFF"), "$.file.content_type"),
        (Uploaded("file.png", "image/png", b"RIFF"), "$.file.content_type"),
        (Uploaded("file.wav", "audio/wav", b""), "$.file.bytes: 0 is less than the minimum of 1"),
    ],
)
def test_wrong_files(upload, problem):
    """A name without an extension, another content type than sound's, no content."""
    (found,) = problems(changed(HEARD, file=upload))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (Asked("/v1/audio/transcriptions", JSON, {"model": "m"}), "content type: got 'application/json'"),
        (Asked(CHAT.path, FORM, CHAT.body), "content type: got 'multipart/form-data'"),
        (Asked(CHAT.path, {}, CHAT.body), "content type: got ''"),
        (Asked(CHAT.path, JSON, CHAT.body, "PUT"), "method: got PUT /v1/chat/completions"),
        (Asked("/v1/chat", JSON, CHAT.body), "path: got /v1/chat, which the API does not have"),
        (Asked("/chat/completions", JSON, CHAT.body), "path: got /chat/completions"),
        (Asked(f"{CHAT.path}?a=1", JSON, CHAT.body), "query: got a=1"),
    ],
)
def test_wrong_requests(asked, problem):
    """Another content type, method, path, or a query."""
    (found,) = problems(asked)
    assert found.startswith(problem)


def test_any_model_is_right():
    """Where the description has text beside the names that it knows."""
    assert problems(changed(CHAT, model="llama")) == []


def test_null_is_right_where_it_is_said():
    """In the way of OpenAPI 3.0, too."""
    body = {"model": "dall-e-2", "prompt": "x", "size": None, "n": None, "quality": None}
    path = "/v1/images/generations"
    assert problems(Asked(path, JSON, body)) == []
    assert problems(Asked(path, JSON, {**body, "prompt": None})) == ["$.prompt: None is not of type 'string'"]
