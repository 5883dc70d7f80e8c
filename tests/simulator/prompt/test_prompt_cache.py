"""The simulator's cache of prompts, as it shows in the usage of answers."""

from typing import Any

import pytest

LAW = "the law " * 1_000
"""2,000 tokens."""
TAIL = "a ticket "
MODEL = "gpt-6-luna"
EXPLICIT = {"prompt_cache_options": {"mode": "explicit"}}
MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
OF_MESSAGE = 3


def system(text: str = LAW, mark: Any = MARK, kind: str = "text") -> dict[str, Any]:
    return {"role": "system", "content": [{"type": kind, "text": text, **mark}]}


def user(text: str = TAIL) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture(params=["chat", "responses"])
def ask(request, simulator):
    """Asks either endpoint; gives the tokens of the prompt, those read from the cache and those written to it."""

    def ask_chat(messages: list[dict[str, Any]], *, key: str = "sk-test", **arguments: Any) -> Any:
        body = {"model": MODEL, "messages": messages, **arguments}
        usage = simulator.post("/v1/chat/completions", body, key).json()["usage"]
        details = usage["prompt_tokens_details"]
        return usage["prompt_tokens"], details["cached_tokens"], details["cache_write_tokens"]

    def ask_responses(messages: list[dict[str, Any]], *, key: str = "sk-test", **arguments: Any) -> Any:
        items = [
            {**one, "content": [{**part, "type": "input_text"} for part in one["content"]]}
            if isinstance(one["content"], list)
            else one
            for one in messages
        ]
        usage = simulator.post("/v1/responses", {"model": MODEL, "input": items, **arguments}, key).json()[
            "usage"
        ]
        details = usage["input_tokens_details"]
        return usage["input_tokens"], details["cached_tokens"], details["cache_write_tokens"]

    return ask_chat if request.param == "chat" else ask_responses


PREFIX = 2_000 + OF_MESSAGE


def test_what_is_marked_is_written_once_and_then_read(ask):
    """The tails are neither."""
    assert ask([system(), user("one")], **EXPLICIT)[1:] == (0, PREFIX)
    assert ask([system(), user("two")], **EXPLICIT)[1:] == (PREFIX, 0)


def test_the_implicit_mode_writes_the_whole_prompt(ask):
    """Each row's, at a quarter more, and finds nothing in the next; the same prompt is found again."""
    for text in ("one", "two"):
        prompt, cached, written = ask([user(f"{LAW}{text}")])
        assert (cached, written) == (0, prompt)
    assert ask([user(f"{LAW}two")])[1:] == (prompt, 0)


def test_the_implicit_mode_reads_and_writes_marks_too(ask):
    """What comes after them is written."""
    prompt, cached, written = ask([system(), user("one")])
    assert (cached, written) == (0, prompt)
    prompt, cached, written = ask([system(), user("two")])
    assert (cached, written) == (PREFIX, prompt - PREFIX)


def test_without_a_mark_the_explicit_mode_caches_nothing(ask):
    """As the API says of it."""
    messages = [system(mark={}), user()]
    for _ in range(2):
        assert ask(messages, **EXPLICIT)[1:] == (0, 0)


def test_a_short_prefix_is_not_cached(ask):
    """From 1,024 tokens on one is."""
    short, long = ("x" * 4 * (tokens - OF_MESSAGE) for tokens in (1_023, 1_024))
    assert ask([system(short), user(LAW)], **EXPLICIT)[1:] == (0, 0)
    assert ask([system(short), user(LAW)], **EXPLICIT)[1:] == (0, 0)
    assert ask([system(long), user(LAW)], **EXPLICIT)[1:] == (0, 1_024)


@pytest.mark.parametrize(
    "other",
    [
        {"key": "sk-other"},
        {"model": "gpt-6-sol"},
        {"prompt_cache_key": "b"},
    ],
    ids=str,
)
def test_another_key_or_model_finds_nothing(ask, other):
    """Nor does another `prompt_cache_key`."""
    first = {"prompt_cache_key": "a", **EXPLICIT}
    ask([system(), user()], **first)
    found = ask([system(), user()], **{**first, **other})[1]
    assert found == 0


def test_other_settings_of_the_prompt_find_nothing(simulator):
    """Tools and the form of answers stand before the messages."""
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    body = {"model": MODEL, "messages": [system(), user()], **EXPLICIT}
    cached = [
        simulator.post("/v1/chat/completions", {**body, **more}).json()["usage"]["prompt_tokens_details"][
            "cached_tokens"
        ]
        for more in ({}, {"tools": tools}, {"reasoning_effort": "low"}, {"temperature": 0.5})
    ]
    assert cached == [0, 0, 0, PREFIX]


def test_a_prefix_stays_for_half_an_hour(ask, simulator):
    """From when it was written; to read it does not prolong that."""
    ask([system(), user()], **EXPLICIT)
    simulator.time.now += 1_799
    assert ask([system(), user()], **EXPLICIT)[1] == PREFIX
    simulator.time.now += 2
    assert ask([system(), user()], **EXPLICIT)[1:] == (0, PREFIX)


def test_the_longest_prefix_is_read(ask):
    """What is new behind it is written."""
    ask([system(), user()], **EXPLICIT)
    assert ask([system(), system(), user()], **EXPLICIT)[1:] == (PREFIX, PREFIX)
    assert ask([system(), system(), user("other")], **EXPLICIT)[1:] == (2 * PREFIX, 0)


def test_a_mark_in_an_assistant_s_message_is_not_looked_at(simulator):
    """As at the API, which says nothing either."""
    assistant = {**system(), "role": "assistant"}
    body = {"model": MODEL, "messages": [assistant, user()], **EXPLICIT}
    usage = simulator.post("/v1/chat/completions", body).json()["usage"]
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt_cache_options": {"mode": "always"}},
        {"prompt_cache_options": {"ttl": "5m"}},
        {"prompt_cache_options": "explicit"},
        {"prompt_cache_key": "k" * 65},
        {"messages": [system(mark={"prompt_cache_breakpoint": {"mode": "implicit"}})]},
        {"messages": [system(mark={"prompt_cache_breakpoint": True})]},
        {"messages": [system(mark={"prompt_cache_breakpoint": {}})]},
        {"model": "gpt-5.5", **EXPLICIT},
        {"model": "gpt-4o-mini", "messages": [system()]},
    ],
    ids=lambda given: str(given)[:60],
)
def test_what_the_api_refuses_is_refused(simulator, arguments):
    """Words, lengths, and models that know nothing of it."""
    body = {"model": MODEL, "messages": [user()], **arguments}
    answer = simulator.post("/v1/chat/completions", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_older_models_say_nothing_was_written(simulator):
    """They charge nothing for it."""
    usage = simulator.chat(LAW).json()["usage"]
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 0


def test_a_response_repeats_what_was_asked_of_the_cache(simulator):
    """With what is not said as the API's defaults."""
    asked = {"model": MODEL, "input": "Hello", "prompt_cache_key": "k", **EXPLICIT}
    answer = simulator.post("/v1/responses", asked).json()
    assert answer["prompt_cache_options"] == {"mode": "explicit", "ttl": "30m"}
    assert answer["prompt_cache_key"] == "k"
