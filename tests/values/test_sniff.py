import pytest

from pxt_assets.values.sniff import AUDIO_FORMATS, IMAGE_FORMATS, MIME_TYPES, sniff_format
from tests.pictures import picture, sound


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_images_are_told_by_their_first_bytes(format):
    """Whatever Pillow writes is recognized, under the name that is used everywhere."""
    assert sniff_format(picture(format=format)) == format.lower()


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"ID3\x04\0\0\0\0\0\x02xx\xff\xfb\x90\0", "mp3"),
        (b"ID3\x04\0\0\0\0\0\x02xx\xff\xf1\x50\x80", "aac"),
        (b"ID3\x04\0\0\0\0\0\x02xx??", "mp3"),
        (b"\xff\xf3\x40\xc4", "mp3"),
        (b"\xff\xf9\x50\x80", "aac"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"OggS\0\x02", "ogg"),
        (b"\0\0\0\x20ftypM4A ", "m4a"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\x1a\x45\xdf\xa3", "webm"),
        (b"\0\0\x01\xba", "mpeg"),
        (b"\0\0\0\x20ftypavif", "avif"),
        (b"\0\0\0\x20ftypheic", "heic"),
    ],
)
def test_formats_by_their_signatures(start, format):
    """Signatures of files that no test can make."""
    assert sniff_format(start + bytes(64)) == format


def test_a_wave_file_is_a_sound_and_no_image():
    """RIFF holds both WebP images and WAV sounds."""
    assert sniff_format(sound()) == "wav"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"R",
        b"RIFF",
        b"root:x:0:0:root:/root:/bin/bash",
        b"\xff\xff\xff\xff",
        b"BM",
        b"<html>",
        b"%PDF-1.7",
    ],
)
def test_anything_else_is_nothing_known(content):
    """A text file, an empty one, and signatures that are cut short."""
    assert sniff_format(content) is None


def test_every_format_has_a_content_type():
    """Uploads name it."""
    assert set(MIME_TYPES) == IMAGE_FORMATS | AUDIO_FORMATS
    assert not IMAGE_FORMATS & AUDIO_FORMATS
