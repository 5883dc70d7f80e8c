import base64
import html
import io
import re
import struct
import unicodedata
import zlib

import PIL.Image
import pyarrow as pa
import pytest

from pxt_assets.assets.page import markdown
from pxt_assets.assets.page import thumbnails as thumbnails_module
from pxt_assets.assets.page.preview import escape_markdown, preview, preview_metadata
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media, open_image
from pxt_assets.values.types import Audio, ColumnType, Image, ImageData, ImageList, Json
from tests.pictures import animation, mask, picture, sound

THUMBNAIL = re.compile(r"!\[([^\]]*)\]\(data:image/jpeg;base64,([^)]*)\)")


def cells(values: list[object], column_type: type[ColumnType] = Image) -> list[str]:
    """The cells of a preview of one column."""
    lines = preview(pa.table({"x": to_arrow(values, column_type)})).splitlines()
    assert lines[:2] == ["| x |", "| --- |"]
    return [line.removeprefix("| ").removesuffix(" |") for line in lines[2:]]


def thumbnails(cell: str) -> list[PIL.Image.Image]:
    return [open_image(base64.b64decode(data)) for _, data in THUMBNAIL.findall(cell)]


def shown(cell: str) -> str:
    """What a reader of the Markdown sees of a cell without thumbnails."""
    assert "![" not in cell
    return html.unescape(cell).replace("\u2060", "")


def claims(pixels: int) -> bytes:
    """A PNG of a few bytes that claims to be `pixels` wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class TestThumbnails:
    @pytest.mark.parametrize("size", [(640, 480), (480, 640), (2_000, 10), (1, 1)])
    def test_images_are_shown_small(self, size):
        """As JPEGs of at most 96 pixels a side, in proportion."""
        (cell,) = cells([Media(picture(size=size))])
        (small,) = thumbnails(cell)
        assert small.format == "JPEG"
        assert max(small.size) <= 96
        assert (small.width >= small.height) == (size[0] >= size[1])

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_of_any_format(self, format):
        """The alternative text is the format."""
        (cell,) = cells([Media(picture(format=format))])
        assert THUMBNAIL.findall(cell)[0][0] == format.lower()

    @pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK", "RGBA"])
    def test_of_any_mode(self, mode):
        """What Pillow can turn into colours."""
        assert thumbnails(cells([Media(picture(0, format="TIFF", mode=mode))])[0])

    def test_of_an_animation_the_first_picture(self):
        """One is enough."""
        assert len(thumbnails(cells([Media(animation())])[0])) == 1

    def test_transparent_parts_are_white(self):
        """As on the page around them, not black."""
        (small,) = thumbnails(cells([Media(mask())])[0])
        assert small.getpixel((8, 8)) == (255, 255, 255)
        assert max(small.getpixel((56, 56))) < 8

    def test_of_a_result_the_first_images(self):
        """And how many more there are."""
        data = [Media(picture())] * 5
        for value, kind in (({"created": 1, "data": data, "usage": None}, ImageData), (data, ImageList)):
            (cell,) = cells([value], kind)
            assert len(thumbnails(cell)) == 3
            assert cell.endswith(" and 2 more")

    def test_a_preview_has_a_size(self):
        """It is stored with every materialization; what is left out is told by what it is."""
        noise = io.BytesIO()
        PIL.Image.effect_noise((96, 96), 100).save(noise, "PNG")
        found = cells([Media(noise.getvalue())] * 40)
        drawn = sum("![" in cell for cell in found)
        assert 3 < drawn < 30
        assert shown(found[-1]).startswith("png, ")
        assert sum(map(len, found)) < thumbnails_module._BYTES * 1.6


class TestWhatCannotBeShown:
    @pytest.mark.parametrize(
        "content",
        [
            picture(format="JPEG")[:30],
            picture()[:60],
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"II*\0",
            b"RIFF\0\0\0\0WEBPVP8 ",
            b"\0\0\0\x20ftypheic" + bytes(64),
            b"\xff\xd8\xff" + bytes(64),
        ],
        ids=repr,
    )
    def test_a_broken_image_is_told_by_what_it_is(self, content):
        """It is the user's, and no reason to fail what was paid for."""
        assert re.fullmatch(r"\w+, 0.\d KB", shown(cells([Media(content)])[0]))

    @pytest.mark.parametrize("error", [struct.error, EOFError, IndexError, zlib.error, MemoryError])
    def test_whatever_pillow_raises(self, monkeypatch, error):
        """Its plugins raise what they like."""

        def broken(*_: object) -> bytes:
            raise error

        monkeypatch.setattr(thumbnails_module, "_small", broken)
        assert shown(cells([Media(picture())])[0]).startswith("png, ")

    @pytest.mark.parametrize("pixels", [8_000, 60_000])
    def test_an_image_that_claims_to_be_huge_is_not_decoded(self, monkeypatch, pixels):
        """A few KB may unpack to gigabytes."""
        monkeypatch.setattr(PIL.Image.Image, "load", lambda _: pytest.fail("decoded"))
        assert shown(cells([Media(claims(pixels))])[0]).startswith("png, ")

    def test_sounds_are_told_by_format_and_size(self):
        """There is no player in the page: its duration is told, and where it is from, without what may be secret."""
        assert shown(cells([Media(sound())], Audio)[0]) == "wav, 0.1 s, 1.6 KB"
        said = shown(cells([Media(sound(), "https://h/a.wav?sig=s3cr3t")], Audio)[0])
        assert said == "wav, 0.1 s, 1.6 KB, …/a.wav"

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (59, "59.0 s"),
            (59.96, "1 min 0 s"),
            (60, "1 min 0 s"),
            (89, "1 min 29 s"),
            (90, "1 min 30 s"),
            (110, "1 min 50 s"),
            (150, "2 min 30 s"),
            (179.9, "3 min 0 s"),
            (3_600, "1 h 0 min 0 s"),
            (3_725, "1 h 2 min 5 s"),
        ],
    )
    def test_minutes_are_whole_and_seconds_what_is_left(self, seconds, told):
        """Rounded once."""
        content = sound(seconds, rate=100)
        assert shown(cells([Media(content)], Audio)[0]).split(", ")[1] == told

    def test_a_streamed_sound_is_as_long_as_it_is(self):
        """Its header has no length."""
        content = bytearray(sound(90, rate=100))
        content[4:8] = content[40:44] = b"\xff" * 4
        assert shown(cells([Media(bytes(content))], Audio)[0]).startswith("wav, 1 min 30 s, ")

    def test_an_image_that_is_missing_among_others_is_told(self):
        """It was filtered, and the others were not."""
        row = {"created": 1, "data": [Media(picture()), None], "usage": None}
        (cell,) = cells([row], ImageData)
        assert cell.startswith("![png](data:image/jpeg;base64,")
        assert cell.endswith(" *missing*")

    @pytest.mark.parametrize(
        "content",
        [
            sound()[:40],
            b"ID3\x04" + bytes(60),
            b"fLaC" + bytes(60),
            b"OggS" + bytes(60),
            b"\xff\xf1" + bytes(60),
        ],
        ids=["wav", "mp3", "flac", "ogg", "aac"],
    )
    def test_a_broken_sound_is_told_by_its_size(self, content):
        """As any file may be."""
        assert re.fullmatch(r"\w+, (0\.0 s, )?0\.\d KB", shown(cells([Media(content)], Audio)[0]))

    def test_bytes_that_are_nothing_known(self):
        """A raw recording has no header."""
        assert shown(cells([Media(bytes(2048))], Audio)[0]) == "media, 2.0 KB"

    def test_an_image_at_a_url(self):
        """The page does not fetch it: whoever looks would be seen by its server."""
        column = to_arrow([Media(None, url="https://h/a.png?sig=s3cr3t")], Image)
        text = preview(pa.table({"x": column}))
        assert "h/a.png" not in text
        assert "![" not in text

    def test_null(self):
        """Is told apart from text."""
        assert cells([None, "null"], Json) == ["*null*", "null"]


class TestHostileText:
    @pytest.mark.parametrize(
        "text",
        [
            "![x](https://evil/track.gif)",
            "[x](javascript:alert(1))",
            "<img src=x onerror=alert(1)>",
            "a | b | c",
            "| --- |",
            "`code` *bold* _it_ ~~gone~~",
            "# title",
            "https://evil.example/x",
            "www.evil.example",
            "me@evil.example",
            "<https://evil>",
            "&lt;script&gt;",
            "\\| \\",
            "![](data:text/html;base64,xx)",
            "line\nbreak\r\nand | pipe",
            "- a\n- b\n1. c",
        ],
    )
    def test_it_is_shown_as_it_is(self, text):
        """No markup, no link, no image, no column of its own."""
        (cell,) = cells([text], Json)
        assert not re.search(r"[\\`*_{}\[\]()|~<>@:/.!-]|#(?!\d)", cell)
        assert shown(cell) == " ".join(text.split())
        linked = (
            r"(?i)https?://[-.\w]|www\.[-.\w]|[-.\w+]@[-\w]"  # what GitHub's Markdown takes for addresses
        )
        assert not re.search(linked, html.unescape(cell))

    def test_a_path_is_not_shown_as_alternative_text(self):
        """A thumbnail is named by what the bytes are, whatever the table calls it."""
        (cell,) = cells([Media(picture(), "](javascript:alert(1)) ![.png")])
        assert "javascript" not in cell

    def test_a_column_name_is_no_markup(self):
        """Names come from tables, too."""
        first = preview(pa.table({"a|b ![](x)": ["v"]})).splitlines()[0]
        assert html.unescape(first) == "| a|b ![](x) |"
        assert first.count("|") == 2

    def test_escaping_leaves_words_alone(self):
        """What is no markup is readable in the source, too."""
        assert escape_markdown("Grüße 😀 100 %") == "Grüße 😀 100\u00a0%"


def test_of_long_texts_and_many_columns_little_is_looked_at():
    """However much a row holds: of 96 million characters the kinds of some hundred thousand."""
    looked_up = []

    class Counting:
        def __getattr__(self, name):
            looked_up.append(name)
            return getattr(unicodedata, name)

    rows = pa.table({f"c{i}": ["\u200bword " * 20_000] * 8 for i in range(100)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "unicodedata", Counting())
        preview_metadata(rows)
    assert 0 < len(looked_up) < 500_000
