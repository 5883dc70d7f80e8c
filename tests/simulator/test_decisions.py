"""POST /v1/decisions: answers by the words of the input, refusals on demand, and what is refused as the API refuses it."""

from typing import Any

import pytest

from tests.simulator.conftest import InProcess

PATH = "/v1/decisions"
URGENT = {"type": "predicate", "name": "urgent", "instructions": "The customer needs an answer today."}
TOPIC = {
    "type": "choice",
    "name": "topic",
    "instructions": "What is it about?",
    "choices": [
        {"value": "delivery", "description": "parcels, dates"},
        {"value": "defect", "description": "broken, it does not work"},
        {"value": "other"},
    ],
}
ANGER = {
    "type": "score",
    "name": "anger",
    "instructions": "How angry is the customer?",
    "levels": [{"label": "calm"}, {"label": "annoyed"}, {"label": "furious"}],
}
QUESTIONS = [URGENT, TOPIC, ANGER]


def ask(simulator: InProcess, text: Any, questions: Any = QUESTIONS, **more: Any) -> Any:
    return simulator.post(PATH, {"model": "gpt-6-luna", "input": text, "questions": questions, **more})


def answers(simulator: InProcess, text: Any, questions: Any = QUESTIONS) -> list[dict[str, Any]]:
    response = ask(simulator, text, questions)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["answers"]
    return found


def test_the_words_of_the_input_decide(simulator: InProcess) -> None:
    """Those of a statement, of a choice and its description, of a level."""
    [likely, topic, anger] = answers(simulator, "I need an answer today: my parcel is late, I am furious!")
    assert (likely["probability"] > 0.5, topic["choice"]) == (True, "delivery")
    assert anger["score"] > 1
    [unlikely, topic, _] = answers(simulator, "The zip is broken.")
    assert (unlikely["probability"] < 0.5, topic["choice"]) == (True, "defect")


def test_numbers_are_those_of_distributions(simulator: InProcess) -> None:
    """The choice is the likeliest, the score the mean of the levels, the confidence from 0 to 1."""
    [_, topic, anger] = answers(simulator, "Hello")
    for one in (topic, anger):
        assert sum(each["probability"] for each in one["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert 0 <= one["confidence"] <= 1
    best = max(topic["probabilities"], key=lambda each: each["probability"])
    assert topic["choice"] == best["value"]
    mean = sum(each["value"] * each["probability"] for each in anger["probabilities"])
    assert anger["score"] == pytest.approx(mean, abs=1e-5)


def test_equal_requests_have_equal_answers(simulate: Any) -> None:
    """To the byte, at whichever simulator; other inputs of no words in common have others."""
    one, other = simulate(seed=1), simulate(seed=2)
    assert ask(one, "x").content == ask(other, "x").content != ask(one, "y").content


def test_refusals_can_be_rehearsed(simulator: InProcess) -> None:
    """Of all questions, of one by the input, of one by what it says."""

    def kinds(text: str, *more: dict[str, Any]) -> list[str]:
        return [one["type"] for one in answers(simulator, text, [*QUESTIONS, *more])]

    assert kinds("[refuse]") == ["refusal"] * 3
    assert kinds("[refuse topic] a") == ["predicate", "refusal", "score"]
    assert kinds("a", {**URGENT, "instructions": "[refuse]"})[-1] == "refusal"


def test_choices_keep_their_type(simulator: InProcess) -> None:
    """A bool beside a text of the same word is another choice."""
    choices = [{"value": True}, {"value": "true"}]
    [got] = answers(simulator, "a", [{**TOPIC, "choices": choices}])
    assert [each["value"] for each in got["probabilities"]] == [True, "true"]


def test_what_is_read_is_counted_and_nothing_else(simulate: Any) -> None:
    """For the usage, the limit of tokens, and the counters; a question's words count."""
    simulator = simulate(rpm=100, tpm=1000)
    small, large = ask(simulator, "x", [URGENT]), ask(simulator, "x", [{**URGENT, "instructions": "w" * 835}])
    usages = [one.json()["usage"] for one in (small, large)]
    assert usages[1]["input_tokens"] - usages[0]["input_tokens"] == 200
    assert usages[0]["output_tokens"] == 0
    left = [int(one.headers["x-ratelimit-remaining-tokens"]) for one in (small, large)]
    assert left == [1000 - usages[0]["input_tokens"], 1000 - sum(one["input_tokens"] for one in usages)]
    assert large.headers["x-ratelimit-remaining-requests"] == "98"
    assert ask(simulator, "w" * 4000).status_code == 429


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"questions": None}, "Missing required parameter: 'questions'."),
        ({"questions": []}, "Invalid 'questions': array too short."),
        ({"questions": [URGENT] * 401}, "Invalid 'questions': array too long. Expected an array with maximum length 400"),
        ({"questions": [{**URGENT, "instructions": " "}]}, "Invalid 'questions[0].instructions': empty string."),
        ({"questions": [{**TOPIC, "choices": TOPIC["choices"][:1]}]}, "minimum length 2, but got an array with length 1"),
        ({"questions": [{**TOPIC, "choices": [{"value": "a"}] * 2}]}, "each value must be unique"),
        ({"questions": [{**ANGER, "levels": []}]}, "Invalid 'questions[0].levels': array too short."),
        ({"questions": [{**ANGER, "levels": [{"label": "a"}] * 2}]}, "each label must be unique"),
        ({"questions": [{**ANGER, "levels": [{"label": str(i)} for i in range(11)]}]}, "maximum length 10"),
        ({"input": []}, "Invalid 'input': empty array."),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]}, "No tool call found for"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_json", "data": {"a": [0] * 10_000}}]}]},
            "at most 32 container levels, 10000 values and 256 KiB",
        ),
        ({"safety_identifier": "x" * 129}, "maximum length 128"),
        ({"model": None}, "Missing required parameter: 'model'."),
    ],
)  # fmt: skip
def test_what_the_api_refuses(simulator: InProcess, body: dict[str, Any], message: str) -> None:
    """In its words."""
    response = simulator.post(PATH, {"model": "gpt-6-luna", "input": "a", "questions": QUESTIONS, **body})
    assert (response.status_code, message in response.json()["error"]["message"]) == (400, True), (
        response.text
    )


def test_one_model_answers(simulator: InProcess) -> None:
    """Its snapshots, too; of others it is said where they are served."""
    assert ask(simulator, "a", model="gpt-6-luna-2026-10-01").status_code == 200
    response = ask(simulator, "a", model="gpt-6-sol")
    assert response.status_code == 404
    assert "it is served at chat/completions, responses, not at decisions" in response.text
