"""The pictures in requests: how they are read, and which are refused as the API refuses them."""

import re
from base64 import b64decode
from binascii import Error
from io import BytesIO
from typing import Any

from PIL import Image

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Upload
from pxt_assets.simulator.endpoint.errors import (
    SimulatedError,
    bad_request,
    empty_array,
    missing_parameter,
    not_simulated_error,
    quoted_list,
    wrong_type,
)
from pxt_assets.simulator.endpoint.models import is_gpt_image
from pxt_assets.simulator.images.compose import transparency_mask

MOST_IMAGES = 16
_MEGABYTE = 1024 * 1024
_GPT_IMAGE_MEGABYTES = 50
_DALL_E_MEGABYTES = 4
_MASK_MEGABYTES = 4
_MOST_PIXELS = 80_000_000
"""A larger picture is refused before it is decoded: it would take gigabytes of memory."""

_GPT_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
_FORMATS = ("PNG", "JPEG", "WEBP")
_DATA_URL = re.compile(r"data:(image/[a-z]+);base64,", re.IGNORECASE)


def read_images(body: dict[str, Any], model: str) -> list[Image.Image]:
    """The pictures in the field `image`, in mode RGBA. Raises a 400 for what the API would refuse."""
    value = body.get("image")
    if value is None:
        raise missing_parameter("image")
    files = value if isinstance(value, list) else [value]
    if not files:
        raise empty_array("image")
    max_images = MOST_IMAGES if is_gpt_image(model) else 1
    if len(files) > max_images:
        raise bad_request(
            f"Invalid 'image': array too long. Expected an array with maximum length {max_images}, but got an array "
            f"with length {len(files)} instead.",
            code="array_above_max_length",
            param="image",
        )
    images = []
    for index, file in enumerate(files):
        param = f"image[{index}]" if isinstance(value, list) else "image"
        if not isinstance(file, Upload):
            raise wrong_type(param, "one of an array of files or file", file)
        check = _check_for_gpt_image if is_gpt_image(model) else _check_for_dall_e
        check(file, param)
        images.append(_decode_image(file.content, index + 1))
    if not is_gpt_image(model) and images[0].width != images[0].height:
        raise bad_request("Uploaded image must be square.", param="image")
    return images


def read_edit_area(body: dict[str, Any], image: Image.Image) -> Image.Image | None:
    """The area that the mask leaves to edit, as a picture in mode L: 255 there, 0 elsewhere.

    None without a mask. Raises a 400 for a mask that is no PNG below 4 MB with an alpha channel and the size
    of `image`.
    """
    mask = body.get("mask")
    if mask is None:
        return None
    if not isinstance(mask, Upload):
        raise wrong_type("mask", "a file", mask)
    if len(mask.content) >= _MASK_MEGABYTES * _MEGABYTE:
        raise _mask_error(f"a mask must have less than {_MASK_MEGABYTES} MB")
    opened_image = _open_image(mask.content, ("PNG",))
    if opened_image is None:
        raise _mask_error("mask image is not a valid PNG")
    if not opened_image.has_transparency_data:
        raise _mask_error("mask image missing alpha channel")
    if opened_image.size != image.size:
        raise _mask_error("mask size does not match image size")
    return transparency_mask(opened_image.convert("RGBA"))


def form_from_json(body: dict[str, Any]) -> dict[str, Any]:
    """The form that the JSON body of an edit stands for, its data URLs as uploads.

    Raises a 400 for references that the simulator does not follow.
    """
    form = dict(body)
    images = arguments.read_array(form.pop("images", []), "images")
    if not images:
        raise missing_parameter("images")
    form["image"] = [_upload_from_reference(reference, f"images[{i}]") for i, reference in enumerate(images)]
    if body.get("mask") is not None:
        form["mask"] = _upload_from_reference(body["mask"], "mask")
    return form


def _upload_from_reference(reference: Any, param: str) -> Upload:
    reference = arguments.read_object(reference, param)
    if "file_id" in reference:
        raise not_simulated_error(f"{param}.file_id", "An image by the id of a file")
    url = arguments.read_string_at(reference, "image_url", param)
    found = _DATA_URL.match(url)
    if found is None:
        raise not_simulated_error(f"{param}.image_url", "An image by a URL other than data:image/…;base64,…")
    try:
        content = b64decode(url[found.end() :], validate=True)
    except Error:
        raise bad_request(
            f"Invalid '{param}.image_url': its data is no base64.",
            code="invalid_value",
            param=f"{param}.image_url",
        ) from None
    return Upload("", found[1].lower(), content)


def _check_for_gpt_image(file: Upload, param: str) -> None:
    _check_type(file, param, _GPT_IMAGE_TYPES)
    if len(file.content) >= _GPT_IMAGE_MEGABYTES * _MEGABYTE:
        raise bad_request(
            f"Invalid file '{param}': it has {len(file.content)} bytes. An image must have less than "
            f"{_GPT_IMAGE_MEGABYTES} MB.",
            code="image_too_large",
            param=param,
        )


def _check_for_dall_e(file: Upload, param: str) -> None:
    _check_type(file, param, ("image/png",))
    if len(file.content) >= _DALL_E_MEGABYTES * _MEGABYTE or not file.content.startswith(b"\x89PNG"):
        raise bad_request(f"Uploaded image must be a PNG and less than {_DALL_E_MEGABYTES} MB.", param=param)


def _check_type(file: Upload, param: str, allowed: tuple[str, ...]) -> None:
    """Raise a 400 for a file that states another content type than the `allowed` ones, or none."""
    if not file.content_type:
        raise bad_request(
            f"Invalid file '{param}': failed to determine mimetype. Ensure you are providing the file's "
            "mimetype as part of the 'Content-Type' header.",
            code="missing_file_mimetype",
            param=param,
        )
    if file.content_type.partition(";")[0].strip().lower() not in allowed:
        raise bad_request(
            f"Invalid file '{param}': unsupported mimetype ('{file.content_type}'). Supported file formats are "
            f"{quoted_list(allowed)}.",
            code="unsupported_file_mimetype",
            param=param,
        )


def _decode_image(content: bytes, number: int) -> Image.Image:
    opened_image = _open_image(content, _FORMATS)
    if opened_image is None:
        raise bad_request(
            f"Invalid image file or mode for image {number}, please check your image file.",
            code="invalid_image_file",
            param="image",
        )
    return opened_image.convert("RGBA")


def _open_image(content: bytes, formats: tuple[str, ...]) -> Image.Image | None:
    """The picture in a file of one of the `formats`; None for any other file, and a broken one."""
    try:
        opened_image = Image.open(BytesIO(content), formats=formats)
        if opened_image.width * opened_image.height > _MOST_PIXELS:
            return None
        opened_image.load()
    except Exception:
        # Decoders raise all kinds of errors for broken files, from IndexError to struct.error.
        return None
    return opened_image


def _mask_error(reason: str) -> SimulatedError:
    return SimulatedError(
        400,
        f"Invalid mask image format - {reason}",
        type="image_generation_user_error",
        code="invalid_mask_image_format",
    )
