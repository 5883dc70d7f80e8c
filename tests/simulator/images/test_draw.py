"""The drawing of a text: marked, legible, small."""

import io

import pytest
from PIL import Image

from pxt_assets.simulator.images.draw import draw_text, encode_image
from tests.simulator.images.drawn import PROMPT, pixels


def test_every_picture_is_marked():
    """With a legible word in the lower left corner, and in the comment of a PNG."""
    image = draw_text("", (512, 512))
    corner = image.crop((0, 480, 120, 512))
    assert (0, 0, 0) in corner.get_flattened_data()
    assert (255, 255, 255) in corner.get_flattened_data()
    assert Image.open(io.BytesIO(encode_image(image, "png"))).text == {"Comment": "[simulated]"}


@pytest.mark.parametrize("text", [" ", "x" * 5000, "word " * 5000, "\ud800\0\n", "日本語", "🎉"])
@pytest.mark.parametrize("size", [(1, 1), (9, 300), (300, 9), (256, 256), (1024, 1024)])
def test_every_text_is_drawn(text, size):
    """Blank ones, endless words, signs that the font lacks, and into the narrowest hole of a mask."""
    image = draw_text(text, size)
    assert image.size == size
    assert Image.open(io.BytesIO(encode_image(image, "png"))).convert("RGB").tobytes() == image.tobytes()


def test_a_usual_picture_is_small():
    """Below 60 KB, so that a rehearsal of thousands fits on a disk."""
    for text in (PROMPT, "The quick brown fox jumps over the lazy dog. " * 20):
        assert len(encode_image(draw_text(text, (1024, 1024)), "png")) < 60_000


def test_longer_texts_are_written_smaller():
    """So that they fit: nothing is written upon the margin."""
    for length in (1, 5, 40, 80):
        image = draw_text("lighthouse " * length, (512, 512))
        ink = (pixels(image)[:490] > 225).all(axis=2)
        assert ink.any()
        assert not ink[:, :20].any()
        assert not ink[:, -20:].any()
        assert not ink[:20].any()
