"""Images and recordings as they are uploaded."""

import io
import re
from typing import Any

import PIL.Image
import pytest

from pxt_assets.errors import CellError
from pxt_assets.functions import uploads
from pxt_assets.functions.uploads import audio_upload, image_upload, mask_upload, square_upload
from pxt_assets.values.media import Media, MediaArgument, open_image
from tests.pictures import animation, mask, picture, sound


def mode_of(sent: MediaArgument) -> str:
    return open_image(sent.media.content or b"").mode


def refused(function: Any, *arguments: Any) -> CellError:
    with pytest.raises(CellError) as e:
        function(*arguments)
    return e.value


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "upload", [image_upload, square_upload, lambda v: mask_upload(v, image_upload(picture()))]
)
def test_several_images_in_a_file_are_refused(upload, format):
    """Their number is named, and that a list of images is taken; as bytes and as an open image."""
    for value in (animation(format, frames=3), open_image(animation(format, frames=3))):
        error = refused(upload, value)
        assert error.errortype == "SeveralImages"
        assert re.match(r"(image|mask): got an? .* of 3 (frames|pages)", error.message)


class TestAudio:
    def test_a_recording_is_uploaded_as_it_is(self):
        """As bytes, or as a column's Media."""
        for value in (sound(), Media(sound(), "a.wav"), {"bytes": sound(), "path": None}):
            sent = audio_upload(value)
            assert (sent.media.content, sent.mime_type) == (sound(), "audio/wav")

    def test_what_it_is_is_told_by_its_bytes(self):
        """A WAV that is called mp4 is sent as a WAV."""
        assert audio_upload(Media(sound(), "clip.mp4")).mime_type == "audio/wav"

    def test_a_file_over_the_limit_says_so(self):
        """With both sizes; nothing is sent."""
        error = refused(audio_upload, b"RIFF\0\0\0\0WAVE" + bytes(25 * 2**20))
        assert error.errortype == "AudioTooLarge"
        assert "got 26,214,412 bytes, allowed: 26,214,400; split the recording" in error.message

    def test_the_largest_file_passes(self):
        """The limit is the API's."""
        assert audio_upload(b"RIFF\0\0\0\0WAVE" + bytes(25 * 2**20 - 12))

    @pytest.mark.parametrize(
        ("content", "got"),
        [(picture(), "png"), (b"\xff\xf1\x50\x80" + bytes(64), "aac"), (b"password=hunter2", "no recording")],
    )
    def test_other_files_are_refused(self, content, got):
        """The message quotes none of it."""
        error = refused(audio_upload, content)
        assert error.errortype == "UnsupportedFormat"
        assert f"got {got}" in error.message
        assert "hunter2" not in error.message

    def test_an_empty_file_is_refused(self):
        """It says so, rather than that its format is unknown."""
        assert refused(audio_upload, b"").errortype == "EmptyFile"

    def test_a_url_is_not_fetched(self):
        """A table does not choose what this machine asks for."""
        error = refused(audio_upload, Media(None, url="https://h/a.wav?sig=s3cr3t"))
        assert error.errortype == "UrlNotFetched"
        assert "s3cr3t" not in error.message

    @pytest.mark.parametrize("value", ["a.wav", "/etc/passwd", {"bytes": None, "path": "a.wav"}, {}])
    def test_text_is_never_a_path(self, value):
        """The message says how to declare the column."""
        with pytest.raises(CellError, match="declares as Audio; text is never read as a path"):
            audio_upload(value)

    @pytest.mark.parametrize("value", [3, None, [sound()]])
    def test_other_values_are_refused(self, value):
        """One recording a request."""
        assert refused(audio_upload, value).errortype == "TypeError"


class TestImage:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    def test_what_the_api_takes_is_uploaded_as_it_is(self, format):
        """Not even opened."""
        content = picture(format=format)
        assert image_upload(content).media.content == content

    @pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF"])
    def test_other_formats_become_png(self, format):
        """Of the same size."""
        sent = image_upload(picture(format=format))
        assert sent.mime_type == "image/png"
        assert open_image(sent.media.content or b"").size == (64, 64)

    def test_an_image_over_the_limit_says_so(self, monkeypatch):
        """With both sizes."""
        monkeypatch.setattr(uploads, "MAX_IMAGE_BYTES", 10)
        assert refused(image_upload, picture()).errortype == "ImageTooLarge"

    @pytest.mark.parametrize("content", [b"<svg/>", sound(), b"\0\0\0\x20ftypheic" + bytes(64)])
    def test_what_is_no_image_is_refused(self, content):
        """Before anything is sent."""
        assert refused(image_upload, content).errortype == "ImageError"

    def test_a_url_is_not_fetched(self):
        """Here it would have to be, to be uploaded."""
        assert refused(image_upload, Media(None, url="https://h/a.png")).errortype == "UrlNotFetched"


class TestSquare:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    def test_dall_e_2_takes_png_alone(self, format):
        """Others are converted."""
        assert square_upload(picture(format=format)).mime_type == "image/png"

    def test_other_than_squares_are_refused(self):
        """With their size."""
        assert (
            "got 64x32 pixels, allowed by dall-e-2: a square"
            in refused(square_upload, picture(size=(64, 32))).message
        )

    def test_four_megabytes_are_the_most(self, monkeypatch):
        """Of the PNG."""
        monkeypatch.setattr(uploads, "MAX_SQUARE_BYTES", 10)
        assert refused(square_upload, picture()).errortype == "ImageTooLarge"

    @pytest.mark.parametrize("format", ["PNG", "JPEG"])
    def test_a_broken_file_is_refused(self, format):
        """As a cell's error."""
        assert refused(square_upload, picture(format=format)[:20]).errortype == "ImageError"


class TestMask:
    def test_a_png_with_an_alpha_channel_is_uploaded_as_it_is(self):
        """Nothing is decoded."""
        assert mask_upload(mask(), image_upload(picture())).media.content == mask()

    def test_other_forms_of_transparency_become_an_alpha_channel(self):
        """A WebP, and a palette with a transparent colour."""
        target = io.BytesIO()
        PIL.Image.new("P", (64, 64)).save(target, "PNG", transparency=0)
        for content in (mask(format="WEBP"), target.getvalue()):
            sent = mask_upload(content, image_upload(picture()))
            assert (sent.mime_type, mode_of(sent)) == ("image/png", "RGBA")
            assert open_image(sent.media.content or b"").getpixel((0, 0))[3] == 0

    @pytest.mark.parametrize("mode", ["1", "L", "RGB"])
    def test_a_mask_without_transparency_is_refused(self, mode):
        """What is white or black in it says nothing to the API."""
        error = refused(mask_upload, picture(0, mode=mode), image_upload(picture()))
        assert f"got an image of mode {mode}, allowed: one with an alpha channel" in error.message

    def test_a_mask_of_another_size_is_refused(self):
        """With both sizes."""
        error = refused(mask_upload, mask((32, 64)), image_upload(picture()))
        assert "got 32x64 pixels, allowed: those of the image, 64x64" in error.message

    def test_a_mask_that_breaks_off_is_refused(self):
        """When it is decoded, after its header was read."""
        target = io.BytesIO()
        noise = PIL.Image.effect_noise((64, 64), 99).quantize(16)
        noise.save(target, "PNG", transparency=0)
        error = refused(mask_upload, target.getvalue()[:600], image_upload(picture()))
        assert error.errortype == "ImageError"

    def test_an_image_that_cannot_be_opened_is_refused(self):
        """Its size is unknown."""
        assert refused(mask_upload, mask(), image_upload(picture()[:20])).errortype == "ImageError"

    def test_four_megabytes_are_the_most(self, monkeypatch):
        """As the API says."""
        monkeypatch.setattr(uploads, "MAX_SQUARE_BYTES", 10)
        assert refused(mask_upload, mask(), image_upload(picture())).errortype == "ImageTooLarge"
