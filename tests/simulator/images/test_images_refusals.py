"""Requests for pictures that the API would refuse: status, type, param and code."""

import asyncio
import base64
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VARIATIONS = "/v1/images/variations"


def png(size=(64, 64), mode="RGBA", format="PNG"):
    image = Image.new(mode, size)
    ImageDraw.Draw(image).rectangle((0, 0, 9, 9), fill=0)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


PNG = png()
JPEG = png(mode="RGB", format="JPEG")
IMAGE = ("a.png", PNG, "image/png")


def generate(simulator, **changes):
    body = {"model": "gpt-image-2", "prompt": "A cat.", **changes}
    return simulator.post(GENERATIONS, {name: value for name, value in body.items() if value is not ...})


def send(simulator, path, files, headers=None, **data):
    """The answer to a form; `files` are pairs of a field and a file."""

    async def post():
        async with simulator.client() as client:
            headers_sent = {"authorization": "Bearer sk-test", **(headers or {})}
            return await client.post(path, data=data, files=files, headers=headers_sent)

    return asyncio.run(post())


def edit(simulator, image=IMAGE, mask=None, **changes):
    data = {"model": "gpt-image-1.5", "prompt": "A cat.", **changes}
    files = [("image", image)] if image else [("other", IMAGE)]
    if mask is not None:
        files.append(("mask", ("m.png", mask)))
    return send(simulator, EDITS, files, **{name: value for name, value in data.items() if value is not ...})


def expect(response, code, param, status=400, type="invalid_request_error"):
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"], error["type"]) == (
        status,
        code,
        param,
        type,
    ), error
    return error["message"]


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
    ("changes", "code", "param"),
    [
        ({"image": None}, "unknown_parameter", "other"),
        ({"prompt": ...}, "missing_required_parameter", "prompt"),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"n": "0"}, "integer_below_min_value", "n"),
        ({"n": "two"}, "invalid_type", "n"),
        ({"n": ["1", "2"]}, "invalid_type", "n"),
        ({"size": "256x256"}, "invalid_value", "size"),
        ({"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        ({"input_fidelity": "middle"}, "invalid_value", "input_fidelity"),
        ({"input_fidelity": "high", "model": "dall-e-2"}, "unknown_parameter", "input_fidelity"),
        ({"stream": "true"}, "not_simulated", "stream"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"image": ("a.png", PNG, "application/octet-stream")}, "unsupported_file_mimetype", "image"),
        ({"image": ("a.gif", PNG, "image/gif")}, "unsupported_file_mimetype", "image"),
        ({"image": ("a.png", b"", "image/png")}, "invalid_image_file", "image"),
        ({"image": ("a.png", PNG[:60], "image/png")}, "invalid_image_file", "image"),
        ({"image": ("a.png", b"GIF89a" + bytes(50), "image/png")}, "invalid_image_file", "image"),
        ({"image": ("a.jpg", JPEG, "image/jpeg"), "model": "dall-e-2"}, "unsupported_file_mimetype", "image"),
        ({"image": ("a.png", JPEG, "image/png"), "model": "dall-e-2"}, None, "image"),
        ({"image": ("a.png", png((64, 32)), "image/png"), "model": "dall-e-2"}, None, "image"),
    ],
)
def test_a_malformed_edit_is_refused(simulator, changes, code, param):
    """400, with the argument that is wrong."""
    expect(edit(simulator, **changes), code, param)


def test_a_missing_picture_is_missed(simulator):
    """By edits and variations alike."""
    for path, data in ((EDITS, {"prompt": "A cat."}), (VARIATIONS, {"n": "1"})):
        response = send(simulator, path, [("user", (None, b"me"))], **data)
        expect(response, "missing_required_parameter", "image")


def test_a_picture_sent_as_text_is_refused(simulator):
    """As by a client that loses the name of a file."""
    response = send(simulator, EDITS, [("image", (None, b"PNG"))], prompt="A cat.")
    assert expect(response, "invalid_type", "image") == (
        "Invalid type for 'image': expected one of an array of files or file, but got a string instead."
    )


def test_an_unsupported_type_is_named(simulator):
    """In the API's words, and for each picture of a list."""
    image = ("a.png", PNG, "application/octet-stream")
    assert expect(edit(simulator, image, model="dall-e-2"), "unsupported_file_mimetype", "image") == (
        "Invalid file 'image': unsupported mimetype ('application/octet-stream'). Supported file formats are "
        "'image/png'."
    )
    files = [("image[]", IMAGE), ("image[]", image)]
    message = expect(send(simulator, EDITS, files, prompt="A cat."), "unsupported_file_mimetype", "image[1]")
    assert message.endswith("Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'.")


def test_a_file_without_a_type_is_refused(simulator):
    """The API does not look into it."""
    content = (
        b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA cat.\r\n--x\r\nContent-Disposition: '
        b'form-data; name="image"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--x--\r\n"
    )

    async def post():
        async with simulator.client() as client:
            headers = {"authorization": "Bearer a", "content-type": "multipart/form-data; boundary=x"}
            return await client.post(EDITS, content=content, headers=headers)

    expect(asyncio.run(post()), "missing_file_mimetype", "image")


@pytest.mark.parametrize(("model", "most"), [("gpt-image-1.5", 16), ("dall-e-2", 1)])
def test_too_many_pictures_are_refused(simulator, model, most):
    """16 are the most, and dall-e-2 takes one."""
    files = [("image[]", IMAGE)] * most
    data = {"prompt": "A cat.", "model": model}
    assert send(simulator, EDITS, files, **data).status_code == 200
    message = expect(send(simulator, EDITS, [*files, files[0]], **data), "array_above_max_length", "image")
    assert f"maximum length {most}" in message


@pytest.mark.parametrize(
    ("path", "model", "megabytes", "code"),
    [
        (EDITS, "dall-e-2", 4, None),
        (VARIATIONS, "dall-e-2", 4, None),
        (EDITS, "gpt-image-2", 50, "image_too_large"),
    ],
)
def test_too_large_a_picture_is_refused(simulator, path, model, megabytes, code):
    """Of 4 MB with dall-e-2, of 50 MB with the others."""
    data = {"model": model} if path == VARIATIONS else {"model": model, "prompt": "A cat."}
    content = PNG + bytes(megabytes * 1024 * 1024 - len(PNG))
    message = expect(
        send(simulator, path, [("image", ("a.png", content, "image/png"))], **data), code, "image"
    )
    assert f"less than {megabytes} MB" in message
    fitting = send(simulator, path, [("image", ("a.png", content[:-1], "image/png"))], **data)
    assert fitting.status_code == 200


def test_a_non_square_picture_is_not_varied(simulator):
    """Nor is anything but a PNG."""
    image = ("a.png", png((64, 63)), "image/png")
    assert "square" in expect(send(simulator, VARIATIONS, [("image", image)]), None, "image")
    image = ("a.jpg", JPEG, "image/jpeg")
    expect(send(simulator, VARIATIONS, [("image", image)]), "unsupported_file_mimetype", "image")


@pytest.mark.parametrize(
    ("arguments", "code", "param"),
    [
        ({"prompt": "A cat."}, "unknown_parameter", "prompt"),
        ({"quality": "low"}, "unknown_parameter", "quality"),
        ({"size": "1024x1536"}, "invalid_value", "size"),
        ({"n": "11"}, "integer_above_max_value", "n"),
        ({"response_format": "base64"}, "invalid_value", "response_format"),
    ],
)
def test_a_malformed_variation_is_refused(simulator, arguments, code, param):
    """400, with the argument that is wrong."""
    expect(send(simulator, VARIATIONS, [("image", IMAGE)], **arguments), code, param)


@pytest.mark.parametrize(
    ("mask", "telling"),
    [
        (png((32, 32)), "mask size does not match image size"),
        (png(mode="RGB"), "mask image missing alpha channel"),
        (png(mode="L"), "mask image missing alpha channel"),
        (JPEG, "not a valid PNG"),
        (PNG[:70], "not a valid PNG"),
        (b"", "not a valid PNG"),
        (PNG + bytes(4 * 1024 * 1024), "less than 4 MB"),
    ],
)
@pytest.mark.parametrize("model", ["gpt-image-1.5", "dall-e-2"])
def test_a_wrong_mask_is_refused(simulator, model, mask, telling):
    """One of another size, without transparency, that is no PNG, or too large."""
    response = edit(simulator, mask=mask, model=model)
    message = expect(response, "invalid_mask_image_format", None, type="image_generation_user_error")
    assert message.startswith("Invalid mask image format - ")
    assert telling in message


def test_a_mask_sent_as_text_is_refused(simulator):
    """It must be a file."""
    response = send(simulator, EDITS, [("image", IMAGE)], prompt="A cat.", mask="m.png")
    expect(response, "invalid_type", "mask")


def test_a_picture_of_too_many_pixels_is_refused(simulator):
    """Before it is decoded: a file of a few kilobytes may hold gigabytes."""
    bomb = io.BytesIO()
    Image.new("1", (20_000, 4_400)).save(bomb, "PNG")
    expect(edit(simulator, ("a.png", bomb.getvalue(), "image/png")), "invalid_image_file", "image")


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"images": []}, "missing_required_parameter", "images"),
        ({"images": "a"}, "invalid_type", "images"),
        ({"images": ["a"]}, "invalid_type", "images[0]"),
        ({"images": [{}]}, "missing_required_parameter", "images[0].image_url"),
        ({"images": [{"file_id": "file-1"}]}, "not_simulated", "images[0].file_id"),
        ({"images": [{"image_url": "https://example.com/a.png"}]}, "not_simulated", "images[0].image_url"),
        ({"images": [{"image_url": "data:image/png;base64,*"}]}, "invalid_value", "images[0].image_url"),
        ({"images": [{"image_url": "data:image/png;base64,AAAA"}]}, "invalid_image_file", "image"),
        ({"mask": {"image_url": "data:image/png;base64,AAAA"}}, "invalid_mask_image_format", None),
        ({"n": "2"}, "invalid_type", "n"),
    ],
)
def test_a_malformed_edit_in_json_is_refused(simulator, changes, code, param):
    """400, with the path of what is wrong."""
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    response = simulator.post(EDITS, {"prompt": "A cat.", "images": [{"image_url": url}], **changes})
    kind = "image_generation_user_error" if code == "invalid_mask_image_format" else "invalid_request_error"
    expect(response, code, param, type=kind)


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(8, 120),
    noise=st.binary(min_size=1, max_size=40),
    kind=st.sampled_from([PNG, JPEG, png(mode="P"), png(format="WEBP")]),
)
def test_no_picture_breaks_the_server(simulator, start, noise, kind):
    """A damaged file is refused, or shows something."""
    damaged = kind[:start] + noise + kind[start + len(noise) :]
    assert edit(simulator, ("a.png", damaged, "image/png")).status_code in (200, 400)
    assert edit(simulator, IMAGE, mask=damaged).status_code in (200, 400)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
