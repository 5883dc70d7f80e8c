"""What becomes of uploaded pictures: edits of them, and variations."""

from PIL import Image, ImageOps

from pxt_assets.simulator.images.draw import draw_text, mark, tint_of

_BAND = 4
"""Without a mask, the lowest of so many parts of a picture is edited."""


def edit(
    images: list[Image.Image], hole: Image.Image | None, prompt: str, size: tuple[int, int], variant: int
) -> Image.Image:
    """The first of `images`, scaled to `size`, with a picture of `prompt` in its `hole`.

    `hole` is 255 where the picture is to be edited. Without one, that is where the picture is transparent,
    or else its lower band. The other pictures are shown small along the upper edge.
    """
    first = images[0]
    clear = clear_parts(first)
    if hole is None and clear.getbbox():
        hole = clear
    edited = _flat(first.resize(size))
    for index, other in enumerate(images[1:]):
        edge = min(size[0] // (len(images) - 1), size[1] // _BAND)
        edited.paste(_flat(other.resize((edge, edge))), (index * edge, 0))
    if hole is None:
        within = Image.new("L", size)
        within.paste(255, (0, size[1] - size[1] // _BAND, *size))
    else:
        within = hole.resize(size, Image.Resampling.NEAREST)
    box = within.getbbox()
    # A mask may let nothing be edited.
    if box is not None:
        drawn = draw_text(prompt, (box[2] - box[0], box[3] - box[1]), variant=variant)
        edited.paste(drawn, box, within.crop(box))
    mark(edited)
    return edited


def vary(image: Image.Image, size: tuple[int, int], variant: int) -> Image.Image:
    """`image`, scaled to `size`, mirrored, and tinted in a colour of the `variant`."""
    mirrored = _flat(ImageOps.mirror(image).resize(size))
    tint = Image.new("RGB", size, tint_of("variation", variant))
    varied = Image.blend(mirrored, tint, 0.35)
    mark(varied)
    return varied


def fitting_size(image: Image.Image) -> tuple[int, int]:
    """The size that a model chooses for an edit of `image`: of the three usual ones, the most like it."""
    ratio = image.width / image.height
    if ratio > 1.25:
        return (1536, 1024)
    return (1024, 1536) if ratio < 0.8 else (1024, 1024)


def clear_parts(image: Image.Image) -> Image.Image:
    """Where `image`, of mode RGBA, is fully transparent, in mode L: 255 there, 0 elsewhere."""
    return image.getchannel("A").point(lambda opacity: 255 if opacity == 0 else 0)


def _flat(image: Image.Image) -> Image.Image:
    """`image` in mode RGB, on white where it is transparent."""
    flat = Image.new("RGB", image.size, (255, 255, 255))
    flat.paste(image, mask=image.getchannel("A"))
    return flat
