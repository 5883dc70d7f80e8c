from typing import Any

import pytest

from pxt_assets.api.multipart import form_of
from pxt_assets.api.request import Request
from pxt_assets.functions import image_edits, transcriptions
from pxt_assets.values.media import Media
from tests.pictures import mask, picture, sound

IMAGE = {"prompt": "p", "model": "gpt-image-2"}


def form(function: Any, **arguments: Any) -> tuple[dict[str, Any], list[Any]]:
    request = function.cell_request(arguments)
    assert isinstance(request, Request)
    return form_of(request)


def test_media_are_files_and_the_rest_are_fields():
    """A file has a name, its bytes, and a content type."""
    fields, files = form(image_edits, image=picture(), mask=mask(), n=2, **IMAGE)
    assert fields == {"prompt": "p", "model": "gpt-image-2", "n": 2}
    assert files == [
        ("image", ("image.png", picture(), "image/png")),
        ("mask", ("mask.png", mask(), "image/png")),
    ]


def test_several_images_are_files_of_one_name():
    """The API takes a list as `image[]`."""
    _, files = form(image_edits, image=[picture(), picture(format="JPEG")], **IMAGE)
    assert [(name, file[0], file[2]) for name, file in files] == [
        ("image[]", "image-0.png", "image/png"),
        ("image[]", "image-1.jpeg", "image/jpeg"),
    ]


def test_a_list_of_one_image_is_a_list():
    """As it was given."""
    _, files = form(image_edits, image=[picture()], **IMAGE)
    assert [name for name, _ in files] == ["image[]"]


@pytest.mark.parametrize("path", ["../../etc/passwd", 'a".png\r\nX-Evil: 1', "speech.exe", None])
def test_file_names_come_from_the_contents(path):
    """Nothing that a table says of a path gets into the form's headers."""
    _, files = form(transcriptions, audio=Media(sound(), path), model="whisper-1")
    assert [file[0] for _, file in files] == ["file.wav"]


def test_lists_and_dicts_are_left_to_the_client():
    """It writes them as the API takes them."""
    fields, _ = form(
        transcriptions,
        audio=sound(),
        model="whisper-1",
        timestamp_granularities=["word"],
        chunking_strategy={"type": "server_vad"},
    )
    assert fields == {
        "model": "whisper-1",
        "timestamp_granularities": ["word"],
        "chunking_strategy": {"type": "server_vad"},
    }
