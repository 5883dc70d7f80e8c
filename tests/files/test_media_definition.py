"""What is known and checked of a table of images or audio files while definitions load."""

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.errors import DefinitionError, UnknownColumnError
from pxt_assets.files import check_pattern, media_columns
from pxt_assets.values.types import Audio, Float, Image, Int, String, schema_entries
from tests.files.media_folder import PICTURES, SOUNDS, rows


def mistake(pattern, **options):
    with pytest.raises(DefinitionError) as refused:
        Table.from_files("pics", str(pattern), **options)
    return str(refused.value)


class TestDefinition:
    @pytest.mark.parametrize(
        ("pattern", "schema", "kind"),
        [
            ("pics/*.jpg", {}, Image),
            ("pics/*.PNG", {}, Image),
            ("calls/**/*.mp3", {}, Audio),
            ("s3://bucket/call.m4a", {}, Audio),
            ("pics/*.jpg", {"image": Image, "path": String, "size": Int}, Image),
            ("pics", PICTURES, Image),
            ("pics/", PICTURES, Image),
            ("pics/*", PICTURES, Image),
            ("pics/*.jp*", PICTURES, Image),
            ("memory://", SOUNDS, Audio),
            ("s3://bucket", SOUNDS, Audio),
        ],
    )
    def test_the_columns_and_their_type_are_known(self, pattern, schema, kind):
        """Nothing is read for that; a name that is none of them is refused at once."""
        tbl = Table.from_files("pics", pattern, key="path", schema=schema)
        column = kind.__name__.lower()
        assert tbl[column]._type is kind
        for name in ("path", "size", "format"):
            assert tbl[name]._column == name
        with pytest.raises(UnknownColumnError, match=f"'pth'; it has {column}, path, size, format"):
            tbl.pth  # noqa: B018

    def test_the_source_asset_declares_its_columns(self, folder):
        """With the very types of its rows."""
        data = folder("a.png", "a.mp3")
        for suffix in ("png", "mp3"):
            tbl = Table.from_files("pics", f"{data}/*.{suffix}")
            (spec,) = tbl.assets[0].specs
            declared = [(c.name, c.type) for c in spec.metadata["dagster/column_schema"].columns]
            assert declared == schema_entries(rows(data / f"*.{suffix}").schema)

    def test_other_files_declare_no_columns(self):
        """Theirs are not known before they are read."""
        assert media_columns("rows.csv") is None
        assert Table.from_files("rows", "rows.csv").anything._type is None

    @pytest.mark.parametrize("pattern", ["pics", "pics/", "pics/*", "pics.jpg/", "s3://bucket", "pics/*.jp*"])
    @pytest.mark.parametrize("schema", [None, {"picture": Image}, {"image": String}, {**PICTURES, **SOUNDS}])
    def test_what_has_no_suffix_must_be_told_its_kind(self, pattern, schema):
        """A folder's name tells nothing of its files, which are not read while definitions load."""
        said = mistake(pattern, schema=schema)
        assert 'schema={"image": Image} or schema={"audio": Audio}' in said
        assert pattern in said

    @pytest.mark.parametrize(
        ("schema", "says"),
        [
            ({"caption": String}, "has no column 'caption'; it has image, path, size, format"),
            (SOUNDS, "has no column 'audio'"),
            ({"image": Audio}, "schema['image'] of a table of image files is Image, got Audio"),
            ({"size": Float}, "schema['size'] of a table of image files is Int, got Float"),
        ],
    )
    def test_a_schema_that_the_files_do_not_have_is_refused(self, schema, says):
        """Its columns and types are given by what it is a table of."""
        assert says in mistake("pics/*.jpg", schema=schema)

    @pytest.mark.parametrize(
        "pattern", ["https://ann:s3cr3t@host/*.png", "http://host/a.png?sig=s3cr3t", "https://host/pics/"]
    )
    def test_web_servers_are_refused(self, pattern):
        """They list no files; a table of URLs does what is wanted."""
        said = mistake(pattern, schema=PICTURES)
        assert "declare their column Image" in said
        assert "s3cr3t" not in said

    def test_chains_of_urls_are_refused(self):
        """A file inside an archive has no path by which it could be opened later."""
        assert "unpack archives" in mistake("zip://*.png::s3://bucket/all.zip")

    @pytest.mark.parametrize("pattern", ["", "a.heic", "a.jpg.gz", "a.gz", "pics.d", "*.{jpg,png}"])
    def test_other_patterns_name_what_is_known(self, pattern):
        """Neither a suffix of a known format nor a folder."""
        said = mistake(pattern, schema=PICTURES)
        assert ".jpg" in said or "placeholder" in said

    def test_placeholders_are_checked_as_for_other_files(self):
        """They suit the partitions."""
        days = dg.StaticPartitionsDefinition(["mon"])
        assert "Write {partition_key} into it" in mistake("pics", schema=PICTURES, partitions_def=days)
        assert "without partitions" in mistake("pics/{partition_key}", schema=PICTURES)
        check_pattern("pics/{region}/{day}/*.png", True, ["region", "day"])

    def test_a_key_must_be_one_of_the_columns(self):
        """`path` is the one that says what a row is."""
        Table.from_files("pics", "pics/*.png", key=["path", "size"])
        assert "has no column 'id'" in mistake("pics/*.png", key="id")
        assert "key='path'" in mistake("pics/*.png", key=["format", "image"])

    def test_definitions_load_without_the_folder(self, tmp_path):
        """It may be made by another asset, or be on another host."""
        tbl = Table.from_files("pics", f"{tmp_path}/nowhere/", key="path", schema=PICTURES)
        column = tbl.add_computed_column(c={"path": tbl.path, "size": tbl.size})
        assert [dep.asset_key for dep in next(iter(column.specs)).deps] == [dg.AssetKey("pics")]
