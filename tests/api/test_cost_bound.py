"""What requests may cost at most, by what they say and by what is known of answers."""

import base64
from typing import Any

import pytest

from pxt_assets.api.cost_bound import CostBound
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage
from pxt_assets.functions import (
    chat_completions,
    decisions,
    embeddings,
    image_generations,
    moderations,
    responses,
    speech,
    transcriptions,
)
from tests.pictures import sound

OUTPUT_USD = 10e-6
"""An output token of gpt-4o."""


def chat(model: str = "gpt-4o", **more: Any) -> Request:
    messages = [{"role": "user", "content": "x" * 100}]
    return chat_completions.cell_request({"messages": messages, "model": model, "model_kwargs": more})


def most(request: Request, bound: CostBound | None = None) -> float:
    cost = (bound or CostBound()).most_usd(request)
    assert cost is not None
    return cost


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        (chat(max_tokens=16_000), 16_000),
        (chat(max_completion_tokens=50), 50),
        (chat(max_tokens=1_000, n=8), 8_000),
        (chat(), 16_384),
        (chat(n=2), 2 * 16_384),
        (
            responses.cell_request(
                {"input": "x", "model": "gpt-4o", "model_kwargs": {"max_output_tokens": 9}}
            ),
            9,
        ),
        (responses.cell_request({"input": "x", "model": "gpt-4o"}), 16_384),
    ],
)
def test_an_answer_is_as_long_as_the_request_or_the_model_allows(request_: Request, tokens: int) -> None:
    """All choices together; the input is some hundred bytes."""
    assert tokens * OUTPUT_USD <= most(request_) < tokens * OUTPUT_USD + 0.001


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-6-luna", 128_000),
        ("o3", 100_000),
        ("gpt-4.1-mini", 32_768),
        ("gpt-4-turbo", 4_096),
        ("gpt-4", 8_192),
    ],
)
def test_models_have_longest_answers_of_their_own(model: str, tokens: int) -> None:
    """Reasoning included."""
    assert most(chat(model)) == pytest.approx(cost_usd(model, Usage(200, tokens)), rel=0.05)


def test_no_request_has_more_tokens_than_bytes() -> None:
    """Whatever the language, and whatever the estimate takes of it."""
    text = "🦆語" * 1_000
    request = embeddings.cell_request({"input": text, "model": "text-embedding-3-small"})
    assert most(request) >= len(text.encode()) * 0.02e-6


def test_answers_tell_where_nothing_limits_them() -> None:
    """Less is set aside the more answers are known, at least four times the longest; a limit stays what it is."""
    bound = CostBound()
    sizes = []
    for _ in range(1_000):
        bound.learn(chat(), Usage(30, 50), 0.0005)
        sizes.append(most(chat(), bound))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[3] == most(chat())
    assert sizes[-1] == pytest.approx(4 * 50 * OUTPUT_USD, abs=0.001)
    assert most(chat(max_tokens=16_000), bound) >= 0.16


def test_a_longer_answer_raises_what_is_set_aside() -> None:
    """At once, for all that follow."""
    bound = CostBound()
    for tokens in [10] * 100 + [2_000]:
        bound.learn(chat(), Usage(30, tokens), 0.0)
    assert most(chat(), bound) >= 4 * 2_000 * OUTPUT_USD


def test_what_an_answer_cost_is_the_least_that_is_set_aside() -> None:
    """A server that charges more than its table says is believed."""
    bound = CostBound()
    bound.learn(chat(max_tokens=10), Usage(30, 10), 1.5)
    assert most(chat(max_tokens=10), bound) == 1.5
    assert most(chat("gpt-4o-mini", max_tokens=10), bound) < 0.01


def test_images_are_set_aside_each() -> None:
    """At the tokens of a large one that is not square."""
    request = image_generations.cell_request(
        {"prompt": "x", "model": "gpt-image-1.5", "model_kwargs": {"n": 3}}
    )
    assert most(request) >= 3 * (cost_usd("gpt-image-1.5", Usage(0, 6_240)) or 0.0)


def test_sounds_are_set_aside_by_what_they_hold() -> None:
    """Characters that are read aloud are known; a recording may be longer than its bytes tell."""
    said = speech.cell_request({"input": "x" * 1_000, "model": "tts-1", "voice": "alloy"})
    assert most(said) == pytest.approx(0.015)
    content = sound(1.0)
    heard = transcriptions.cell_request({"audio": content, "model": "whisper-1"})
    assert most(heard) >= (cost_usd("whisper-1", Usage(seconds=len(content) / 8_000)) or 0.0)


def test_what_is_free_or_unknown_has_no_bound() -> None:
    """Nothing is set aside for a model that costs nothing; of an unknown one nobody knows."""
    assert most(moderations.cell_request({"input": "x", "model": "omni-moderation-latest"})) == 0
    assert CostBound().most_usd(chat("a-model-nobody-sells")) is None


def test_searches_of_the_server_are_set_aside() -> None:
    """They read much more than the request holds."""
    searching = responses.cell_request(
        {
            "input": "x",
            "model": "gpt-4o",
            "tools": [{"type": "web_search"}],
            "model_kwargs": {"max_output_tokens": 9},
        }
    )
    assert most(searching) >= 10 * 8_000 * 2.5e-6


def asked(tools: Any = None, **more: Any) -> Request:
    options = {"max_output_tokens": 1_000, **more}
    arguments = {"input": "x" * 10_000, "model": "gpt-6-luna", "tools": tools, "model_kwargs": options}
    return responses.cell_request(arguments)


LEAST = 10_000 * 0.125e-6 + 1_000 * 0.5e-6
"""All of the input written to the cache."""


@pytest.mark.parametrize(
    ("tier", "times"), [(None, 1), ("auto", 1), ("flex", 1), ("priority", 2), ("fast", 2)]
)
def test_a_request_may_be_answered_in_the_tier_that_it_asks_for(tier: str | None, times: int) -> None:
    """Or in the standard one: of flex and priority the dearer one counts."""
    assert most(asked(service_tier=tier)) == pytest.approx(times * LEAST, rel=0.05)


def test_a_tier_without_a_price_has_no_bound() -> None:
    """Nobody knows what it costs."""
    assert CostBound().most_usd(asked(service_tier="scale")) is None


def test_the_tier_of_answers_is_learned() -> None:
    """A project may have one of its own, which requests do not say."""
    bound = CostBound()
    bound.learn(asked(), Usage(10, 10), 0.00001, "priority")
    assert most(asked(), bound) == pytest.approx(2 * LEAST, rel=0.05)


@pytest.mark.parametrize(
    ("processing", "share"), [("batch", 0.5), ("background_8h", 0.6), ("background_2h", 0.7)]
)
def test_what_is_answered_later_is_bounded_by_its_price(processing: Any, share: float) -> None:
    """Whatever cost answers had that came at once, or later."""
    bound = CostBound()
    for _ in range(2):
        later = bound.most_usd(asked(), processing)
        assert later == pytest.approx(share * most(asked(), bound), rel=1e-6)
        bound.learn(asked(), Usage(10, 10_000), 0.5 * 0.0050001)


@pytest.mark.parametrize(
    ("tool", "dollars"),
    [({"type": "web_search"}, 10 * 0.01), ({"type": "file_search"}, 10 * 0.0025)],
)
def test_calls_of_tools_are_set_aside(tool: dict[str, Any], dollars: float) -> None:
    """Beside what they read."""
    read = 10 * 8_000 * 0.125e-6
    assert most(asked(tools=[tool])) == pytest.approx(LEAST + dollars + read, rel=0.05)


def test_a_tool_without_a_price_has_no_bound() -> None:
    """As a container in which code runs."""
    assert CostBound().most_usd(asked(tools=[{"type": "code_interpreter"}])) is None


def test_sound_in_messages_is_set_aside_as_sound() -> None:
    """It costs ten times as much as text."""
    heard = {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(sound(4.0)).decode(), "format": "wav"},
    }
    request = chat_completions.cell_request(
        {
            "messages": [{"role": "user", "content": [heard]}],
            "model": "gpt-audio",
            "model_kwargs": {"max_tokens": 1, "modalities": ["text"]},
        }
    )
    assert most(request) >= 4 * 10 * 32e-6


@pytest.mark.parametrize(
    ("model", "answers", "tokens"),
    [
        ("gpt-4o", 100, 4 * 50),
        ("gpt-4o-2024-08-06", 16, 4 * 50),
        ("gpt-4o", 8, 8 * 50),
        ("gpt-4o", 4, 16_384),
        ("gpt-4o-mini", 100, 16_384),
    ],
)
def test_answers_of_earlier_runs_bound_those_that_come_later(model: str, answers: int, tokens: int) -> None:
    """Those of the same model, or of a snapshot of it; what is asked for now is bounded by what this run saw."""
    bound = CostBound()
    bound.note_earlier(model, answers, 50)
    later = bound.most_usd(chat(), "batch")
    assert later is not None
    assert tokens * OUTPUT_USD / 2 <= later < tokens * OUTPUT_USD / 2 + 0.001
    assert most(chat(), bound) == most(chat())
    assert (bound.unknown_output(chat()) is None) == (tokens < 16_384)


def test_decisions_cost_their_input_at_most() -> None:
    """Every byte of it a token; no answer is paid for, however long."""
    question = {"type": "predicate", "instructions": "?"}
    asked = decisions.cell_request({"input": "x" * 10_000, "model": "gpt-6-luna", "questions": [question]})
    assert 10_000 * 0.1e-6 <= most(asked) < 10_200 * 0.1e-6
