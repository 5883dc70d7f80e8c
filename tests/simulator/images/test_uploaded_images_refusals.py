"""Pictures and masks to edit or vary that the API would refuse: status, type, param and code."""

import asyncio
import base64
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.simulator.images.refused import EDITS, IMAGE, JPEG, PNG, VARIATIONS, edit, expect, png, send


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
