"""POST /v1/responses: the answers."""

import json

import pytest
from jsonschema import Draft202012Validator
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel

from pxt_assets.simulator.responses.request import KNOWN

PATH = "/v1/responses"
QUESTION = "Hi. The zip of my waterproof jacket broke after two days. Thanks."
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}


def function(name, parameters=None, description="", **rest):
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters or {},
        **rest,
    }


TOOLS = [function("send_invoice"), function("get_weather", WEATHER, "Forecasts for a place.", strict=True)]
SCHEMA = {"type": "json_schema", "name": "weather", "schema": WEATHER, "strict": True}
ANSWERS = [
    {"input": QUESTION},
    {"input": QUESTION, "max_output_tokens": 16},
    {"input": "", "instructions": "Be brief.", "temperature": 0, "top_p": 0.5, "user": "me"},
    {"input": QUESTION, "tools": TOOLS, "tool_choice": "required"},
    {"input": QUESTION, "tools": TOOLS, "tool_choice": {"type": "function", "name": "get_weather"}},
    {"input": "The weather?", "tools": [*TOOLS, {"type": "web_search"}], "max_output_tokens": 16},
    {"input": "The weather?", "tools": [function("a", None, None)], "parallel_tool_calls": False},
    {"input": "Answer as JSON.", "text": {"format": {"type": "json_object"}, "verbosity": "low"}},
    {"input": QUESTION, "text": {"format": SCHEMA}},
    {"input": QUESTION, "text": {"format": {**SCHEMA, "strict": None, "description": None}}},
    {"input": "[refuse]", "metadata": {"row": "1"}, "service_tier": "flex", "truncation": "auto"},
    {"input": "a", "tools": [{"type": "image_generation"}], "tool_choice": {"type": "image_generation"}},
    {
        "input": "a",
        "tools": TOOLS,
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "send_invoice"}],
        },
    },
    {"input": "a", "reasoning": {"effort": "low", "summary": "auto"}, "store": False, "background": False},
]


def respond(simulator, given=QUESTION, **arguments):
    return simulator.post(PATH, {"model": "gpt-4o-mini", "input": given, **arguments})


def body_of(response):
    assert response.status_code == 200, response.text
    return response.json()


def item(response):
    [only] = body_of(response)["output"]
    return only


def text(response):
    [part] = item(response)["content"]
    assert part["type"] == "output_text"
    return part["text"]


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


def unknown_fields(model, path=""):
    """The paths of what an answer has and the client's model of it has not."""
    for name in model.model_extra or {}:
        yield f"{path}{name}"
    for name in type(model).model_fields:
        value = getattr(model, name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, BaseModel):
                yield from unknown_fields(each, f"{path}{name}.")


@pytest.mark.parametrize("arguments", ANSWERS)
def test_an_answer_is_what_the_client_declares(simulator, arguments):
    """In its types and its fields; `store` is answered, too, though it is not declared."""
    body = body_of(simulator.post(PATH, {"model": "gpt-4o", **arguments}))
    response = Response.model_validate_json(json.dumps(body), strict=True)
    assert set(unknown_fields(response)) <= {"store"}
    assert "output_text" not in body


def test_the_arguments_of_the_client_are_known():
    """All of them, and no others."""
    # These are not in the description of the API that the rest of the simulator follows.
    newer = {
        "access_programs",
        "image",
    } & ResponseCreateParamsBase.__annotations__.keys()
    assert ResponseCreateParamsBase.__annotations__.keys() - newer | {"stream"} == KNOWN


@pytest.mark.parametrize("arguments", ANSWERS)
def test_the_same_request_has_the_same_answer(simulate, arguments):
    """To the byte, at whichever simulator."""
    body = {"model": "gpt-4o", **arguments}
    assert simulate().post(PATH, body).content == simulate(latency=2).post(PATH, body).content


def test_everything_is_marked(simulator):
    """Ids, texts, and the header."""
    response = respond(simulator)
    body = body_of(response)
    assert body["id"].startswith("sim-resp-")
    assert item(response)["id"].startswith("sim-msg-")
    assert text(response).startswith("[simulated] ")
    assert response.headers["x-pxt-simulated"] == "true"


def test_the_text_is_that_of_a_chat(simulator):
    """The same prompt has the same reply at both endpoints."""
    chat = simulator.chat(QUESTION).json()["choices"][0]["message"]["content"]
    assert (
        text(respond(simulator))
        == chat
        == "[simulated] The zip of my waterproof jacket broke after two days."
    )


def test_the_last_user_message_is_the_question(simulator):
    """What others say does not count, nor the instructions."""
    given = [
        {"role": "developer", "content": "Be extraordinarily verbose."},
        {"role": "user", "content": "Old."},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Interjection."}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        *user({"type": "input_text", "text": "New."}),
    ]
    assert text(respond(simulator, given, instructions="Speak of unimportant things.")) == "[simulated] New."


def test_attachments_are_mentioned(simulator):
    """Those of the API's storage and of the web as far as their names tell."""
    given = user(
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "file_id": "file-1", "detail": "original"},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "input_file", "filename": "bill.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    )
    assert text(respond(simulator, given)) == (
        "[simulated] What is this? (image file-1, not looked at; image at https://example.com/a.png, not fetched; "
        "file bill.pdf, not read.)"
    )


def test_a_text_beyond_the_token_limit_is_incomplete(simulator):
    """Four characters a token; status, reason and usage say so."""
    response = respond(simulator, "word " * 40, max_output_tokens=16)
    body = body_of(response)
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert item(response)["status"] == "incomplete"
    assert len(text(response)) == 64
    assert body["usage"]["output_tokens"] == 16


def test_a_text_within_the_token_limit_is_completed(simulator):
    """With no details of what is not incomplete."""
    body = body_of(respond(simulator, "Short.", max_output_tokens=16))
    assert (body["status"], body["incomplete_details"], body["error"]) == ("completed", None, None)


def test_a_schema_is_answered_by_an_instance(simulator):
    """Without a mark, which would not be valid."""
    answer = text(respond(simulator, "In Lisbon, celsius.", text={"format": SCHEMA}))
    Draft202012Validator(WEATHER).validate(json.loads(answer))


def test_a_json_object_is_marked_within(simulator):
    """As in a chat."""
    answer = text(respond(simulator, "Answer as JSON.", text={"format": {"type": "json_object"}}))
    assert json.loads(answer) == {"simulated": True, "reply": "Answer as JSON."}


@pytest.mark.parametrize("arguments", [{}, {"text": {"format": SCHEMA}}, {"tools": TOOLS}])
def test_a_refusal_can_be_rehearsed(simulator, arguments):
    """A question with the marker has a refusal in place of a text, whatever form is asked for."""
    response = respond(simulator, "What weather? [refuse]", **arguments)
    assert body_of(response)["status"] == "completed"
    assert item(response)["content"] == [
        {"type": "refusal", "refusal": "[simulated] I'm sorry, but I can't help with that."}
    ]


def test_a_call_has_arguments_that_conform(simulator):
    """It is an item of its own, beside which nothing is said."""
    call = item(respond(simulator, "What weather is it in Lisbon?", tools=TOOLS))
    assert (call["type"], call["name"], call["status"]) == ("function_call", "get_weather", "completed")
    assert call["call_id"].startswith("sim-call-")
    assert call["id"].startswith("sim-fc-")
    Draft202012Validator(WEATHER).validate(json.loads(call["arguments"]))


def test_a_call_beyond_the_token_limit_is_incomplete(simulator):
    """Its arguments are no JSON any more, as with the API."""
    long = function("write", {"properties": {"text": {"type": "string", "minLength": 100}}})
    response = respond(simulator, tools=[long], tool_choice="required", max_output_tokens=16)
    assert body_of(response)["status"] == item(response)["status"] == "incomplete"
    assert len(item(response)["arguments"]) == 64


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (None, "get_weather"),
        ("auto", "get_weather"),
        ("required", "get_weather"),
        ("none", None),
        ({"type": "function", "name": "send_invoice"}, "send_invoice"),
        ({"type": "image_generation"}, None),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "send_invoice"}]}, None),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "send_invoice"}]},
            "send_invoice",
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, None),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool_is_obeyed(simulator, choice, name):
    """Built-in tools may be offered and chosen, but are never called."""
    tools = [*TOOLS, {"type": "web_search"}, {"type": "image_generation"}]
    response = respond(simulator, "The weather?", tools=tools, tool_choice=choice)
    assert item(response).get("name") == name
    assert body_of(response)["tool_choice"] == (choice or "auto")


def test_the_answer_repeats_the_arguments(simulator):
    """Those that steer a model change nothing else."""
    arguments = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 100,
        "max_tool_calls": 3,
        "parallel_tool_calls": False,
        "metadata": {"row": "1"},
        "truncation": "auto",
        "user": "me",
        "safety_identifier": "someone",
        "prompt_cache_key": "key",
        "service_tier": "priority",
        "store": False,
    }
    body = body_of(respond(simulator, **arguments))
    assert {name: body[name] for name in arguments} == arguments
    assert text(respond(simulator, **arguments)) == text(respond(simulator))


def test_defaults_are_stated(simulator):
    """Where the request says nothing, or null."""
    body = body_of(respond(simulator, tools=[{"type": "function", "name": "a"}], metadata=None, text=None))
    assert body["metadata"] == {}
    assert (body["temperature"], body["top_p"], body["parallel_tool_calls"]) == (1, 1, True)
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert body["reasoning"] == {"effort": None, "summary": None}
    assert body["service_tier"] == "default"
    [tool] = body["tools"]
    assert tool == {"type": "function", "name": "a", "description": None, "parameters": None, "strict": True}


def test_usage_adds_up(simulator):
    """A quarter of the characters, 3 tokens a message and 3 more; 765 an image; instructions and tools too."""
    picture = {"type": "input_image", "file_id": "file-1"}
    given = user({"type": "input_text", "text": "x" * 40}, picture)
    plain = body_of(respond(simulator, given))["usage"]
    assert plain["input_tokens"] == 10 + 2 * 3 + 765
    assert plain["total_tokens"] == plain["input_tokens"] + plain["output_tokens"]
    assert body_of(respond(simulator, given, instructions="y" * 40))["usage"]["input_tokens"] == 791
    assert body_of(respond(simulator, given, tools=TOOLS))["usage"]["input_tokens"] > 800


@pytest.mark.parametrize(
    ("given", "arguments", "charge"),
    [
        ("x" * 30, {}, 8 + 25),
        ("x" * 30, {"instructions": "y" * 30}, 15 + 25),
        ("x" * 30, {"max_output_tokens": 1024}, 8 + 25),
        (user({"type": "input_image", "file_id": "file-1"}), {}, 25 + 765),
        (user({"type": "input_image", "file_id": "file-1", "detail": "low"}), {}, 25 + 85),
    ],
)
def test_a_request_is_charged_what_it_sends(simulate, given, arguments, charge):
    """A quarter of the characters, 25 tokens more, and 765 an image, 85 at low detail; not what may be put out."""
    response = respond(simulate(tpm=10_000), given, **arguments)
    assert response.headers["x-ratelimit-remaining-tokens"] == str(10_000 - charge)
    assert response.headers["x-ratelimit-limit-requests"]


def test_tools_are_charged(simulate):
    """Unlike in a chat."""
    plain, offering = (respond(simulate(tpm=10_000), **arguments) for arguments in ({}, {"tools": TOOLS}))
    left = [int(response.headers["x-ratelimit-remaining-tokens"]) for response in (plain, offering)]
    assert left[0] - 100 < left[1] < left[0] - 20


def test_max_output_tokens_are_charged_on_demand(simulate):
    """As `max_tokens` of a chat."""
    response = respond(simulate(tpm=10_000, count_max_tokens=True), "1234", max_output_tokens=500)
    assert response.headers["x-ratelimit-remaining-tokens"] == str(10_000 - 1 - 25 - 500)


def test_chats_and_responses_share_a_limit(simulate):
    """It is the model's."""
    simulator = simulate(rpm=1)
    assert simulator.chat(model="gpt-4o-mini").status_code == 200
    assert respond(simulator).status_code == 429


def test_what_was_used_is_counted(simulator):
    """As `usage` states it."""
    usage = body_of(respond(simulator))["usage"]
    counters = simulator.counters()
    assert counters["by_endpoint"] == {"responses": 1}
    assert (counters["input_tokens"], counters["output_tokens"]) == (
        usage["input_tokens"],
        usage["output_tokens"],
    )
