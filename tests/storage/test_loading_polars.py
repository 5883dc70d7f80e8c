"""Tables that polars is given, and gives."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import embeddings, image_generations, speech
from pxt_assets.storage.loading import load_as
from pxt_assets.storage.parquet import ParquetFile
from tests.runs import ask, materialize, metadata, rows_asset
from tests.scripted_server import ScriptedServer

pl = pytest.importorskip("polars")

KINDS = {"eager": pl.DataFrame, "lazy": pl.LazyFrame}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def written(store: ColumnStore, *tables: pa.Table | Iterable[pa.Table]) -> dict[str | None, ParquetFile]:
    """A file of a partition for each table."""
    files: dict[str | None, ParquetFile] = {}
    for i, table in enumerate(tables):
        parts = [table] if isinstance(table, pa.Table) else list(table)
        files[str(i)] = store.file(dg.AssetKey("a"), str(i))
        files[str(i)].write(parts[0].schema, parts, {})
    return files


def frame_of(kind: Any, files: dict[str | None, ParquetFile]) -> Any:
    """The frame, collected if it is lazy, whose schema must be that of what comes."""
    loaded = load_as(kind, files, "a")
    assert isinstance(loaded, kind)
    frame = loaded.lazy().collect()
    assert loaded.lazy().collect_schema() == frame.schema
    return frame


def test_columns_of_each_kind_of_value(store: ColumnStore, simulated: OpenAIResource, kind: Any) -> None:
    """Json is text, images and sounds are `{"bytes", "path"}`, vectors are arrays."""
    upstream = rows_asset({"id": [1, 2], "body": ["a", None]})
    table = Table(upstream, key="id")
    for name, value in {
        "chat": ask(table.body),
        "vector": embeddings(table.body, model="text-embedding-3-small", dimensions=8),
        "drawn": image_generations(table.body, model="gpt-image-1").data[0],
        "spoken": speech(table.body, model="tts-1", voice="alloy"),
    }.items():
        table.add_computed_column(**{name: value})
    seen: dict[str, Any] = {}

    def down(**frames: Any) -> None:
        seen.update({name: frame.lazy().collect() for name, frame in frames.items()})

    names = [asset.key.path[-1] for asset in table.assets]
    down_asset = dg.op(ins={name: dg.In(kind) for name in names})(down)
    assets = [
        *(upstream, *table.assets),
        dg.AssetsDefinition.from_op(
            down_asset, keys_by_input_name={n: dg.AssetKey(["tickets", n]) for n in names}
        ),
    ]
    materialize(assets, store, simulated, resources={"io_manager": dg.mem_io_manager})

    chat = seen["chat"]["chat"]
    assert chat.dtype == pl.String
    assert chat.str.json_path_match("$.choices[0].message.role").to_list() == ["assistant", None]
    assert seen["vector"]["vector"].dtype == pl.Array(pl.Float32, 8)
    assert seen["vector"]["vector"].is_null().to_list() == [False, True]
    for name, begins in (("drawn", b"\x89PNG"), ("spoken", b"")):
        first, second = seen[name][name].to_list()
        assert first["bytes"].startswith(begins)
        assert len(first["bytes"]) > 100
        assert second is None
    assert seen["chat"]["id"].to_list() == [1, 2]


def test_partitions_that_differ_in_types(store: ColumnStore, kind: Any) -> None:
    """They have the most general one, as in any other form."""
    files = written(
        store,
        pa.table(
            {"id": [1], "n": pa.array([1], pa.int64()), "v": pa.array([[1.0]], pa.list_(pa.float32(), 1))}
        ),
        pa.table({"id": [2], "n": pa.array([0.5]), "v": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))}),
        pa.table({"id": [3], "n": pa.nulls(1), "v": pa.nulls(1)}),
    )
    frame = frame_of(kind, files)
    assert frame["n"].to_list() == [1.0, 0.5, None]
    assert frame["v"].to_list() == [[1.0], [1.0, 2.0], None]


def test_categories_of_several_row_groups(store: ColumnStore, kind: Any) -> None:
    """Each has a dictionary of its own."""
    parts = [pa.table({"c": pa.array(names).dictionary_encode()}) for names in (["a", "b"], ["c", "a"])]
    assert frame_of(kind, written(store, parts))["c"].cast(pl.String).to_list() == ["a", "b", "c", "a"]
    assert frame_of(kind, written(store, *parts))["c"].cast(pl.String).to_list() == ["a", "b", "c", "a"]


def test_a_table_without_rows_has_its_columns(store: ColumnStore, kind: Any) -> None:
    """And their types."""
    frame = frame_of(
        kind, written(store, pa.table({"id": pa.array([], pa.int64()), "j": pa.array([], pa.json_())}))
    )
    assert dict(frame.schema) == {"id": pl.Int64, "j": pl.String}


def test_by_partition(store: ColumnStore, kind: Any) -> None:
    """In a dict, each with its own columns."""
    files = written(store, pa.table({"a": [1]}), pa.table({"b": [2]}))
    frames: Any = load_as(dict[str, kind], files, "a")
    assert {key: frame.lazy().collect().to_dicts() for key, frame in frames.items()} == {
        "0": [{"a": 1}],
        "1": [{"b": 2}],
    }


class TestLazily:
    def test_what_is_not_needed_is_not_read(
        self, store: ColumnStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither other columns, nor rows after those that are wanted, nor anything before it is collected."""
        files = written(store, [pa.table({"a": [i] * 5_000, "b": ["x"] * 5_000}) for i in range(6)])
        read: list[tuple[str, ...]] = []
        from pxt_assets.storage.rows import Rows

        batches = Rows.batches

        def noted(rows: Rows, columns: Any, size: int) -> Any:
            for batch in batches(rows, columns, min(size, 5_000)):
                read.append(tuple(batch.schema.names))
                yield batch

        monkeypatch.setattr(Rows, "batches", noted)
        lazy: Any = load_as(pl.LazyFrame, files, "a")
        assert read == []
        assert lazy.select("a").head(5).collect()["a"].to_list() == [0] * 5
        assert set(read) == {("a",)}
        assert len(read) <= 2

    def test_filters_and_limits_are_right(self, store: ColumnStore) -> None:
        """In any order, over several partitions."""
        files = written(store, *(pa.table({"a": range(start, start + 10)}) for start in (0, 10, 20)))
        lazy: Any = load_as(pl.LazyFrame, files, "a")
        assert lazy.filter(pl.col("a") % 7 == 0).head(3).collect()["a"].to_list() == [0, 7, 14]
        assert lazy.head(15).filter(pl.col("a") % 7 == 0).collect()["a"].to_list() == [0, 7, 14]
        assert lazy.slice(12, 3).collect()["a"].to_list() == [12, 13, 14]
        assert lazy.select(pl.len()).collect().item() == 30
        assert lazy.filter(pl.col("a") > 27).select(pl.len()).collect(engine="streaming").item() == 2
        assert lazy.tail(2).collect()["a"].to_list() == [28, 29]


class TestStored:
    @pytest.mark.parametrize("lazy", [False, True])
    def test_a_frame_is_stored_and_computed_from(
        self, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, lazy: bool
    ) -> None:
        """Its texts, structs and lists are those of any table."""
        frame = pl.DataFrame(
            {
                "id": [1, 2],
                "body": ["a", "b"],
                "s": [{"bytes": b"1", "n": 1}, None],
                "l": [["p"], []],
            }
        )

        @dg.asset(io_manager_key="columns")
        def tickets() -> Any:
            return frame.lazy() if lazy else frame

        table = Table(tickets, key="id")
        table.add_computed_column(c=ask(table.body))
        result = materialize([tickets, *table.assets], store, openai)
        assert sorted(server.texts) == ["a", "b"]
        assert metadata(result, "tickets")["dagster/row_count"] == 2
        back: Any = load_as(pl.DataFrame, {None: store.file(dg.AssetKey("tickets"))}, "tickets")
        assert back.equals(frame)

    def test_frames_by_partition(self, store: ColumnStore) -> None:
        """In one run of several."""
        days = dg.StaticPartitionsDefinition(["mon", "tue"])

        @dg.asset(
            io_manager_key="columns",
            partitions_def=days,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def up() -> Any:
            return {"mon": pl.DataFrame({"a": [1]}), "tue": pl.LazyFrame({"a": [2]})}

        materialize([up], store, span=("mon", "tue"))
        assert store.file(up.key, "tue").rows().table(["a"])["a"].to_pylist() == [2]

    def test_what_duckdb_gives_is_stored(self, store: ColumnStore) -> None:
        """A relation exports an Arrow stream."""

        @dg.asset(io_manager_key="columns")
        def up() -> Any:
            return duckdb.sql("select 1 as a, 'x' as b")

        materialize([up], store)
        assert store.file(up.key).rows().table(["a", "b"]).to_pylist() == [{"a": 1, "b": "x"}]
