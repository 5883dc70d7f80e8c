"""Lines of output and error files, as servers write them and as they should not."""

import json
import os
from base64 import b64encode
from typing import Any

import pytest

import pxt_assets.api.batches.line_in as line_in
from pxt_assets.api.batches import LineAnswer, failure_of_line, parse_line, read_line
from pxt_assets.api.failure import Failure
from pxt_assets.errors import CellError
from pxt_assets.functions import chat_completions, embeddings

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": 'a "}{][" \\ end\\'},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "details": {}, "list": [[], [1.0, -2e-07]]},
    "service_tier": "default",
}
NAME = "ab" * 16


def line(
    body: Any = CHAT, *, status: Any = 200, request_id: Any = "req_1", error: Any = None, name: Any = NAME
) -> dict[str, Any]:
    response = {"status_code": status, "request_id": request_id, "body": body}
    return {"id": "batch_req_1", "custom_id": name, "response": response, "error": error}


def azure(body: Any = CHAT) -> dict[str, Any]:
    """Keys in another order, the body in the middle."""
    response = {"body": body, "request_id": "req_1", "status_code": 200}
    return {"custom_id": NAME, "error": None, "response": response}


def with_parts_beside_the_body(body: Any = CHAT) -> dict[str, Any]:
    response = {"status_code": 200, "body": body, "headers": {"a": {"b": 1}}, "request_id": "req_1"}
    return {"usage": {"x": {}}, "response": response, "custom_id": NAME, "more": {"y": {"z": []}}}


def first_of_response_last(body: Any = CHAT) -> dict[str, Any]:
    return {"custom_id": NAME, "response": {"request_id": "req_1", "body": body}, "meta": {"a": {"b": {}}}}


SHAPES = [line, azure, with_parts_beside_the_body, first_of_response_last]
STYLES: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}]


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_body_is_what_came(shape: Any, style: dict[str, Any]) -> None:
    """Byte by byte, whatever stands around it and however it is spaced."""
    written = json.dumps(shape("@"), **style).replace('"@"', json.dumps(CHAT, **style)).encode()
    answer = read_line(written)
    assert answer == LineAnswer(NAME, 200, json.dumps(CHAT, **style).encode(), "req_1")


BODIES = [
    {},
    {"a": "é\u2028\U0001f600", "b": "\\", "c": '\\"', "d": "\\\\"},
    {"embedding": b64encode(os.urandom(999)).decode()},
    {"text": '"}, "error": null}'},
    {"deep": json.loads("[" * 50 + "]" * 50)},
    {"body": {"body": {}}, "custom_id": "other", "response": {"status_code": 500}},
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_of_reading_say_the_same(shape: Any, body: Any) -> None:
    """The quick way finds what JSON says."""
    for ascii_only in (True, False):
        written = json.dumps(shape(body), ensure_ascii=ascii_only).encode()
        assert read_line(written) == line_in._read_any(written)
        assert json.loads(read_line(written).body) == body


def test_a_usual_line_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million bodies are not parsed twice: OpenAI's lines and Azure's are read without JSON."""
    monkeypatch.setattr(line_in, "_read_any", lambda _: pytest.fail("was parsed"))
    for shape in (line, azure):
        assert read_line(json.dumps(shape()).encode()).status == 200


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (line("plain words", status=502), (502, b"plain words")),
        (line('{"id": "x"}'), (200, b'{"id": "x"}')),
        (line(None, status=500), (500, b"")),
        (line(status="429"), (429, json.dumps(CHAT).encode())),
        (line(status=200.0), (200, json.dumps(CHAT).encode())),
        (line(status=None), (200, json.dumps(CHAT).encode())),
        (line([], status=400), (400, b"[]")),
        ({"custom_id": NAME, "response": None}, (None, b"")),
        ({"custom_id": NAME, "response": None, "error": {}}, (None, b"")),
        ({"custom_id": NAME}, (None, b"")),
    ],
)
def test_other_bodies_and_statuses(written: Any, expected: tuple[int | None, bytes]) -> None:
    """A body that is a text is that text; a status that is missing is 200 where there is a body."""
    answer = read_line(json.dumps(written).encode())
    assert (answer.status, answer.body) == expected


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": "batch_expired", "message": "too late"}, "batch_expired", "too late"),
        ({"error": {"code": "c", "message": "m"}}, "c", "m"),
        ({"code": 7, "message": None}, "7", None),
        ("words", None, "words"),
        ({"reason": "x"}, None, '{"reason": "x"}'),
    ],
)
def test_errors_of_lines(error: Any, code: str | None, message: str | None) -> None:
    """What a line says in place of an answer, however it says it."""
    answer = read_line(json.dumps({"custom_id": NAME, "response": None, "error": error}).encode())
    assert (answer.status, answer.error_code, answer.error_message) == (None, code, message)
    assert answer.never_started == (code == "batch_expired")


WHOLE = json.dumps(line()).encode()


@pytest.mark.parametrize("end", range(0, len(WHOLE) - 1, 7))
def test_half_a_line_is_none(end: int) -> None:
    """Wherever it was cut."""
    with pytest.raises(ValueError, match="whole JSON object"):
        read_line(WHOLE[:end])


@pytest.mark.parametrize(
    "written",
    [
        WHOLE + WHOLE,
        WHOLE + b"]",
        b"[]",
        b"null",
        b'"x"',
        b"<html></html>",
        b'{"custom_id" "x"}',
        b"{1: 2}",
        b'{"custom_id": "x",}',
        b"{" * 100_000,
        b'{"custom_id": "x", "response": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_line_is_an_error(written: bytes) -> None:
    """It is never taken for an answer, and never ends the run by another error."""
    with pytest.raises(ValueError, match="whole JSON object"):
        read_line(written)


@pytest.mark.parametrize("name", [None, "", 7])
def test_a_line_without_a_name_is_an_error(name: Any) -> None:
    with pytest.raises(ValueError, match="no custom_id"):
        read_line(json.dumps(line(name=name)).encode())


def test_numbers_and_bytes_that_python_cannot_read_are_kept() -> None:
    """The body's bytes stay what they were: what they hold is no matter of the line."""
    body = b'{"n": ' + b"9" * 5_000 + b', "x": NaN, "bad": "\xff\xfe"}'
    written = json.dumps(with_parts_beside_the_body("@")).encode().replace(b'"@"', body)
    assert read_line(written).body == body


def test_an_answer_is_parsed_as_online() -> None:
    """A chat's is its JSON, an embedding's its vector: each line asks for one alone, in the packed form."""
    chat = chat_completions.cell_request(
        {"messages": [{"role": "user", "content": "x"}], "model": "gpt-6-luna"}
    )
    parsed = parse_line(chat, read_line(WHOLE))
    assert not isinstance(parsed, Failure)
    assert parsed.values[0]["usage"]["prompt_tokens"] == 3
    asked = embeddings.cell_request({"input": "x", "model": "text-embedding-3-small"})
    vector = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0, 2.0]}]}
    parsed = parse_line(asked, read_line(json.dumps(line(vector)).encode()))
    assert not isinstance(parsed, Failure)
    assert list(parsed.values[0]) == [1.0, 2.0]


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_failures_are_those_of_the_same_answer_online(status: int) -> None:
    """By status, with the API's message, code and request id."""
    error = {"message": "bad key sk-secret-4711", "type": "invalid_request_error", "code": "c"}
    failure = failure_of_line(
        read_line(json.dumps(line({"error": error}, status=status)).encode()), ("sk-secret-4711",)
    )
    assert failure is not None
    names = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
    assert (failure.name, failure.status, failure.code) == (names[status], status, "c")
    assert failure.cell_error().message == "bad key *** (request req_1)"


def test_a_line_without_an_answer_is_a_failure_with_its_words() -> None:
    failure = failure_of_line(LineAnswer(NAME, None, b"", error_code="server_error", error_message="lost it"))
    assert failure is not None
    assert (failure.name, failure.code, failure.message) == ("BatchRequestError", "server_error", "lost it")


def test_an_answer_that_is_none_is_the_rows_error() -> None:
    """With status 200 and an error inside, as gateways send; and with nothing known inside."""
    chat = chat_completions.cell_request(
        {"messages": [{"role": "user", "content": "x"}], "model": "gpt-6-luna"}
    )
    inner = parse_line(chat, LineAnswer(NAME, 200, b'{"error": {"message": "provider failed", "code": 502}}'))
    assert isinstance(inner, Failure)
    assert inner.status == 200 or inner.status == 502
    with pytest.raises(CellError, match="something else than documented"):
        parse_line(chat, LineAnswer(NAME, 200, b'{"strange": {"a": 1}}'))
