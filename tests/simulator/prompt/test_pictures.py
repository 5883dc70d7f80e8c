"""Pictures in prompts: what the simulator tells of them, and which it refuses."""

import io
import json
from base64 import b64encode

import pytest
from PIL import Image

from pxt_assets.simulator.prompt.picture import Picture, read_picture_header

FORMATS = ("PNG", "JPEG", "WebP", "GIF")
MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WebP": "image/webp", "GIF": "image/gif"}


def picture(format="PNG", size=(3, 2), colour="red", **options):
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, format, **options)
    return written.getvalue()


def data_url(content, mime="image/png"):
    return f"data:{mime};base64,{b64encode(content).decode()}"


def caption(simulator, endpoint, url, question="", **arguments):
    """What the answer of an endpoint says of the picture at `url`."""
    if endpoint == "chat/completions":
        parts = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]
        prompt = {"messages": [{"role": "user", "content": parts}]}
    else:
        parts = [{"type": "input_text", "text": question}, {"type": "input_image", "image_url": url}]
        prompt = {"input": [{"role": "user", "content": parts}]}
    response = simulator.post(f"/v1/{endpoint}", {"model": "gpt-4o", **prompt, **arguments})
    assert response.status_code == 200, response.text
    body = response.json()
    if endpoint == "chat/completions":
        return body["choices"][0]["message"]["content"]
    return body["output"][0]["content"][0]["text"]


@pytest.mark.parametrize("size", [(1, 1), (640, 480), (300, 5000)])
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(3000)}),
        ("WebP", {}),
        ("WebP", {"lossless": True}),
        ("WebP", {"exif": b"Exif\0\0" + bytes(100)}),
    ],
)
def test_the_size_of_a_picture_is_read(format, options, size):
    """Of each format, in each of its ways to state it."""
    assert read_picture_header(picture(format, size, **options)) == Picture(format, *size)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_is_cut_off_is_measured_or_refused(format):
    """At whichever byte: never an error, and never a wrong size."""
    whole = picture(format, (640, 480))
    for length in range(len(whole)):
        assert read_picture_header(whole[:length]) in (None, Picture(format, 640, 480)), length
    assert read_picture_header(whole[:9]) is None


@pytest.mark.parametrize(
    "content", [b"", b"<svg/>", b"BM" + bytes(60), b"RIFF" + bytes(60), b"GIF88a" + bytes(60), b"\xff" * 60]
)
def test_other_bytes_are_no_picture(content):
    """However much they begin like one."""
    assert read_picture_header(content) is None


@pytest.mark.parametrize("endpoint", ["chat/completions", "responses"])
@pytest.mark.parametrize("format", FORMATS)
def test_an_answer_tells_format_and_size(simulator, endpoint, format):
    """After the sentence that it takes from the text."""
    url = data_url(picture(format, (64, 48)), MIME[format])
    said = caption(simulator, endpoint, url, "What is this?")
    assert said.startswith(f"[simulated] What is this? ({format} image of 64 x 48 pixels, #")


@pytest.mark.parametrize("endpoint", ["chat/completions", "responses"])
def test_pictures_are_told_apart(simulator, endpoint):
    """Also those of one format and size, in text as in a schema; equal ones have equal captions."""
    red, blue = (data_url(picture(colour=colour)) for colour in ("red", "blue"))
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 400}}, "required": ["a"]}
    form = {"name": "caption", "schema": schema}
    asked = (
        {"response_format": {"type": "json_schema", "json_schema": form}}
        if endpoint == "chat/completions"
        else {"text": {"format": {"type": "json_schema", **form}}}
    )
    for arguments in ({}, asked):
        first, other, again = (caption(simulator, endpoint, url, **arguments) for url in (red, blue, red))
        assert first == again != other
    assert json.loads(first)["a"]


def test_long_urls_are_told_apart(simulator):
    """Though they are shown shortened."""
    first, other = (
        caption(simulator, "responses", f"https://example.com/{'a' * 300}{end}.png") for end in "xy"
    )
    assert first != other
    assert len(first) < 150


@pytest.mark.parametrize(
    ("url", "telling"),
    [
        ("", "without the 'data:' prefix"),
        ("iVBORw0KGgo=", "without the 'data:' prefix"),
        ("/home/me/cat.png", "without the 'data:' prefix"),
        ("ftp://example.com/cat.png", "without the 'data:' prefix"),
        (data_url(b"Hello.", "text/plain"), "unsupported MIME type 'text/plain'"),
        (data_url(b"<svg/>", "image/svg+xml"), "unsupported MIME type 'image/svg+xml'"),
        ("data:,", "unsupported MIME type ''"),
        ("data:image/png,abc", "not marked as base64"),
        ("data:image/png;base64,", "empty base64-encoded bytes"),
        ("data:image/png;base64,iVBO!!", "invalid base64-encoded bytes"),
        ("data:image/png;base64,iVBORw0KGg", "invalid base64-encoded bytes"),
        ("data:image/png;base64,ü", "invalid base64-encoded bytes"),
        ("data:image/png;base64,AAAA", "does not represent a valid image"),
        (data_url(b"BM" + bytes(100)), "does not represent a valid image"),
        (data_url(picture()[:12]), "does not represent a valid image"),
    ],
)
def test_what_is_no_picture_is_refused(simulator, url, telling):
    """400 with the place of the URL, at either endpoint."""
    chat = [{"type": "image_url", "image_url": {"url": url}}]
    response = [{"type": "input_image", "image_url": url}]
    for path, prompt, param in (
        ("chat/completions", {"messages": [{"role": "user", "content": chat}]}, "messages[0].content[0].image_url.url"),
        ("responses", {"input": [{"role": "user", "content": response}]}, "input[0].content[0].image_url"),
    ):  # fmt: skip
        refused = simulator.post(f"/v1/{path}", {"model": "gpt-4o", **prompt})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_value", param)
        assert telling in error["message"]


def test_the_bytes_of_a_picture_count_whatever_its_mime_type(simulator):
    """As with the API."""
    url = data_url(picture("JPEG"), "image/png")
    assert "JPEG image" in caption(simulator, "chat/completions", url)
