"""Images and audio files as rows: their columns, read without opening a file, and stored."""

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
from pxt_assets.files import media
from pxt_assets.files.location import File
from pxt_assets.values.types import Audio, Image
from tests.files.media_folder import PICTURES, refusal, rows
from tests.runs import materialize, message, metadata, stored

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
        files = [File(memory, f"/pics/{i:05}.png", None, (), size=i) for i in range(20_001)]
        schema, batches = media.read(files, "image", "memory://pics/*.png")
        got = list(pa.RecordBatchReader.from_batches(schema, batches))
        assert [batch.num_rows for batch in got] == [10_000, 10_000, 1]
        assert got[2].to_pylist()[0] == {
            "image": {"bytes": None, "path": "memory:///pics/20000.png"},
            "path": "memory:///pics/20000.png",
            "size": 20_000,
            "format": "png",
        }


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
