"""POST /v1/responses: what is refused, and how."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pxt_assets.simulator.responses.request import KNOWN

PATH = "/v1/responses"
CALL = {"type": "function_call", "call_id": "c", "name": "draw", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "Done."}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
FUNCTION = {"type": "function", "name": "draw", "parameters": {}}


def body_with(**changes):
    body = {"model": "gpt-4o-mini", "input": "Hello.", **changes}
    return {name: value for name, value in body.items() if value is not ...}


def without(item, *names, **changes):
    return {name: value for name, value in {**item, **changes}.items() if name not in names}


def said(content, role="user"):
    return [{"role": role, "content": content}]


def refusal(simulator, body):
    response = simulator.post(PATH, body)
    error = response.json()["error"]
    assert response.status_code == 400, error
    assert error["type"] == "invalid_request_error"
    return error


MISSING, TYPE, VALUE, UNKNOWN = (
    "missing_required_parameter",
    "invalid_type",
    "invalid_value",
    "unknown_parameter",
)


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"model": ...}, MISSING, "model"),
        ({"model": ""}, MISSING, "model"),
        ({"model": 4}, TYPE, "model"),
        ({"input": ...}, MISSING, "input"),
        ({"input": 4}, TYPE, "input"),
        ({"foo": 1}, UNKNOWN, "foo"),
        ({"messages": []}, UNKNOWN, "messages"),
        ({"max_tokens": 16}, UNKNOWN, "max_tokens"),
        ({"response_format": {"type": "text"}}, UNKNOWN, "response_format"),
        ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
        ({"temperature": "1"}, TYPE, "temperature"),
        ({"top_p": -0.1}, "decimal_below_min_value", "top_p"),
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"max_output_tokens": 16.5}, TYPE, "max_output_tokens"),
        ({"top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
        ({"instructions": ["Be brief."]}, TYPE, "instructions"),
        ({"previous_response_id": 4}, TYPE, "previous_response_id"),
        ({"store": "yes"}, TYPE, "store"),
        ({"parallel_tool_calls": 1}, TYPE, "parallel_tool_calls"),
        ({"truncation": "none"}, VALUE, "truncation"),
        ({"service_tier": "slow"}, VALUE, "service_tier"),
        ({"safety_identifier": "x" * 65}, "string_above_max_length", "safety_identifier"),
        ({"metadata": []}, TYPE, "metadata"),
        ({"metadata": {"row": 1}}, TYPE, "metadata.row"),
        ({"metadata": {"row": "x" * 513}}, "string_above_max_length", "metadata.row"),
        ({"metadata": {"x" * 65: ""}}, "string_above_max_length", "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "metadata"),
        ({"reasoning": "low"}, TYPE, "reasoning"),
        ({"reasoning": {"effort": "huge"}}, VALUE, "reasoning.effort"),
        ({"reasoning": {"summary": True}}, TYPE, "reasoning.summary"),
        ({"reasoning": {"budget": 5}}, UNKNOWN, "reasoning.budget"),
        ({"include": ["everything"]}, VALUE, "include[0]"),
        ({"include": "reasoning.encrypted_content"}, TYPE, "include"),
        ({"stream_options": {}}, None, "stream_options"),
        ({"text": "json"}, TYPE, "text"),
        ({"text": {"verbosity": "huge"}}, VALUE, "text.verbosity"),
        ({"text": {"schema": {}}}, UNKNOWN, "text.schema"),
        ({"text": {"format": "json"}}, TYPE, "text.format"),
        ({"text": {"format": {}}}, MISSING, "text.format.type"),
        ({"text": {"format": {"type": "xml"}}}, VALUE, "text.format.type"),
        ({"text": {"format": {"type": "json_object"}}}, None, "input"),
        ({"text": {"format": {"type": "json_schema"}}}, MISSING, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "json_schema": {}}}}, MISSING, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, MISSING, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}, VALUE, "text.format.name"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": 1}}},
            TYPE,
            "text.format.strict",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
            "invalid_json_schema",
            "text.format.schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "json_schema": {}}}},
            UNKNOWN,
            "text.format.json_schema",
        ),
    ],
)  # fmt: skip
def test_a_malformed_argument_is_refused(simulator, changes, code, param):
    """400 with the API's code, and the path of what is wrong."""
    error = refusal(simulator, body_with(**changes))
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        (["Hello"], TYPE, "input[0]"),
        ([{}], MISSING, "input[0].type"),
        ([{"content": "Hello."}], MISSING, "input[0].type"),
        ([{"type": 5}], TYPE, "input[0].type"),
        ([{"type": "speech"}], VALUE, "input[0].type"),
        ([{"type": "message", "content": "Hello."}], MISSING, "input[0].role"),
        (said("Hello.", "robot"), VALUE, "input[0].role"),
        (said("Hello.", "tool"), VALUE, "input[0].role"),
        ([{"role": "user"}], MISSING, "input[0].content"),
        (said(None), TYPE, "input[0].content"),
        (said(7), TYPE, "input[0].content"),
        ([{"role": "user", "content": "Hello.", "name": "me"}], UNKNOWN, "input[0].name"),
        ([{"role": "assistant", "content": "Hello.", "status": "done"}], VALUE, "input[0].status"),
        (said(["Hello."]), TYPE, "input[0].content[0]"),
        (said([{"text": "Hello."}]), MISSING, "input[0].content[0].type"),
        (said([{"type": "text", "text": "Hello."}]), VALUE, "input[0].content[0].type"),
        (said([{"type": "image_url", "image_url": {"url": "https://a.b"}}]), VALUE, "input[0].content[0].type"),
        (said([{"type": "output_text", "text": "Hello."}]), VALUE, "input[0].content[0].type"),
        (said([{"type": "input_text", "text": "Hello."}], "assistant"), VALUE, "input[0].content[0].type"),
        (said([{"type": "input_text"}]), MISSING, "input[0].content[0].text"),
        (said([{"type": "input_text", "text": None}]), TYPE, "input[0].content[0].text"),
        (said([{"type": "input_text", "text": "a", "parsed": {}}]), UNKNOWN, "input[0].content[0].parsed"),
        (said([{"type": "input_image"}]), MISSING, "input[0].content[0].image_url"),
        (said([{"type": "input_image", "image_url": {"url": "a"}}]), TYPE, "input[0].content[0].image_url"),
        (
            [*said("a"), *said([{"type": "input_text", "text": "b"}, {"type": "input_image", "image_url": "c"}])],
            VALUE,
            "input[1].content[1].image_url",
        ),
        (
            said([{"type": "input_image", "file_id": "file-1", "detail": "all"}]),
            VALUE,
            "input[0].content[0].detail",
        ),
        (said([{"type": "input_image", "file_id": 1}]), TYPE, "input[0].content[0].file_id"),
        (
            said([{"type": "input_image", "file_id": "file-1", "image_url": "https://a.b"}]),
            "mutually_exclusive_parameters",
            "input[0].content[0]",
        ),
        (said([{"type": "input_file"}]), MISSING, "input[0].content[0].file_id"),
        (said([{"type": "input_file", "file_data": 1}]), TYPE, "input[0].content[0].file_data"),
        ([without(CALL, "name"), OUTPUT], MISSING, "input[0].name"),
        ([without(CALL, "call_id"), OUTPUT], MISSING, "input[0].call_id"),
        ([without(CALL, arguments={}), OUTPUT], TYPE, "input[0].arguments"),
        ([without(CALL, parsed_arguments={}), OUTPUT], UNKNOWN, "input[0].parsed_arguments"),
        ([CALL, without(OUTPUT, "call_id")], MISSING, "input[1].call_id"),
        ([CALL, without(OUTPUT, "output")], MISSING, "input[1].output"),
        ([CALL, without(OUTPUT, output={})], TYPE, "input[1].output"),
        ([CALL, without(OUTPUT, output=[{"type": "text"}])], VALUE, "input[1].output[0].type"),
        ([CALL, without(OUTPUT, call_id="c" * 65)], "string_above_max_length", "input[1].call_id"),
        ([without(REASONING, "id")], MISSING, "input[0].id"),
        ([without(REASONING, "summary")], MISSING, "input[0].summary"),
        ([without(REASONING, summary=[{"type": "text"}])], VALUE, "input[0].summary[0].type"),
        ([without(REASONING, status=None)], UNKNOWN, "input[0].status"),
        ([{"type": "item_reference"}], MISSING, "input[0].id"),
    ],
)  # fmt: skip
def test_a_malformed_item_is_refused(simulator, items, code, param):
    """400 with the API's code, and the path of what is wrong."""
    error = refusal(simulator, body_with(input=items))
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("tools", "choice", "code", "param"),
    [
        (5, None, TYPE, "tools"),
        (["draw"], None, TYPE, "tools[0]"),
        ([{"name": "draw"}], None, MISSING, "tools[0].type"),
        ([{"type": "magic"}], None, VALUE, "tools[0].type"),
        ([{"type": "function", "function": {"name": "draw"}}], None, MISSING, "tools[0].name"),
        ([without(FUNCTION, name="draw it")], None, VALUE, "tools[0].name"),
        ([without(FUNCTION, description=5)], None, TYPE, "tools[0].description"),
        ([without(FUNCTION, parameters=[5])], None, TYPE, "tools[0].parameters"),
        ([without(FUNCTION, function={})], None, UNKNOWN, "tools[0].function"),
        ([without(FUNCTION, strict=True)], None, "invalid_json_schema", "tools[0].parameters"),
        ([{"type": "custom", "name": "draw"}], None, "not_simulated", "tools[0]"),
        ([{"type": "file_search"}], None, MISSING, "tools[0].vector_store_ids"),
        ([FUNCTION], "sometimes", VALUE, "tool_choice"),
        ([FUNCTION], 5, TYPE, "tool_choice"),
        ([FUNCTION], {}, MISSING, "tool_choice.type"),
        ([FUNCTION], {"type": "magic"}, VALUE, "tool_choice.type"),
        ([FUNCTION], {"type": "function"}, MISSING, "tool_choice.name"),
        ([FUNCTION], {"type": "function", "function": {"name": "draw"}}, MISSING, "tool_choice.name"),
        ([FUNCTION], {"type": "function", "name": "fly"}, None, "tool_choice"),
        ([FUNCTION], {"type": "image_generation"}, None, "tool_choice"),
        ([{"type": "web_search"}], {"type": "web_search"}, VALUE, "tool_choice.type"),
        ([FUNCTION], {"type": "allowed_tools", "mode": "auto"}, MISSING, "tool_choice.tools"),
        ([FUNCTION], {"type": "allowed_tools", "mode": "never", "tools": []}, VALUE, "tool_choice.mode"),
        ([FUNCTION], {"type": "allowed_tools", "tools": []}, MISSING, "tool_choice.mode"),
        (
            [FUNCTION],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "fly"}]},
            None,
            "tool_choice",
        ),
        (None, "required", None, "tool_choice"),
    ],
)  # fmt: skip
def test_malformed_tools_are_refused(simulator, tools, choice, code, param):
    """400 with the API's code, and the path of what is wrong."""
    error = refusal(simulator, body_with(tools=tools, tool_choice=choice))
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"stream": True}, "stream"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
    ],
)
def test_what_is_not_simulated_is_refused(simulator, changes, param):
    """400 that says so, rather than an answer that ignores it."""
    error = refusal(simulator, body_with(**changes))
    assert (error["code"], error["param"]) == ("not_simulated", param)


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("claude-3", ""),
        ("gpt-6-lunna", " Did you mean gpt-6-luna?"),
        ("text-embedding-3-small", " It is served at embeddings, not at responses"),
        ("gpt-image-2", " It is served at images/generations, images/edits, not at responses"),
    ],
)
def test_an_unknown_model_is_a_bad_request(simulator, model, meant):
    """400 here, where the other endpoints answer 404; it says what may have been meant."""
    error = refusal(simulator, body_with(model=model))
    assert error["message"] == f"The requested model '{model}' does not exist.{meant}"
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize("model", ["gpt-4o", "o3-mini", "gpt-6-luna", "gpt-5-pro", "ft:gpt-4o-mini:me::1"])
def test_every_chat_family_is_served(simulator, model):
    """Any model of a family of the API's, listed or not."""
    assert simulator.post(PATH, body_with(model=model)).json()["model"] == model


def test_a_schema_without_an_instance_is_refused(simulator):
    """400 rather than an answer that does not conform."""
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    form = {"type": "json_schema", "name": "a", "schema": schema}
    assert refusal(simulator, body_with(text={"format": form}))["code"] == "invalid_json_schema"


WORDS = st.sampled_from(
    ["type", "role", "content", "name", "call_id", "output", "arguments", "id", "image_url", "format", "schema"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["message", "user", "function", "function_call", "input_text", "input_image", "json_schema", "assistant"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(arguments=st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(KNOWN), JSON)))
def test_whatever_is_asked_is_answered_or_refused(simulator, arguments):
    """Arguments of any type and shape are never an error of the server."""
    response = simulator.post(PATH, body_with(**arguments))
    assert response.status_code in (200, 400, 404)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=st.lists(st.dictionaries(WORDS, JSON, max_size=5), max_size=3))
def test_whatever_items_are_sent_is_answered_or_refused(simulator, items):
    """As are items of any type and shape."""
    assert simulator.post(PATH, body_with(input=items)).status_code in (200, 400, 404)
