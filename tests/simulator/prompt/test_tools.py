import json

import pytest
from jsonschema import Draft202012Validator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}


def tool(name, parameters=None, description=""):
    function = {"name": name, "description": description, "parameters": parameters or {}}
    return {"type": "function", "function": function}


TOOLS = [tool("send_invoice"), tool("get_weather", WEATHER, "Forecasts for a place.")]


def called(response):
    """The names of the tools that the first choice calls."""
    assert response.status_code == 200, response.text
    return [
        call["function"]["name"] for call in response.json()["choices"][0]["message"].get("tool_calls", [])
    ]


def test_a_call_has_arguments_that_conform(simulator):
    """The message has a call in place of a content; the finish reason says so."""
    response = simulator.chat("What weather is it in Lisbon?", tools=TOOLS)
    [choice] = response.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["id"].startswith("sim-call-")
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    Draft202012Validator(WEATHER).validate(json.loads(call["function"]["arguments"]))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What weather is it?", ["get_weather"]),
        ("Any forecasts for me?", ["get_weather"]),
        ("Get me the thing.", []),
        ("Hello there.", []),
    ],
)
@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}])
def test_auto_calls_the_tool_that_the_question_speaks_of(simulator, text, names, choice):
    """By a word of its name or description, of more than three letters; else the reply is text."""
    assert called(simulator.chat(text, tools=TOOLS, **choice)) == names


def test_names_in_camel_case_are_read_as_words(simulator):
    """As those in snake case are."""
    assert called(simulator.chat("What weather is it?", tools=[tool("getWeather")])) == ["getWeather"]


@pytest.mark.parametrize(("text", "name"), [("Hello.", "send_invoice"), ("The weather?", "get_weather")])
def test_required_calls_some_tool(simulator, text, name):
    """The one that the question speaks of, or else the first."""
    assert called(simulator.chat(text, tools=TOOLS, tool_choice="required")) == [name]


def test_a_named_tool_is_called_whatever_the_question(simulator):
    """As `tool_choice` demands."""
    choice = {"type": "function", "function": {"name": "send_invoice"}}
    assert called(simulator.chat("What weather is it?", tools=TOOLS, tool_choice=choice)) == ["send_invoice"]


def test_none_forbids_calls(simulator):
    """The reply is text, though the question speaks of a tool."""
    response = simulator.chat("What weather is it?", tools=TOOLS, tool_choice="none")
    assert called(response) == []
    assert response.json()["choices"][0]["message"]["content"].startswith("[simulated] ")


@pytest.mark.parametrize(("mode", "names"), [("auto", []), ("required", ["send_invoice"])])
def test_allowed_tools_are_the_only_ones(simulator, mode, names):
    """A tool that is not among them is not called, however much the question speaks of it."""
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "send_invoice"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    assert called(simulator.chat("What weather is it?", tools=TOOLS, tool_choice=choice)) == names


def test_a_tools_answer_is_followed_by_text(simulator):
    """Otherwise an agent would call it for ever; the next question may call it again."""
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What weather is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Sunny."},
    ]
    assert called(simulator.chat(messages=messages, tools=TOOLS)) == []
    messages.append({"role": "user", "content": "And what weather tomorrow?"})
    assert called(simulator.chat(messages=messages, tools=TOOLS)) == ["get_weather"]


def test_every_choice_has_a_call_of_its_own(simulator):
    """With ids that differ."""
    found = simulator.chat("The weather?", tools=TOOLS, n=3).json()["choices"]
    assert len({choice["message"]["tool_calls"][0]["id"] for choice in found}) == 3


def test_arguments_beyond_the_token_limit_are_cut(simulator):
    """The finish reason is then "length", not "tool_calls"."""
    [choice] = simulator.chat("The weather?", tools=TOOLS, max_tokens=2).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":'[:8]


@pytest.mark.parametrize(
    ("choice", "telling"),
    [
        ("sometimes", "'sometimes'"),
        ({"type": "function", "function": {"name": "fly"}}, "'fly' not found"),
        ({"type": "function"}, "tool_choice.function"),
        ({"type": "custom"}, "'custom'"),
        ({"type": "allowed_tools", "allowed_tools": {"tools": 5}}, "tool_choice.allowed_tools.tools"),
        ({"type": "allowed_tools", "allowed_tools": {"tools": [5]}}, "tool_choice.allowed_tools.tools[0]"),
        (7, "tool_choice"),
    ],
)
def test_a_malformed_choice_is_refused(simulator, choice, telling):
    """400, with what is wrong about it."""
    response = simulator.chat(tools=TOOLS, tool_choice=choice)
    assert response.status_code == 400
    assert telling in response.json()["error"]["message"]
