import datetime
import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.errors import SourceError
from pxt_assets.functions import embeddings
from tests.runs import ask, materialize, metadata, rows_asset, stored
from tests.scripted_server import chat, refusal, resource_of, vectors

EMBED = "text-embedding-3-small"


def compute(
    rows: dict[str, Any], column: Any, store: ColumnStore, openai: OpenAIResource, **options: Any
) -> pa.Table:
    """The stored rows of a column `c` over `rows`; `column` makes its expression from the table."""
    upstream = rows_asset(rows)
    table = Table(upstream, key="id") if "id" in rows else Table(upstream)
    table.add_computed_column(c=column(table), **options)
    materialize([upstream, *table.assets], store, openai)
    return stored(store, "tickets/c")


def test_the_columns_of_a_computed_column(store: ColumnStore, openai: OpenAIResource) -> None:
    """The file has the key, the value, its error's type and text, and the digest of the request."""
    rows = {"id": [3, 1, 2], "body": ["three", "one", "two"]}
    table = compute(rows, lambda t: ask(t.body), store, openai)
    assert table.column_names == ["id", "c", "c_errortype", "c_errormsg", "_digest"]
    assert table.schema.field("_digest").type == pa.binary(16)
    assert table["c_errortype"].null_count == table["c_errormsg"].null_count == 3


def test_rows_are_in_upstream_order(store: ColumnStore, serve: Any) -> None:
    """Rows come in the order of the upstream, in whatever order they were answered."""
    ids = [(i * 7919) % 1000 for i in range(1000)]
    server = serve(vectors)
    rows = {"id": ids, "body": ["x" * (i % 50 + 1) for i in ids]}
    table = compute(rows, lambda t: embeddings(t.body, model=EMBED), store, resource_of(server))
    assert table["id"].to_pylist() == ids
    assert [v[0] for v in table["c"].to_pylist()] == [i % 50 + 1.0 for i in ids]


def test_a_table_without_a_key_has_no_key_column(store: ColumnStore, openai: OpenAIResource) -> None:
    """Without a key, rows are identified by their position alone."""
    table = compute({"body": ["a", "b"]}, lambda t: ask(t.body), store, openai)
    assert table.column_names == ["c", "c_errortype", "c_errormsg", "_digest"]


def test_keys_of_several_columns_and_any_type(store: ColumnStore, openai: OpenAIResource) -> None:
    """Key columns are stored as they are upstream, several of them and of whatever type."""
    days = [datetime.date(2026, 3, 2), datetime.date(2026, 3, 3)]
    upstream = rows_asset({"day": days, "no": pa.array([1, 1], pa.int16()), "body": ["a", "b"]})
    table = Table(upstream, key=["day", "no"])
    table.add_computed_column(c=ask(table.body))
    materialize([upstream, *table.assets], store, openai)
    kept = stored(store, "tickets/c")
    assert kept.column_names[:2] == ["day", "no"]
    assert kept.schema.field("no").type == pa.int16()
    assert kept["day"].to_pylist() == days


def test_errors_stand_beside_the_values(store: ColumnStore, serve: Any) -> None:
    """Under on_error="ignore" a failed row has a null value, and the API's error class and message."""
    server = serve(lambda asked: refusal(400, "too rude") if asked.text == "bad" else chat(asked))
    rows = {"id": [1, 2], "body": ["good", "bad"]}
    table = compute(rows, lambda t: ask(t.body), store, resource_of(server), on_error="ignore")
    assert table["c"].is_null().to_pylist() == [False, True]
    assert table["c_errortype"].to_pylist() == [None, "BadRequestError"]
    assert table["c_errormsg"].to_pylist() == [None, "too rude (request req-7)"]


def test_json_is_arrows_json_type(store: ColumnStore, openai: OpenAIResource) -> None:
    """Json is stored as Arrow's JSON extension type over text."""
    table = compute({"body": ["a"]}, lambda t: ask(t.body), store, openai)
    assert table.schema.field("c").type == pa.json_(pa.string())
    assert json.loads(table["c"][0].as_py())["choices"][0]["message"]["content"] == "re: a"


def test_vectors_of_one_length_are_of_fixed_size(store: ColumnStore, serve: Any) -> None:
    """Vectors that share one length are stored as fixed-size lists of float32, nulls among them."""
    rows = {"body": ["a", None, "bb"]}
    table = compute(rows, lambda t: embeddings(t.body, model=EMBED), store, resource_of(serve(vectors)))
    assert table.schema.field("c").type == pa.list_(pa.float32(), 3)
    assert table["c"].to_pylist() == [[1.0, 1.0, 2.0], None, [2.0, 1.0, 2.0]]


def test_vectors_of_several_lengths_are_lists(store: ColumnStore, serve: Any) -> None:
    """Vectors whose lengths differ from row to row are stored as lists of any length."""
    long = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "model": EMBED, "usage": {}}

    def answer(asked: Any) -> Any:
        return type(vectors(asked))(long) if asked.body["model"] == "other" else vectors(asked)

    rows = {"body": ["a", "b"], "model": [EMBED, "other"]}
    table = compute(rows, lambda t: embeddings(t.body, model=t.model), store, resource_of(serve(answer)))
    assert table.schema.field("c").type == pa.list_(pa.float32())
    assert table["c"].to_pylist() == [[1.0, 1.0, 2.0], [1.0, 2.0]]


def test_a_vector_column_of_nulls(store: ColumnStore, openai: OpenAIResource) -> None:
    """A vector column that is null in each row is stored as lists, and costs no request."""
    rows = {"body": pa.array([None, None], pa.string())}
    table = compute(rows, lambda t: embeddings(t.body, model=EMBED), store, openai)
    assert table.schema.field("c").type == pa.list_(pa.float32())
    assert table["c"].null_count == 2


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (lambda t: ask(t.body), pa.json_(pa.string())),
        (lambda t: embeddings(t.body, model=EMBED), pa.list_(pa.float32())),
        (lambda t: {"text": t.body}, pa.json_(pa.string())),
        (lambda t: t.body, pa.string()),
    ],
    ids=["chat", "embeddings", "template", "copy"],
)
def test_a_partition_without_rows(
    column: Any, wanted: pa.DataType, store: ColumnStore, openai: OpenAIResource
) -> None:
    """No rows give a file with all columns and no rows, which loads like any other."""
    rows = {"id": pa.array([], pa.int64()), "body": pa.array([], pa.string())}
    table = compute(rows, column, store, openai)
    assert table.num_rows == 0
    assert table.schema.field("c").type == wanted
    assert table.schema.field("id").type == pa.int64()


def test_an_upstream_of_no_dicts(store: ColumnStore, openai: OpenAIResource) -> None:
    """A list of no dicts has no columns either; computed columns over it are empty, and so are theirs."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> list[Any]:
        return []

    table = Table(tickets)
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=table.c.choices[0].message.content)
    result = materialize([tickets, *table.assets], store, openai)
    assert metadata(result, "tickets/d")["dagster/row_count"] == 0


def test_plain_pandas_reads_it(store: ColumnStore, serve: Any) -> None:
    """pandas.read_parquet reads a stored column without this package: Json as text, vectors as arrays."""
    server = serve(lambda asked: vectors(asked) if "input" in asked.body else chat(asked))
    upstream = rows_asset({"id": [1, 2], "body": ["one", "two"]})
    table = Table(upstream, key="id")
    table.add_computed_column(said=ask(table.body))
    table.add_computed_column(embed=embeddings(table.body, model=EMBED))
    materialize([upstream, *table.assets], store, resource_of(server))
    key = dg.AssetKey(["tickets", "embed"])
    frame = pd.read_parquet(store.file(key).path.path)
    assert np.array_equal(np.stack(frame["embed"]), [[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    said = pd.read_parquet(store.file(dg.AssetKey(["tickets", "said"])).path.path)
    assert json.loads(said["said"][0])["choices"][0]["message"]["content"] == "re: one"


def test_the_file_says_what_made_it(store: ColumnStore, openai: OpenAIResource) -> None:
    """The Parquet metadata names the asset, its partition, its code version, and whether it is simulated."""
    compute({"body": ["a"]}, lambda t: ask(t.body), store, openai)
    file = store.file(dg.AssetKey(["tickets", "c"]))
    made = json.loads(pq.read_metadata(file.path.path).metadata[b"pxt_assets"])
    assert made["asset"] == ["tickets", "c"]
    assert made["partition"] is None
    assert made["simulated"] is False
    assert len(made["code_version"]) == 16


@pytest.mark.parametrize("path", [["raw-data", "x"], ["a__b"], ["a", "b", "d"]], ids="/".join)
def test_any_asset_key_names_a_folder(path: list[str], store: ColumnStore, openai: OpenAIResource) -> None:
    """Whatever characters an asset's key has, its columns work and are stored below the base path."""
    upstream = dg.AssetSpec(path).with_io_manager_key("columns")
    table = Table(upstream)
    table.add_computed_column(c=ask(table.body))
    rows = pa.table({"body": ["a"]})
    store.file(upstream.key).write(rows.schema, rows.to_batches(), {})
    materialize([upstream, *table.assets], store, openai)
    file = Path(store.file(dg.AssetKey([*path, "c"])).path.path)
    assert pq.read_table(file).num_rows == 1
    assert file.resolve().is_relative_to(Path(store.base_path).resolve())


def test_texts_that_are_hard_to_store(store: ColumnStore, serve: Any) -> None:
    """Emoji, quotes, NUL, line breaks and lone surrogates go to the API and into the file."""
    texts = ["ü 😀", '"\\"', "a\0b", "x\r\ny", "", " "]
    server = serve(lambda asked: chat(asked, asked.text + "\ud800"))
    table = compute({"body": texts}, lambda t: ask(t.body), store, resource_of(server))
    said = [json.loads(v)["choices"][0]["message"]["content"] for v in table["c"].to_pylist()]
    assert said == [f"{text}\ufffd" for text in texts]


def test_nothing_but_the_files_remains(store: ColumnStore, openai: OpenAIResource) -> None:
    """After a run the store holds one file an asset: no journal, no temporary file."""
    compute({"body": ["a"]}, lambda t: ask(t.body), store, openai)
    files = [path for path in Path(store.base_path).rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["c.parquet", "c.provenance", "tickets.parquet"]


def test_a_file_without_rows_is_read_as_a_table(store: ColumnStore) -> None:
    """An asset of the store that returned a table without rows is loaded as one."""
    seen = []

    @dg.asset(io_manager_key="columns")
    def empty() -> pa.Table:
        return pa.table({"a": pa.array([], pa.int32())})

    @dg.asset
    def reader(empty: pa.Table) -> None:
        seen.append(empty)

    materialize([empty, reader], store)
    assert seen[0].schema == pa.schema([("a", pa.int32())])


def test_a_store_in_memory(openai: OpenAIResource) -> None:
    """A store may be at any fsspec URL; journal and files are kept there."""
    store = ColumnStore(base_path="memory://test-store-in-memory")
    upstream = rows_asset({"id": [1, 2], "body": ["one", "two"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(answer=table.c.choices[0].message.content)
    seen = []

    @dg.asset(ins={"answer": dg.AssetIn(["tickets", "answer"], input_manager_key="columns")})
    def downstream(answer: pa.Table) -> None:
        seen.append(answer)

    assets = [upstream, *table.assets, downstream]
    result = materialize(assets, store, openai)
    assert seen[0]["answer"].to_pylist() == ["re: one", "re: two"]
    assert metadata(result, "tickets/answer")["dagster/uri"] == (
        "memory://test-store-in-memory/tickets/answer/answer.parquet"
    )
    again = materialize(assets, store, openai)
    assert metadata(again, "tickets/c")["pxt/rows_reused"] == 2
    folder = store.file(dg.AssetKey(["tickets", "c"])).path.parent
    assert sorted(path.name for path in folder.iterdir()) == ["c.parquet"]


def test_a_dataset_in_memory(openai: OpenAIResource) -> None:
    """A lazy dataset is opened through the store's own file system."""
    store = ColumnStore(base_path="memory://test-dataset-in-memory")
    seen = []

    @dg.asset(io_manager_key="columns")
    def numbers() -> pa.Table:
        return pa.table({"a": [1, 2]})

    @dg.asset
    def downstream(numbers: ds.Dataset) -> None:
        seen.append(numbers.to_table())

    materialize([numbers, downstream], store)
    assert seen[0]["a"].to_pylist() == [1, 2]


def test_a_file_of_an_older_type_is_computed_anew(store: ColumnStore, openai: OpenAIResource) -> None:
    """A stored column whose type is no longer the column's is replaced, not read as if it were."""
    compute({"id": [1], "body": ["a"]}, lambda t: ask(t.body), store, openai)
    table = compute({"id": [1], "body": ["a"]}, lambda t: t.body, store, openai)
    assert table["c"].to_pylist() == ["a"]
    table = compute({"id": [1], "body": ["a"]}, lambda t: ask(t.body), store, openai)
    assert "re: a" in table["c"].to_pylist()[0]


def test_a_strange_file_in_the_columns_place(store: ColumnStore, openai: OpenAIResource) -> None:
    """A Parquet file of another program where the column is stored is replaced."""
    path = Path(store.file(dg.AssetKey(["tickets", "c"])).path.path)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"c": [1, 2]}), path)
    table = compute({"id": [1], "body": ["a"]}, lambda t: ask(t.body), store, openai)
    assert table["id"].to_pylist() == [1]


@pytest.mark.parametrize("processed", [True, False], ids=["in a run", "outside of Dagster"])
def test_options_may_be_environment_variables(processed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when a file is asked for; one that is not set is named, rather than sent as no value."""
    store = ColumnStore(
        base_path="memory://cells", storage_options={"a": {"b": 1}, "token": dg.EnvVar("PXT_TEST_TOKEN")}
    )
    monkeypatch.setenv("PXT_TEST_TOKEN", "secret")
    with dg.build_resources({"store": store}) as built:
        used = built.store if processed else store
        assert used.file(dg.AssetKey("a")).path.storage_options == {"a": {"b": 1}, "token": "secret"}
        assert "secret" not in repr(used)
        monkeypatch.delenv("PXT_TEST_TOKEN")
        with pytest.raises(SourceError, match="environment variable PXT_TEST_TOKEN is not set"):
            used.file(dg.AssetKey("a"))
