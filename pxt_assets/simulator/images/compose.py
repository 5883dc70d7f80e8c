"""Edits and variations of uploaded pictures."""

from PIL import Image, ImageOps

from pxt_assets.simulator.images.draw import draw_mark, draw_text, tint_of

_BAND = 4
"""Without a mask, the lowest of this many bands of a picture is edited."""


def draw_edit(
    images: list[Image.Image], edit_area: Image.Image | None, prompt: str, size: tuple[int, int], variant: int
) -> Image.Image:
    """The first of `images`, scaled to `size`, with a picture of `prompt` in its `edit_area`.

    `edit_area` is 255 where the picture is to be edited. Without one, that is where the picture is
    transparent, or else its lower band. The other pictures are shown small along the upper edge.
    """
    first = images[0]
    transparent = transparency_mask(first)
    if edit_area is None and transparent.getbbox():
        edit_area = transparent
    result = _on_white(first.resize(size))
    for index, other in enumerate(images[1:]):
        edge = min(size[0] // (len(images) - 1), size[1] // _BAND)
        result.paste(_on_white(other.resize((edge, edge))), (index * edge, 0))
    if edit_area is None:
        mask = Image.new("L", size)
        mask.paste(255, (0, size[1] - size[1] // _BAND, *size))
    else:
        mask = edit_area.resize(size, Image.Resampling.NEAREST)
    box = mask.getbbox()
    # A mask may leave nothing to edit.
    if box is not None:
        drawn = draw_text(prompt, (box[2] - box[0], box[3] - box[1]), variant=variant)
        result.paste(drawn, box, mask.crop(box))
    draw_mark(result)
    return result


def draw_variation(image: Image.Image, size: tuple[int, int], variant: int) -> Image.Image:
    """`image`, scaled to `size`, mirrored, and tinted in a colour of the `variant`."""
    mirrored = _on_white(ImageOps.mirror(image).resize(size))
    tint = Image.new("RGB", size, tint_of("variation", variant))
    result = Image.blend(mirrored, tint, 0.35)
    draw_mark(result)
    return result


def size_for_edit(image: Image.Image) -> tuple[int, int]:
    """The size that a model chooses for an edit of `image`: the usual one with the nearest aspect ratio."""
    ratio = image.width / image.height
    if ratio > 1.25:
        return (1536, 1024)
    return (1024, 1536) if ratio < 0.8 else (1024, 1024)


def transparency_mask(image: Image.Image) -> Image.Image:
    """Where `image`, of mode RGBA, is fully transparent, in mode L: 255 there, 0 elsewhere."""
    return image.getchannel("A").point(lambda opacity: 255 if opacity == 0 else 0)


def _on_white(image: Image.Image) -> Image.Image:
    """`image` in mode RGB, on white where it is transparent."""
    flat = Image.new("RGB", image.size, (255, 255, 255))
    flat.paste(image, mask=image.getchannel("A"))
    return flat
