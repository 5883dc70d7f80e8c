import json

import pytest

QUESTION = "Hi. The zip of my waterproof jacket broke after two days. Thanks."


def choices(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"]


def content(response, index=0):
    return choices(response)[index]["message"]["content"]


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_reply_is_the_most_telling_sentence_of_the_question(simulator):
    """Not the first one, and word for word: a rehearsal shows at a glance which row an answer is of."""
    assert content(simulator.chat(QUESTION)) == (
        "[simulated] The zip of my waterproof jacket broke after two days."
    )


@pytest.mark.parametrize(
    "text", ["", "   ", "?!", "🎉🎉", "你好。我的夹克坏了。", "ß" * 5000, "\ud800", "a\nb\nc"]
)
def test_every_text_has_a_marked_reply(simulator, text):
    """Empty texts, other scripts, emoji, one enormous word and broken surrogates included."""
    reply = content(simulator.chat(text))
    assert reply.startswith("[simulated] ")
    assert len("[simulated] ") < len(reply) <= 260


def test_the_last_user_message_is_the_question(simulator):
    """What system and assistant say before and after does not count."""
    messages = [
        {"role": "system", "content": "Be extraordinarily verbose."},
        {"role": "user", "content": "Old."},
        {"role": "assistant", "content": "Unimportant interjection."},
        {"role": "user", "content": [{"type": "text", "text": "New."}]},
        {"role": "assistant", "content": "Prefilled continuation"},
    ]
    assert content(simulator.chat(messages=messages)) == "[simulated] New."


def test_the_last_message_is_the_question_where_no_user_speaks(simulator):
    """A prompt of system messages alone is answered too."""
    messages = [{"role": "system", "content": "First."}, {"role": "developer", "content": "Second."}]
    assert content(simulator.chat(messages=messages)) == "[simulated] Second."


def test_images_are_mentioned_and_not_fetched(simulator):
    """By their URLs, alone or beside a text."""
    cat, dog = image("https://example.com/cat.png"), image("https://example.com/dog.png")
    parts = [{"type": "text", "text": "What is this?"}, cat, dog]
    assert content(simulator.chat(messages=[{"role": "user", "content": parts}])) == (
        "[simulated] What is this? (image at https://example.com/cat.png, not fetched; "
        "image at https://example.com/dog.png, not fetched.)"
    )
    assert content(simulator.chat(messages=[{"role": "user", "content": [dog]}])) == (
        "[simulated] (image at https://example.com/dog.png, not fetched.)"
    )


@pytest.mark.parametrize("arguments", [{}, {"response_format": {"type": "json_object"}}, {"n": 2}])
def test_a_refusal_can_be_rehearsed(simulator, arguments):
    """A question with the marker has a refusal in place of a content, whatever form is asked for."""
    for choice in choices(simulator.chat("As JSON, please. [refuse]", **arguments)):
        assert choice["message"]["content"] is None
        assert choice["message"]["refusal"] == "[simulated] I'm sorry, but I can't help with that."
        assert choice["finish_reason"] == "stop"


def test_only_the_question_asks_for_a_refusal(simulator):
    """Not what was said before it."""
    messages = [{"role": "user", "content": "[refuse]"}, {"role": "user", "content": "New."}]
    assert content(simulator.chat(messages=messages)) == "[simulated] New."


def test_choices_are_numbered_and_differ_while_there_are_sentences(simulator):
    """With `n` above the number of sentences they repeat."""
    found = choices(simulator.chat("One thing. Another matter.", n=3))
    assert [choice["index"] for choice in found] == [0, 1, 2]
    replies = [choice["message"]["content"] for choice in found]
    assert set(replies[:2]) == {"[simulated] One thing.", "[simulated] Another matter."}
    assert replies[2] == replies[0]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_beyond_the_token_limit_is_cut(simulator, name):
    """Four characters a token; the finish reason and the usage say so."""
    response = simulator.chat(QUESTION, **{name: 5})
    assert choices(response)[0]["finish_reason"] == "length"
    assert content(response) == "[simulated] The zip "
    assert response.json()["usage"]["completion_tokens"] == 5


def test_a_reply_within_the_token_limit_is_whole(simulator):
    """Exactly as many tokens as allowed is not too many."""
    whole = simulator.chat(QUESTION)
    used = whole.json()["usage"]["completion_tokens"]
    response = simulator.chat(QUESTION, max_tokens=used)
    assert choices(response)[0]["finish_reason"] == "stop"
    assert content(response) == content(whole)


@pytest.mark.parametrize("stop", [" jacket", [" days", " jacket"]])
def test_a_reply_ends_before_a_stop_sequence(simulator, stop):
    """The first of several sequences counts, and the sequence itself is left out."""
    response = simulator.chat(QUESTION, stop=stop)
    assert content(response) == "[simulated] The zip of my waterproof"
    assert choices(response)[0]["finish_reason"] == "stop"


def test_usage_adds_up(simulator):
    """A quarter of the characters, 3 tokens a message and 3 more; completions of all choices."""
    response = simulator.chat("x" * 40, n=2)
    assert {name: value for name, value in response.json()["usage"].items() if "details" not in name} == {
        "prompt_tokens": 10 + 2 * 3,
        "completion_tokens": 2 * 13,
        "total_tokens": 16 + 26,
    }


def test_a_json_object_is_marked_within(simulator):
    """A prefix would break the JSON, so a field says that it is simulated."""
    reply = json.loads(
        content(simulator.chat("Answer as JSON, please.", response_format={"type": "json_object"}))
    )
    assert reply == {"simulated": True, "reply": "Answer as JSON, please."}


def test_json_is_cut_like_any_text(simulator):
    """A reply cut short is no JSON any more, as with the API: programs must look at the finish reason."""
    response = simulator.chat("json", response_format={"type": "json_object"}, max_tokens=3)
    assert choices(response)[0]["finish_reason"] == "length"
    assert content(response) == '{"simulated"'


def test_a_response_format_of_text_is_the_default(simulator):
    """It changes nothing but the id."""
    assert content(simulator.chat(QUESTION, response_format={"type": "text"})) == content(
        simulator.chat(QUESTION)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"temperature": 0, "top_p": 1, "seed": 7, "user": "me"},
        {"reasoning_effort": "none", "verbosity": "low", "service_tier": "auto"},
        {"stream": False, "logprobs": None, "modalities": ["text"], "store": True},
        {"metadata": {"row": "1"}, "logit_bias": {"50256": -100}, "tool_choice": None},
    ],
)
def test_arguments_without_effect_are_accepted(simulator, arguments):
    """What only steers a model changes nothing here."""
    assert content(simulator.chat(QUESTION, **arguments)) == content(simulator.chat(QUESTION))
