"""`image_generations`, `image_edits`, `image_variations`: images from a prompt or from another image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pxt_assets.api.request import Endpoint, ParsedAnswer
from pxt_assets.api.stated_usage import model_of
from pxt_assets.api.token_usage import images_usage
from pxt_assets.errors import CellError
from pxt_assets.functions.declare import api_function, require_text, short_repr, with_kwargs
from pxt_assets.functions.uploads import file_arguments_adapter, image_upload, mask_upload, square_upload
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values import base64_text
from pxt_assets.values.json_text import loads_answer
from pxt_assets.values.media import Media
from pxt_assets.values.sniff import IMAGE_FORMATS
from pxt_assets.values.types import ImageData

MAX_IMAGES = 16
"""Images an edit. Source: https://platform.openai.com/docs/api-reference/images/createEdit"""
_OUTPUT_TOKENS_PER_IMAGE = 4_160
"""Output tokens of a large image of high quality. Source: https://platform.openai.com/docs/guides/image-generation"""
_ANSWER_BYTES_PER_IMAGE = 12 * 2**20
"""Of base64: a PNG of 3840 x 2160, or one of 1536 x 1024 with much detail in it."""
_DATA_URL = re.compile(r"\s*data:[^,;]*(?:;[^,;]*)*,", re.IGNORECASE)
_URL_ALPHABET = str.maketrans("-_", "+/")
_SHAPE = {
    "properties": {
        "created": {"type": "integer"},
        "data": {"items": {"type": "image"}},
        "usage": {
            "properties": {
                "input_tokens": {"type": "integer"},
                "output_tokens": {"type": "integer"},
                "total_tokens": {"type": "integer"},
            }
        },
    }
}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer = loads_answer(body)
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not items:
        msg = "the answer holds no images"
        raise ValueError(msg)
    sources = [_bytes_or_url(item) for item in items]
    urls = [one for one in sources if isinstance(one, str)]

    def value(fetched: Sequence[bytes | None]) -> Sequence[Any]:
        remaining = iter(fetched)
        contents = [next(remaining) if isinstance(one, str) else one for one in sources]
        images = [_image_or_none(content, i) for i, content in enumerate(contents)]
        if not any(images):
            msg = f"the answer holds no image, but {_what_instead(items, contents)}"
            raise ValueError(msg)
        return [{"created": _created_at(answer), "data": images, "usage": answer.get("usage")}]

    usage, model = images_usage(answer, request), model_of(answer) or str(request["model"])
    if urls:
        return ParsedAnswer((), usage, model, urls=urls, values_with_downloads=value)
    return ParsedAnswer(value(()), usage, model)


def _bytes_or_url(item: object) -> bytes | str | None:
    """An image's bytes, or the URL to fetch them from; None where an item has neither, as one that was filtered."""
    encoded, url = (item.get("b64_json"), item.get("url")) if isinstance(item, Mapping) else (None, None)
    if encoded and isinstance(encoded, str):
        return _from_base64(encoded)
    if not url or not isinstance(url, str):
        return None
    return _from_base64(url) if _DATA_URL.match(url) else url


def _from_base64(text: str) -> bytes | None:
    """The bytes of base64, also of a data URL, of the alphabet for URLs, or without its padding; None for other text."""
    with suppress(ValueError):
        return base64_text.decode(text)  # of many megabytes, mostly as it should be
    letters = re.sub(r"[\s=]+", "", text[inline.end() :] if (inline := _DATA_URL.match(text)) else text)
    try:
        return base64_text.decode(letters.translate(_URL_ALPHABET) + "=" * (-len(letters) % 4))
    except ValueError:
        return None


def _what_instead(items: Sequence[object], contents: Sequence[bytes | None]) -> str:
    """What an answer without any image holds, for a message."""
    if any(contents):
        return "something else than an image"
    shown = (
        {k: v for k, v in items[0].items() if v is not None} if isinstance(items[0], Mapping) else items[0]
    )
    return f"an item that has neither an image nor its URL: {short_repr(shown)}"


def _created_at(answer: Mapping[str, Any]) -> int | None:
    """Seconds since 1970, None if a server says something else: no reason to lose the images."""
    created = answer.get("created")
    return int(created) if isinstance(created, int | float) and abs(created) < 2**62 else None


def _image_or_none(content: bytes | None, i: int) -> Media | None:
    """The image, None where there is none: no reason to lose the others, which are paid for."""
    image = Media(content)
    return Media(content, f"image-{i}.{image.format}") if image.format in IMAGE_FORMATS else None


def _size(body: Mapping[str, Any]) -> RequestSize:
    return request_size(len(body.get("prompt", "")))


def _with_bytes_format(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with a `response_format` that asks for bytes, if the model has one: links to images last an hour only."""
    model = str(body["model"])
    if model.startswith(("gpt-image", "chatgpt-image")):
        return {k: v for k, v in body.items() if k != "response_format"}
    if model.startswith("dall-e") and body.get("response_format") is None:
        return {**body, "response_format": "b64_json"}
    return body


_GENERATIONS = Endpoint(
    "/images/generations",
    parse=_parse,
    size=_size,
    sends_limits=False,
    costly=True,
    answer_tokens=_OUTPUT_TOKENS_PER_IMAGE,
    answer_bytes=_ANSWER_BYTES_PER_IMAGE,
)
_EDITS = Endpoint(
    "/images/edits",
    parse=_parse,
    size=_size,
    sends_limits=False,
    costly=True,
    answer_tokens=_OUTPUT_TOKENS_PER_IMAGE,
    answer_bytes=_ANSWER_BYTES_PER_IMAGE,
    uploads=True,
)
_VARIATIONS = Endpoint(
    "/images/variations",
    parse=_parse,
    size=_size,
    sends_limits=False,
    costly=True,
    answer_tokens=_OUTPUT_TOKENS_PER_IMAGE,
    answer_bytes=_ANSWER_BYTES_PER_IMAGE,
    uploads=True,
)


@api_function(_GENERATIONS, returns=ImageData, shape=_SHAPE)
def image_generations(
    prompt: Any, *, model: Any, model_kwargs: Any = None, **kwargs: Any
) -> Mapping[str, Any]:
    """Images of a prompt: the API's `images/generations`, as `{"created", "data": [image, ...], "usage"}`.

    Of several images, one that was filtered or cannot be fetched is null in its place; the others are kept.

    Paced at the requests a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    Args:
        prompt: the text.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict: `{"n": 2, "size": "1024x1024"}`. GPT image models know no
            `response_format`, so it is not sent to them; whatever comes, bytes or links, is stored as bytes.
        kwargs: other arguments of the API, one by one: `output_format="webp"`.

    Example:
        ```python
        tbl.add_computed_column(drawn=image_generations(tbl.text, model="gpt-image-2"))
        tbl.add_computed_column(picture=tbl.drawn.data[0])
        ```

    Source: https://platform.openai.com/docs/api-reference/images/create
    """
    body = {"prompt": require_text(prompt, "prompt"), "model": model}
    return _with_bytes_format(with_kwargs(body, model_kwargs, kwargs))


@api_function(_EDITS, returns=ImageData, shape=_SHAPE, adapt=file_arguments_adapter("image", "mask"))
def image_edits(
    image: Any, *, prompt: Any, model: Any, mask: Any = None, model_kwargs: Any = None, **kwargs: Any
) -> Mapping[str, Any]:
    """An image changed as a prompt says: the API's `images/edits`, as `{"created", "data": [image, ...], "usage"}`.

    Paced at the requests a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    Args:
        image: the image, or a list of up to 16; under 50 MB each (dall-e-2: one, square, under 4 MB). PNG, JPEG and
            WebP are sent as they are, other formats as PNG. A file of several pages or frames is its row's error: give
            them as a list.
        prompt: the text.
        model: the model's name.
        mask: an image of the same size with an alpha channel, transparent where to edit; under 4 MB.
        model_kwargs: other arguments of the API, as a dict.
        kwargs: other arguments of the API, one by one: `quality="high"`.

    Example:
        ```python
        tbl.add_computed_column(
            edited=image_edits(tbl.image, prompt="Add a sunset background", model="gpt-image-2")
        )
        ```

    Source: https://platform.openai.com/docs/api-reference/images/createEdit
    """
    upload = square_upload if model == "dall-e-2" else image_upload
    given = image if isinstance(image, list | tuple) else [image]
    if not 0 < len(given) <= (1 if model == "dall-e-2" else MAX_IMAGES):
        msg = f"image: got {len(given)} images, allowed: 1 to {MAX_IMAGES}, by dall-e-2: 1"
        raise CellError("ValueError", msg)
    images = [upload(one) for one in given]
    body: dict[str, Any] = {
        "image": images if isinstance(image, list | tuple) else images[0],
        "prompt": require_text(prompt, "prompt"),
        "model": model,
    }
    if mask is not None:
        body["mask"] = mask_upload(mask, images[0])
    return _with_bytes_format(with_kwargs(body, model_kwargs, kwargs))


@api_function(_VARIATIONS, returns=ImageData, shape=_SHAPE, adapt=file_arguments_adapter("image"))
def image_variations(image: Any, *, model: Any, model_kwargs: Any = None, **kwargs: Any) -> Mapping[str, Any]:
    """Variations of an image: the API's `images/variations`, as `{"created", "data": [image, ...], "usage"}`.

    Only dall-e-2 has them, which OpenAI retired in May 2026; other servers may still offer them. Paced at the requests
    a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    Args:
        image: the image: square, under 4 MB as PNG, which is what it is sent as.
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict.
        kwargs: other arguments of the API, one by one: `n=2`.

    Example:
        ```python
        tbl.add_computed_column(variation=image_variations(tbl.image, model="dall-e-2"))
        ```

    Source: https://platform.openai.com/docs/api-reference/images/createVariation
    """
    return _with_bytes_format(
        with_kwargs({"image": square_upload(image), "model": model}, model_kwargs, kwargs)
    )
