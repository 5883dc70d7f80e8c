import json
import time

import pytest


def message(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]


def as_schema(schema, **wrapper):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **wrapper}}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The forecast for a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "days"],
        },
    },
}
LOOKUP = {"type": "function", "function": {"name": "lookupOrder", "parameters": {"type": "object"}}}


def test_every_answer_is_marked(simulator):
    """Nobody can take it for the API's: header, ids, fingerprint and the text itself say so."""
    response = simulator.chat()
    body = response.json()
    assert response.headers["x-pxt-simulated"] == "true"
    assert response.headers["x-request-id"].startswith("sim-")
    assert response.headers["openai-processing-ms"] == "0"
    assert body["id"].startswith("sim-chatcmpl-")
    assert body["system_fingerprint"] == "fp_simulated"
    assert message(response)["content"].startswith("[simulated] ")


def test_a_reply_is_the_most_telling_sentence(simulator):
    """It is taken from the last user message, and rare long words tell more than common short ones."""
    text = "It is a day. It is so. Chromatography separates pigments by their affinity. It is a day."
    assert message(simulator.chat(text))["content"] == (
        "[simulated] Chromatography separates pigments by their affinity."
    )


def test_the_last_user_message_is_replied_to(simulator):
    """Not the system's, not the assistant's, not an earlier one."""
    messages = [
        {"role": "user", "content": "First question."},
        {"role": "assistant", "content": "First answer."},
        {"role": "user", "content": "Second question."},
        {"role": "system", "content": "Be brief."},
    ]
    assert message(simulator.chat(messages=messages))["content"] == "[simulated] Second question."


@pytest.mark.parametrize(
    "text", ["", "   ", "🙂🙂", "量子物理很有趣。", "\ud800 alone", "…", "a" * 100_000, "no. " * 9_000]
)
def test_any_text_gets_a_short_reply(simulator, text):
    """Empty, without words, in any script, broken or very long."""
    content = message(simulator.chat(text))["content"]
    assert len("[simulated] ") < len(content) < 300


def test_a_very_long_text_is_answered_quickly(simulator):
    """A megabyte of prompt costs no more than reading it."""
    text = "Some words make one sentence of many. " * 30_000
    started = time.process_time()
    assert message(simulator.chat(text))
    assert time.process_time() - started < 1


def test_equal_requests_have_equal_answers(simulate):
    """Byte by byte, also across simulators; another seed or request has another id."""
    first = simulate().chat("Hello.").content
    assert simulate().chat("Hello.").content == first
    ids = {
        json.loads(first)["id"],
        simulate(seed=1).chat("Hello.").json()["id"],
        simulate().chat("Hi.").json()["id"],
    }
    assert len(ids) == 3


def test_usage_counts_prompt_and_reply(simulator):
    """A quarter of the characters, with the overhead of the messages."""
    response = simulator.chat("12345678")
    usage = response.json()["usage"]
    assert usage["prompt_tokens"] == 2 + 3 * 2
    assert usage["completion_tokens"] == len("[simulated] 12345678") // 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0


def test_choices_differ_where_the_text_has_several_sentences(simulator):
    """`n` choices are the n most telling sentences."""
    response = simulator.chat("One thing happened. Another thing followed.", n=2)
    contents = [choice["message"]["content"] for choice in response.json()["choices"]]
    assert sorted(contents) == ["[simulated] Another thing followed.", "[simulated] One thing happened."]
    assert [choice["index"] for choice in response.json()["choices"]] == [0, 1]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_is_cut_at_max_tokens(simulator, name):
    """The finish reason says so, and usage counts no more than was allowed."""
    response = simulator.chat("A sentence that is far too long.", **{name: 5})
    choice = response.json()["choices"][0]
    assert choice["message"]["content"] == "[simulated] A senten"
    assert choice["finish_reason"] == "length"
    assert response.json()["usage"]["completion_tokens"] == 5


def test_a_reply_ends_before_a_stop_sequence(simulator):
    """The sequence itself is left out, and the mark is not looked through."""
    assert (
        message(simulator.chat("Alpha beta gamma.", stop=["gam", "["]))["content"]
        == "[simulated] Alpha beta "
    )


def test_a_json_schema_is_answered_with_an_instance(simulator):
    """The content is JSON and nothing else."""
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["bug", "wish"]}, "score": {"type": "integer", "maximum": 5}},
        "required": ["label", "score"],
        "additionalProperties": False,
    }
    made = json.loads(
        message(simulator.chat("This is a bug.", response_format=as_schema(schema, strict=True)))["content"]
    )
    assert made.keys() == {"label", "score"}
    assert made["label"] == "bug"
    assert made["score"] <= 5


def test_json_is_cut_at_max_tokens_too(simulator):
    """As the API does: the finish reason is the caller's only warning."""
    response = simulator.chat(
        "Hello.", response_format=as_schema({"type": "string", "minLength": 99}), max_tokens=3
    )
    choice = response.json()["choices"][0]
    assert len(choice["message"]["content"]) == 12
    assert choice["finish_reason"] == "length"


def test_a_json_object_holds_the_reply(simulator):
    """And is marked in itself."""
    content = message(simulator.chat("Give me json.", response_format={"type": "json_object"}))["content"]
    assert json.loads(content) == {"simulated": True, "reply": "Give me json."}


@pytest.mark.parametrize("url", ["data:image/png;base64,iVBORw0=", "https://example.com/cat.png"])
def test_images_are_received_and_not_described(simulator, url):
    """The reply is about the text, and says that the image was not looked at."""
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    content = message(simulator.chat(messages=[{"role": "user", "content": parts}]))["content"]
    assert content == "[simulated] What is this? (1 image received; images are not looked at.)"


def test_an_image_alone_is_answered(simulator):
    """There is no sentence to take, only the phrase about images."""
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}] * 2
    content = message(simulator.chat(messages=[{"role": "user", "content": parts}]))["content"]
    assert content == "[simulated] (2 images received; images are not looked at.)"


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "get_weather"}}],
    ids=["required", "named"],
)
def test_a_demanded_tool_is_called_with_valid_arguments(simulator, choice):
    """Whatever the message says."""
    response = simulator.chat("Hello.", tools=[WEATHER], tool_choice=choice)
    (call,) = message(response)["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert call["function"]["name"] == "get_weather"
    assert isinstance(arguments["city"], str)
    assert 1 <= arguments["days"] <= 7
    assert call["id"].startswith("sim-call-")
    assert message(response)["content"] is None
    assert response.json()["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("How is the weather in Oslo?", "get_weather"),
        ("Send me the forecast.", "get_weather"),
        ("Where is my order?", "lookupOrder"),
        ("Tell me a joke.", None),
    ],
)
def test_a_tool_is_called_when_the_message_speaks_of_it(simulator, text, called):
    """A word of its name or description is enough; without one the reply is text."""
    calls = message(simulator.chat(text, tools=[WEATHER, LOOKUP])).get("tool_calls")
    assert (calls[0]["function"]["name"] if calls else None) == called


def test_no_tool_is_called_where_the_request_forbids_it(simulator):
    """`tool_choice` none is none."""
    assert "tool_calls" not in message(simulator.chat("Weather?", tools=[WEATHER], tool_choice="none"))


def test_after_a_tool_has_answered_the_reply_is_text(simulator):
    """Or an agent would go round for ever."""
    call = message(simulator.chat("Weather?", tools=[WEATHER]))["tool_calls"][0]
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "Sunny."},
    ]
    assert message(simulator.chat(messages=messages, tools=[WEATHER]))["content"].startswith("[simulated] ")


def test_only_allowed_tools_are_called(simulator):
    """`allowed_tools` narrows the choice down."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "lookupOrder"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    response = simulator.chat("Weather?", tools=[WEATHER, LOOKUP], tool_choice=choice)
    assert message(response)["tool_calls"][0]["function"]["name"] == "lookupOrder"
