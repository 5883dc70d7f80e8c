"""Files of several images, and formats that need a package."""

import io
import sys
import types

import PIL.Image
import pytest

from pxt_assets.errors import CellError
from pxt_assets.values.frames import frame_count, may_have_frames
from pxt_assets.values.media import Media, encode_image, media_of, open_image, require_single_image
from tests.pictures import animation, picture, tiff_with_copy

ANIMATED = ["GIF", "PNG", "WEBP", "AVIF"]


@pytest.mark.parametrize("format", [*ANIMATED, "TIFF"])
def test_the_images_of_a_file_are_counted(format):
    """Frames of an animation and pages of a TIFF alike."""
    media = Media(animation(format, frames=3))
    assert may_have_frames(media.content, media.format)
    assert frame_count(open_image(media.content)) == 3


@pytest.mark.parametrize("format", [*ANIMATED, "TIFF", "JPEG", "BMP"])
def test_a_single_image_is_one(format):
    """It is let through."""
    assert frame_count(open_image(picture(format=format))) == 1
    require_single_image(Media(picture(format=format)))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_file_of_one_image_need_not_be_opened_to_know(format):
    """Its first bytes tell, in the formats that are sent as they are."""
    media = Media(picture(format=format))
    assert not may_have_frames(media.content, media.format)


def test_a_telephones_photo_with_its_preview_is_one_image():
    """What else such a JPEG holds belongs to the photo."""
    assert frame_count(open_image(animation("MPO"))) == 1
    require_single_image(Media(animation("MPO")))


@pytest.mark.parametrize(("subfile_type", "count"), [(1, 1), (4, 1), (2, 2), (0, 2)])
def test_smaller_copies_and_masks_are_no_pages(subfile_type, count):
    """A TIFF holds them for viewers; a page of a document is one."""
    assert frame_count(open_image(tiff_with_copy(subfile_type))) == count


@pytest.mark.parametrize("content", [animation("GIF")[:60], animation("TIFF")[:40], b"GIF89a"])
def test_a_broken_file_is_judged_when_it_is_decoded(content):
    """Nothing but the error that it cannot be opened comes of it."""
    try:
        require_single_image(Media(content))
    except CellError as e:
        assert e.errortype == "ImageError"  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            animation("TIFF", 4),
            "got a TIFF of 4 pages, of which only the first page would be sent; take out one page",
        ),
        (animation("PNG", 3), "got an animated PNG of 3 frames, of which only the first frame would be sent"),
    ],
)
def test_the_error_names_the_number_and_what_to_do(content, message):
    """Nothing of the file is dropped without a word."""
    with pytest.raises(CellError, match=message):
        require_single_image(Media(content))


class TestPillowImages:
    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_an_open_file_keeps_all_its_frames(self, format):
        """It is stored whole; whoever sends it refuses it."""
        image = open_image(animation(format, 3))
        assert frame_count(open_image(encode_image(image))) == 3
        with pytest.raises(CellError, match="of 3"):
            require_single_image(media_of(image, None))

    def test_a_frame_that_was_gone_to_is_the_image(self):
        """Whoever seeks has chosen."""
        image = open_image(animation("TIFF", 3))
        image.seek(2)
        again = open_image(encode_image(image))
        assert (frame_count(again), again.getpixel((0, 0))) == (1, (80, 0, 0))

    def test_a_copy_is_the_one_frame(self):
        """Pillow's own way to take out a frame."""
        assert frame_count(open_image(encode_image(open_image(animation("GIF", 3)).copy()))) == 1

    @pytest.mark.parametrize(("format", "target"), [("TIFF", "PNG"), ("AVIF", None)])
    def test_frames_that_another_format_would_lose_are_refused(self, format, target):
        """Pillow would write the first."""
        with pytest.raises(CellError, match="of 3"):
            encode_image(open_image(animation(format, 3)), target)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(64)
JXL = b"\xff\x0a" + bytes(64)


@pytest.mark.parametrize(("content", "package"), [(HEIC, "pillow-heif"), (JXL, "pillow-jxl-plugin")])
def test_a_format_that_pillow_lacks_is_named_with_its_package(content, package):
    """What to install, and what to do instead."""
    with pytest.raises(
        CellError, match=f"needs the package {package}; install it, or convert the image upstream"
    ):
        open_image(content)


def test_a_package_that_is_installed_is_made_known_to_pillow(monkeypatch):
    """It need not be registered by the user, in every process."""
    plugin = types.ModuleType("pillow_heif")
    opened = PIL.Image.new("RGB", (2, 2))
    registered = []

    def pillow_open(file: io.BytesIO) -> PIL.Image.Image:
        if not registered:
            raise PIL.UnidentifiedImageError
        return opened

    plugin.register_heif_opener = lambda: registered.append(True)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(PIL.Image, "open", pillow_open)
    assert open_image(HEIC) is opened
