"""Answers that lack some of their images, or send them in a form of their own."""

import base64
import json

import pytest

from pxt_assets.functions import image_generations
from pxt_assets.values.media import Media
from tests.pictures import picture

PICTURE = picture()
ENCODED = base64.b64encode(PICTURE).decode()
ODD = b"\xff\xd8\xff\xfb\xef\xbe\xff"
"""A JPEG's start whose base64 has letters that differ between the alphabets."""


def parse(*items):
    return image_generations.endpoint.parse(json.dumps({"data": list(items)}).encode(), {"model": "m"})


@pytest.mark.parametrize(
    "item",
    [
        {"b64_json": None, "revised_prompt": "x"},
        {"b64_json": ""},
        {"url": None},
        {},
        None,
        {"error": {"code": "content_filter"}},
        {"b64_json": base64.b64encode(b"<html>").decode()},
        {"b64_json": "%%%"},
    ],
)
def test_one_image_that_is_missing_is_null_in_its_place(item):
    """The other is paid for."""
    assert parse(item, {"b64_json": ENCODED}).values[0]["data"] == [None, Media(PICTURE, "image-1.png")]
    assert parse({"b64_json": ENCODED}, item).values[0]["data"] == [Media(PICTURE, "image-0.png"), None]


def test_one_link_that_cannot_be_followed_is_null_in_its_place():
    """So is one that leads to a page."""
    completed = parse(
        {"url": "https://h/1"}, {"url": "https://h/2"}, {"b64_json": ENCODED}
    ).values_with_downloads
    assert completed([None, b"<html>"])[0]["data"] == [None, None, Media(PICTURE, "image-2.png")]


def test_an_answer_without_any_image_quotes_what_came_instead():
    """It is the row's error."""
    with pytest.raises(ValueError, match=r"no image, but an item .*content_filter"):
        parse({"b64_json": None, "error": {"code": "content_filter"}}, {})


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{ENCODED}",
        f"DATA:image/png;charset=utf-8;base64,{ENCODED}",
        f" data:;base64,{ENCODED}",
        ENCODED.rstrip("="),
        "\n".join(ENCODED[i : i + 76] for i in range(0, len(ENCODED), 76)),
        base64.urlsafe_b64encode(PICTURE).decode(),
    ],
)
def test_base64_is_read_in_any_form(text):
    """With the head of a data URL, in the alphabet for URLs, in lines, without its padding."""
    assert parse({"b64_json": text}).values[0]["data"][0].content == PICTURE


def test_either_alphabet_is_read():
    """Letters that differ are the same bytes."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert parse({"b64_json": encode(ODD).decode()}).values[0]["data"][0].content == ODD
