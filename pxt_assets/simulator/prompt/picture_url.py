"""The URLs of pictures in a prompt: which are refused, and how an answer describes the picture."""

from binascii import Error, a2b_base64
from hashlib import blake2b

from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request
from pxt_assets.simulator.prompt.picture import read_picture_header

_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif")
_LONGEST_SHOWN = 80


def describe_picture(url: str, param: str) -> str:
    """How an answer describes the picture at `url`: a phrase that differs from picture to picture.

    `param` is the path of `url` in the request. Raises a 400 for anything but an http(s) URL, which is not
    fetched, or a data URL with a PNG, JPEG, WebP or GIF in base64.
    """
    if url.startswith(("http://", "https://")):
        visible_url = (
            url if len(url) <= _LONGEST_SHOWN else f"{url[:_LONGEST_SHOWN]}… {_digest(url.encode())}"
        )
        return f"image at {visible_url}, not fetched"
    content = _decode_data_url(url, param)
    picture = read_picture_header(content)
    if picture is None:
        raise bad_request(
            "The image data you provided does not represent a valid image. Please check your input and try "
            "again with one of the supported image formats: ['image/jpeg', 'image/png', 'image/gif', "
            "'image/webp'].",
            code="invalid_value",
            param=param,
        )
    return f"{picture.format} image of {picture.width} x {picture.height} pixels, {_digest(content)}"


def _decode_data_url(url: str, param: str) -> bytes:
    """The bytes that a data URL holds."""
    head, _, encoded = url.partition(",")
    if not head.startswith("data:"):
        raise _invalid_url_error(param, "a value without the 'data:' prefix")
    kind, *options = head.removeprefix("data:").split(";")
    if kind.lower() not in _TYPES:
        raise _invalid_url_error(param, f"unsupported MIME type '{kind[:_LONGEST_SHOWN]}'")
    if "base64" not in options:
        raise _invalid_url_error(param, "a value that is not marked as base64")
    try:
        content = a2b_base64(encoded, strict_mode=True)
    except (Error, ValueError):
        raise _invalid_url_error(param, "invalid base64-encoded bytes") from None
    if not content:
        raise _invalid_url_error(param, "empty base64-encoded bytes")
    return content


def _invalid_url_error(param: str, got: str) -> SimulatedError:
    return bad_request(
        f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type (e.g. "
        f"'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), or an http(s) URL, but got {got}.",
        code="invalid_value",
        param=param,
    )


def _digest(content: bytes) -> str:
    return f"#{blake2b(content, digest_size=4).hexdigest()}"
