"""A column's folder as other programs open it: they meet the column's rows and nothing else."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import datasets
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.functions import image_generations, speech
from pxt_assets.storage.parquet import ParquetFile
from tests.runs import materialize, rows_asset
from tests.scripted_server import ScriptedServer, chat, refusal
from tests.tickets import KEY, Partitions, Tickets

pl = pytest.importorskip("polars")
datasets.disable_progress_bars()


def in_duckdb(what: str) -> list[Any]:
    return [row[0] for row in duckdb.sql(f"select id from {what}").fetchall()]


def in_datasets(cache: Path, *args: Any, **options: Any) -> list[Any]:
    loaded = datasets.load_dataset(*args, cache_dir=str(cache), **options)
    return [id_ for split in loaded.values() for id_ in split["id"]]


READERS: dict[str, Callable[[str, Path], list[Any]]] = {
    "duckdb": lambda folder, _: in_duckdb(f"read_parquet('{folder}')"),
    "duckdb *": lambda folder, _: in_duckdb(f"'{folder}/*.parquet'"),
    "duckdb **": lambda folder, _: in_duckdb(f"'{folder}/**/*.parquet'"),
    "duckdb ** of anything": lambda folder, _: in_duckdb(f"read_parquet('{folder}/**')"),
    "polars": lambda folder, _: pl.read_parquet(folder)["id"].to_list(),
    "polars *": lambda folder, _: pl.read_parquet(f"{folder}/*.parquet")["id"].to_list(),
    "polars **": lambda folder, _: pl.read_parquet(f"{folder}/**/*.parquet")["id"].to_list(),
    "lazy polars": lambda folder, _: pl.scan_parquet(folder).select("id").collect()["id"].to_list(),
    "lazy polars *": lambda folder, _: pl.scan_parquet(f"{folder}/*.parquet").collect()["id"].to_list(),
    "pandas": lambda folder, _: pd.read_parquet(folder)["id"].tolist(),
    "pyarrow": lambda folder, _: pq.read_table(folder)["id"].to_pylist(),
    "pyarrow.dataset": lambda folder, _: ds.dataset(folder).to_table(["id"])["id"].to_pylist(),
    "datasets": lambda folder, cache: in_datasets(cache, folder),
    "datasets, data_dir": lambda folder, cache: in_datasets(cache, "parquet", data_dir=folder),
    "datasets *": lambda folder, cache: in_datasets(cache, "parquet", data_files=f"{folder}/*.parquet"),
    "datasets **": lambda folder, cache: in_datasets(cache, "parquet", data_files=f"{folder}/**/*.parquet"),
}


@pytest.fixture(params=READERS)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], list[Any]]:
    """The ids that a reader finds in a folder."""
    reader = READERS[request.param]
    return lambda folder: sorted(reader(str(folder), tmp_path / "cache"))


def folder_of(store: ColumnStore, *key: str) -> Path:
    return Path(store.file(dg.AssetKey(key)).path.path).parent


def test_a_column(store: ColumnStore, openai: OpenAIResource, read: Callable[[Path], list[Any]]) -> None:
    """The sidecar is elsewhere."""
    Tickets(store, openai).run({1: "a", 2: "b"})
    assert store.provenance_of(KEY).num_rows == 2
    assert read(folder_of(store, "tickets", "c")) == [1, 2]


def test_a_column_in_partitions(
    store: ColumnStore, openai: OpenAIResource, read: Callable[[Path], list[Any]]
) -> None:
    """Each is a file, whatever is in its key."""
    Partitions(store, openai, {"2027-03-01": {1: "a"}, "EMEA|50% of *": {2: "b"}, "a=1/[b]?": {3: "c"}}).run()
    assert read(folder_of(store, "tickets", "c")) == [1, 2, 3]


def test_while_a_run_goes_on(
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    read: Callable[[Path], list[Any]],
) -> None:
    """Its lock, its journal, and the file that is being written are elsewhere; the column is as it was before."""
    tickets = Tickets(store, openai)
    tickets.run({1: "a", 2: "b"})
    server.script = lambda asked: refusal(400) if asked.text == "d" else chat(asked)
    tickets.run({1: "a", 3: "c", 4: "d"}, fails=True)
    assert list(tickets.journal.iterdir())
    found = []

    def rows() -> Iterator[pa.Table]:
        yield tickets.table.slice(0, 1)
        found.extend(read(tickets.path.parent))

    async def write() -> None:
        file = store.file(KEY)
        async with hold_claim(file, "run-17"):
            file.write(tickets.table.schema, rows(), {})

    asyncio.run(write())
    assert found == [1, 2]
    assert read(tickets.path.parent) == [1]


@pytest.mark.parametrize("what", ["images", "sounds"])
def test_images_and_sounds(
    store: ColumnStore, simulated: OpenAIResource, read: Callable[[Path], list[Any]], what: str
) -> None:
    """They are inside the column's file."""
    upstream = rows_asset({"id": [1, 2], "body": ["a", "b"]})
    table = Table(upstream, key="id")
    table.add_computed_column(
        c=image_generations(table.body, model="gpt-image-1")
        if what == "images"
        else speech(table.body, model="tts-1", voice="alloy")
    )
    materialize([upstream, *table.assets], store, simulated)
    assert read(folder_of(store, "tickets", "c")) == [1, 2]


def test_a_pattern_over_all_of_a_store_meets_tables_only(store: ColumnStore, openai: OpenAIResource) -> None:
    """With a journal and a sidecar in it."""
    tickets = Tickets(store, openai)
    tickets.run({1: "a"})
    tickets.run({1: "a", 2: "b"}, config={"limit": 2})
    base = Path(store.base_path)
    expected = sorted(str(base / "tickets" / name) for name in ("c/c.parquet", "tickets.parquet"))
    met = duckdb.sql(f"select file from glob('{base}/**/*.parquet') order by file").fetchall()
    assert [file for (file,) in met] == expected
    assert sorted(str(path) for path in base.rglob("*.parquet")) == expected
    assert sorted(ds.dataset(base).files) == expected


def test_what_is_in_the_folder_of_companions_is_no_asset(store: ColumnStore) -> None:
    """An asset of that name has another folder."""
    named = store.file(dg.AssetKey([".pxt_assets", "tickets", "c"]))
    assert isinstance(named, ParquetFile)
    assert ".pxt_assets" not in named.path.parts[:-1]


def test_a_folder_on_another_disk(
    store: ColumnStore, openai: OpenAIResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be renamed to it is copied beside the file first, and then renamed."""
    real, tickets = Path.replace, Tickets(store, openai)

    def replace(source: Path, target: Path) -> Path:
        if source.parent != Path(target).parent:
            raise OSError(18, "Invalid cross-device link")
        return real(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    tickets.run({1: "a", 2: "b"})
    assert tickets.table["id"].to_pylist() == [1, 2]
    assert [path.name for path in tickets.path.parent.iterdir()] == ["c.parquet"]
    assert {path.name for path in tickets.journal.parent.iterdir()} == {"c.provenance"}


def test_a_partition_whose_key_begins_with_an_underscore(store: ColumnStore) -> None:
    """Readers of folders skip such names; a file that an earlier version named so is still the partition's."""
    file = store.file(dg.AssetKey("tickets"), "_new")
    rows = pa.table({"id": [1]})
    file.write(rows.schema, rows.to_batches(), {})
    assert pd.read_parquet(file.path.parent.path)["id"].to_list() == [1]
    before = file.path.with_name("_old.parquet")
    file.path.fs.copy(file.path.path, before.path)
    assert store.file(dg.AssetKey("tickets"), "_old").path == before
