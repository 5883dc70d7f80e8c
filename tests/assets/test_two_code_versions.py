"""Two code versions on one bucket at once: a code location that was reloaded with another prompt, beside runs of the old."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions
from tests.runs import MODEL, failure
from tests.s3_server import s3_server
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal
from tests.tickets import KEY, Partitions

DAYS: dict[str, Any] = {"monday": {1: "a", 2: "b"}, "tuesday": {1: "c"}}


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    with s3_server() as options:
        yield options


@pytest.fixture
def store(s3: dict[str, Any], request: pytest.FixtureRequest) -> ColumnStore:
    return ColumnStore(base_path=f"s3://bucket/{request.node.name}", storage_options=s3)


def version(store: ColumnStore, openai: OpenAIResource, prompt: str) -> Partitions:
    """The table in a code location of its own, whose column has that prompt."""

    def column(table: Table) -> Any:
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": table.body}]
        return chat_completions(messages, model=MODEL)

    return Partitions(store, openai, DAYS, column)


def answer(asked: Asked) -> Reply:
    """Says which prompt and which row it answers."""
    return chat(asked, said_of(asked))


def said_of(asked: Asked) -> str:
    return " ".join(one["content"] for one in asked.body["messages"])


def said(store: ColumnStore, day: str) -> list[str]:
    """What is stored of a day."""
    with store.file(KEY, day).path.open("rb") as source:
        cells = pq.read_table(source)["c"].to_pylist()
    return [json.loads(cell)["choices"][0]["message"]["content"] for cell in cells]


def test_each_partition_is_of_the_version_that_stored_it_last(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Whole, under one prompt; what the new version has stored is not asked for again, what the old one has is."""
    server.script = answer
    version(store, openai, "old").run("monday")
    version(store, openai, "new").run("tuesday")
    assert (said(store, "monday"), said(store, "tuesday")) == (["old a", "old b"], ["new c"])
    server.forget()
    version(store, openai, "new").run()
    assert sorted(map(said_of, server.asked)) == ["new a", "new b"]
    assert (said(store, "monday"), said(store, "tuesday")) == (["new a", "new b"], ["new c"])


def test_the_same_partition_at_once_is_the_first_ones(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """The other one says who has it, before it has paid for anything; later it stores its own."""
    asked, go_on = threading.Event(), threading.Event()

    def slowly(request: Asked) -> Reply:
        asked.set()
        go_on.wait(60)
        return answer(request)

    server.script = slowly
    results = []

    def first() -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            results.append(version(store, openai, "old").run("monday", instance=instance))

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert asked.wait(60)
        with dg.DagsterInstance.ephemeral() as instance:
            second = version(store, openai, "new").run(
                "monday", only=["tickets/c"], fails=True, instance=instance
            )
        assert "computes this partition already" in failure(second).description
    finally:
        go_on.set()
        thread.join(60)
    assert results[0].success
    assert {said_of(one) for one in server.asked} == {"old a", "old b"}
    assert said(store, "monday") == ["old a", "old b"]
    server.script = answer
    version(store, openai, "new").run("monday")
    assert said(store, "monday") == ["new a", "new b"]


def test_what_a_failed_run_of_the_old_version_paid_for_is_no_answer_of_the_new_one(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Nor is it asked for again by the old version, which goes on where it was."""

    def refusing(asked: Asked) -> Reply:
        return refusal(asked) if asked.text == "b" else answer(asked)

    server.script = refusing
    version(store, openai, "old").run("monday", fails=True)
    version(store, openai, "new").run("monday", fails=True)
    server.script = answer
    server.forget()
    version(store, openai, "old").run("monday")
    assert [said_of(one) for one in server.asked] == ["old b"]
    assert said(store, "monday") == ["old a", "old b"]
