"""How many requests bad texts among many cost, by what the server says of them: on the wire."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from pxt_assets import ColumnStore
from tests.assets.test_errors_at_run import embed, errors, run
from tests.scripted_server import Asked, Reply, refusal, resource_of, vectors

NAMED = "Invalid 'input[{}]': maximum input length is 8192 tokens."
CONTEXT = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens"


def refusing(bad: Collection[int], message: str, *, offset: int = 0) -> Callable[[Asked], Reply]:
    """Refuses requests that hold a text of the bad rows; `message` may name the first one's place."""
    texts = {f"row {i}" for i in bad}

    def answer(asked: Asked) -> Reply:
        found = [i for i, text in enumerate(asked.body["input"]) if text in texts]
        return refusal(400, message.format(found[0] + offset)) if found else vectors(asked)

    return answer


@pytest.mark.parametrize(
    ("bad", "rows", "message", "requests"),
    [
        ({13, 58}, 80, NAMED, 5),
        ({0, 79}, 80, NAMED, 5),
        (range(0, 2_000, 100), 2_000, NAMED, 60),
        ({0}, 16, CONTEXT, 9),
        ({13}, 80, CONTEXT, 13),
        (range(80), 80, CONTEXT, 25),
        (range(80), 80, NAMED, 40),
    ],
)
def test_bad_texts_are_found_in_few_requests(
    bad: Collection[int], rows: int, message: str, requests: int, store: ColumnStore, serve: Any
) -> None:
    """Those that the server names are set aside at once, others found by halving; nothing else is tried before."""
    server = serve(refusing(bad, message))
    run(store, resource_of(server), {i: f"row {i}" for i in range(rows)}, embed, on_error="ignore")
    assert {i for i, (errortype, _) in enumerate(errors(store)) if errortype} == set(bad)
    assert len(server.asked) <= requests
    assert {asked.body["encoding_format"] for asked in server.asked} == {"base64"}


@pytest.mark.parametrize("offset", [1, 1_000])
def test_a_server_that_counts_otherwise_is_not_followed(offset: int, store: ColumnStore, serve: Any) -> None:
    """A named text that is answered when it is alone is not at fault: the request is halved."""
    server = serve(refusing({13, 58}, NAMED, offset=offset))
    run(store, resource_of(server), {i: f"row {i}" for i in range(80)}, embed, on_error="ignore")
    assert [i for i, (errortype, _) in enumerate(errors(store)) if errortype] == [13, 58]
    assert len(server.asked) <= 26


def test_a_bad_text_in_the_first_request_does_not_hide_that_another_encoding_is_taken(
    store: ColumnStore, serve: Any
) -> None:
    """In floats the request is refused for the text: the floats were taken."""
    refuse = refusing({13}, NAMED)

    def answer(asked: Asked) -> Reply:
        if asked.body.get("encoding_format") == "base64":
            return refusal(400, "bad request")
        reply = refuse(asked)
        return vectors(asked, as_floats=True) if reply.status == 200 else reply

    server = serve(answer)
    run(store, resource_of(server), {i: f"row {i}" for i in range(80)}, embed, on_error="ignore")
    assert [i for i, (errortype, _) in enumerate(errors(store)) if errortype] == [13]
    assert len(server.asked) <= 5
