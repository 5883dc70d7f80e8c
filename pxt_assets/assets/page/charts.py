"""Small drawn charts as Markdown: how answers are distributed, and whether probabilities mean what they say."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw

_CLEAR, _BAR, _LINE = (0, 0, 0, 0), (80, 112, 230, 255), (150, 150, 160, 255)
"""Colours that are seen on a bright page and on a dark one."""
_HEIGHT = 24
_WIDTH = 60
_MAX_BARS = 30
_SIDE = 80
_DOTS = (2, 5)
"""Radius of the dot of a decile with few rows, and of the one with the most."""


def histogram(counts: Sequence[int]) -> str:
    """A bar for each count, in order: those of more than there is room for are left out."""
    shown = counts[:_MAX_BARS]
    step = max(_WIDTH // max(len(shown), 1), 2)
    picture, draw = _blank(step * max(len(shown), 1), _HEIGHT)
    draw.line((0, _HEIGHT - 1, picture.width, _HEIGHT - 1), _LINE)
    most = max(shown, default=0)
    for i, count in enumerate(shown):
        if count:  # what is not nothing is seen
            top = _HEIGHT - max(round(count / most * _HEIGHT), 2)
            draw.rectangle((i * step, top, (i + 1) * step - 2, _HEIGHT - 1), _BAR)
    return _markdown("bars", picture)


def reliability(deciles: Sequence[tuple[int, float, float]]) -> str:
    """The share that came true over the probability that was said, a dot a decile, beside the line of those that agree.

    `deciles` are rows, probability and share of each that has any; a dot is as large as it has rows.
    """
    smallest, largest = _DOTS
    low, high = largest, largest + _SIDE
    picture, draw = _blank(high + largest + 1, high + largest + 1)
    draw.rectangle((low, low, high, high), outline=_LINE)
    draw.line((low, high, high, low), _LINE)
    most = max((rows for rows, *_ in deciles), default=0)
    for rows, probability, share in deciles:
        x, y = low + probability * _SIDE, high - share * _SIDE
        radius = smallest + (largest - smallest) * (rows / most) ** 0.5
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), _BAR)
    return _markdown("reliability", picture)


def _blank(width: int, height: int) -> tuple[PIL.Image.Image, PIL.ImageDraw.ImageDraw]:
    import PIL.Image
    import PIL.ImageDraw

    picture = PIL.Image.new("RGBA", (width, height), _CLEAR)
    return picture, PIL.ImageDraw.Draw(picture)


def _markdown(alt: str, picture: PIL.Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=True, method=6)
    return f"![{alt}](data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()})"
