"""What a request takes from the token limit, as the server estimates it when the request arrives."""

import math

CHARACTERS_PER_TOKEN = 4
"""The server counts characters, not tokens, before it admits a request."""
TOKENS_PER_REQUEST = 3
"""What a request takes beyond its text."""
TOKENS_PER_IMAGE = 765
"""Flat charge of an image part, whatever its size: that of a 1024 x 1024 image at high detail."""


def estimate_tokens(characters: int, messages: int = 0, images: int = 0) -> float:
    """Return the tokens that a request takes from the token limit.

    `characters` is the length of all its text, `messages` the number of messages or inputs (the server
    rounds each up to a whole token), `images` the number of image parts. Neither `max_tokens` nor the
    schema of tools shows in the limits that current models report, so neither is counted.
    """
    text = math.ceil(characters / CHARACTERS_PER_TOKEN) + messages
    return float(text + TOKENS_PER_REQUEST + images * TOKENS_PER_IMAGE)
