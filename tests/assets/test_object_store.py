"""Columns on an object store: a real S3 server on loopback, spoken to through s3fs."""

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.storage.parquet import ParquetFile
from tests.runs import ask, failure, materialize, metadata, rows_asset
from tests.s3_server import s3_server
from tests.scripted_server import ScriptedServer, chat, refusal

KEY = dg.AssetKey(["tickets", "c"])
ROWS = {"id": [1, 2, 3], "body": ["a", "b", "c"]}


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """The storage options of an S3 server with a bucket `bucket`."""
    with s3_server("the-key", "the-secret") as options:
        yield options


@pytest.fixture
def store(s3: dict[str, Any], request: pytest.FixtureRequest) -> ColumnStore:
    return ColumnStore(base_path=f"s3://bucket/{request.node.name.split('[')[0]}", storage_options=s3)


def run(store: ColumnStore, openai: OpenAIResource, rows: Any = None, **options: Any) -> Any:
    upstream = rows_asset(rows or ROWS)
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    return materialize([upstream, *table.assets], store, openai, **options)


def stored(store: ColumnStore) -> pa.Table:
    with store.file(KEY).path.open("rb") as source:
        return pq.read_table(source)


def names(store: ColumnStore) -> list[str]:
    """All objects of the column."""
    folder = store.file(KEY).path.parents[2]
    folder.fs.invalidate_cache()
    return sorted(
        name
        for path in folder.fs.find(folder.path)
        if "/c/" in (name := str(path).removeprefix(f"{folder.path.rstrip('/')}/"))
    )


@pytest.fixture
def one_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, a run's journal is one segment: that of its last flush."""
    monkeypatch.setattr("pxt_assets.compute.cells.journal.FLUSH_SECONDS", 3_600.0)


def test_a_column_is_materialized(store: ColumnStore, openai: OpenAIResource, server: ScriptedServer) -> None:
    """Its file and its sidecar are all that is left, and a second run asks for nothing."""
    said = metadata(run(store, openai), "tickets/c")
    assert said["dagster/uri"].endswith("/tickets/c/c.parquet")
    assert said["dagster/uri"].startswith("s3://bucket/")
    assert "the-" not in said["dagster/uri"]
    assert stored(store)["id"].to_pylist() == [1, 2, 3]
    assert store.provenance_of(KEY).num_rows == 3
    assert names(store) == [".pxt_assets/tickets/c/c.provenance", "tickets/c/c.parquet"]
    server.forget()
    again = metadata(run(store, openai, {"id": [3, 1], "body": ["c", "new"]}), "tickets/c")
    assert (again["pxt/rows_computed"], again["pxt/rows_reused"]) == (1, 1)
    assert server.texts == ["new"]


def test_a_failed_run_leaves_segments_and_the_next_takes_them_over(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, one_segment: None
) -> None:
    """The journal is objects beside the column's place, written once each."""
    server.script = lambda asked: refusal(asked) if asked.text == "b" else chat(asked)
    run(store, openai, fails=True)
    assert [name.rpartition(".")[2] for name in names(store)] == ["arrow"]
    server.script = chat
    server.forget()
    run(store, openai)
    assert server.texts == ["b"]
    assert names(store) == [".pxt_assets/tickets/c/c.provenance", "tickets/c/c.parquet"]


def test_a_torn_segment_is_dropped(
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    one_segment: None,
) -> None:
    """What cannot be read is asked for again, with a warning."""
    server.script = lambda asked: refusal(asked) if asked.text == "b" else chat(asked)
    run(store, openai, fails=True)
    (segment,) = [name for name in names(store) if name.endswith(".arrow")]
    path = store.file(KEY).path.parents[2] / segment
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    server.script = chat
    server.forget()
    with caplog.at_level(logging.WARNING):
        run(store, openai)
    assert sorted(server.texts) == ["a", "b", "c"]
    assert "cut short" in caplog.text


def test_an_upload_that_fails_leaves_the_earlier_file(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is one object, there whole or not at all; what was paid for is in the journal."""
    run(store, openai)
    before = stored(store)
    fs = store.file(KEY).path.fs
    put = fs.put_file

    def full(local: str, remote: str) -> None:
        if remote.endswith("c.parquet"):
            raise OSError("no space on the server")
        put(local, remote)

    rows = {"id": [1, 2, 3], "body": ["a", "b", "changed"]}
    with monkeypatch.context() as patched:
        patched.setattr(fs, "put_file", full)
        run(store, openai, rows, fails=True)
    assert stored(store).equals(before)
    server.forget()
    run(store, openai, rows)
    assert server.texts == []
    assert "re: changed" in stored(store)["c"].to_pylist()[2]


def test_a_second_run_of_the_partition_fails_and_names_the_first(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Its claim is alive, so nobody pays for the same cells twice."""
    asked, go_on = threading.Event(), threading.Event()

    def slowly(request: Any) -> Any:
        asked.set()
        go_on.wait(30)
        return chat(request)

    server.script = slowly
    results = []

    def first() -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            results.append(run(store, openai, instance=instance))

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert asked.wait(30)
        paid = len(server.texts)
        upstream = rows_asset(ROWS)
        table = Table(upstream, key="id")
        table.add_computed_column(c=ask(table.body))
        with dg.DagsterInstance.ephemeral() as instance:
            second = materialize(
                [upstream, *table.assets],
                store,
                openai,
                only=["tickets/c"],
                fails=True,
                instance=instance,
            )
        assert "computes this partition already" in failure(second).description
        assert f"process {os.getpid()}" in failure(second).description
        assert len(server.texts) <= max(paid, 3)
    finally:
        go_on.set()
        thread.join(60)
    assert results[0].success
    assert len(server.texts) == 3


class TestOtherProcesses:
    """What they store is seen, whatever this process remembers of the folder."""

    @pytest.fixture
    def other(self, s3: dict[str, Any]) -> Any:
        """The file system of another process."""
        return fsspec.filesystem("s3", skip_instance_cache=True, **s3)

    def put(self, other: Any, file: ParquetFile, rows: int) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"a": range(rows)}), sink)
        other.pipe_file(file.path.path, sink.getvalue().to_pybytes())

    def test_a_new_file_is_there_and_an_old_one_is_as_it_is_now(self, store: ColumnStore, other: Any) -> None:
        """Though the folder was listed before."""
        file, new = (store.file(KEY, partition) for partition in ("old", "new"))
        self.put(other, file, 10)
        file.path.fs.ls(file.path.parent.path)
        self.put(other, file, 50_000)
        self.put(other, new, 1)
        assert new.exists()
        assert new.size_bytes > 0
        assert file.size_bytes > 50_000
        assert file.rows().table(["a"]).num_rows == 50_000

    def test_a_file_that_is_replaced_as_it_is_opened_is_read_all_the_same(
        self, store: ColumnStore, other: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look at an object and its reading another may take its place."""
        file = store.file(KEY)
        self.put(other, file, 10)
        real, opened = file.path.fs.open, []

        def replaced(*arguments: Any, **options: Any) -> Any:
            source = real(*arguments, **options)
            if not opened:
                self.put(other, file, 20)
            opened.append(source)
            return source

        monkeypatch.setattr(file.path.fs, "open", replaced)
        assert file.rows().num_rows == 20
        assert len(opened) == 2

    def test_a_run_whose_rows_are_replaced_fails_and_the_next_goes_on(
        self,
        store: ColumnStore,
        openai: OpenAIResource,
        server: ScriptedServer,
    ) -> None:
        """No row is stored beside another one's answer; what was answered is not asked for again."""
        tickets = store.file(dg.AssetKey("tickets"))

        def replacing(asked: Any) -> Any:
            reordered = pa.table({name: values[::-1] for name, values in ROWS.items()})
            ParquetFile(tickets.path).write(reordered.schema, [reordered], {})
            return chat(asked)

        server.script = replacing
        failed = run(store, openai, fails=True)
        assert "tickets.parquet was materialized meanwhile; materialize again" in failure(failed).description
        assert not store.file(KEY).exists()
        server.script = chat
        server.forget()
        run(store, openai)
        assert server.texts == []
        assert stored(store)["id"].to_pylist() == [1, 2, 3]
