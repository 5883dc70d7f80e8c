"""Images and audio files as rows: which files, which columns, and that none of them is opened."""

import uuid
from pathlib import Path

import dagster as dg
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pxt_assets import ColumnStore, Table
from pxt_assets.errors import DefinitionError, SourceError, UnknownColumnError
from pxt_assets.files import check_pattern, media, media_columns, read_files
from pxt_assets.files.location import File
from pxt_assets.values.types import Audio, Float, Image, Int, String, schema_entries
from tests.runs import materialize, message, metadata, stored

PICTURES = {"image": Image}
SOUNDS = {"audio": Audio}
ODD = [
    "a b",
    "ü 日本 🎒",
    "#1",
    "100%",
    "%20",
    "it's",
    '"',
    "new\nline",
    "a@b",
    "[x]",
    "{y}",
    "a:b",
    "a\\b",
    "~",
]


@pytest.fixture
def folder(tmp_path):
    """Writes files of as many bytes as are said."""

    def write(*names, size=3):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        return tmp_path

    return write


def rows(pattern, **options):
    return read_files(str(pattern), **options).read_all()


def names(pattern, **options):
    return [Path(path).name for path in rows(pattern, **options)["path"].to_pylist()]


def refusal(pattern, **options):
    with pytest.raises(SourceError) as refused:
        rows(pattern, **options)
    return str(refused.value)


def mistake(pattern, **options):
    with pytest.raises(DefinitionError) as refused:
        Table.from_files("pics", str(pattern), **options)
    return str(refused.value)


class TestRows:
    def test_each_file_is_a_row_in_path_order(self, folder):
        """Its path, size and format; the media itself by path, its bytes unread."""
        data = folder("b.jpg", "a.jpg")
        assert rows(data / "*.jpg").to_pylist() == [
            {
                "image": {"bytes": None, "path": f"{data}/{name}.jpg"},
                "path": f"{data}/{name}.jpg",
                "size": 3,
                "format": "jpeg",
            }
            for name in "ab"
        ]

    @pytest.mark.parametrize(("suffix", "kind"), [("png", Image), ("mp3", Audio), ("webm", Audio)])
    def test_the_type_of_the_media_is_told_by_the_field(self, folder, suffix, kind):
        """Images and sounds are of one Arrow type, and are told apart by the field's metadata."""
        field = rows(folder(f"x.{suffix}") / f"*.{suffix}").schema.field(kind.__name__.lower())
        assert field.type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        assert field.metadata == {b"pxt_assets.type": kind.__name__.encode()}

    @pytest.mark.parametrize(
        ("suffix", "kind", "said"),
        [
            *[(s, "image", s) for s in ("jpeg", "png", "webp", "gif", "bmp", "tiff")],
            *[
                ("jpg", "image", "jpeg"),
                ("tif", "image", "tiff"),
                ("JPG", "image", "jpeg"),
                ("Png", "image", "png"),
            ],
            *[(s, "audio", s) for s in ("mp3", "wav", "flac", "ogg", "m4a", "mp4", "mpeg", "mpga", "oga")],
            *[(s, "audio", s) for s in ("webm", "opus", "aac")],
            ("WAV", "audio", "wav"),
        ],
    )
    def test_kind_and_format_follow_from_the_suffix(self, folder, suffix, kind, said):
        """In any case, of a glob and of a file; jpg is jpeg, tif is tiff."""
        data = folder(f"x.{suffix}")
        for pattern in (data / f"*.{suffix}", data / f"x.{suffix}"):
            got = rows(pattern)
            assert got.column_names == [kind, "path", "size", "format"]
            assert got["format"].to_pylist() == [said]

    def test_sizes_are_bytes(self, folder):
        """As the file system lists them; an empty file is a row, too."""
        folder("a.png", size=0)
        assert rows(folder("b.png", size=70_000) / "*.png")["size"].to_pylist() == [0, 70_000]

    def test_no_file_is_opened(self, folder, monkeypatch):
        """Files are read when a computed column needs them, not when they are listed."""
        data = folder("a.png", "b.png")
        fsspec.filesystem("memory").pipe(f"/{data.name}/c.png", b"x")

        def refuse(*args, **kwargs):
            raise AssertionError(args)

        for storage in (LocalFileSystem, MemoryFileSystem):
            for method in ("open", "_open", "cat_file", "cat"):
                monkeypatch.setattr(storage, method, refuse)
        assert rows(data / "*.png").num_rows == 2
        assert rows(f"memory://{data.name}/", schema=PICTURES).num_rows == 1

    @pytest.mark.parametrize("name", ODD)
    def test_odd_characters_of_a_name_survive(self, folder, name):
        """The path opens the very file, in a folder of odd characters as well."""
        data = folder(f"{name} d/{name}.png", size=1)
        for pattern in ("*/*.png", "*/"):
            (row,) = rows(f"{data}/{pattern}", schema=PICTURES).to_pylist()
            assert row["path"] == row["image"]["path"] == f"{data}/{name} d/{name}.png"
            assert Path(row["path"]).read_bytes() == b"x"

    @pytest.mark.parametrize("name", [name for name in ODD if "\\" not in name])
    def test_odd_characters_of_a_partition_survive(self, folder, name):
        """It names its folder as it is."""
        data = folder(f"{name}/a.png")
        (row,) = rows(f"{data}/{{partition_key}}/", partition_key=name, schema=PICTURES).to_pylist()
        assert row["path"] == f"{data}/{name}/a.png"

    @pytest.mark.parametrize("name", ODD)
    def test_odd_characters_of_a_url_survive(self, name):
        """Spelled as fsspec does, which quotes nothing."""
        folder = uuid.uuid4().hex
        memory = fsspec.filesystem("memory")
        memory.pipe(f"/{folder}/{name}.png", b"x")
        (path,) = rows(f"memory://{folder}/*.png")["path"].to_pylist()
        assert path == f"memory:///{folder}/{name}.png"
        assert memory.cat_file(path) == b"x"

    def test_a_name_that_is_not_unicode_is_named(self, folder):
        """Nothing else can be done with it."""
        data = folder("a.png")
        (data / "b\udcff.png").write_bytes(b"x")
        assert "b\\udcff.png: its name is not Unicode" in refusal(data / "*.png")

    def test_many_files_come_in_batches(self, folder):
        """One batch holds ten thousand at most."""
        memory = fsspec.filesystem("memory")
        files = [File(memory, f"/pics/{i:05}.png", False, (), size=i) for i in range(20_001)]
        schema, batches = media.read(files, "image", "memory://pics/*.png")
        got = list(pa.RecordBatchReader.from_batches(schema, batches))
        assert [batch.num_rows for batch in got] == [10_000, 10_000, 1]
        assert got[2].to_pylist()[0] == {
            "image": {"bytes": None, "path": "memory:///pics/20000.png"},
            "path": "memory:///pics/20000.png",
            "size": 20_000,
            "format": "png",
        }


class TestWhichFiles:
    def test_a_folder_means_the_files_of_the_kind_directly_in_it(self, folder):
        """Other files, hidden ones and what is in sub-folders are left out."""
        data = folder(
            "a.png", "b.JPG", "c.mp3", "d.txt", "e", ".png", ".f.png", "g.png.bak", "h/i.png", "j.png/k.png"
        )
        for pattern in (data, f"{data}/", f"file://{data}/"):
            assert names(pattern, schema=PICTURES) == ["a.png", "b.JPG"]
        assert names(data, schema=SOUNDS) == ["c.mp3"]

    def test_a_folder_may_be_relative(self, folder, monkeypatch):
        """Paths are absolute all the same, whatever the working directory is called."""
        data = folder("old [1]/a.png", "old [1]/in/b.png")
        monkeypatch.chdir(data / "old [1]")
        for pattern, found in {"in": "in/b", "in/": "in/b", "./in": "in/b", ".": "a", "./": "a"}.items():
            assert rows(pattern, schema=PICTURES)["path"].to_pylist() == [f"{data}/old [1]/{found}.png"]

    def test_a_folder_may_be_called_like_a_file_or_a_version(self, folder):
        """With / at the end any name is a folder's."""
        data = folder("pics.csv/a.png", "2027.03/a.png")
        assert names(f"{data}/pics.csv/", schema=PICTURES) == ["a.png"]
        assert names(f"{data}/2027.03", schema=PICTURES) == ["a.png"]

    def test_a_glob_of_folders_means_the_files_in_each(self, folder):
        """With / at the end."""
        data = folder("x/a.png", "y/b.png", "y/z/c.png", "y/d.txt")
        assert names(f"{data}/*/", schema=PICTURES) == ["a.png", "b.png"]

    def test_two_stars_match_folders_at_any_depth(self, folder):
        """As for other files."""
        data = folder("a.mp3", "x/b.mp3", "x/y/c.mp3", "x/y/c.txt")
        assert names(data / "**" / "*.mp3") == ["a.mp3", "b.mp3", "c.mp3"]

    def test_hidden_files_are_matched_as_in_a_shell(self, folder):
        """A * does not stand for a dot at the beginning: `._a.png` is what macOS puts beside `a.png`."""
        data = folder("a.png", "._a.png")
        assert names(data / "*.png") == ["a.png"]
        assert names(data / ".*.png") == ["._a.png"]
        assert names(data / "._a.png") == ["._a.png"]

    def test_all_that_a_glob_matches_must_be_of_the_kind(self, folder):
        """The first that is not is named; a glob without a suffix needs `schema`, as a folder does."""
        data = folder("a.png", "b.jpg", "c.mp3", "c.txt")
        assert names(data / "[ab]*", schema=PICTURES) == ["a.png", "b.jpg"]
        assert f"{data}/c.mp3: is no image file by its suffix" in refusal(data / "*", schema=PICTURES)
        assert f"{data}/a.png: is no audio file by its suffix" in refusal(data / "*", schema=SOUNDS)
        assert f"{data}/c.txt: is no audio file" in refusal(data / "c*", schema=SOUNDS)

    def test_links_count_where_the_listing_reports_them_as_files(self, folder):
        """Listings of the local file system do not: a link in a folder may lead anywhere."""
        data = folder("a.png", "elsewhere/b.png")
        (data / "link.png").symlink_to(data / "elsewhere" / "b.png")
        (data / "broken.png").symlink_to(data / "nowhere")
        (data / "loop").symlink_to(data)
        assert names(data / "*.png") == names(data, schema=PICTURES) == ["a.png"]
        assert names(data / "link.png") == ["link.png"]
        (data / "a.png").unlink()
        assert "link.png (a link)" in refusal(data / "*.png")

    @pytest.mark.parametrize("pattern", ["", "/"])
    def test_a_folder_without_the_kind_says_what_is_in_it(self, folder, pattern):
        """And what would count."""
        data = folder("pics/a.mp3", "pics/b.txt", "pics/.c.png", "pics/d/e.png")
        said = refusal(f"{data}/pics{pattern}", schema=PICTURES)
        assert (
            f"no image file matches {data}/pics{pattern}; in {data}/pics there is .c.png, a.mp3, b.txt"
            in said
        )
        assert ".jpg, .tif, .jpeg, .png" in said

    def test_an_empty_folder_and_a_missing_one_are_named(self, folder):
        """The sub-folders of one that holds nothing else are listed."""
        data = folder("x/cats/a.png", "x/dogs/a.png")
        (data / "empty").mkdir()
        assert f"the folder {data}/empty holds no files" in refusal(data / "empty", schema=PICTURES)
        assert f"{data}/x holds no files, but the folders cats, dogs" in refusal(data / "x", schema=PICTURES)
        assert f"there is no folder {data}/nowhere" in refusal(data / "nowhere", schema=PICTURES)
        assert "no file matches" in refusal(data / "x" / "*.png")

    def test_a_folder_in_place_of_a_file_says_what_to_write(self, folder):
        """The pattern of the files in it."""
        data = folder("a.png/b.png")
        assert f"'{data}/a.png/*.png'" in refusal(data / "a.png")

    def test_urls_are_those_of_fsspec_without_credentials(self):
        """What opens the file again, given the storage options."""

        class Locked(fsspec.AbstractFileSystem):
            protocol = "lockedpics"
            cachable = False

            def __init__(self, token):
                super().__init__()
                assert token == "t0ken"

            @classmethod
            def _strip_protocol(cls, path):
                return path.removeprefix("lockedpics://").rstrip("/")

            def ls(self, path, detail=True, **options):
                entry = {"name": "ann:s3cr3t@host/a@b #%.png", "size": None, "type": "file"}
                return [entry] if detail else [entry["name"]]

        fsspec.register_implementation("lockedpics", Locked, clobber=True)
        pattern = "lockedpics://ann:s3cr3t@host/*.png"
        (row,) = rows(pattern, storage_options={"token": "t0ken"}).to_pylist()
        assert row["path"] == row["image"]["path"] == "lockedpics://host/a@b #%.png"
        assert row["size"] is None


class TestPartitions:
    def test_a_partition_is_a_folder_of_its_name(self, folder):
        """Given by its name alone, or with a glob."""
        data = folder("mon/a.png", "mon/b.png", "tue/c.png", "tue/d.txt")
        assert names(data / "{partition_key}" / "*.png", partition_key="mon") == ["a.png", "b.png"]
        assert names(data / "{partition_key}", partition_key="tue", schema=PICTURES) == ["c.png"]
        assert names(f"{data}/{{partition_key}}/", partition_key="tue", schema=PICTURES) == ["c.png"]
        assert f"{data}/tue" in refusal(data / "{partition_key}", partition_key="tue", schema=SOUNDS)
        assert "partition 'wed'" in refusal(data / "{partition_key}", partition_key="wed", schema=SOUNDS)

    def test_a_partition_may_be_one_file(self, folder):
        """Or the beginning of several names."""
        data = folder("mon-1.png", "mon-2.png", "tue.png")
        assert names(data / "{partition_key}.png", partition_key="tue") == ["tue.png"]
        assert names(data / "{partition_key}-*.png", partition_key="mon") == ["mon-1.png", "mon-2.png"]

    @pytest.mark.parametrize("key", ["..", "../mon", "a/b", "."])
    def test_a_key_cannot_leave_the_folder_of_the_pattern(self, folder, key):
        """As for other files."""
        data = folder("secret.png", "pics/mon/a.png")
        refusal(data / "pics" / "{partition_key}", partition_key=key, schema=PICTURES)

    @pytest.mark.parametrize("key", ["*", "[m]on", "m?n"])
    def test_a_key_does_not_glob(self, folder, key):
        """A key is taken literally."""
        assert "no file matches" in refusal(
            folder("mon/a.png") / "{partition_key}", partition_key=key, schema=PICTURES
        )

    def test_dimensions_have_placeholders_of_their_own(self, folder):
        """A multi-dimensional key is named part by part."""
        data = folder("eu/mon/a.png", "us/mon/b.png")
        where = {"region": "us", "day": "mon"}
        got = names(data / "{region}" / "{day}", partition_key="mon|us", dimensions=where, schema=PICTURES)
        assert got == ["b.png"]


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


class TestStored:
    def test_rows_go_through_the_store_unchanged(self, folder, store: ColumnStore):
        """With the field's metadata; pyarrow and pandas read them as they are."""
        data = folder("ü #%.png", "new\nline.png")
        tbl = Table.from_files("pics", f"{data}/", key="path", schema=PICTURES)
        result = materialize(tbl.assets, store)
        listed = rows(data, schema=PICTURES)
        got = stored(store, "pics")
        assert got.to_pylist() == listed.to_pylist()
        assert got.schema.equals(listed.schema)
        assert got.schema.field("image").metadata[b"pxt_assets.type"] == b"Image"
        assert metadata(result, "pics")["dagster/row_count"] == 2
        frame = pq.read_table(store.file(dg.AssetKey("pics")).path.path).to_pandas()
        assert frame["path"].tolist() == [f"{data}/new\nline.png", f"{data}/ü #%.png"]
        assert frame["image"][0] == {"bytes": None, "path": f"{data}/new\nline.png"}

    def test_duckdb_reads_them(self, folder, store: ColumnStore):
        """As a struct of two fields."""
        duckdb = pytest.importorskip("duckdb")
        data = folder("a.mp3")
        materialize(Table.from_files("calls", f"{data}/*.mp3").assets, store)
        file = store.file(dg.AssetKey("calls")).path.path
        query = "select audio.path, audio.bytes, size, format from read_parquet(?)"
        assert duckdb.execute(query, [file]).fetchall() == [(f"{data}/a.mp3", None, 3, "mp3")]

    def test_each_partition_has_its_own_files(self, folder, store: ColumnStore):
        """Several partitions in one run, loaded downstream as one table."""
        data = folder("mon/a.png", "tue/b.png", "tue/c.jpg")
        days = dg.StaticPartitionsDefinition(["mon", "tue"])
        tbl = Table.from_files(
            "pics", f"{data}/{{partition_key}}/", key="path", schema=PICTURES, partitions_def=days
        )
        seen: list[pa.Table] = []

        @dg.asset(ins={"pics": dg.AssetIn(input_manager_key="columns")})
        def looks(pics: pa.Table) -> None:
            seen.append(pics)

        materialize(tbl.assets, store, span=("mon", "tue"))
        assert [Path(p).name for p in stored(store, "pics", "tue")["path"].to_pylist()] == ["b.png", "c.jpg"]
        materialize([*tbl.assets, looks], store, only=["looks"])
        assert seen[0]["format"].to_pylist() == ["png", "png", "jpeg"]
        assert seen[0].schema.field("image").metadata[b"pxt_assets.type"] == b"Image"

    @pytest.mark.parametrize("key", ["path", ["format", "path"], None])
    def test_rows_are_told_apart_by_any_column(self, folder, store: ColumnStore, key):
        """By the path, or without a key by position."""
        data = folder("a.png", "b.png", "c.jpg")
        tbl = Table.from_files("pics", f"{data}/", key=key, schema=PICTURES)
        tbl.add_computed_column(n={"bytes": tbl.size, "of": tbl.format})
        materialize(tbl.assets, store)
        assert stored(store, "pics/n")["n"].to_pylist()[2] == '{"bytes":3,"of":"jpeg"}'

    def test_a_folder_without_files_fails_the_run(self, folder, store: ColumnStore):
        """And says which folder."""
        data = folder("a.txt")
        tbl = Table.from_files("pics", f"{data}/", schema=PICTURES)
        assert f"no image file matches {data}/" in message(materialize(tbl.assets, store, fails=True))
