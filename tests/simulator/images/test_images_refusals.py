"""Requests for pictures that the API would refuse for their arguments, model, size or content type."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulator.images.refused import EDITS, GENERATIONS, IMAGE, VARIATIONS, edit, expect, generate, send


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"prompt": ...}, "missing_required_parameter", "prompt"),
        ({"prompt": 3}, "invalid_type", "prompt"),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"prompt": "x" * 32_001}, "string_above_max_length", "prompt"),
        ({"prompt": "x" * 4001, "model": "dall-e-3"}, "string_above_max_length", "prompt"),
        ({"prompt": "x" * 1001, "model": "dall-e-2"}, "string_above_max_length", "prompt"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": 2, "model": "dall-e-3"}, "integer_above_max_value", "n"),
        ({"size": "512x512", "model": "gpt-image-1"}, "invalid_value", "size"),
        ({"size": "auto", "model": "dall-e-2"}, "invalid_value", "size"),
        ({"size": "256x256", "model": "dall-e-3"}, "invalid_value", "size"),
        ({"size": "1792x1024", "model": "dall-e-2"}, "invalid_value", "size"),
        ({"size": 1024}, "invalid_type", "size"),
        ({"size": "large"}, "invalid_value", "size"),
        ({"size": "1024x1000"}, "invalid_value", "size"),
        ({"size": "256x256"}, "invalid_value", "size"),
        ({"size": "3840x3840"}, "invalid_value", "size"),
        ({"size": "4096x1376"}, "invalid_value", "size"),
        ({"size": "3088x1024"}, "invalid_value", "size"),
        ({"quality": "hd"}, "invalid_value", "quality"),
        ({"quality": "low", "model": "dall-e-3"}, "invalid_value", "quality"),
        ({"quality": "standard", "model": "dall-e-2"}, "unknown_parameter", "quality"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"style": "vivid", "model": "dall-e-2"}, "unknown_parameter", "style"),
        ({"style": "loud", "model": "dall-e-3"}, "invalid_value", "style"),
        ({"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        ({"response_format": "png", "model": "dall-e-2"}, "invalid_value", "response_format"),
        ({"output_format": "gif"}, "invalid_value", "output_format"),
        ({"output_format": "png", "model": "dall-e-3"}, "unknown_parameter", "output_format"),
        (
            {"output_compression": 101, "output_format": "webp"},
            "integer_above_max_value",
            "output_compression",
        ),
        ({"output_compression": 50}, "invalid_png_output_compression", "output_compression"),
        ({"background": "green"}, "invalid_value", "background"),
        ({"background": "transparent"}, "invalid_value", "background"),
        (
            {"background": "transparent", "model": "gpt-image-1", "output_format": "jpeg"},
            "invalid_value",
            "background",
        ),
        ({"moderation": "none"}, "invalid_value", "moderation"),
        ({"user": 3}, "invalid_type", "user"),
        ({"stream": True}, "not_simulated", "stream"),
        ({"partial_images": 2}, "not_simulated", "partial_images"),
        ({"sise": "1024x1024"}, "unknown_parameter", "sise"),
        ({"image": "a"}, "unknown_parameter", "image"),
    ],
)
def test_a_malformed_generation_is_refused(simulator, changes, code, param):
    """400, with the argument that is wrong."""
    expect(generate(simulator, **changes), code, param)


def test_null_arguments_are_absent(simulator):
    """Those that the model does not know, too."""
    response = generate(simulator, n=None, size=None, style=None, response_format=None, quality=None)
    assert response.status_code == 200


def test_a_wrong_size_says_what_is_allowed(simulator):
    """In the API's words."""
    message = expect(generate(simulator, size="1792x936"), "invalid_value", "size")
    assert message == "Invalid size '1792x936'. Width and height must both be divisible by 16."
    message = expect(generate(simulator, size="1x1", model="gpt-image-1"), "invalid_value", "size")
    assert message == (
        "Invalid value: '1x1'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'."
    )


@pytest.mark.parametrize(
    "model", ["gpt-4o", "dall-e", "stable-diffusion", "gpt-image", "text-embedding-3-small"]
)
def test_a_model_that_does_not_draw_is_not_found(simulator, model):
    """404, at each of the endpoints."""
    responses = [
        generate(simulator, model=model),
        edit(simulator, model=model),
        send(simulator, VARIATIONS, [("image", IMAGE)], model=model),
    ]
    for response in responses:
        assert f"`{model}`" in expect(response, "model_not_found", None, 404)


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2"])
def test_a_model_of_another_image_endpoint_is_refused(simulator, model):
    """Only dall-e-2 varies pictures, and dall-e-3 edits none."""
    response = send(simulator, VARIATIONS, [("image", IMAGE)], model=model)
    message = expect(response, "invalid_value", "model")
    assert message == f"Invalid value: '{model}'. Value must be 'dall-e-2'."
    expect(edit(simulator, model="dall-e-3"), "invalid_value", "model")


@pytest.mark.parametrize(
    ("path", "content_type", "allowed"),
    [
        (GENERATIONS, "multipart/form-data; boundary=x", "'application/json'"),
        (VARIATIONS, "application/json", "'multipart/form-data'"),
        (EDITS, "text/plain", "'multipart/form-data' and 'application/json'"),
        ("/v1/chat/completions", "application/x-www-form-urlencoded", "'application/json'"),
    ],
)
def test_a_body_of_another_content_type_is_refused(simulator, path, content_type, allowed):
    """400, with the types that the endpoint takes."""
    response = send(simulator, path, None, headers={"content-type": content_type})
    message = expect(response, "unsupported_content_type", None)
    assert f"'Content-Type: {content_type}'" in message
    assert f"only accepts {allowed} requests" in message


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_content_type_may_say_more(simulator, content_type):
    """A charset, or capital letters."""
    response = send(simulator, "/v1/moderations", None, headers={"content-type": content_type})
    assert "JSON body" in response.json()["error"]["message"]


def test_an_oversized_form_is_refused(simulator):
    """413, before it is read, where it states its length."""
    headers = {
        "content-length": str(200 * 1024 * 1024 + 1),
        "content-type": "multipart/form-data; boundary=x",
    }
    response = send(simulator, EDITS, None, headers=headers)
    expect(response, None, None, 413)
    assert simulator.counters()["client_errors"] == 1


def test_a_refused_request_is_not_charged(simulate):
    """It never reaches the limits."""
    simulator = simulate(rpm=1)
    assert generate(simulator, n=99).status_code == 400
    assert generate(simulator).status_code == 200


@pytest.mark.parametrize("name", ["", "img-x.png", "..%2F..%2Fetc%2Fpasswd", "a/b"])
def test_a_file_that_never_was_is_not_found(simulator, name):
    """404, in the API's shape."""
    response = simulator.get(f"/simulator/files/{name}", key=None)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    body=st.dictionaries(
        st.sampled_from(
            ["model", "prompt", "n", "size", "quality", "background", "images", "mask", "output_compression"]
        ),
        st.sampled_from(["gpt-image-2", "dall-e-2", "auto", "", "99999x16", "1024x1024"])
        | st.integers(-2, 200)
        | st.none()
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.sampled_from(["image_url", "file_id"]), st.integers() | st.text(), max_size=2),
    )
)
def test_no_arguments_break_the_server(simulator, body):
    """Whatever their types, they are answered or refused."""
    for path in (GENERATIONS, EDITS):
        assert simulator.post(path, body).status_code in (200, 400, 404)
