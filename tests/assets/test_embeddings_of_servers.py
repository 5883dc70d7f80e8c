"""Embeddings of servers that take less, or answer otherwise, than OpenAI's: on the wire."""

from typing import Any

import pytest

from pxt_assets import ColumnStore
from pxt_assets.functions import embeddings
from tests.assets.test_errors_at_run import embed, errors, run
from tests.runs import stored
from tests.scripted_server import Asked, Reply, refusal, resource_of, vectors

ROWS = {i: f"row {i}" for i in range(2_000)}


def capped(cap: int, status: int, sizes: list[int]) -> Any:
    def answer(asked: Asked) -> Reply:
        sizes.append(len(asked.body["input"]))
        return refusal(status, "too many") if sizes[-1] > cap else vectors(asked)

    return answer


@pytest.mark.parametrize("status", [400, 413, 422, 500])
@pytest.mark.parametrize("cap", [10, 1_000])
def test_how_many_texts_a_server_takes_is_learned_once(
    status: int, cap: int, store: ColumnStore, serve: Any
) -> None:
    """From its refusals, whatever their status, by halving; then each request carries as many."""
    sizes: list[int] = []
    server = serve(capped(cap, status, sizes))
    run(store, resource_of(server), ROWS, embed)
    refused = sum(size > cap for size in sizes)
    assert refused <= (2 if status == 500 else 1) * 14
    assert len(sizes) - refused <= len(ROWS) / cap + 26
    assert cap == 1_000 or max(sizes[-100:]) == cap


@pytest.mark.parametrize("cap", [1, 2, 3, 5])
def test_a_small_number_is_learned_as_soon(cap: int, store: ColumnStore, serve: Any) -> None:
    """Halves of an odd number differ by one, so that the smaller alone may be taken."""
    sizes: list[int] = []
    rows = {i: f"row {i}" for i in range(60)}
    run(store, resource_of(serve(capped(cap, 400, sizes))), rows, embed)
    assert sum(size > cap for size in sizes) <= 8
    assert len(sizes) <= 60 / cap + 16


def test_the_number_of_texts_can_be_set(store: ColumnStore, serve: Any) -> None:
    """No request carries more."""
    sizes: list[int] = []
    run(
        store,
        resource_of(serve(capped(7, 400, sizes)), max_batch=7),
        {i: "x" * (i + 1) for i in range(50)},
        embed,
    )
    assert sorted(sizes) == [1, *[7] * 7]


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        (lambda _: Reply({"data": []}), "InvalidAnswer"),
        (lambda _: Reply({"error": {"message": "odd"}}), "InvalidAnswer"),
        (lambda _: refusal(400, "no"), "BadRequestError"),
        (lambda asked: Reply({"data": vectors(asked).body["data"] * 2}), "InvalidAnswer"),
    ],
    ids=["nothing", "error", "refused", "twice"],
)
def test_a_server_that_misanswers_everything_is_not_asked_for_every_row(
    reply: Any, name: str, store: ColumnStore, serve: Any
) -> None:
    """Some rows are tried alone; then all of the request have its error."""
    server = serve(reply)
    run(store, resource_of(server), ROWS, embed, on_error="ignore")
    assert {errortype for errortype, _ in errors(store)} == {name}
    assert len(server.asked) <= 22


def test_a_misanswered_request_is_divided(store: ColumnStore, serve: Any) -> None:
    """One text for which a server gives one vector too many costs its neighbours nothing."""

    def answer(asked: Asked) -> Reply:
        body = vectors(asked).body
        return Reply({**body, "data": body["data"] + ([{}] if "row 7" in asked.body["input"] else [])})

    server = serve(answer)
    run(store, resource_of(server), ROWS, embed, on_error="ignore")
    assert [i for i, (errortype, _) in enumerate(errors(store)) if errortype] == [7]
    assert len(server.asked) <= 30


@pytest.mark.parametrize(
    ("takes", "message", "asked_for"),
    [
        ({"float"}, "base64 encoding is not currently supported", ["base64", "float"]),
        ({"float"}, "invalid encoding_format", ["base64", "float"]),
        ({"float"}, "bad request", ["base64", "float"]),
        ({None}, "unknown field `encoding_format`", ["base64", "float", None]),
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_server_that_refuses_base64_is_asked_otherwise_from_then_on(
    status: int,
    takes: set[str | None],
    message: str,
    asked_for: list[str | None],
    store: ColumnStore,
    serve: Any,
) -> None:
    """Once for all requests of the model; no row fails, and no request is divided."""

    def answer(asked: Asked) -> Reply:
        if asked.body.get("encoding_format") not in takes:
            return refusal(status, message)
        return vectors(asked, as_floats=True)

    server = serve(answer)
    openai = resource_of(server, max_batch=500, max_retries=0)
    run(store, openai, {i: f"row {i}" for i in range(2_000)}, embed)
    forms = [asked.body.get("encoding_format") for asked in server.asked]
    assert list(dict.fromkeys(forms)) == asked_for
    assert forms.count(asked_for[-1]) == 4
    assert len(forms) <= 4 * len(asked_for)


def test_a_given_encoding_is_sent_and_finds_what_is_stored(store: ColumnStore, serve: Any) -> None:
    """It names no cell."""
    server = serve(lambda asked: vectors(asked, as_floats=True))
    column = lambda t: embeddings(t.body, model="m", encoding_format="float")  # noqa: E731
    run(store, resource_of(server), {1: "a"}, column)
    assert server.asked[0].body["encoding_format"] == "float"
    run(store, resource_of(server), {1: "a"}, lambda t: embeddings(t.body, model="m"))
    assert len(server.asked) == 1


def test_a_bad_vector_is_asked_for_again_by_the_next_run(store: ColumnStore, serve: Any) -> None:
    """It is its row's error, and stored as no result."""

    def answer(asked: Asked) -> Reply:
        body = vectors(asked, as_floats=True).body
        for text, item in zip(asked.body["input"], body["data"], strict=True):
            if text == "b":
                item["embedding"] = [None, 1.0, 2.0]
        return Reply(body)

    server = serve(answer)
    run(store, resource_of(server), {1: "a", 2: "b", 3: "c"}, embed, on_error="ignore")
    assert [errortype for errortype, _ in errors(store)] == [None, "InvalidAnswer", None]
    server.script = vectors
    run(store, resource_of(server), {1: "a", 2: "b", 3: "c"}, embed, on_error="ignore")
    assert server.asked[-1].body["input"] == ["b"]
    assert None not in stored(store, "tickets/c")["c"].to_pylist()
