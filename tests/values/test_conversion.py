"""Images and sounds between Arrow and Python."""

import base64
import io
from typing import Any

import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pxt_assets.errors import CellError, SourceError
from pxt_assets.storage.rows import concat_rows, rows_of, table_of
from pxt_assets.values.conversion import back_to_arrow, check_value, to_arrow, to_python, to_user_values
from pxt_assets.values.media import Media, encode_image, open_image
from pxt_assets.values.types import (
    Audio,
    Image,
    ImageData,
    ImageList,
    Json,
    has_media,
    is_media_struct,
    media_field,
)
from tests.pictures import picture, sound

PNG = picture()
BYTES = [
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.binary()),
    pa.binary(len(PNG)),
]
STRUCTS = [
    Image.arrow(),
    pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())]),
    pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())]),
    pa.struct([("bytes", pa.binary()), ("path", pa.null())]),
]


def read(values: Any, arrow_type: pa.DataType | None = None, declared: Any = Image) -> list[Any]:
    return to_python(pa.array(values, arrow_type), declared)


class TestReading:
    @pytest.mark.parametrize("arrow_type", BYTES, ids=str)
    def test_bytes_of_any_type_are_media_where_they_are_declared(self, arrow_type):
        """Whatever program wrote them; null stays null."""
        assert read([PNG, None], arrow_type) == [Media(PNG), None]

    @pytest.mark.parametrize("arrow_type", BYTES, ids=str)
    def test_bytes_stay_bytes_where_they_are_not(self, arrow_type):
        """What they are is not guessed."""
        assert read([PNG, None], arrow_type, None) == [PNG, None]

    @pytest.mark.parametrize("arrow_type", STRUCTS, ids=str)
    def test_structs_are_media_without_being_declared(self, arrow_type):
        """In any order of the fields, of any type of bytes and text."""
        assert is_media_struct(arrow_type)
        values = [{"bytes": PNG, "path": None}, None, {"bytes": None, "path": None}]
        assert read(values, arrow_type, None) == [Media(PNG), None, None]

    def test_media_are_found_at_any_depth(self):
        """Lists of images, as the image functions give them."""
        images = pa.array([[{"bytes": PNG, "path": "a.png"}, None], None, []], pa.list_(Image.arrow()))
        assert to_python(images) == [[Media(PNG, "a.png"), None], None, []]
        held = pa.array([{"x": [{"bytes": PNG, "path": None}]}])
        assert to_python(held) == [{"x": [Media(PNG)]}]

    @pytest.mark.parametrize(
        "arrow_type",
        [*BYTES[:4], *STRUCTS, ImageData.arrow(), ImageList.arrow(), pa.struct([("x", pa.binary())])],
        ids=str,
    )
    def test_what_may_be_media_is_known_from_the_type(self, arrow_type):
        """So that few such rows are read at once."""
        assert has_media(arrow_type)

    @pytest.mark.parametrize("arrow_type", [pa.string(), pa.list_(pa.float32()), Json.arrow()], ids=str)
    def test_other_types_hold_none(self, arrow_type):
        """They are read by the thousand."""
        assert not has_media(arrow_type)

    def test_json_that_is_declared_is_read_as_what_it_says(self):
        """URLs and data URLs, out of a column of JSON."""
        url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        column = to_arrow([url, "https://h/a.png", None], Json)
        assert to_python(column, Image) == [Media(PNG), Media(None, url="https://h/a.png"), None]

    @pytest.mark.parametrize(
        "value",
        [
            "http://[x",
            "//[x",
            "a\0b.png",
            "",
            "x" * 300_000,
            "~/a.png",
            {"bytes": "abc", "path": "a.png"},
            {"bytes": [1, 2], "path": None},
            {"bytes": 10**15, "path": None},
            {"url": "https://h/a.png"},
            {},
            3,
            True,
            ["a.png"],
        ],
        ids=lambda v: repr(v)[:30],
    )
    def test_one_bad_value_is_its_own_rows_error(self, value):
        """It neither fails the others nor passes for null, and its message is of bounded length."""
        good, bad = to_python(to_arrow(["https://h/a.png", value], Json), Image)
        assert good.url == "https://h/a.png"
        if value == "http://[x":  # no business of ours: the API says what it thinks of it
            assert bad.url == value
            return
        assert isinstance(bad, CellError)
        assert len(bad.message) < 400

    def test_an_error_keeps_no_file_alive(self, tmp_path):
        """It stands in the row's place, and would hold what was read by the frames in which it arose."""
        (tmp_path / "a.png").write_bytes(b"no image")
        (error,) = read([str(tmp_path / "a.png")])
        assert error.__traceback__ is None

    def test_a_relative_path_is_relative_to_where_the_run_is(self, tmp_path, monkeypatch):
        """As everywhere else."""
        (tmp_path / "a.png").write_bytes(PNG)
        monkeypatch.chdir(tmp_path)
        assert read(["a.png"]) == [Media(PNG, "a.png")]

    def test_a_file_url_may_be_quoted_or_not(self, tmp_path):
        """As the standard has it, and as fsspec writes it."""
        for name in ("a b.png", "100%25.png"):
            (tmp_path / name).write_bytes(PNG)
            for url in ((tmp_path / name).as_uri(), f"file://{tmp_path}/{name}"):
                assert read([url])[0].content == PNG

    def test_a_link_is_read_and_what_it_leads_to_must_be_media(self, tmp_path):
        """A link to a secret is no image either."""
        (tmp_path / "a.png").write_bytes(PNG)
        (tmp_path / "secret").write_bytes(b"hunter2")
        for name in ("a.png", "secret"):
            (tmp_path / f"to-{name}.png").symlink_to(tmp_path / name)
        good, bad = read([str(tmp_path / "to-a.png.png"), str(tmp_path / "to-secret.png")])
        assert good.content == PNG
        assert bad.errortype == "NotMedia"

    def test_a_storage_that_fails_does_not_tell_its_credentials(self, monkeypatch):
        """Only the kind of its error."""

        def refuse(storage: MemoryFileSystem, path: str) -> int:
            raise PermissionError("denied for key=s3cr3t")

        monkeypatch.setattr(MemoryFileSystem, "size", refuse)
        (error,) = read(["memory://a.png"])
        assert error.errortype == "PermissionError"
        assert "s3cr3t" not in error.message
        assert error.__cause__ is None


class TestWriting:
    def test_media_become_structs(self):
        """Of a URL the path is the URL."""
        column = to_arrow([Media(PNG, "a.png"), None, Media(None, url="https://h/a.png")], Image)
        assert column.type == Image.arrow()
        assert column.to_pylist() == [
            {"bytes": PNG, "path": "a.png"},
            None,
            {"bytes": None, "path": "https://h/a.png"},
        ]

    def test_results_with_images_round_trip(self):
        """Their usage is JSON of any form, and may be missing."""
        values = [
            {"created": 1, "data": [Media(PNG, "image-0.png")], "usage": {"input_tokens": 1, "ä": [None]}},
            None,
            {"created": None, "data": [], "usage": None},
        ]
        assert to_python(to_arrow(values, ImageData)) == values

    def test_lists_of_images_round_trip(self):
        """With their nulls."""
        values = [[Media(PNG), None], [], None]
        assert to_python(to_arrow(values, ImageList)) == values

    @pytest.mark.parametrize("arrow_type", STRUCTS[:3], ids=str)
    def test_a_copy_has_the_type_of_its_source(self, arrow_type):
        """A column that copies another changes nothing."""
        column = pa.array([{"bytes": PNG, "path": "a"}, None], arrow_type)
        assert back_to_arrow(to_python(column), arrow_type).equals(column)

    @pytest.mark.parametrize("value", ["a.png", 3, {"bytes": PNG}, [PNG]])
    def test_a_column_of_images_holds_nothing_else(self, value):
        """Text among them: what a function returns is not read from a path."""
        with pytest.raises(CellError, match="allowed: Image"):
            check_value(value, Image)

    @pytest.mark.parametrize("value", ["a.png", Media(PNG), ["a.png"]])
    def test_a_list_of_images_holds_nothing_else(self, value):
        """Nor is one image a list."""
        with pytest.raises(CellError, match="allowed: a list of images"):
            check_value(value, ImageList)


class TestLoading:
    def test_images_are_shown_as_images(self):
        """Not decoded before their pixels are asked for."""
        (image,) = to_user_values(to_arrow([Media(PNG)], Image), media_field("x", Image)) or ()
        assert isinstance(image, PIL.Image.Image)
        assert image.size == (64, 64)

    @pytest.mark.parametrize("content", [b"\0\0\0\x20ftypheic" + bytes(64), picture(format="JPEG")[:50], b""])
    def test_what_cannot_be_opened_stays_bytes(self, content):
        """One broken photo does not withhold the others."""
        column = to_arrow([Media(content, "a"), Media(PNG)], Image)
        broken, whole = to_user_values(column, media_field("x", Image)) or ()
        assert broken == {"bytes": content, "path": "a"}
        assert isinstance(whole, PIL.Image.Image)

    def test_sounds_stay_bytes(self):
        """In the form that other programs know."""
        column = to_arrow([Media(sound(), "a.wav"), None], Audio)
        assert to_user_values(column, media_field("x", Audio)) == [{"bytes": sound(), "path": "a.wav"}, None]

    def test_a_path_is_read_when_the_field_says_what_it_is(self, tmp_path):
        """A table of files holds paths alone."""
        (tmp_path / "a.png").write_bytes(PNG)
        column = pa.array([{"bytes": None, "path": str(tmp_path / "a.png")}], Image.arrow())
        assert (to_user_values(column, media_field("x", Image)) or ())[0].size == (64, 64)
        with pytest.raises(CellError, match="not declared"):
            to_user_values(column, pa.field("x", Image.arrow()))

    def test_other_columns_are_left_to_arrow(self):
        """None says so."""
        assert to_user_values(pa.array(["a"]), pa.field("x", pa.string())) is None


class TestRows:
    def test_pil_images_in_a_frame_become_a_column_of_images(self):
        """Beside bytes and what pandas has for missing values; a JPEG stays one."""
        jpeg = open_image(picture(format="JPEG"))
        values = [PIL.Image.new("RGB", (2, 2)), None, float("nan"), pd.NA, PNG, jpeg]
        table = table_of(pd.DataFrame({"id": range(6), "x": values}))
        formats = [m and m.format for m in to_python(table["x"])]
        assert formats == ["png", None, None, None, "png", "jpeg"]

    def test_pil_images_in_a_list_of_dicts_too(self):
        """Where NaN is as much a null."""
        table = table_of([{"x": PIL.Image.new("RGB", (2, 2))}, {"x": float("nan")}, {}])
        assert [m and m.format for m in to_python(table["x"])] == ["png", None, None]

    def test_what_was_loaded_can_be_stored_again(self):
        """Sounds, and images that Pillow does not open, are dicts when they are loaded."""
        rows = [{"x": {"bytes": sound(), "path": "a.wav"}}, {"x": None}, {"x": {"bytes": None, "path": "b"}}]
        table = table_of(rows)
        assert table["x"].type == Audio.arrow()
        assert table.to_pylist() == rows

    def test_dicts_of_other_keys_stay_json(self):
        """Even with a path among them."""
        table = table_of([{"x": {"path": "a", "bytes": None}}, {"x": {"path": "a", "size": 3}}])
        assert table["x"].type == Json.arrow()

    def test_text_beside_images_is_not_read(self, tmp_path):
        """Only schema= makes text a path."""
        (tmp_path / "a.png").write_bytes(PNG)
        rows = [{"x": PIL.Image.new("RGB", (2, 2))}, {"x": str(tmp_path / "a.png")}]
        with pytest.raises(SourceError, match="declare it in schema="):
            table_of(rows)

    def test_partitions_that_differ_in_their_bytes_are_one_table(self):
        """Of what they have in common."""
        parts = [
            pa.table({"x": pa.array([{"bytes": PNG, "path": "a"}], arrow_type)})
            for arrow_type in (
                Image.arrow(),
                pa.struct([("bytes", pa.large_binary()), ("path", pa.string())]),
            )
        ]
        rows = concat_rows([rows_of(part) for part in parts])
        assert to_python(rows.table(["x"])["x"]) == [Media(PNG, "a")] * 2


class TestEncoding:
    @pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "PA", "La", "RGBa", "LAB", "HSV"])
    def test_rare_modes_become_png_too(self, mode):
        """What has an alpha channel keeps it."""
        image = open_image(encode_image(PIL.Image.new(mode, (4, 4))))
        assert image.format == "PNG"
        assert image.has_transparency_data == (mode in ("PA", "La", "RGBa"))

    def test_sixteen_bits_stay_sixteen(self):
        """Scans and microscope images."""
        image = PIL.Image.new("I", (2, 2), 40_000)
        assert open_image(encode_image(image)).getpixel((0, 0)) == 40_000

    def test_the_way_up_of_a_jpeg_is_kept(self):
        """A photo that was taken upright is sent upright."""
        photo = open_image(_turned("JPEG"))
        assert open_image(encode_image(photo)).getexif()[0x112] == 6

    def test_the_way_up_is_carried_out_in_another_format(self):
        """Where nobody would look for it."""
        image = open_image(encode_image(open_image(_turned("JPEG")), "PNG"))
        assert image.size == (32, 64)
        assert 0x112 not in image.getexif()

    def test_the_jpegs_of_telephones_stay_jpegs(self):
        """Those with a preview inside have another name in Pillow."""
        target = io.BytesIO()
        frames = [PIL.Image.new("RGB", (64, 32), color) for color in ("red", "blue")]
        frames[0].save(target, "MPO", save_all=True, append_images=frames[1:])
        photo = open_image(target.getvalue())
        assert photo.format == "MPO"
        assert Media(encode_image(photo)).format == "jpeg"

    def test_a_jpeg_of_four_colours_stays_one(self):
        """CMYK, as printers want it."""
        assert open_image(encode_image(open_image(picture(0, format="JPEG", mode="CMYK")))).mode == "CMYK"

    def test_a_broken_image_is_a_cell_error(self):
        """The message does not quote it."""
        noise = PIL.Image.effect_noise((200, 200), 50)
        target = io.BytesIO()
        noise.save(target, "PNG")
        with pytest.raises(CellError, match="cannot be encoded as PNG") as e:
            encode_image(open_image(target.getvalue()[:5_000]))
        assert e.value.errortype == "ImageError"


def _turned(format: str) -> bytes:
    """A picture that is 64 x 32, to be shown as 32 x 64."""
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    target = io.BytesIO()
    PIL.Image.new("RGB", (64, 32)).save(target, format, exif=exif)
    return target.getvalue()
