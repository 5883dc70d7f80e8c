"""Lines of input files: what is asked for, in the JSON that batches take."""

import json
from io import BytesIO
from typing import Any

import PIL.Image
import pytest

import pxt_assets.api.batches.line_out as line_out
from pxt_assets.api.batches import asked_alone, batch_endpoint, request_line
from pxt_assets.api.request import Request
from pxt_assets.errors import CellError
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_edits,
    image_generations,
    moderations,
    responses,
    speech,
    transcriptions,
)


def png(mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> bytes:
    file = BytesIO()
    PIL.Image.new(mode, size, 0).save(file, "PNG")
    return file.getvalue()


MESSAGES = [{"role": "user", "content": "hi é\n"}]
REQUESTS = {
    "chat/completions": (
        chat_completions,
        {"messages": MESSAGES, "model": "gpt-6-luna", "model_kwargs": {"n": 2}},
    ),
    "responses": (responses, {"input": "hi", "model": "gpt-6-luna"}),
    "moderations": (moderations, {"input": "hi"}),
    "images/generations": (image_generations, {"prompt": "a cat", "model": "gpt-image-2"}),
}


@pytest.mark.parametrize("path", REQUESTS)
def test_a_line_holds_what_is_sent_online(path: str) -> None:
    """The body that the endpoint gets, its URL and method, named by the digest, in one line."""
    function, arguments = REQUESTS[path]
    request = function.cell_request(arguments)
    line = request_line(request)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "custom_id": request.digest.hex(),
        "method": "POST",
        "url": f"/v1/{path}",
        "body": json.loads(asked_alone(request).payload),
    }
    assert batch_endpoint(f"/{path}") == f"/v1/{path}"


def test_azure_names_chats_otherwise() -> None:
    """Its lines say /chat/completions; all else as everywhere."""
    for name, url in (("chat/completions", "/chat/completions"), ("responses", "/v1/responses")):
        function, arguments = REQUESTS[name]
        assert json.loads(request_line(function.cell_request(arguments), azure=True))["url"] == url


@pytest.mark.parametrize(
    ("kwargs", "encoding"),
    [({}, "base64"), ({"encoding_format": "float"}, "float"), ({"dimensions": 8}, "base64")],
)
def test_embeddings_are_asked_for_in_base64(kwargs: dict[str, Any], encoding: str) -> None:
    """A third of the bytes to download; unless the user has asked for another encoding."""
    request = embeddings.cell_request(
        {"input": "hi", "model": "text-embedding-3-small", "model_kwargs": kwargs}
    )
    body = json.loads(request_line(request))["body"]
    assert body == {"input": ["hi"], "model": "text-embedding-3-small", **kwargs, "encoding_format": encoding}


def edit(**more: Any) -> Request:
    return image_edits.cell_request({"image": png(), "prompt": "red", "model": "gpt-image-2", **more})


def test_an_edit_is_json_with_its_images_as_data_urls() -> None:
    """Batches take no forms: `images` and `mask` in place of files, all else as it is."""
    mask = png("RGBA")
    request = edit(image=[png(), png(size=(4, 4))], mask=mask, model_kwargs={"size": "1024x1024", "n": 2})
    line = json.loads(request_line(request))
    assert line["url"] == "/v1/images/edits"
    body = line["body"]
    assert sorted(body) == ["images", "mask", "model", "n", "prompt", "size"]
    assert [one["image_url"][:22] for one in [*body["images"], body["mask"]]] == [
        "data:image/png;base64,"
    ] * 3
    assert body["images"][0] != body["images"][1]
    assert line["custom_id"] == request.digest.hex()


def test_one_image_to_edit_is_a_list_of_one() -> None:
    assert len(json.loads(request_line(edit()))["body"]["images"]) == 1


def test_an_edit_that_json_cannot_express_is_its_rows_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """dall-e-2 takes files alone; an image is at most 20 MiB of base64."""
    with pytest.raises(CellError, match="dall-e-2 takes images as files alone") as e:
        request_line(edit(model="dall-e-2"))
    assert e.value.errortype == "NotInBatches"
    monkeypatch.setattr(line_out, "MAX_IMAGE_URL_LENGTH", 100)
    with pytest.raises(CellError, match=r"image: got \d+ bytes, allowed in a batch") as e:
        request_line(edit())
    assert e.value.errortype == "ImageTooLarge"


def test_the_largest_image_still_fits() -> None:
    """The bound is that of the data URL, to the letter."""
    from pxt_assets.values.media import Media, MediaArgument

    most = line_out.MAX_IMAGE_URL_LENGTH
    head = len("data:image/png;base64,")
    content = png()
    padded = content + b"\0" * ((most - head) // 4 * 3 - len(content))
    argument = MediaArgument(Media(padded))
    assert len(argument.data_url) <= most
    line_out._image_url(argument, "image")
    with pytest.raises(CellError):
        line_out._image_url(MediaArgument(Media(padded + b"\0")), "image")


def test_recordings_are_no_lines() -> None:
    with pytest.raises(CellError, match="no files but images to edit"):
        request_line(Request(transcriptions.endpoint, {"model": "whisper-1", "file": "x"}))
    assert speech.endpoint.path == "/audio/speech"


def test_a_request_larger_than_a_file_is_its_rows_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_out, "MAX_LINE_BYTES", 50)
    function, arguments = REQUESTS["responses"]
    with pytest.raises(CellError, match="allowed in a batch: 50") as e:
        request_line(function.cell_request(arguments))
    assert e.value.errortype == "RequestTooLarge"
