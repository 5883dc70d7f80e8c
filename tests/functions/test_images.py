"""The image functions: what is sent, and what is made of answers."""

import base64
import json
from typing import Any

import pytest

from pxt_assets.api.request import ParsedAnswer, Usage
from pxt_assets.errors import CellError
from pxt_assets.functions import image_edits, image_generations, image_variations
from pxt_assets.values.media import Media, MediaArgument
from pxt_assets.values.types import ImageData, ImageList
from tests.pictures import mask, picture

FUNCTIONS = [image_generations, image_edits, image_variations]
GPT = ["gpt-image-2", "gpt-image-1-mini", "chatgpt-image-latest"]


def generation(**arguments: Any) -> dict[str, Any]:
    return dict(image_generations.cell_request({"prompt": "p", "model": "gpt-image-2", **arguments}).body)


def edit(**arguments: Any) -> dict[str, Any]:
    given = {"image": picture(), "prompt": "p", "model": "gpt-image-2", **arguments}
    return dict(image_edits.cell_request(given).body)


def variation(**arguments: Any) -> dict[str, Any]:
    return dict(image_variations.cell_request({"image": picture(), "model": "dall-e-2", **arguments}).body)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def answer(*images: bytes, **more: Any) -> dict[str, Any]:
    return {"created": 1_700_000_000, "data": [{"b64_json": encoded(i)} for i in images], **more}


def parse(said: Any, model: str = "gpt-image-2") -> ParsedAnswer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return image_generations.endpoint.parse(body, {"model": model})


class TestBodies:
    def test_named_arguments_and_all_others_are_sent(self):
        """`model_kwargs` and further keywords stand beside the named arguments."""
        body = generation(model_kwargs={"n": 2, "size": "1024x1024"}, output_format="webp", quality=None)
        assert body == {
            "prompt": "p",
            "model": "gpt-image-2",
            "n": 2,
            "size": "1024x1024",
            "output_format": "webp",
        }

    @pytest.mark.parametrize("model", GPT)
    def test_gpt_image_models_are_not_told_a_response_format(self, model):
        """They know none, and always answer with bytes."""
        for given in ("url", "b64_json", None):
            assert "response_format" not in generation(model=model, response_format=given)
        assert "response_format" not in edit(model=model, model_kwargs={"response_format": "b64_json"})

    @pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
    def test_models_that_know_it_are_asked_for_bytes(self, model):
        """Unless something else is asked for: a link is fetched."""
        assert generation(model=model)["response_format"] == "b64_json"
        assert generation(model=model, response_format="url")["response_format"] == "url"

    def test_dall_e_2_is_asked_for_bytes_by_all_functions(self):
        """Edits and variations, too."""
        assert edit(model="dall-e-2")["response_format"] == "b64_json"
        assert variation()["response_format"] == "b64_json"

    def test_other_servers_models_are_sent_what_is_given(self):
        """It is not known what they know."""
        assert "response_format" not in generation(model="flux")
        assert generation(model="flux", response_format="url")["response_format"] == "url"

    @pytest.mark.parametrize("prompt", [3, ["a"], None, b"x", Media(b"x")])
    def test_a_prompt_is_text(self, prompt):
        """The message says what was got."""
        with pytest.raises(CellError, match=r"image_generations: prompt: got .*allowed: text"):
            generation(prompt=prompt)


class TestEdits:
    def test_an_image_and_a_mask_are_files(self):
        """Beside the prompt."""
        body = edit(mask=mask())
        assert body["image"] == MediaArgument(Media(picture()))
        assert body["mask"].media.content == mask()
        assert "mask" not in edit()

    def test_several_images_stay_in_order(self):
        """Up to 16."""
        images = [picture("red"), picture("blue")]
        assert [i.media.content for i in edit(image=images)["image"]] == images
        for count in (0, 17):
            with pytest.raises(CellError, match=f"got {count} images, allowed: 1 to 16"):
                edit(image=[picture()] * count)

    def test_dall_e_2_takes_one_square_png(self):
        """Whatever the others take."""
        assert edit(model="dall-e-2", image=picture(format="JPEG"))["image"].mime_type == "image/png"
        with pytest.raises(CellError, match="allowed by dall-e-2: a square"):
            edit(model="dall-e-2", image=picture(size=(64, 32)))
        with pytest.raises(CellError, match="by dall-e-2: 1"):
            edit(model="dall-e-2", image=[picture()] * 2)

    def test_a_mask_belongs_to_the_first_image(self):
        """Its size is what counts."""
        assert edit(image=[picture(), picture(size=(8, 8))], mask=mask())["mask"]
        with pytest.raises(CellError, match="allowed: those of the image, 8x8"):
            edit(image=[picture(size=(8, 8)), picture()], mask=mask())

    @pytest.mark.parametrize("bad", [None, "https://h/a.png", "a.png", 3, b""])
    def test_anything_else_is_the_rows_error(self, bad):
        """Among several images, too."""
        for given in (bad, [picture(), bad]):
            with pytest.raises(CellError, match="image_edits: image: got"):
                edit(image=given)

    def test_equal_images_make_equal_requests(self):
        """The content names them, and the order."""
        digest = [
            image_edits.cell_request({"image": image, "prompt": "p", "model": "gpt-image-2"}).digest
            for image in (
                picture(),
                Media(picture(), "a.png"),
                [picture()],
                [picture("blue"), picture()],
                [picture(), picture("blue")],
            )
        ]
        assert digest[0] == digest[1]
        assert len(set(digest)) == 4


class TestAnswers:
    def test_images_in_the_answer_are_bytes(self):
        """Named by their order and format, beside when they were made and what they took."""
        usage = {"input_tokens": 5, "output_tokens": 100, "input_tokens_details": {"image_tokens": 3}}
        images = [picture(), picture(format="JPEG"), picture(format="WEBP")]
        parsed = parse(answer(*images, usage=usage))
        named = ["image-0.png", "image-1.jpeg", "image-2.webp"]
        data = [Media(i, name) for i, name in zip(images, named, strict=True)]
        assert parsed.values == [{"created": 1_700_000_000, "data": data, "usage": usage}]
        assert parsed.usage == Usage(5, 100, image_tokens=3)
        assert parsed.model == "gpt-image-2"

    def test_links_are_to_be_fetched(self):
        """In their order, among images that are there."""
        said = answer(picture("red"))
        said["data"] = [{"url": "https://h/1"}, *said["data"], {"url": "https://h/2"}]
        parsed = parse(said)
        assert parsed.urls == ["https://h/1", "https://h/2"]
        assert parsed.values_with_downloads is not None
        (value,) = parsed.values_with_downloads([picture("blue"), picture("green")])
        assert [i.content for i in value["data"]] == [picture("blue"), picture("red"), picture("green")]

    def test_data_urls_need_not_be_fetched(self):
        """As some other servers answer."""
        parsed = parse({"data": [{"url": f"data:image/png;base64,{encoded(picture())}"}]})
        assert not parsed.urls
        assert parsed.values[0]["data"] == [Media(picture(), "image-0.png")]

    def test_what_a_link_leads_to_must_be_an_image(self):
        """A page of a login is none."""
        completed = parse({"data": [{"url": "https://h/1"}]}).values_with_downloads
        assert completed is not None
        with pytest.raises(ValueError, match="something else than an image"):
            completed([b"<html>"])

    @pytest.mark.parametrize(
        "said",
        [
            {},
            [],
            "x",
            {"data": None},
            {"data": []},
            {"data": {}},
            {"data": [None]},
            {"data": ["x"]},
            {"data": [{}]},
            {"data": [{"b64_json": "%%%"}]},
            {"data": [{"b64_json": 5}]},
            {"data": [{"b64_json": encoded(b"<html>")}]},
            {"data": [{"b64_json": None, "error": {"code": "moderation_blocked"}}, {"b64_json": ""}]},
            {"data": [{"url": None}]},
            {"data": [{"url": 5}]},
            b"<html>",
            b"",
            b"\xff\xfe",
        ],
        ids=repr,
    )
    def test_another_body_is_no_answer(self, said):
        """These are the errors that the client turns into the cell's."""
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            parse(said)

    @pytest.mark.parametrize(
        ("created", "kept"),
        [(1.9, 1), ("now", None), (None, None), (10**30, None), (-1, -1), (1e300, None)],
    )
    def test_an_odd_date_cannot_lose_the_images(self, created, kept):
        """They are paid for."""
        assert parse(answer(picture(), created=created)).values[0]["created"] == kept

    def test_odd_figures_cannot_lose_the_images(self):
        """What no column can hold is null."""
        body = json.dumps(answer(picture()))[:-1] + ', "usage": {"input_tokens": NaN, "x": 1e999, "y": 1.5}}'
        assert parse(body.encode()).values[0]["usage"] == {"input_tokens": None, "x": None, "y": 1.5}

    @pytest.mark.parametrize("usage", [None, "x", [], {}, {"input_tokens": "many"}])
    def test_usage_may_be_missing(self, usage):
        """Then it is unknown, not zero."""
        assert parse(answer(picture(), usage=usage)).usage is None


class TestTypes:
    def test_paths_into_a_result_know_what_they_lead_to(self):
        """One image, or several, or the usage, which is JSON."""
        call = image_generations("p", model="gpt-image-2")
        assert call._type is ImageData
        assert call.data[0]._type.__name__ == "Image"
        assert call.data._type is ImageList
        assert call.data["*"]._type is ImageList
        assert call.data[0:2]._type is ImageList
        assert call.usage.input_tokens._type.__name__ == "Int"

    @pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
    def test_they_are_paced_at_a_configured_rate(self, function):
        """The endpoints send no rate-limit headers."""
        assert not function.endpoint.sends_limits

    @pytest.mark.parametrize("function", [image_edits, image_variations], ids=lambda f: f.name)
    def test_those_that_take_images_upload_them(self, function):
        """As a form."""
        assert function.endpoint.uploads
