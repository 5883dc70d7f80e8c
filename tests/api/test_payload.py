"""What is sent: JSON with images as data URLs."""

import base64
import json

import pytest

from pxt_assets.api.payload import payload_of
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import Media, MediaArgument

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("size", [0, 1, 2, 3 * 2**18 - 9, 3 * 2**18 - 8, 3 * 2**18 - 7, 10**6])
def test_a_payload_is_the_json_of_the_data_urls(size):
    """Byte for byte, whatever the content's length leaves over at the end of a chunk."""
    image = MediaArgument(Media(PNG + b"\xff" * size))
    body = {"text": 'a "quoted" ü', "images": [image, {"url": image, "detail": "low"}], "last": 1}
    assert payload_of(body) == dumps(body, lambda media: media.data_url).encode()
    assert json.loads(payload_of(body))["images"][0].endswith(base64.b64encode(image.media.content).decode())


def test_a_url_is_escaped():
    """It is text of a table."""
    url = 'https://example.com/"a"?b=ü'
    body = {"image": MediaArgument(Media(None, url=url))}
    assert json.loads(payload_of(body)) == {"image": url}
