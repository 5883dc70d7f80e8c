"""The URLs of pictures in a prompt: what is refused, and what an answer says of the picture."""

from binascii import Error, a2b_base64
from hashlib import blake2b

from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request
from pxt_assets.simulator.prompt.picture import measure

_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif")
_LONGEST_SHOWN = 80


def describe_picture(url: str, param: str) -> str:
    """What an answer says of the picture at `url`: one phrase, another one for another picture.

    `param` is the path of `url` in the request. Raises a 400 for anything but an http(s) URL, which is not
    fetched, or a data URL with a PNG, JPEG, WebP or GIF in base64.
    """
    if url.startswith(("http://", "https://")):
        shown = url if len(url) <= _LONGEST_SHOWN else f"{url[:_LONGEST_SHOWN]}… {_digest(url.encode())}"
        return f"image at {shown}, not fetched"
    content = _decode(url, param)
    picture = measure(content)
    if picture is None:
        raise bad_request(
            "The image data you provided does not represent a valid image. Please check your input and try "
            "again with one of the supported image formats: ['image/jpeg', 'image/png', 'image/gif', "
            "'image/webp'].",
            code="invalid_value",
            param=param,
        )
    return f"{picture.format} image of {picture.width} x {picture.height} pixels, {_digest(content)}"


def _decode(url: str, param: str) -> bytes:
    """The bytes that a data URL holds."""
    head, _, written = url.partition(",")
    if not head.startswith("data:"):
        raise _refusal(param, "a value without the 'data:' prefix")
    kind, *options = head.removeprefix("data:").split(";")
    if kind.lower() not in _TYPES:
        raise _refusal(param, f"unsupported MIME type '{kind[:_LONGEST_SHOWN]}'")
    if "base64" not in options:
        raise _refusal(param, "a value that is not marked as base64")
    try:
        content = a2b_base64(written, strict_mode=True)
    except (Error, ValueError):
        raise _refusal(param, "invalid base64-encoded bytes") from None
    if not content:
        raise _refusal(param, "empty base64-encoded bytes")
    return content


def _refusal(param: str, got: str) -> SimulatedError:
    return bad_request(
        f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type (e.g. "
        f"'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), or an http(s) URL, but got {got}.",
        code="invalid_value",
        param=param,
    )


def _digest(content: bytes) -> str:
    return f"#{blake2b(content, digest_size=4).hexdigest()}"
