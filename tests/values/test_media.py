import base64
import io
import os
import pickle
from pathlib import Path

import PIL.Image
import pytest

from pxt_assets.errors import CellError
from pxt_assets.values import media as media_module
from pxt_assets.values.media import (
    Media,
    MediaArgument,
    ReadOptions,
    encode_image,
    is_image,
    media_of,
    open_image,
)
from pxt_assets.values.types import Audio, Image
from tests.pictures import picture, sound


class TestMediaOf:
    def test_bytes_are_what_they_are(self):
        """Of any binary type."""
        content = picture()
        for value in (content, bytearray(content), memoryview(content), {"bytes": content, "path": "a.png"}):
            assert media_of(value, Image).content == content

    def test_a_path_is_read(self, tmp_path):
        """From a column that is declared, as text or as the struct's path."""
        file = tmp_path / "ä b#1.png"
        file.write_bytes(picture())
        for value in (
            str(file),
            file,
            file.as_uri().replace("%23", "#").replace("%20", " ").replace("%C3%A4", "ä"),
        ):
            assert media_of(value, Image) == Media(picture(), str(value))
        assert media_of({"bytes": None, "path": str(file)}, Image).format == "png"

    def test_a_path_of_a_column_that_is_not_declared_is_not_read(self, tmp_path):
        """A table's text does not choose what is read from this machine."""
        file = tmp_path / "a.png"
        file.write_bytes(picture())
        with pytest.raises(CellError, match="not declared; declare it in schema="):
            media_of({"bytes": None, "path": str(file)}, None)

    @pytest.mark.parametrize("column_type", [Image, Audio])
    def test_what_a_path_holds_must_be_such_a_file(self, tmp_path, column_type):
        """The message tells nothing of what the file holds."""
        file = tmp_path / "secrets.png"
        file.write_bytes(b"password=hunter2")
        with pytest.raises(CellError, match="of a known format") as e:
            media_of(str(file), column_type)
        assert "hunter2" not in str(e.value)
        assert e.value.errortype == "NotMedia"

    def test_a_sound_is_no_image(self, tmp_path):
        """Nor the other way round."""
        (tmp_path / "a.wav").write_bytes(sound())
        (tmp_path / "a.png").write_bytes(picture())
        assert media_of(str(tmp_path / "a.wav"), Audio).format == "wav"
        for name, column_type in (("a.wav", Image), ("a.png", Audio)):
            with pytest.raises(CellError, match="holds no"):
                media_of(str(tmp_path / name), column_type)

    def test_pipes_and_devices_are_no_files(self, tmp_path):
        """Reading one would never end."""
        os.mkfifo(tmp_path / "pipe.png")
        for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path, tmp_path / "absent.png"):
            with pytest.raises(CellError, match="is no file"):
                media_of(str(path), Image)

    def test_large_files_are_not_read(self, tmp_path, monkeypatch):
        """Nothing that an endpoint takes is that large."""
        monkeypatch.setattr(media_module, "MAX_READ_BYTES", 10)
        (tmp_path / "a.png").write_bytes(picture())
        with pytest.raises(CellError, match="allowed: 10"):
            media_of(str(tmp_path / "a.png"), Image)

    @pytest.mark.parametrize(
        "path",
        [
            "ftp://h/a.png",
            "github://o:r@/a.png",
            "simplecache::s3://b/a.png",
            "zip://a.png::/tmp/x.zip",
            "javascript:1",
        ],
    )
    def test_only_storages_are_read(self, path):
        """No protocol that asks another host in this machine's name."""
        with pytest.raises(CellError):
            media_of(path, Image)

    def test_object_stores_are_read(self):
        """Through fsspec, as tables are."""
        import fsspec

        fs = fsspec.filesystem("memory")
        fs.pipe_file("/media/a.png", picture())
        assert media_of("memory://media/a.png", Image).content == picture()
        with pytest.raises(CellError, match="cannot be read"):
            media_of("memory://media/absent.png", Image)

    def test_a_url_stays_a_url(self):
        """It is the API that fetches it; this machine fetches no URL out of a table."""
        media = media_of("https://example.com/a.png", Image)
        assert (media.content, media.url) == (None, "https://example.com/a.png")
        assert MediaArgument(media).data_url == "https://example.com/a.png"

    def test_a_data_url_is_its_bytes(self):
        """Such as other programs store images."""
        url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
        assert media_of(url, Image).content == picture()
        for broken in ("data:image/png,abc", "data:image/png;base64,%%%"):
            with pytest.raises(CellError, match="data URL"):
                media_of(broken, Image)

    @pytest.mark.parametrize("value", [3, 1.5, ["a"], object(), {"bytes": None, "path": 3}])
    def test_anything_else_is_refused(self, value):
        """The message says what is allowed."""
        with pytest.raises(CellError, match="allowed: bytes, a path, a URL, or a PIL image"):
            media_of(value, Image)


class TestConstants:
    def test_a_file_that_code_names_is_read_once_for_all_rows(self, tmp_path):
        """Until it changes."""
        file = tmp_path / "a.png"
        file.write_bytes(picture("red"))
        first = media_of(file, Image)
        assert media_of(file, Image) is first
        file.write_bytes(picture("blue", size=(99, 99)))
        assert media_of(file, Image).content == picture("blue", size=(99, 99))


class TestEncoding:
    def test_a_jpeg_stays_a_jpeg(self):
        """Of a PIL image that was opened from one, with its own quality."""
        content = picture(format="JPEG")
        again = encode_image(open_image(content))
        assert Media(again).format == "jpeg"
        assert open_image(again).quantization == open_image(content).quantization

    def test_bytes_are_sent_as_they_are(self):
        """Nothing is decoded that need not be."""
        content = picture(format="JPEG")
        url = MediaArgument(Media(content)).data_url
        assert url == f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "YCbCr", "F", "I;16"])
    def test_an_image_made_in_memory_becomes_a_png(self, mode):
        """Of whatever mode."""
        content = encode_image(PIL.Image.new(mode, (4, 4)))
        assert Media(content).format == "png"
        assert open_image(content).size == (4, 4)

    def test_images_of_formats_that_pillow_only_reads_become_png(self):
        """What it was opened from plays no part then."""
        target = io.BytesIO()
        PIL.Image.new("RGB", (4, 4)).save(target, "PPM")
        assert Media(encode_image(open_image(target.getvalue()))).format == "png"

    def test_what_is_no_image_cannot_be_opened(self):
        """The message does not quote the bytes."""
        with pytest.raises(CellError, match="no image that can be opened"):
            open_image(b"secret")

    def test_pil_images_are_known_without_importing_pillow(self):
        """Subclasses and lazily opened ones among them."""
        assert is_image(PIL.Image.new("RGB", (1, 1)))
        assert is_image(open_image(picture()))
        assert not is_image(b"")
        assert not is_image(None)


class TestDigest:
    def test_names_the_content_and_nothing_else(self):
        """Where it came from plays no part."""
        assert Media(b"x", "a.png").digest == Media(b"x", "b/c.jpg").digest != Media(b"y").digest

    def test_a_url_is_named_by_itself(self):
        """It is not fetched, so what it gives is not known."""
        assert (
            Media(None, url="https://a").digest
            != Media(None, url="https://b").digest
            != Media(b"https://b").digest
        )


class TestLimits:
    @pytest.mark.parametrize(("column_type", "most"), [(Audio, 25 * 2**20), (Image, 50 * 2**20)])
    def test_what_the_api_would_not_take_is_not_read(self, tmp_path, column_type, most):
        """Its size tells; a function of the user's own may take larger ones."""
        file = tmp_path / "large"
        with file.open("wb") as target:
            target.truncate(most + 1)
        with pytest.raises(CellError, match=f"allowed: {most:,}") as e:
            media_of(str(file), column_type, ReadOptions(for_api=True))
        assert e.value.errortype == f"{column_type.__name__}TooLarge"
        with pytest.raises(CellError, match="of a known format"):
            media_of(str(file), column_type)


def test_a_jpeg_that_was_pickled_is_encoded_all_the_same():
    """As Dagster's own IO manager stores a list of images; what it was quantized by is lost on the way."""
    again = pickle.loads(pickle.dumps(open_image(picture(format="JPEG"))))
    assert Media(encode_image(again)).format == "jpeg"
