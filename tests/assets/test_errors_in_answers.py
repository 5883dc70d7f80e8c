"""Errors that come with status 200, pages in place of JSON, and answers that lack what they are for."""

import json
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore
from pxt_assets.functions import embeddings, moderations, responses, transcriptions
from tests.assets.test_errors_at_run import errors, run
from tests.runs import metadata, stored
from tests.scripted_server import Reply, at_first, chat, resource_of

PAGE = Reply(b"<!doctype html>\n<title>Sign in</title> to go on", headers={"content-type": "text/html"})


def broken_off(**choice: Any) -> Reply:
    message = {"role": "assistant", "content": ""}
    return Reply({"id": "c", "choices": [{"finish_reason": "error", "message": message, **choice}]})


LIMITED = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "Too Many Requests"}}


@pytest.mark.parametrize(
    ("body", "is_fault"),
    [
        ({"choices": None, "error": LIMITED}, False),
        ({"error": {"message": "slow", "code": "rate_limit_exceeded", "retry_after": 0.01}}, False),
        ({"error": {"message": "slow", "type": "RateLimitError"}}, False),
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota"}}], False),
        ({"error": {"message": "oops", "code": "502"}}, True),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, True),
        ({"object": "error", "message": "oops", "type": "InternalServerError", "code": 500}, True),
        ({"message": "timed out", "code": 504}, True),
        (broken_off(error={"code": 502, "message": "upstream"}).body, True),
        (broken_off(finish_reason="insufficient_system_resource").body, True),
        (None, True),
        ("", True),
    ],
    ids=repr,
)
def test_what_is_retried_elsewhere_is_retried(
    body: Any, is_fault: bool, store: ColumnStore, serve: Any
) -> None:
    """By its code or its name; a rate limit uses no retry."""
    result = run(store, resource_of(serve(at_first([Reply(body)]))), {1: "a"})
    said = metadata(result, "tickets/c")
    assert (said["pxt/requests"], said["pxt/retries"], said["pxt/rate_limited"]) == (
        2,
        int(is_fault),
        int(not is_fault),
    )


@pytest.mark.parametrize(
    ("body", "errortype", "said"),
    [
        ({"error": {"message": "too long", "code": 400}}, "BadRequestError", "too long"),
        ({"error": {"message": "odd", "code": 7}, "choices": []}, "InvalidAnswer", "odd"),
        ({"error": "unsupported"}, "InvalidAnswer", "unsupported"),
        ({"detail": "no such thing"}, "InvalidAnswer", "no such thing"),
        ({"detail": [{"loc": ["body"]}]}, "InvalidAnswer", "loc"),
        ({"message": "denied", "code": "X"}, "InvalidAnswer", "denied"),
        ({"choices": []}, "InvalidAnswer", "no `choices`"),
        ({"choices": [None]}, "InvalidAnswer", "something else than messages"),
        ({"choices": [{"message": None}]}, "InvalidAnswer", "something else than messages"),
        ({"base_resp": {"status_code": 1004, "status_msg": "no login"}}, "InvalidAnswer", "no login"),
        ({"success": False, "errors": [{"code": 7003, "message": "no route"}]}, "InvalidAnswer", "no route"),
        ({"Response": {"Error": {"Text": "odd"}}}, "InvalidAnswer", 'it is {"Response": {"Error"'),
        (broken_off().body, "InvalidAnswer", "finish_reason 'error'"),
        (broken_off(error={"message": "no GPU", "code": 400}).body, "BadRequestError", "no GPU"),
        (broken_off(finish_reason="stop", error={"message": "no GPU"}).body, "InvalidAnswer", "no GPU"),
        (broken_off(finish_reason=None, error="no GPU").body, "InvalidAnswer", "no GPU"),
        (
            {**broken_off(finish_reason="stop").body, "error": {"message": "no GPU", "code": 400}},
            "BadRequestError",
            "no GPU",
        ),
    ],
    ids=repr,
)
def test_another_error_is_the_rows(
    body: Any, errortype: str, said: str, store: ColumnStore, serve: Any
) -> None:
    """With its message; it is never stored as an answer, so that the next run asks again."""
    server = serve(lambda asked: Reply(body) if asked.text == "bad" else chat(asked))
    run(store, resource_of(server), {1: "a", 2: "bad"}, on_error="ignore")
    assert errors(store)[0] == (None, None)
    assert errors(store)[1][0] == errortype
    assert said in errors(store)[1][1]
    server.script = chat
    run(store, resource_of(server), {1: "a", 2: "bad"}, on_error="ignore")
    assert errors(store)[1] == (None, None)


def test_an_error_beside_a_text_is_no_reason_to_lose_it(store: ColumnStore, serve: Any) -> None:
    """It is paid for; an empty text of its own accord is an answer too."""
    server = serve(
        lambda asked: chat(asked, asked.text.strip(), error={"message": "w"} if asked.text else None)
    )
    run(store, resource_of(server), {1: "a", 2: ""}, on_error="ignore")
    assert errors(store) == [(None, None)] * 2


def test_a_spent_quota_inside_an_answer_stops_the_run(store: ColumnStore, serve: Any) -> None:
    """Whatever the status."""
    spent = Reply({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
    server = serve(lambda asked: spent if asked.text == "row 9" else chat(asked))
    rows = {i: f"row {i}" for i in range(100)}
    run(store, resource_of(server, max_in_flight=1), rows, on_error="ignore", fails=True)
    assert len(server.asked) <= 11


@pytest.mark.parametrize(
    ("column", "body"),
    [
        (lambda t: moderations(t.body), {"id": "m", "results": []}),
        (lambda t: moderations(t.body), {"id": "m", "results": [None]}),
        (lambda t: embeddings(t.body, model="m"), {"data": None}),
        (lambda t: embeddings(t.body, model="m"), {"data": []}),
        (lambda t: responses(t.body, model="m"), {"output": [], "status": "cancelled"}),
        (lambda t: responses(t.body, model="m"), {"output": [], "error": {"message": "x"}}),
        (lambda t: responses(t.body, model="m"), {"status": "failed", "error": {"message": "x"}}),
    ],
    ids=["no results", "null result", "null data", "no data", "cancelled", "error", "failed"],
)
def test_an_answer_without_its_main_part_is_no_answer(
    column: Any, body: Any, store: ColumnStore, serve: Any
) -> None:
    """It is the error of its row."""
    run(store, resource_of(serve(lambda _: Reply(body))), {1: "a"}, column, on_error="ignore")
    assert errors(store)[0][0] is not None
    assert stored(store, "tickets/c")["c"].to_pylist() == [None]


def test_a_response_that_failed_for_the_server_is_asked_for_again(store: ColumnStore, serve: Any) -> None:
    """Its error says what a status would."""
    failed = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "oops"}}
    well = Reply({"id": "r", "status": "completed", "output": []})
    server = serve(at_first([Reply(failed)], lambda _: well))
    run(store, resource_of(server), {1: "a"}, lambda t: responses(t.body, model="m"))
    assert len(server.asked) == 2


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (PAGE, "<title>Sign in</title> to go on"),
        (Reply(b"unsupported model: foo"), "unsupported model: foo"),
        (Reply("<html>Für Gäste gesperrt".encode("latin-1")), "<html>Für Gäste gesperrt"),
    ],
    ids=["page", "text", "latin-1"],
)
@pytest.mark.parametrize("kind", ["chat", "embeddings"])
def test_a_server_of_pages_stops_the_run(
    rows: int, reply: Reply, words: str, kind: str, store: ColumnStore, serve: Any
) -> None:
    """From the first answers on; its first words are quoted, and what to look at is said."""
    server = serve(lambda _: reply)
    column = None if kind == "chat" else lambda t: embeddings(t.body, model="m")
    with pytest.raises(dg.Failure) as caught:
        run(
            store,
            resource_of(server, max_in_flight=4),
            {i: f"row {i}" for i in range(rows)},
            column,
            on_error="ignore",
        )
    said = str(caught.value.description)
    assert f"the server at {server.base_url}" in said
    assert words in said
    assert "Check base_url of the OpenAIResource" in said
    assert len(server.asked) <= 8


def test_a_page_amid_answers_is_a_fault(store: ColumnStore, serve: Any) -> None:
    """It is retried, then the row's error; the key is taken out of what it quotes."""
    page = Reply(b"<html>" + b"key sk-secret-4711 " * 100)
    pages = {"b": [page], "c": [page] * 9}
    server = serve(lambda asked: pages[asked.text].pop() if pages.get(asked.text) else chat(asked))
    run(store, resource_of(server), {1: "a", 2: "b", 3: "c"}, on_error="ignore")
    assert [errortype for errortype, _ in errors(store)] == [None, None, "InvalidAnswer"]
    assert "sk-secret" not in errors(store)[2][1]
    assert len(errors(store)[2][1]) < 400
    assert server.texts == ["a", "b", "b", "c", "c"]


def test_a_transcript_that_is_an_error_is_none(store: ColumnStore, serve: Any) -> None:
    """Where plain text was asked for, too."""
    from pxt_assets.functions.audio import _parse_transcript

    body = json.dumps({"error": {"message": "no"}}).encode()
    with pytest.raises(ValueError, match="no `text`"):
        _parse_transcript(body, {"response_format": "text", "model": "whisper-1"})
    assert transcriptions.endpoint.parse is _parse_transcript
