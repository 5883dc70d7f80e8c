"""The arguments of the image endpoints: which model takes which of them, and with which values."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    SimulatedError,
    bad_request,
    missing_parameter,
    not_simulated_error,
    wrong_type,
    wrong_value,
)
from pxt_assets.simulator.endpoint.models import is_gpt_image, is_served_at

DALL_E_2_SIZES = ("256x256", "512x512", "1024x1024")
DALL_E_3_SIZES = ("1024x1024", "1024x1792", "1792x1024")
GPT_IMAGE_SIZES = ("1024x1024", "1024x1536", "1536x1024")

_GPT_IMAGE_ONLY = frozenset(
    (
        "background",
        "input_fidelity",
        "moderation",
        "output_compression",
        "output_format",
        "partial_images",
        "quality",
        "stream",
    )
)
_DALL_E_ONLY = frozenset(("response_format", "style"))

_PROMPT_LENGTHS = {"dall-e-2": 1000, "dall-e-3": 4000}
_LONGEST_PROMPT = 32_000

_WIDTH_BY_HEIGHT = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_ANY_SIZE = re.compile(r"gpt-image-(?!1\b)")
_STEP = 16
_LONGEST_EDGE = 3840
_FEWEST_PIXELS = 655_360
_MOST_PIXELS = 3840 * 2160


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """The options of a request for pictures."""

    model: str
    n: int
    size: tuple[int, int] | None
    """Width and height in pixels; None if the model is to choose."""
    quality: str
    as_url: bool
    format: str
    """Format of the files: "png", "jpeg" or "webp"."""
    compression: int
    transparent: bool
    high_fidelity: bool
    """Whether input images are read in high fidelity, which costs tokens."""


def parse_form_values(form: dict[str, Any]) -> dict[str, Any]:
    """A form with its numbers and booleans converted, since its text fields are all strings."""
    values = dict(form)
    for name in ("n", "output_compression", "partial_images"):
        if isinstance(form.get(name), str) and re.fullmatch(r"-?\d{1,9}", form[name]):
            values[name] = int(form[name])
    if form.get("stream") in ("true", "false"):
        values["stream"] = form["stream"] == "true"
    return values


def read_image_model(body: dict[str, Any], endpoint: str, default: str) -> str:
    """The model, which may be unknown. Raises a 400 for one that draws at another endpoint only."""
    model = arguments.read_model({**body, "model": body.get("model") or default})
    if is_served_at(endpoint, model) or not is_served_at("images/generations", model):
        return model
    if endpoint == "images/variations":
        raise bad_request(
            f"Invalid value: '{model}'. Value must be 'dall-e-2'.", code="invalid_value", param="model"
        )
    raise wrong_value("model", model, ("gpt-image-1.5", "gpt-image-2", "dall-e-2"))


def read_prompt(body: dict[str, Any], model: str) -> str:
    """The prompt, which must not be empty, nor longer than the model takes."""
    prompt = body.get("prompt")
    if prompt is None:
        raise missing_parameter("prompt")
    arguments.check_string(body, "prompt", _PROMPT_LENGTHS.get(model, _LONGEST_PROMPT))
    if not prompt:
        raise bad_request(
            "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            code="empty_string",
            param="prompt",
        )
    return str(prompt)


def read_options(body: dict[str, Any], model: str, known: Collection[str]) -> ImageOptions:
    """The options in `body`, each argument of which must be `known` to its endpoint, and to `model`."""
    _refuse_unknown(body, model, known)
    arguments.check_string(body, "user")
    arguments.check_word(body, "response_format", ("url", "b64_json"))
    arguments.check_word(body, "style", ("vivid", "natural"))
    arguments.check_word(body, "moderation", ("low", "auto"))
    arguments.check_word(body, "background", ("transparent", "opaque", "auto"))
    arguments.check_word(body, "input_fidelity", ("high", "low"))
    arguments.check_word(body, "output_format", ("png", "jpeg", "webp"))
    _refuse_streams(body)
    format = body.get("output_format") or "png"
    return ImageOptions(
        model,
        arguments.read_integer(body, "n", 1, 1 if model == "dall-e-3" else 10) or 1,
        _read_size(body, model),
        _read_quality(body, model),
        not is_gpt_image(model) and body.get("response_format") != "b64_json",
        format,
        _read_compression(body, format),
        _read_transparent(body, model, format),
        body.get("input_fidelity") == "high",
    )


def _refuse_unknown(body: dict[str, Any], model: str, known: Collection[str]) -> None:
    """Raise a 400 for the first argument that the API, or the model, does not know."""
    if is_gpt_image(model):
        foreign = _DALL_E_ONLY
    elif model == "dall-e-3":
        foreign = _GPT_IMAGE_ONLY - {"quality"}
    else:
        foreign = _GPT_IMAGE_ONLY | {"style"}
    for name, value in sorted(body.items()):
        if name not in known or (name in foreign and value is not None):
            raise bad_request(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def _refuse_streams(body: dict[str, Any]) -> None:
    if arguments.read_boolean(body, "stream"):
        raise not_simulated_error("stream", "Streaming")
    if arguments.read_integer(body, "partial_images", 0, 3):
        raise not_simulated_error("partial_images", "Streaming")


def _read_size(body: dict[str, Any], model: str) -> tuple[int, int] | None:
    size = body.get("size")
    if size is None or (size == "auto" and is_gpt_image(model)):
        return None if is_gpt_image(model) else (1024, 1024)
    if model == "dall-e-2":
        arguments.check_word(body, "size", DALL_E_2_SIZES)
    elif model == "dall-e-3":
        arguments.check_word(body, "size", DALL_E_3_SIZES)
    elif not _ANY_SIZE.match(model):
        arguments.check_word(body, "size", (*GPT_IMAGE_SIZES, "auto"))
    elif not isinstance(size, str):
        raise wrong_type("size", "a string", size)
    match = _WIDTH_BY_HEIGHT.fullmatch(size)
    if match is None:
        raise _wrong_size(size, "Expected a size such as '1536x864', or 'auto'.")
    width, height = int(match[1]), int(match[2])
    if _ANY_SIZE.match(model):
        _check_any_size(size, width, height)
    return width, height


def _check_any_size(size: str, width: int, height: int) -> None:
    """Raise a 400 for a size that even the models of free sizes do not draw."""
    if width % _STEP or height % _STEP:
        raise _wrong_size(size, f"Width and height must both be divisible by {_STEP}.")
    if max(width, height) > _LONGEST_EDGE:
        raise _wrong_size(size, f"Width and height must not exceed {_LONGEST_EDGE}.")
    if max(width, height) > 3 * min(width, height):
        raise _wrong_size(size, "The aspect ratio must be between 1:3 and 3:1.")
    if not _FEWEST_PIXELS <= width * height <= _MOST_PIXELS:
        raise _wrong_size(
            size,
            f"The number of pixels must be from {_FEWEST_PIXELS} to {_MOST_PIXELS}, got {width * height}.",
        )


def _wrong_size(size: str, reason: str) -> SimulatedError:
    return bad_request(f"Invalid size '{size}'. {reason}", code="invalid_value", param="size")


def _read_quality(body: dict[str, Any], model: str) -> str:
    """The quality of the answer; a model that is to choose chooses the best."""
    if model == "dall-e-3":
        arguments.check_word(body, "quality", ("standard", "hd", "auto"))
    else:
        arguments.check_word(body, "quality", ("low", "medium", "high", "auto"))
    quality = body.get("quality") or "auto"
    return "high" if quality == "auto" else str(quality)


def _read_compression(body: dict[str, Any], format: str) -> int:
    compression = arguments.read_integer(body, "output_compression", 0, 100)
    if compression is not None and compression < 100 and format == "png":
        raise bad_request(
            "Compression less than 100 is not supported for PNG output format",
            code="invalid_png_output_compression",
            param="output_compression",
        )
    return 100 if compression is None else compression


def _read_transparent(body: dict[str, Any], model: str, format: str) -> bool:
    if body.get("background") != "transparent":
        return False
    if _ANY_SIZE.match(model):
        reason = "for this model"
    elif format == "jpeg":
        reason = "with output format 'jpeg': use 'png' or 'webp'"
    else:
        return True
    raise bad_request(
        f"Transparent background is not supported {reason}.", code="invalid_value", param="background"
    )
