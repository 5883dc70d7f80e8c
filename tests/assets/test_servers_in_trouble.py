"""Whole runs before servers that fail all requests, limit them for ever, or find them too large."""

from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets import ColumnStore
from tests.assets.test_errors_at_run import embed, errors, run
from tests.runs import message
from tests.scripted_server import Asked, Reply, chat, refusal, resource_of, vectors

QUOTA = (
    "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please check your plan "
    "and billing details."
)
LIMIT = {
    "x-ratelimit-limit-tokens": "300",
    "x-ratelimit-remaining-tokens": "300",
    "x-ratelimit-reset-tokens": "0s",
}


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("column", [None, embed], ids=["chat", "embeddings"])
@pytest.mark.parametrize("on_error", ["abort", "ignore"])
def test_a_server_that_fails_every_row_fails_the_run(
    status: int, column: Callable[..., Any] | None, on_error: str, store: ColumnStore, serve: Any
) -> None:
    """However few they are, none of them is stored as failed."""
    server = serve(lambda _: refusal(status, "bad gateway"))
    rows = {1: "a", 2: "b", 3: "c"}
    result = run(store, resource_of(server, max_retries=0), rows, column, fails=True, on_error=on_error)
    assert f"the API at {server.base_url}" in message(result)
    assert "nothing but faults" in message(result)
    assert "bad gateway" in message(result)
    with pytest.raises(FileNotFoundError):
        errors(store)


def test_a_renamed_quota_fails_the_run_at_once(store: ColumnStore, serve: Any) -> None:
    """The words of the message tell it from a rate."""
    server = serve(lambda _: refusal(429, QUOTA, type="throttling_error", code="429"))
    result = run(store, resource_of(server), {n: str(n) for n in range(20)}, fails=True, on_error="ignore")
    assert "exceeded your current quota" in message(result)
    assert "billing page" in message(result)
    assert len(server.asked) <= 20


def test_nothing_but_429s_fail_the_run_in_time(store: ColumnStore, serve: Any) -> None:
    """Words that nobody knows may mean a quota."""
    server = serve(lambda _: refusal(429, "zut", headers={"retry-after-ms": "50"}))
    result = run(store, resource_of(server, outage_timeout=0.2), {1: "a"}, fails=True, on_error="ignore")
    assert "nothing but 429s" in message(result)
    assert "zut" in message(result)


def test_a_row_that_the_server_finds_too_large_fails_alone(store: ColumnStore, serve: Any) -> None:
    """In the server's words; what the limits say of it decides nothing."""

    def script(asked: Asked) -> Reply:
        if len(asked.text) > 2_000:
            return refusal(429, "Request too large for us: Limit 300, Requested 503", headers=LIMIT)
        return Reply(chat(asked).body, 200, LIMIT)

    server = serve(script)
    run(store, resource_of(server), {1: "a", 2: "b" * 2_001, 3: "c"}, on_error="ignore")
    (first, second, third) = errors(store)
    assert (first, third) == ((None, None), (None, None))
    assert second[0] == "RequestTooLarge"
    assert "Request too large for us" in second[1]
    assert sum(len(asked.text) > 2_000 for asked in server.asked) == 1


def test_texts_that_are_too_large_together_are_halved_until_they_fit(store: ColumnStore, serve: Any) -> None:
    """Each half fits, so that nothing is sent in vain; and how many texts a request carries is not bounded by it."""

    def script(asked: Asked) -> Reply:
        return Reply(vectors(asked).body, 200, LIMIT)

    server = serve(script)
    run(store, resource_of(server), {1: "a"}, embed)
    run(store, resource_of(server), {n: f"{n:03}" * 40 for n in range(2, 18)}, embed)  # 16 texts of 34 tokens
    sent = [len(asked.body["input"]) for asked in server.asked]
    assert sum(sent) == 17
    assert sorted(sent) == [1, 8, 8]
