"""What requests are expected to use, by their size and by what earlier answers used."""

from typing import Any

import pytest

from pxt_assets.api.estimate import Estimator, ObservedUsage
from pxt_assets.api.request import PAGE_TOKENS, Request, Usage
from pxt_assets.functions import (
    chat_completions,
    decisions,
    embeddings,
    image_generations,
    responses,
    speech,
    transcriptions,
)
from pxt_assets.throttle import request_size
from tests.pictures import sound


def chat(text: str = "x" * 400, model: str = "gpt-4o-mini", **more: object) -> Request:
    return chat_completions.cell_request(
        {"messages": [{"role": "user", "content": text}], "model": model, "model_kwargs": more}
    )


def taught(model: str = "", **observed: float) -> Estimator:
    estimator = Estimator()
    estimator.learn(model, ObservedUsage(**observed))  # type: ignore[arg-type]
    return estimator


def test_untaught_it_is_characters_over_four_and_a_page() -> None:
    """Without any answer known, a request uses a quarter of its characters and a few, and its answer is a page."""
    assert Estimator().usage(chat()) == Usage(round(request_size(400, messages=1).least_tokens), PAGE_TOKENS)
    assert not Estimator().has_observations


def test_answers_correct_both_tokens() -> None:
    """Input tokens are corrected by their ratio to the estimates, output tokens are the average."""
    estimator = taught(answers=4, estimated_tokens=200, input_tokens=300, output_tokens=28)
    assert estimator.has_observations
    assert estimator.usage(chat()) == Usage(round(request_size(400, messages=1).least_tokens * 1.5), 7)


def test_a_models_own_answers_come_before_others() -> None:
    """Each model is corrected by its own answers, one that has none by all."""
    estimator = taught("gpt-4o", answers=1, estimated_tokens=100, input_tokens=100, output_tokens=900)
    estimator.learn("gpt-4o-mini", ObservedUsage(1, 100, 100, 100))
    outputs = [estimator.usage(chat(model=m)).output_tokens for m in ("gpt-4o", "gpt-4o-mini", "o4-mini")]
    assert outputs == [900, 100, 500]


@pytest.mark.parametrize("learned", [0, 1])
def test_no_answer_is_longer_than_allowed(learned: int) -> None:
    """`max_tokens` bounds what is expected of an answer, known or not."""
    estimator = taught(
        answers=learned, estimated_tokens=learned, input_tokens=learned, output_tokens=300 * learned
    )
    assert estimator.usage(chat(max_completion_tokens=20)).output_tokens == 20


def test_embeddings_have_no_output() -> None:
    """A vector costs its input alone."""
    usage = Estimator().usage(
        embeddings.cell_request({"input": "x" * 400, "model": "text-embedding-3-small"})
    )
    assert usage == Usage(request_size(400).least_tokens)


def test_speech_of_some_models_is_charged_by_the_character() -> None:
    """tts-1 takes its price by characters, whatever tokens were learned: $15 a million."""
    request = speech.cell_request({"input": "x" * 1_000, "model": "tts-1", "voice": "alloy"})
    estimator = taught(answers=1, estimated_tokens=1, input_tokens=5, output_tokens=0)
    assert estimator.usage(request).characters == 1_000
    assert estimator.cost_usd(request) == pytest.approx(0.015)


def test_recordings_are_charged_by_their_length() -> None:
    """What is heard is estimated by the size of the file, in seconds or in tokens as the model charges it."""
    content = sound(1.0)
    whisper = transcriptions.cell_request({"audio": content, "model": "whisper-1"})
    assert Estimator().usage(whisper).seconds == pytest.approx(len(content) / 8_000)
    tokens = Estimator().usage(transcriptions.cell_request({"audio": content, "model": "gpt-4o-transcribe"}))
    assert tokens.seconds == 0
    assert tokens.audio_tokens == tokens.input_tokens > 0


def test_a_cost_that_nobody_knows_is_none() -> None:
    """An unknown model has no price, nor has a model that is charged by the image; neither is 0."""
    assert Estimator().cost_usd(chat(model="a-model-nobody-sells")) is None
    assert Estimator().cost_usd(image_generations.cell_request({"prompt": "a", "model": "dall-e-3"})) is None


def test_an_estimate_counts_a_call_of_each_tool() -> None:
    """Of the request's tier or way of processing; without a price of the tool there is none of the request."""

    def cost(processing: Any = "standard", tool: str = "web_search", **more: Any) -> float | None:
        arguments = {
            "input": "x" * 400,
            "model": "gpt-6-luna",
            "tools": [{"type": tool}],
            "model_kwargs": more,
        }
        return Estimator().cost_usd(responses.cell_request(arguments), processing)

    standard, flex, later = cost(), cost(service_tier="flex"), cost("batch")
    assert standard is not None
    assert flex is not None
    assert flex - 0.01 == pytest.approx((standard - 0.01) / 2)
    assert later == pytest.approx(flex)
    assert cost(tool="code_interpreter") is None


def test_decisions_answer_for_nothing() -> None:
    """Their input alone is expected to cost."""
    question = {"type": "predicate", "instructions": "x" * 4_000}
    asked = decisions.cell_request({"input": "x" * 4_000, "model": "gpt-6-luna", "questions": [question]})
    expected = Estimator().usage(asked)
    assert (expected.output_tokens, expected.decisions) == (0, 1)
    assert 2_000 <= expected.input_tokens < 2_050
    assert Estimator().cost_usd(asked) == pytest.approx(expected.input_tokens * 0.1e-6)
