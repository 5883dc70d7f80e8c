"""The lines of a batch's input file: one request each, named by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.api.payload import payload_of
from pxt_assets.api.request import Request, pack
from pxt_assets.errors import CellError
from pxt_assets.values.media import MediaArgument

MAX_LINE_BYTES = 200 * 10**6
"""Bytes of a whole input file, which a single line cannot exceed. Source:
https://platform.openai.com/docs/guides/batch"""
MAX_IMAGE_URL_LENGTH = 20_971_520
"""Letters of the data URL of an image to edit. Source: `ImageRefParam` of the API's OpenAPI description."""
_LARGEST_IMAGE_BYTES = (MAX_IMAGE_URL_LENGTH - len("data:image/jpeg;base64,")) // 4 * 3


def batch_endpoint(path: str) -> str:
    """The endpoint as batches name it, of its path below the base URL: `/v1/chat/completions`."""
    return f"/v1{path}"


def asked_alone(request: Request) -> Request:
    """The request as a line holds it: on its own, in the form in which its endpoint packs several.

    With this one's body the answer of the line is parsed.
    """
    return pack([request]) if request.max_cells > 1 else request


def request_line(request: Request, *, azure: bool = False) -> bytes:
    """One line of an input file, with its line break; its `custom_id` is the request's digest in hex.

    Azure has another URL for chats. Raises CellError for a request that no line can hold.
    """
    path = request.endpoint.path
    url = path if azure and path == "/chat/completions" else batch_endpoint(path)
    head = f'{{"custom_id":"{request.digest.hex()}","method":"POST","url":"{url}","body":'
    line = b"".join((head.encode(), _payload(request), b"}\n"))
    if len(line) > MAX_LINE_BYTES:
        msg = f"the request has {len(line):,} bytes, allowed in a batch: {MAX_LINE_BYTES:,}; ask for it without within"
        raise CellError("RequestTooLarge", msg)
    return line


def _payload(request: Request) -> bytes:
    if request.endpoint.uploads:
        return payload_of(_json_of_form(request.body))
    return asked_alone(request).payload


def _json_of_form(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an edit as JSON: its files are `images` and `mask`, as data URLs.

    Source: `EditImageBodyJsonParam` of the API's OpenAPI description. Raises CellError for what it cannot express.
    """
    if "image" not in body:
        msg = f"a batch takes no files but images to edit; got {', '.join(sorted(body))}; ask for it without within"
        raise CellError("NotInBatches", msg)
    if body["model"] == "dall-e-2":
        msg = "dall-e-2 takes images as files alone, which a batch has not; ask for it without within, or by a GPT image model"
        raise CellError("NotInBatches", msg)
    rest = {name: value for name, value in body.items() if name not in ("image", "mask")}
    images = body["image"] if isinstance(body["image"], list) else [body["image"]]
    mask = {"mask": _image_url(body["mask"], "mask")} if "mask" in body else {}
    return {"images": [_image_url(one, "image") for one in images], **mask, **rest}


def _image_url(image: MediaArgument, argument: str) -> dict[str, MediaArgument]:
    """An image as JSON refers to it. Raises CellError for one that is too large for that."""
    length = len(f"data:{image.mime_type};base64,") + 4 * -(-image.size // 3)
    if length > MAX_IMAGE_URL_LENGTH:
        msg = (
            f"{argument}: got {image.size:,} bytes, allowed in a batch: {_LARGEST_IMAGE_BYTES:,}, since an edit's JSON holds "
            f"{MAX_IMAGE_URL_LENGTH:,} letters of base64 at most; make it smaller upstream, or ask for it without within"
        )
        raise CellError("ImageTooLarge", msg)
    return {"image_url": image}
