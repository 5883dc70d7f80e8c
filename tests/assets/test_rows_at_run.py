"""Which rows a run is of: their key, their order and their columns, whatever happens to them meanwhile."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.storing import assemble
from tests.runs import ask, failure, materialize, rows_asset, stored
from tests.scripted_server import ScriptedServer

TICKETS = dg.AssetKey("tickets")


def run(
    store: ColumnStore, openai: OpenAIResource, rows: dict[str, Any], key: Any = "id", **options: Any
) -> dg.ExecuteInProcessResult:
    upstream = rows_asset(rows)
    table = Table(upstream, key=key)
    table.add_computed_column(c=ask(table.body))
    return materialize([upstream, *table.assets], store, openai, **options)


def said(store: ColumnStore) -> dict[Any, str]:
    """What each row was answered."""
    table = stored(store, "tickets/c")
    texts = [json.loads(cell)["choices"][0]["message"]["content"] for cell in table["c"].to_pylist()]
    return dict(zip(table["id"].to_pylist(), texts, strict=True))


@pytest.mark.parametrize("ids", [[3, 2, 1, 0], [0, 1], [0, 1, 2, 3, 4]], ids=["other order", "fewer", "more"])
def test_a_run_goes_on_with_the_rows_it_began_with(
    ids: list[int],
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the upstream is stored anew meanwhile, no row stands beside another one's answer."""
    replacing_after_check(monkeypatch, lambda: write(store, ids))
    run(store, openai, {"id": list(range(4)), "body": [f"b{i}" for i in range(4)]})
    assert said(store) == {i: f"re: b{i}" for i in range(4)}


def replacing_after_check(monkeypatch: pytest.MonkeyPatch, replace: Callable[[], None]) -> None:
    real = Inputs.check

    def check(inputs: Inputs, folder: Any) -> None:
        real(inputs, folder)
        replace()

    monkeypatch.setattr(Inputs, "check", check)


def write(store: ColumnStore, ids: list[int]) -> None:
    table = pa.table({"id": ids, "body": [f"b{i}" for i in ids]})
    store.file(TICKETS).write(table.schema, [table], {})


@pytest.mark.parametrize(
    ("earlier", "key"),
    [("id", None), ("id", ["id", "sub"]), (["id", "sub"], ["sub", "id"]), (["id", "sub"], "sub")],
    ids=["none", "longer", "reordered", "shorter"],
)
def test_another_key_is_stored_without_being_asked_for(
    earlier: Any, key: Any, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """The file has just the key columns that there are now, in their order, with the answers that there were."""
    rows = {"id": [1, 2], "sub": [3, 4], "body": ["a", "b"]}
    run(store, openai, rows, earlier)
    before = stored(store, "tickets/c")
    server.forget()
    run(store, openai, rows, key)
    after = stored(store, "tickets/c")
    assert server.texts == []
    named = [key] if isinstance(key, str) else key or []
    assert after.column_names == [*named, "c", "c_errortype", "c_errormsg", "_digest"]
    assert after["c"] == before["c"]


def test_a_key_of_another_type_is_stored(store: ColumnStore, openai: OpenAIResource) -> None:
    """Equal values of another type are another file."""
    run(store, openai, {"id": pa.array([1, 2], pa.int64()), "body": ["a", "b"]})
    run(store, openai, {"id": pa.array([1, 2], pa.int32()), "body": ["a", "b"]})
    assert stored(store, "tickets/c").schema.field("id").type == pa.int32()


def test_rows_in_another_order_are_read_once(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row group of the earlier file, and of what says where its cells come from, is read once, not once a step."""
    monkeypatch.setattr(assemble, "_ROWS_A_GROUP", 8)
    monkeypatch.setattr(assemble, "_ROWS_AT_FIRST", 8)
    ids = list(range(160))
    run(store, openai, {"id": ids, "body": [f"b{i}" for i in ids]})
    assert pq.ParquetFile(store.file(dg.AssetKey(["tickets", "c"])).path.path).num_row_groups >= 20
    server.forget()
    reads = 0
    real = pq.ParquetFile.read_row_group

    def counted(*arguments: Any, **options: Any) -> pa.Table:
        nonlocal reads
        reads += 1
        return real(*arguments, **options)

    order = np.random.default_rng(0).permutation(160).tolist()
    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetFile, "read_row_group", counted)
        run(store, openai, {"id": order, "body": [f"b{i}" for i in order]})
    assert server.texts == []
    assert list(said(store).items()) == [(i, f"re: b{i}") for i in order]
    digests = stored(store, "tickets/c")["_digest"].to_pylist()
    assert store.provenance_of(dg.AssetKey(["tickets", "c"]))["digest"].to_pylist() == digests
    assert reads <= 4 * 20


def test_keys_that_repeat(store: ColumnStore, openai: OpenAIResource, server: ScriptedServer) -> None:
    """A key that is not unique fails the run before anything is asked, and names the values."""
    upstream = rows_asset({"id": [1, 2, 1], "body": ["a", "b", "c"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    said = failure(materialize([upstream, *table.assets], store, openai, fails=True)).description
    assert said.startswith("tickets/c: tickets: the key id is not unique in this partition: 1;")
    assert not server.asked


def test_a_column_that_is_not_there(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column that the upstream lacks fails the run with the names there are and the nearest."""
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.bodi))
    said = failure(materialize([upstream, *table.assets], store, openai, fails=True)).description
    assert "tickets has no column 'bodi'; it has id, body; did you mean 'body'?" in said


def test_rows_that_changed_between_columns(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column of the table and of a computed column refuses rows that do not correspond, and says what to do."""
    rows: dict[str, Any] = {"id": [1, 2], "body": ["a", "b"]}
    upstream = rows_asset(rows)
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d={"q": table.body, "a": table.c.choices[0].message.content})
    assets = [upstream, *table.assets]
    materialize(assets, store, openai)
    rows["id"] = [2, 1]
    result = materialize(assets, store, openai, only=["tickets", "tickets/d"], fails=True)
    assert "materialize tickets/c first" in failure(result).description
