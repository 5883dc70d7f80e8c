import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pxt_assets.simulator.chat.request import KNOWN as CHAT_ARGUMENTS
from pxt_assets.simulator.embeddings import KNOWN as EMBEDDING_ARGUMENTS
from pxt_assets.simulator.moderations import KNOWN as MODERATION_ARGUMENTS

KEYWORDS = st.sampled_from(
    ["type", "enum", "const", "$ref", "anyOf", "allOf", "properties", "required", "items", "minItems"]
) | st.sampled_from(
    ["minLength", "maximum", "multipleOf", "format", "pattern", "function", "name", "content"]
)
CHAT = "/v1/chat/completions"


def chat_body(**changes):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}], **changes}
    return {name: value for name, value in body.items() if value is not ...}


def user(content):
    return [{"role": "user", "content": content}]


def expect(response, status, code):
    error = response.json()["error"]
    assert response.status_code == status, error
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code, error
    assert response.headers["x-pxt-simulated"] == "true"
    return error["message"]


@pytest.mark.parametrize("header", [None, "sk-test", "Bearer", "Bearer ", "Basic abc", "Bearer a b"])
def test_a_request_without_a_proper_key_is_refused(simulator, header):
    """401 with the API's code, whatever is wrong about the Authorization header."""
    import asyncio

    async def send():
        async with simulator.client() as client:
            headers = {} if header is None else {"authorization": header}
            return [
                await client.post(CHAT, json=chat_body(), headers=headers),
                await client.get("/v1/models", headers=headers),
            ]

    for response in asyncio.run(send()):
        expect(response, 401, "invalid_api_key")


@pytest.mark.parametrize("key", ["sk-invalid", "sk-invalid-0123456789-secret"])
def test_a_refused_key_is_never_shown_whole(simulator, key):
    """Keys end up in logs by way of error messages; the API masks them."""
    message = expect(simulator.chat(key=key), 401, "invalid_api_key")
    assert key not in message
    assert "***" in message


def test_a_key_without_quota_is_told_so(simulator):
    """The one 429 that no waiting helps has a code of its own and no `retry-after`."""
    response = simulator.chat(key="sk-no-quota-1")
    expect(response, 429, "insufficient_quota")
    assert response.json()["error"]["type"] == "insufficient_quota"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("chat/completions", "claude-3"),
        ("chat/completions", "text-embedding-3-small"),
        ("chat/completions", "gpt-image-2"),
        ("chat/completions", "gpt-4o-transcribe"),
        ("embeddings", "gpt-4o"),
        ("moderations", "gpt-4o"),
    ],
)
def test_a_model_of_another_endpoint_is_not_found(simulator, path, model):
    """404, as for a model that does not exist."""
    body = chat_body(model=model) if path.startswith("chat") else {"model": model, "input": "a"}
    assert f"`{model}`" in expect(simulator.post(f"/v1/{path}", body), 404, "model_not_found")


@pytest.mark.parametrize(
    "model", ["gpt-4o", "chatgpt-4o-latest", "o3-mini", "gpt-6-luna", "ft:gpt-4o-mini:me::1"]
)
def test_every_chat_family_is_served(simulator, model):
    """Any model of a family of the API's, listed or not."""
    assert simulator.chat(model=model).json()["model"] == model


def test_an_unknown_path_is_refused_in_the_apis_shape(simulator):
    """404 with an error body."""
    assert "POST /v1/nothing" in expect(simulator.post("/v1/nothing", {}), 404, "unknown_url")


def test_a_wrong_method_is_refused_in_the_apis_shape(simulator):
    """405 with an error body."""
    expect(simulator.get(CHAT), 405, "method_not_supported")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'{"model": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(simulator, content):
    """400, for each of the endpoints alike."""
    for path in (CHAT, "/v1/embeddings", "/v1/moderations"):
        assert "JSON" in expect(simulator.request("POST", path, content), 400, None)


@pytest.mark.parametrize(
    ("changes", "code", "telling"),
    [
        ({"model": ...}, None, "model"),
        ({"model": 4}, None, "model"),
        ({"messages": ...}, "missing_required_parameter", "'messages'"),
        ({"messages": []}, "empty_array", "'messages'"),
        ({"messages": "Hello"}, "invalid_type", "an array of objects"),
        ({"messages": ["Hello"]}, "invalid_type", "messages[0]"),
        ({"messages": [{"content": "Hello"}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "Hello"}]}, "invalid_value", "'robot'"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": user(None)}, "invalid_type", "null"),
        ({"messages": user(7)}, "invalid_type", "an integer"),
        ({"messages": user([])}, "empty_array", "messages[0].content"),
        ({"messages": user(["Hello"])}, "invalid_type", "messages[0].content[0]"),
        ({"messages": user([{"type": "video"}])}, "invalid_value", "'video'"),
        ({"messages": user([{"type": "text"}])}, "missing_required_parameter", "content[0].text"),
        ({"messages": user([{"type": "image_url"}])}, "missing_required_parameter", "image_url"),
        (
            {"messages": user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])},
            "invalid_value",
            "data URL",
        ),
        (
            {"messages": user([{"type": "image_url", "image_url": "https://example.com/a.png"}])},
            "invalid_type",
            "'messages[0].content[0].image_url': expected an object, but got a string",
        ),
        (
            {"messages": user([{"type": "image_url", "image_url": {"url": "https://a.b", "detail": "all"}}])},
            "invalid_value",
            "'high'",
        ),
        ({"messages": [{"role": "tool", "content": "4"}]}, "missing_required_parameter", "tool_call_id"),
        ({"foo": 1}, None, "Unrecognized request argument supplied: foo"),
        ({"foo": 1, "bar": 2}, None, "Unrecognized request arguments supplied: bar, foo"),
        ({"temperature": 2.5}, "decimal_above_max_value", "<= 2"),
        ({"temperature": True}, "invalid_type", "a boolean"),
        ({"temperature": "1"}, "invalid_type", "a string"),
        ({"top_p": -0.1}, "decimal_below_min_value", ">= 0"),
        ({"max_tokens": 0}, "integer_below_min_value", ">= 1"),
        ({"max_completion_tokens": 1.5}, "invalid_type", "a decimal"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "invalid_parameter_combination", "same time"),
        ({"n": 129}, "integer_above_max_value", "<= 128"),
        ({"stop": ["a"] * 5}, "invalid_value", "1 to 4"),
        ({"reasoning_effort": "huge"}, "invalid_value", "'huge'"),
        ({"safety_identifier": "x" * 65}, "string_above_max_length", "64"),
        ({"metadata": {"row": 1}}, "invalid_type", "'metadata.row': expected a string"),
        ({"stream": True}, "not_simulated", "not simulated"),
        ({"logprobs": True}, "not_simulated", "not simulated"),
        ({"modalities": ["text", "audio"]}, "not_simulated", "not simulated"),
        ({"modalities": True}, "invalid_type", "'modalities'"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "'xml'"),
        ({"response_format": {"type": "json_object"}}, None, "the word 'json'"),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "invalid_value",
            "pattern",
        ),
        ({"tool_choice": "required"}, None, "'tools'"),
        ({"tools": []}, "empty_array", "'tools'"),
        ({"tools": [{"type": "function", "function": {}}]}, "missing_required_parameter", "function.name"),
    ],
)
def test_a_malformed_chat_request_is_refused(simulator, changes, code, telling):
    """400 with the API's code, and a message that says what is wrong."""
    assert telling in expect(simulator.post(CHAT, chat_body(**changes)), 400, code)


@pytest.mark.parametrize(
    ("schema", "telling"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "'additionalProperties' is required"),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
            "Missing 'a'",
        ),
        ({"type": "array", "items": {"type": "string"}}, "'type: \"object\"'"),
        (
            {"type": "object", "additionalProperties": False, "$defs": {"x": {"type": "object"}}},
            "'$defs', 'x'",
        ),
    ],
)
def test_a_strict_schema_must_be_closed_and_require_everything(simulator, schema, telling):
    """The API refuses it, so the rehearsal does."""
    wrapper = {"name": "answer", "strict": True, "schema": schema}
    response = simulator.chat(response_format={"type": "json_schema", "json_schema": wrapper})
    assert telling in expect(response, 400, "invalid_json_schema")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/none"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
        {"type": "object", "properties": 5},
        {"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "uniqueItems": True},
    ],
)
def test_a_schema_without_an_instance_is_refused(simulator, schema):
    """400 rather than an answer that does not conform."""
    wrapper = {"name": "answer", "schema": schema}
    response = simulator.chat(response_format={"type": "json_schema", "json_schema": wrapper})
    expect(response, 400, "invalid_json_schema")


@pytest.mark.parametrize(
    ("changes", "code", "telling"),
    [
        ({"model": ...}, None, "model"),
        ({"input": ...}, "missing_required_parameter", "'input'"),
        ({"input": ""}, None, "'$.input' is invalid"),
        ({"input": []}, None, "'$.input' is invalid"),
        ({"input": ["a", ""]}, None, "'$.input' is invalid"),
        ({"input": ["a", 1]}, None, "'$.input' is invalid"),
        ({"input": [[1, 2], []]}, None, "'$.input' is invalid"),
        ({"input": {"text": "a"}}, "invalid_type", "an object"),
        ({"input": ["a"] * 2049}, "array_above_max_length", "2048"),
        ({"input": ["a", "x" * 32_769]}, None, "'input[1]': maximum input length is 8192 tokens"),
        ({"input": ["x" * 32_768] * 37}, "max_tokens_per_request", "Requested 303104 tokens, max 300000"),
        ({"encoding_format": "int8"}, "invalid_value", "'base64'"),
        ({"dimensions": 0}, "integer_below_min_value", ">= 1"),
        ({"dimensions": 1537}, None, "1536"),
        (
            {"dimensions": 256, "model": "text-embedding-ada-002"},
            None,
            "does not support specifying dimensions",
        ),
        ({"truncate": True}, None, "Unrecognized request argument supplied: truncate"),
    ],
)
def test_a_malformed_embedding_request_is_refused(simulator, changes, code, telling):
    """400 with the API's code, and a message that says what is wrong."""
    body = {"model": "text-embedding-3-small", "input": "a", **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    assert telling in expect(simulator.post("/v1/embeddings", body), 400, code)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "missing_required_parameter"),
        (7, "invalid_type"),
        ([], "empty_array"),
        (["a", 1], "invalid_type"),
        ([{"type": "audio"}], "invalid_value"),
        ([{"type": "text"}], "missing_required_parameter"),
        ([{"type": "image_url"}], "invalid_type"),
    ],
)
def test_a_malformed_moderation_request_is_refused(simulator, given, code):
    """400 with the API's code."""
    expect(simulator.moderate(given), 400, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS | st.text(), inner, max_size=3),
    max_leaves=10,
)
ARGUMENTS = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys(known, JSON)).map(
        lambda arguments, path=path, valid=valid: (path, {**valid, **arguments})
    )
    for path, known, valid in (
        (CHAT, CHAT_ARGUMENTS, chat_body()),
        ("/v1/embeddings", EMBEDDING_ARGUMENTS, {"model": "text-embedding-3-small", "input": "a"}),
        ("/v1/moderations", MODERATION_ARGUMENTS, {"input": "a"}),
    )
)
SCHEMA_BODIES = st.dictionaries(KEYWORDS, JSON, max_size=4).map(
    lambda schema: (
        CHAT,
        chat_body(
            response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        ),
    )
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(request=ARGUMENTS | SCHEMA_BODIES)
def test_whatever_is_asked_is_answered_or_refused(simulator, request):
    """Arguments and schemas of any type and shape are never an error of the server."""
    path, body = request
    response = simulator.post(path, body)
    assert response.status_code in (200, 400, 404)
    assert response.headers["x-pxt-simulated"] == "true"


@pytest.mark.parametrize("strict", [True, False])
def test_a_schema_nested_very_deeply_is_refused(simulator, strict):
    """400 rather than a stack that overflows."""
    nested = b'{"type": "array", "minItems": 1, "items": ' * 5000 + b"true" + b"}" * 5000
    schema = {
        "type": "object",
        "properties": {"a": "nested"},
        "required": ["a"],
        "additionalProperties": False,
    }
    wrapper = {"name": "answer", "strict": strict, "schema": schema}
    body = chat_body(response_format={"type": "json_schema", "json_schema": wrapper})
    response = simulator.request("POST", CHAT, json.dumps(body).encode().replace(b'"nested"', nested))
    assert response.status_code == 400


def test_refusals_are_counted_apart(simulator):
    """Client errors are neither answers nor limits met."""
    simulator.chat(foo=1)
    simulator.chat(key="sk-invalid")
    simulator.request("POST", CHAT, json.dumps(chat_body(model="claude")).encode())
    counters = simulator.counters()
    assert (counters["requests"], counters["client_errors"], counters["answered"]) == (3, 3, 0)
