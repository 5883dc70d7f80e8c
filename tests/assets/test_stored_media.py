"""Stored images and sounds, as other programs open them."""

import io
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import image_generations, speech
from pxt_assets.values.media import open_image
from pxt_assets.values.sniff import sniff_format
from pxt_assets.values.types import Audio, Image
from tests.pictures import picture, sound
from tests.runs import materialize, rows_asset, stored

MEDIA = "struct<bytes: binary, path: string>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("columns")


@pytest.fixture(scope="module")
def _made(folder, _simulator) -> ColumnStore:
    """A table, and columns of images, of one image out of these, of all of them, and of sounds."""
    from pxt_assets import OpenAIResource

    store = ColumnStore(base_path=str(folder))
    rows = {
        "id": [1, 2, 3],
        "text": ["a boat", None, "a llama"],
        "image": [picture(), None, picture(format="JPEG")],
    }
    upstream = rows_asset(rows)
    tbl = Table(upstream, key="id", schema={"image": Image})
    tbl.add_computed_column(drawn=image_generations(tbl.text, model="gpt-image-2", n=2))
    tbl.add_computed_column(first=tbl.drawn.data[0])
    tbl.add_computed_column(every=tbl.drawn.data["*"])
    tbl.add_computed_column(copied=tbl.image)
    tbl.add_computed_column(spoken=speech(tbl.text, model="gpt-4o-mini-tts", voice="nova"))
    simulated = OpenAIResource(base_url=_simulator.base_url, api_key="sk-test")
    materialize([upstream, *tbl.assets], store, simulated)
    return store


@pytest.fixture
def file(_made):
    """The path of a column's file."""
    return lambda name: _made.file(dg.AssetKey(["tickets", name])).path.path


@pytest.fixture
def load(_made):
    """A column's rows as Dagster hands them to an asset that asks for a type."""

    def load(name: str, wanted: Any) -> Any:
        seen: list[Any] = []

        @dg.asset(ins={"column": dg.AssetIn(["tickets", name])})
        def look(column: wanted) -> None:  # type: ignore[valid-type]
            seen.append(column)

        spec = dg.AssetSpec(["tickets", name]).with_io_manager_key("columns")
        materialize([spec, look], _made, only=["look"])
        return seen[0]

    return load


class TestArrow:
    def test_the_types_are_those_of_hugging_face(self, file):
        """Images and sounds are structs of bytes and path, at any depth."""
        types = {
            name: str(pq.read_schema(file(name)).field(name).type)
            for name in ("first", "copied", "spoken", "every", "drawn")
        }
        assert types["first"] == types["copied"] == types["spoken"] == MEDIA
        assert types["every"] == f"list<element: {MEDIA}>"
        assert types["drawn"] == f"struct<created: int64, data: list<element: {MEDIA}>, usage: string>"

    def test_the_bytes_are_files(self, file):
        """Nothing is stored decoded, a null is a null."""
        first, nothing, last = pq.read_table(file("copied"))["copied"].to_pylist()
        assert (first["bytes"], nothing, last["bytes"]) == (picture(), None, picture(format="JPEG"))
        (spoken, _, _) = pq.read_table(file("spoken"))["spoken"].to_pylist()
        assert sniff_format(spoken["bytes"]) == "mp3"
        assert spoken["path"] == "speech.mp3"

    def test_a_dataset_reads_them(self, load):
        """Lazily, in batches."""
        import pyarrow.dataset as ds

        table = load("first", ds.Dataset).to_table(columns=["id", "first"])
        assert [row is None for row in table["first"].to_pylist()] == [False, True, False]


class TestPandas:
    def test_plain_pandas_opens_the_file(self, file):
        """As dicts of bytes and path."""
        frame = pd.read_parquet(file("first"))
        assert PIL.Image.open(io.BytesIO(frame["first"][0]["bytes"])).size[0] > 0
        assert frame["first"][1] is None

    def test_loaded_as_pandas_images_are_images(self, load):
        """Inside a result and in a list of its own, too; nulls are None."""
        image, nothing, _ = load("first", pd.DataFrame)["first"]
        assert isinstance(image, PIL.Image.Image)
        assert nothing is None
        assert [type(v).__mro__[-2] for v in load("every", pd.DataFrame)["every"][0]] == [PIL.Image.Image] * 2
        drawn = load("drawn", pd.DataFrame)["drawn"][0]
        assert all(isinstance(v, PIL.Image.Image) for v in drawn["data"])
        assert drawn["usage"]["output_tokens"] > 0

    def test_loaded_as_pandas_the_other_columns_are_beside_them(self, load):
        """In the file's order."""
        frame = load("first", pd.DataFrame)
        assert list(frame.columns) == ["id", "first", "first_errortype", "first_errormsg", "_digest"]
        assert frame["id"].tolist() == [1, 2, 3]

    def test_loaded_as_a_list_they_are_the_same(self, load):
        """One dict a row."""
        rows = load("first", list)
        assert rows[0]["id"] == 1
        assert isinstance(rows[0]["first"], PIL.Image.Image)

    def test_what_was_loaded_is_stored_again(self, load, store):
        """By an asset that hands it on: sounds as they were, images in their own format."""
        frame = load("spoken", pd.DataFrame).assign(copied=load("copied", pd.DataFrame)["copied"])

        @dg.asset(io_manager_key="columns")
        def again() -> pd.DataFrame:
            return frame[["id", "spoken", "copied"]]

        materialize([again], store)
        table = stored(store, "again")
        assert str(table.schema.field("spoken").type) == str(table.schema.field("copied").type) == MEDIA
        assert table["spoken"].to_pylist() == frame["spoken"].tolist()
        formats = [v and open_image(v["bytes"]).format for v in table["copied"].to_pylist()]
        assert formats == ["PNG", None, "JPEG"]


class TestDuckDB:
    @pytest.fixture
    def query(self):
        duckdb = pytest.importorskip("duckdb")
        return lambda text, path: duckdb.execute(text, [path]).fetchall()

    def test_structs_are_structs(self, query, file):
        """Their fields are read by name, without an extension."""
        rows = query(
            "select id, first.path, octet_length(first.bytes) from read_parquet(?) order by id", file("first")
        )
        assert [row[:2] for row in rows] == [(1, "image-0.png"), (2, None), (3, "image-0.png")]
        assert rows[0][2] > 100

    def test_images_inside_a_result_are_read_by_path(self, query, file):
        """Lists and structs inside each other, and the usage as JSON."""
        rows = query(
            "select len(drawn.data), drawn.data[2].path, json_extract(drawn.usage, '$.output_tokens') "
            "from read_parquet(?) where id = 1",
            file("drawn"),
        )
        assert rows[0][:2] == (2, "image-1.png")
        assert int(rows[0][2]) > 0

    def test_lists_of_images_can_be_unnested(self, query, file):
        """One row an image."""
        rows = query("select id, unnest(every).path from read_parquet(?)", file("every"))
        assert rows == [(1, "image-0.png"), (1, "image-1.png"), (3, "image-0.png"), (3, "image-1.png")]


class TestDatasets:
    @pytest.fixture
    def dataset(self, file, tmp_path):
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        return lambda name: datasets.Dataset.from_parquet(str(file(name)), cache_dir=str(tmp_path))

    @pytest.mark.parametrize("name", ["first", "copied"])
    def test_a_column_of_images_is_an_image_feature(self, dataset, name):
        """Which decodes by itself."""
        import datasets

        rows = dataset(name)
        assert rows.features[name] == datasets.Image()
        assert isinstance(rows[0][name], PIL.Image.Image)
        assert rows[1][name] is None
        assert rows["id"][:] == [1, 2, 3]

    def test_images_inside_a_result_are_decoded_too(self, dataset):
        """And in a list of its own."""
        import datasets

        rows = dataset("drawn")
        assert rows.features["drawn"]["data"] == datasets.List(datasets.Image())
        assert [isinstance(v, PIL.Image.Image) for v in rows[0]["drawn"]["data"]] == [True, True]
        every = dataset("every")
        assert every.features["every"] == datasets.List(datasets.Image())
        assert isinstance(every[0]["every"][1], PIL.Image.Image)

    def test_a_column_of_sounds_is_an_audio_feature(self, dataset):
        """Its bytes are there for whatever decodes them."""
        import datasets

        rows = dataset("spoken")
        assert isinstance(rows.features["spoken"], datasets.Audio)
        plain = rows.cast_column("spoken", datasets.Audio(decode=False))
        assert sniff_format(plain[0]["spoken"]["bytes"]) == "mp3"
        assert plain[1]["spoken"] is None

    def test_a_table_of_files_is_read_by_their_paths(self, tmp_path, store):
        """Its bytes were never copied."""
        datasets = pytest.importorskip("datasets")
        (tmp_path / "pics").mkdir()
        (tmp_path / "pics" / "a.png").write_bytes(picture())
        materialize(Table.from_files("pics", f"{tmp_path}/pics/*.png").assets, store)
        file = store.file(dg.AssetKey("pics")).path.path
        rows = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
        assert rows.features["image"] == datasets.Image()
        assert rows[0]["image"].size == (64, 64)


class TestPartitions:
    DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])

    def test_partitions_of_differing_schemas_load_as_one_table(self, store):
        """Bytes large or not, a path of nulls, a partition without rows: images all the same."""
        parts = {
            "mon": pa.table({"image": pa.array([{"bytes": picture(), "path": "a"}], Image.arrow())}),
            "tue": pa.table(
                {
                    "image": pa.array(
                        [{"bytes": picture("blue"), "path": None}],
                        pa.struct([("bytes", pa.large_binary()), ("path", pa.string())]),
                    )
                }
            ),
            "wed": pa.table({"image": pa.array([], Image.arrow())}),
        }
        seen: list[Any] = []

        @dg.asset(io_manager_key="columns", partitions_def=self.DAYS)
        def pics(context: dg.AssetExecutionContext) -> pa.Table:
            return parts[context.partition_key]

        @dg.asset(ins={"pics": dg.AssetIn("pics")})
        def look(pics: pd.DataFrame) -> None:
            seen.extend(pics["image"])

        for day in parts:
            materialize([pics], store, partition=day)
        materialize([pics, look], store, only=["look"])
        assert [image.getpixel((0, 0)) for image in seen] == [(255, 0, 0), (0, 0, 255)]

    def test_what_a_field_says_survives_several_partitions(self, tmp_path, store):
        """Sounds loaded as one table are still sounds."""
        seen: list[Any] = []
        for day in ("mon", "tue"):
            (tmp_path / day).mkdir()
            (tmp_path / day / "a.wav").write_bytes(sound())
        days = dg.StaticPartitionsDefinition(["mon", "tue"])
        tbl = Table.from_files("calls", f"{tmp_path}/{{partition_key}}/*.wav", partitions_def=days)
        tbl.add_computed_column(kept=tbl.audio)

        @dg.asset(ins={"kept": dg.AssetIn(["calls", "kept"])})
        def look(kept: pd.DataFrame) -> None:
            seen.extend(kept["kept"])

        materialize(tbl.assets, store, span=("mon", "tue"))
        materialize([*tbl.assets, look], store, only=["look"])
        assert [value["bytes"] for value in seen] == [sound()] * 2
        assert Audio.arrow() == stored(store, "calls/kept", "mon").schema.field("kept").type
