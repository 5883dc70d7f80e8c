"""Images inside messages: what is sent for them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions import chat_completions, messages, responses
from pxt_assets.functions.messages import sendable_image, with_images
from pxt_assets.values.media import Media, MediaArgument, open_image
from tests.pictures import animation, picture


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def chat(image: Any, **part: Any) -> Any:
    """What stands at image_url of a chat's message."""
    content = [{"type": "image_url", "image_url": image, **part}]
    request = chat_completions.cell_request(
        {"messages": [{"role": "user", "content": content}], "model": "m"}
    )
    return sent(request)["messages"][0]["content"][0]["image_url"]


def response(image: Any, **part: Any) -> Any:
    """What stands at image_url of an input of responses, and the whole part."""
    content = [{"type": "input_image", "image_url": image, **part}]
    request = responses.cell_request({"input": [{"role": "user", "content": content}], "model": "m"})
    return sent(request)["input"][0]["content"][0]


def sent(request: Any) -> Any:
    return json.loads(request.payload)


JPEG = picture(format="JPEG")


class TestForms:
    @pytest.mark.parametrize(
        "image",
        [
            JPEG,
            bytearray(JPEG),
            Media(JPEG, "a.jpg"),
            {"bytes": JPEG, "path": None},
            {"url": Media(JPEG)},
            {"url": JPEG},
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_an_image_is_sent_as_a_data_url(self, image):
        """Its bytes as they are, a JPEG as a JPEG, whichever way it is given."""
        if isinstance(image, dict) and "bytes" in image:
            image = {"url": image}
        assert chat(image) == {"url": data_url(JPEG, "jpeg")}

    def test_the_responses_api_takes_the_url_alone(self):
        """And says how closely to look, which it requires."""
        assert response(Media(JPEG)) == {
            "type": "input_image",
            "image_url": data_url(JPEG, "jpeg"),
            "detail": "auto",
        }
        assert response(Media(JPEG), detail="low")["detail"] == "low"

    def test_what_stands_beside_the_url_is_kept(self):
        """`detail` is the API's."""
        assert chat({"url": Media(JPEG), "detail": "low"}) == {
            "url": data_url(JPEG, "jpeg"),
            "detail": "low",
        }

    def test_a_pil_image_keeps_its_format(self):
        """One that was opened from a JPEG is not blown up to a PNG; one made in memory is a PNG."""
        assert chat(open_image(JPEG))["url"].startswith("data:image/jpeg;base64,")
        assert chat(PIL.Image.new("RGB", (2, 2)))["url"].startswith("data:image/png;base64,")

    @pytest.mark.parametrize("url", ["https://h/a.png?x=1", "HTTPS://h/a", "data:image/png;base64,xx"])
    def test_a_url_is_sent_as_it_is(self, url):
        """The API fetches it; this machine does not."""
        assert chat(url) == {"url": url}
        assert chat({"url": url}) == {"url": url}
        assert response(url)["image_url"] == url

    def test_a_url_of_an_image_column_is_sent_as_it_is(self):
        """Where such a column holds URLs."""
        assert chat(Media(None, url="https://h/a.png")) == {"url": "https://h/a.png"}

    def test_an_image_by_the_id_of_a_file_is_left_alone(self):
        """It has no URL."""
        part = {"type": "input_image", "file_id": "file-1", "image_url": None}
        request = responses.cell_request({"input": [{"role": "user", "content": [part]}], "model": "m"})
        assert sent(request)["input"][0]["content"] == [part]

    def test_messages_without_parts_are_left_alone(self):
        """Nothing is copied."""
        items = [{"role": "user", "content": "Hi"}, {"role": "assistant"}]
        assert with_images(items, MediaArgument) is items  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "content",
        [
            Media(JPEG),
            [Media(JPEG)],
            [{"type": "text", "text": Media(JPEG)}],
            [{"type": "file", "file": Media(JPEG)}],
        ],
        ids=["content", "part", "text", "file"],
    )
    def test_an_image_in_another_place_is_refused(self, content):
        """The message says where the API takes one, and quotes none of it."""
        with pytest.raises(CellError, match="only where the API takes one, at image_url") as e:
            chat_completions.cell_request({"messages": [{"role": "user", "content": content}], "model": "m"})
        assert len(e.value.message) < 300


class TestPaths:
    def test_text_of_a_table_is_no_path(self, tmp_path):
        """Only schema= makes it one."""
        (tmp_path / "a.png").write_bytes(picture())
        for text in (str(tmp_path / "a.png"), "a.png", ""):
            with pytest.raises(CellError, match="a path is read from a column that schema= declares"):
                chat(text)

    def test_a_constant_path_is_read(self, tmp_path):
        """A path in code is none of a table's; it is read when the column is computed."""
        (tmp_path / "a.jpg").write_bytes(JPEG)
        for given in (str(tmp_path / "a.jpg"), Path(tmp_path / "a.jpg"), {"url": str(tmp_path / "a.jpg")}):
            call = _call(given)
            assert sent(call._function.cell_request(call._arguments))["messages"][0]["content"][0][
                "image_url"
            ] == {"url": data_url(JPEG, "jpeg")}

    def test_a_constant_path_that_is_not_there_is_told_in_the_run(self):
        """Definitions may load on another machine."""
        call = _call("nowhere/a.png")
        with pytest.raises(CellError, match=r"'nowhere/a.png' is no file"):
            call._function.cell_request(call._arguments)

    def test_a_path_elsewhere_is_refused_at_once(self):
        """It would fail every row."""
        with pytest.raises(DefinitionError, match="outside of image_url"):
            chat_completions([{"role": "user", "content": Path("a.png")}], model="m")


def _call(image: Any) -> Any:
    content = [{"type": "image_url", "image_url": image}]
    return chat_completions([{"role": "user", "content": content}], model="m")


class TestSendable:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
    def test_what_the_api_takes_is_sent_as_it_is(self, format):
        """Not even opened, but for a GIF."""
        media = Media(picture(format=format))
        assert sendable_image(media) is media

    @pytest.mark.parametrize(("format", "mode"), [("BMP", "RGB"), ("TIFF", "CMYK"), ("TIFF", "I;16")])
    def test_other_formats_become_png(self, format, mode):
        """Whatever their mode."""
        assert sendable_image(Media(picture(0, format=format, mode=mode))).format == "png"

    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_several_images_in_a_file_are_refused_however_they_are_given(self, format):
        """As bytes, as an open image, or as a data URL, none but the first would be seen."""
        content = animation(format, frames=3)
        for image in (content, open_image(content), data_url(content, format.lower())):
            for send in (chat, response):
                with pytest.raises(CellError, match=r"of 3 (frames|pages).*or give each its own image_url"):
                    send(image)

    def test_a_data_url_that_cannot_be_read_is_left_to_the_api(self):
        """So is one of a single image in a format that the API may not take."""
        for url in (
            "data:image/gif;base64,%%%",
            "data:image/png,abc",
            data_url(picture(format="TIFF"), "tiff"),
        ):
            assert chat(url) == {"url": url}

    def test_an_animated_gif_is_refused(self):
        """The API does, too, but later."""
        with pytest.raises(CellError, match="animated GIF"):
            sendable_image(Media(animation()))

    @pytest.mark.parametrize(
        "content",
        [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0\0\0\x20ftypheic" + bytes(64), b"%PDF-1.7"],
    )
    def test_what_is_no_image_that_can_be_sent(self, content):
        """A cell's error, before anything is sent."""
        with pytest.raises(CellError, match="no image that can be opened"):
            sendable_image(Media(content))

    def test_an_image_over_the_apis_limit_says_so(self, monkeypatch):
        """With both sizes, and what to do."""
        monkeypatch.setattr(messages, "MAX_IMAGE_BYTES", 100)
        with pytest.raises(CellError, match=r"of 152 bytes, allowed: 100; make it smaller") as e:
            chat(picture())
        assert e.value.errortype == "ImageTooLarge"

    def test_an_image_that_is_too_large_as_png_says_so_too(self, monkeypatch):
        """A JPEG inside a TIFF is smaller than what is sent of it."""
        tiff = io.BytesIO()
        PIL.Image.effect_noise((64, 64), 90).convert("RGB").save(tiff, "TIFF", compression="jpeg")
        monkeypatch.setattr(messages, "MAX_IMAGE_BYTES", len(tiff.getvalue()))
        with pytest.raises(CellError, match="make it smaller"):
            sendable_image(Media(tiff.getvalue()))

    def test_more_images_than_a_request_may_have(self, monkeypatch):
        """Counted over all messages."""
        monkeypatch.setattr(messages, "MAX_IMAGES", 2)
        part = {"type": "image_url", "image_url": "https://h/a.png"}
        items = [{"role": "user", "content": [part]}, {"role": "user", "content": [part, part]}]
        with pytest.raises(CellError, match="got 3 images, allowed: 2"):
            chat_completions.cell_request({"messages": items, "model": "m"})


class TestDigest:
    def test_the_content_names_the_request(self):
        """Not where it came from, nor in which form it was given."""
        named = {_digest(v) for v in (JPEG, Media(JPEG, "a.jpg"), Media(JPEG, "b.jpg"), {"url": JPEG})}
        assert len(named) == 1
        assert _digest(picture("blue")) not in named

    def test_a_request_holds_its_images_once(self):
        """As bytes, not as text, which is made when it is sent; beside the text around it."""
        request = chat_completions.cell_request(_arguments(Media(JPEG)))
        assert request.memory_bytes == len(JPEG) + len(request._json_with_gaps[0])
        assert b"base64" not in request._json_with_gaps[0]


def _arguments(image: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": image}]
    return {"messages": [{"role": "user", "content": content}], "model": "m"}


def _digest(image: Any) -> bytes:
    return chat_completions.cell_request(_arguments(image)).digest


class TestPathsOutOfTables:
    @pytest.mark.parametrize(
        "image",
        [
            {"url": {"path": "PRIVATE"}},
            {"url": {"bytes": None, "path": "PRIVATE"}},
            {"bytes": None, "path": "PRIVATE"},
            {"url": {"path": "file://PRIVATE"}},
            "PRIVATE",
            "file://PRIVATE",
        ],
    )
    def test_no_path_of_undeclared_data_is_read(self, tmp_path, image):
        """A whole message may come out of a column of JSON: nothing in it chooses what is read here."""
        private = tmp_path / "private.png"
        private.write_bytes(picture())
        given = json.loads(json.dumps(image).replace("PRIVATE", str(private)))
        part = {"type": "image_url", "image_url": given}
        with pytest.raises(CellError, match=r"not declared|allowed: an http|allowed: bytes"):
            chat_completions.cell_request({"messages": [{"role": "user", "content": [part]}], "model": "m"})
