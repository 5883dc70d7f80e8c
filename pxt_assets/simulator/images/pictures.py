"""POST /v1/images/generations, /edits and /variations: pictures that show what they were asked for.

A picture shows the text of its prompt.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from PIL import Image

from pxt_assets.simulator.endpoint.endpoint import CREATED, MARK, Answer, Upload, estimate_tokens
from pxt_assets.simulator.endpoint.models import is_gpt_image
from pxt_assets.simulator.images.arguments import (
    ImageOptions,
    parse_form_values,
    read_image_model,
    read_options,
    read_prompt,
)
from pxt_assets.simulator.images.compose import draw_edit, draw_variation, size_for_edit
from pxt_assets.simulator.images.draw import draw_text, encode_image
from pxt_assets.simulator.images.served_files import url_of
from pxt_assets.simulator.images.uploads import form_from_json, read_edit_area, read_images

_COMMON = frozenset(("model", "n", "response_format", "size", "user"))
_OF_GPT_IMAGE = frozenset(
    ("background", "output_compression", "output_format", "partial_images", "quality", "stream")
)
KNOWN_TO_GENERATIONS = _COMMON | _OF_GPT_IMAGE | {"moderation", "prompt", "style"}
KNOWN_TO_EDITS = _COMMON | _OF_GPT_IMAGE | {"image", "input_fidelity", "mask", "moderation", "prompt"}
KNOWN_TO_VARIATIONS = _COMMON | {"image"}
"""Every top-level argument of the API."""

_SQUARE = 1024 * 1024
_OUTPUT_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
"""Tokens of a square picture, by quality, as the API bills them; other sizes go by their area."""

_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class ImageCall:
    """A valid request for pictures."""

    options: ImageOptions
    size: tuple[int, int]
    draw: Callable[[int], Image.Image]
    """Draws the picture of a number from 0 to n - 1."""
    prompt: str = ""
    image_tokens: int = 0
    """Tokens of the pictures in the request."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.options.model

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """No tokens: the simulator limits pictures by requests only."""
        return 0

    def answer(self, digest: str) -> Answer:
        """The pictures, as base64 or as files that the answer points to."""
        options = self.options
        contents = [
            encode_image(self.draw(index), options.format, options.compression) for index in range(options.n)
        ]
        files = [
            Upload(f"img-{digest}-{index}.{options.format}", _TYPES[options.format], content)
            for index, content in enumerate(contents)
            if options.as_url
        ]
        data: list[dict[str, Any]] = [{"url": url_of(file.filename)} for file in files]
        data = data or [{"b64_json": b64encode(content).decode()} for content in contents]
        if self.model == "dall-e-3":
            for picture in data:
                picture["revised_prompt"] = MARK + self.prompt
        body: dict[str, Any] = {"created": CREATED, "data": data}
        input_tokens = output_tokens = 0
        if is_gpt_image(self.model):
            usage = self._usage()
            input_tokens, output_tokens = usage["input_tokens"], usage["output_tokens"]
            body |= {
                "background": "transparent" if options.transparent else "opaque",
                "output_format": options.format,
                "quality": options.quality,
                "size": f"{self.size[0]}x{self.size[1]}",
                "usage": usage,
            }
        return Answer(
            json.dumps(body).encode(), input_tokens, output_tokens, inputs=len(data), files=tuple(files)
        )

    def _usage(self) -> dict[str, Any]:
        text_tokens = estimate_tokens(len(self.prompt))
        area = self.size[0] * self.size[1]
        output_tokens = self.options.n * ceil(_OUTPUT_TOKENS[self.options.quality] * area / _SQUARE)
        input_tokens = text_tokens + self.image_tokens
        return {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
            "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": self.image_tokens},
        }


def read_generation_call(body: dict[str, Any]) -> ImageCall:
    """The call that `body` asks for. Raises a `SimulatedError` for one that the API would refuse."""
    model = read_image_model(body, "images/generations", "dall-e-2")
    options = read_options(body, model, KNOWN_TO_GENERATIONS)
    prompt = read_prompt(body, model)
    size = options.size or (1024, 1024)

    def draw(index: int) -> Image.Image:
        return draw_text(prompt, size, variant=index, transparent=options.transparent)

    return ImageCall(options, size, draw, prompt)


def read_edit_call(body: dict[str, Any]) -> ImageCall:
    """The call that a form, or the same in JSON, asks for. Raises a `SimulatedError` as the API would."""
    body = form_from_json(body) if "images" in body else parse_form_values(body)
    model = read_image_model(body, "images/edits", "gpt-image-1.5")
    options = read_options(body, model, KNOWN_TO_EDITS)
    prompt = read_prompt(body, model)
    images = read_images(body, model)
    edit_area = read_edit_area(body, images[0])
    size = options.size or size_for_edit(images[0])
    tokens = sum(_input_tokens(image, high_fidelity=options.high_fidelity) for image in images)

    def draw(index: int) -> Image.Image:
        return draw_edit(images, edit_area, prompt, size, index)

    return ImageCall(options, size, draw, prompt, tokens)


def read_variation_call(body: dict[str, Any]) -> ImageCall:
    """The call that a form asks for. Raises a `SimulatedError` for one that the API would refuse."""
    body = parse_form_values(body)
    model = read_image_model(body, "images/variations", "dall-e-2")
    options = read_options(body, model, KNOWN_TO_VARIATIONS)
    [image] = read_images(body, model)
    size = options.size or (1024, 1024)

    def draw(index: int) -> Image.Image:
        return draw_variation(image, size, index)

    return ImageCall(options, size, draw)


def _input_tokens(image: Image.Image, *, high_fidelity: bool) -> int:
    """Tokens of a picture in a request: 65, and 129 for each tile of 512 pixels once its short side is 512.

    In high fidelity, 4,160 more for a square picture and 6,240 for any other.
    """
    short, long = sorted(image.size)
    tokens = 65 + 129 * ceil(long / short)
    if high_fidelity:
        tokens += 4160 if long == short else 6240
    return tokens
