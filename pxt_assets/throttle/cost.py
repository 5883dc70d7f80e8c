"""The size of a request, in what a server may charge for before it admits the request."""

import math
from typing import NamedTuple

CHARACTERS_PER_TOKEN = 4
"""The server counts characters, not tokens, before it admits a request."""
TOKENS_PER_REQUEST = 3
"""Tokens that a request takes beyond its text."""
TOKENS_PER_IMAGE = 765
"""Flat charge of an image part, whatever its size: that of a 1024 x 1024 image at high detail."""
TOKENS_PER_LOW_IMAGE = 85
"""The same of an image part at low detail.
Source: https://platform.openai.com/docs/guides/images-vision"""


class RequestSize(NamedTuple):
    """How much a request holds of each thing that a server may charge for."""

    text: float = 0.0
    """Tokens of its text, by its characters."""
    outputs: float = 0.0
    """Tokens that it allows the answer, 0 if it sets no limit."""
    images: float = 0.0
    """Image parts, without those at low detail."""
    tools: float = 0.0
    """Tokens of the schemas of its tools, by their characters."""
    low_images: float = 0.0
    """Image parts at low detail."""

    @property
    def least_tokens(self) -> float:
        """The tokens that any server charges: those of its text and images."""
        return self.text + self.images * TOKENS_PER_IMAGE + self.low_images * TOKENS_PER_LOW_IMAGE

    @property
    def most_tokens(self) -> float:
        """The tokens that no server exceeds: those of all its parts."""
        return self.least_tokens + self.outputs + self.tools


def request_size(
    characters: int,
    *,
    messages: int = 0,
    images: int = 0,
    outputs: object = None,
    tools: int = 0,
    low_images: int = 0,
) -> RequestSize:
    """Return the size of a request.

    `characters` is the length of all its text, `messages` the number of messages or inputs (the server
    rounds each up to a whole token), `images` the number of image parts, those at low detail being `low_images`,
    `outputs` its `max_tokens` or the like, and `tools` the length of the schemas of its tools.
    """
    text = math.ceil(characters / CHARACTERS_PER_TOKEN) + messages + TOKENS_PER_REQUEST
    allowed = float(outputs) if isinstance(outputs, int | float) and 0 < outputs < math.inf else 0.0
    high_images = float(images - low_images)
    return RequestSize(
        float(text), allowed, high_images, tools / CHARACTERS_PER_TOKEN, low_images=float(low_images)
    )
