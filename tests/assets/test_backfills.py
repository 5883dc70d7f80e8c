"""Runs of several partitions: they overlap, each is recorded as it finishes, and none loses the others."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore
from pxt_assets.compute.asking import cell_requester, in_flight_bound
from pxt_assets.compute.cells.journal import Journal
from tests.runs import failure, message, metadata
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of
from tests.tickets import KEY, Partitions, checks, observations, said_of

SECONDS = 30


def partitions_of(store: ColumnStore, server: ScriptedServer, **rows: dict[Any, Any]) -> Partitions:
    return Partitions(store, resource_of(server), rows)


def test_the_next_partition_asks_while_the_last_ones_straggler_is_on_its_way(
    store: ColumnStore, serve: Any
) -> None:
    """A slow row of one partition is answered after the rows of the next."""
    next_one = threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.text == "next":
            next_one.set()
        if asked.text == "slow":
            assert next_one.wait(SECONDS)
        return chat(asked)

    result = partitions_of(store, serve(script), a={1: "slow", 2: "x"}, b={1: "next"}).run()
    assert [said_of(result, key)["pxt/rows_computed"] for key in "ab"] == [2, 1]


def test_each_partition_is_recorded_as_it_finishes(store: ColumnStore, serve: Any) -> None:
    """One that waits for an answer does not hold back the record of another that is stored."""
    recorded: list[set[str]] = []

    def script(asked: Asked) -> Reply:
        while asked.text == "slow" and not recorded:
            found = instance.get_materialized_partitions(KEY)
            if found:
                recorded.append(set(found))
        return chat(asked)

    with dg.DagsterInstance.ephemeral() as instance:
        partitions_of(store, serve(script), a={1: "slow"}, b={1: "x"}).run(instance=instance)
        assert instance.get_materialized_partitions(KEY) == {"a", "b"}
    assert recorded == [{"b"}]


@pytest.mark.parametrize("where", ["abc", "bac"], ids=["first", "second"])
def test_a_failed_partition_does_not_lose_the_others(store: ColumnStore, serve: Any, where: str) -> None:
    """The others are stored and recorded; the run fails, names the one, and it alone shows as failed."""
    server = serve(lambda asked: refusal(400, "too rude") if asked.text == "bad" else chat(asked))
    texts = {"a": "bad", "b": "x", "c": "y"}
    partitions = partitions_of(store, server, **{key: {1: texts[key]} for key in where})
    with dg.DagsterInstance.ephemeral() as instance:
        result = partitions.run(instance=instance, fails=True)
        statuses = instance.get_status_by_partition(KEY, partitions.keys, _definition(partitions))
    assert statuses is not None
    assert {key: status.value for key, status in statuses.items() if status} == {
        "a": "FAILED",
        "b": "MATERIALIZED",
        "c": "MATERIALIZED",
    }
    said = failure(result).description
    first, why, what_to_do = said.splitlines()
    assert first == "1 of 3 partitions failed: a (1 row); the other 2 are stored."
    assert why.startswith("tickets/c[a]: 1 of 1 rows failed: id=1: BadRequestError: too rude")
    assert what_to_do.startswith("What is finished is kept")
    server.forget()
    partitions.run("b", "c") if where == "abc" else partitions.run("c")
    assert server.asked == []


def test_rows_that_cannot_be_read_concern_their_partition_alone(store: ColumnStore, serve: Any) -> None:
    """A repeated key fails its partition, whose message names it; the others are computed."""
    server = serve(chat)
    partitions = partitions_of(store, server, a={1: "x"}, b={2: "y"}, c={3: "z"})
    rows = partitions.rows

    class Twice(dict[Any, Any]):
        def __iter__(self) -> Any:
            return iter([2, 2])

        def values(self) -> Any:
            return ["y", "y"]

    rows["b"] = Twice()
    result = partitions.run(fails=True)
    assert "tickets/c[b]: tickets: the key id is not unique" in failure(result).description
    assert sorted(server.texts) == ["x", "z"]
    assert [store.file(KEY, key).exists() for key in "abc"] == [True, False, True]


def test_several_failed_partitions_are_counted(store: ColumnStore, serve: Any) -> None:
    """The first ones are named, with the rows of each in the failure's table and in the check."""
    server = serve(lambda asked: refusal(400, "no") if asked.text != "x" else chat(asked))
    rows = {str(i): {1: "bad"} for i in range(5)} | {"5": {1: "x"}}
    result = partitions_of(store, server, **rows).run(fails=True)
    said = failure(result)
    names = ", ".join(f"{i} (1 row)" for i in range(5))
    first, *reasons, _ = said.description.splitlines()
    assert first == f"5 of 6 partitions failed: {names}; the other one is stored."
    assert [reason.partition(":")[0] for reason in reasons] == [f"tickets/c[{i}]" for i in range(5)]
    records = [record.data for record in said.metadata["pxt/failed_rows"].records]
    assert [record["partition"] for record in records] == ["0", "1", "2", "3", "4"]
    (check,) = [one for one in checks(result) if one.check_name == "no_failed_cells"]
    assert check.metadata["pxt/rows_failed"].value == 5
    assert check.metadata["pxt/partitions"].value == ["0", "1", "2", "3", "4"]


def test_a_key_that_is_refused_ends_the_run(store: ColumnStore, serve: Any) -> None:
    """What concerns all partitions is not tried again with each; whatever was on its way is kept."""
    wrong = threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.text == "wrong":
            wrong.set()
            return refusal(401, "no such key", code="invalid_api_key")
        assert wrong.wait(SECONDS)
        return chat(asked)

    server = serve(script)
    rows = {"a": {1: "x", 2: "wrong"}} | {str(i): {1: f"row {i}"} for i in range(70)}
    partitions = Partitions(store, resource_of(server, max_in_flight=2), rows)  # type: ignore[arg-type]
    result = partitions.run(fails=True)
    assert failure(result).description.startswith("tickets/c[a]: the API at")
    assert len(server.asked) < 10
    answered = set(server.texts) - {"wrong"}
    server.script = chat
    server.forget()
    partitions.run()
    assert not answered & set(server.texts)


def test_a_partition_whose_answers_are_all_there_is_stored_though_the_run_ends(
    store: ColumnStore, serve: Any
) -> None:
    """All that it needs is on its way when another partition's error ends the run; what failed before is told, too."""
    asked_for = threading.Barrier(3, timeout=SECONDS)
    wrong = threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.text in ("x", "y", "wrong"):
            asked_for.wait()
        if asked.text == "bad":
            return refusal(400, "too rude")
        if asked.text == "wrong":
            wrong.set()
            return refusal(401, "no such key", code="invalid_api_key")
        assert asked.text == "first" or wrong.wait(SECONDS)
        return chat(asked)

    server = serve(script)
    partitions = partitions_of(store, server, bad={1: "first", 2: "bad"}, a={1: "x", 2: "y"}, b={1: "wrong"})
    with dg.DagsterInstance.ephemeral() as instance:
        result = partitions.run(instance=instance, fails=True)
        assert instance.get_materialized_partitions(KEY) == {"a"}
    said = failure(result)
    assert said.description.startswith("tickets/c[b]: the API at")
    assert (
        "\nBesides: 1 of 3 partitions failed: bad (1 row); 1 of the other 2 is stored.\n" in said.description
    )
    assert "\ntickets/c[bad]: 1 of 2 rows failed" in said.description
    assert [record.data["partition"] for record in said.metadata["pxt/failed_rows"].records] == ["bad"]


def test_what_cannot_be_recorded_fails_the_run(
    store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that takes no event is no reason to call the run a success, nor to lose what was paid for."""
    server = serve(lambda asked: refusal(400, "no") if asked.text == "bad" else chat(asked))

    def locked(*_: Any, **__: Any) -> None:
        raise OSError("the database is locked")

    monkeypatch.setattr("pxt_assets.assets.columns.step_events.StepEvents.observed", locked)
    partitions = partitions_of(store, server, a={1: "bad"}, b={1: "x"})
    assert "the database is locked" in message(partitions.run(fails=True))


def test_all_failed_partitions_are_told_of_before_the_run_ends(store: ColumnStore, serve: Any) -> None:
    """However many they are, each has its observation, the run too, and none outlives the step."""
    server = serve(lambda asked: refusal(400, "no"))
    rows = {str(i): {1: "bad"} for i in range(80)}
    result = partitions_of(store, server, **rows).run(fails=True)
    said = observations(result)
    assert set(said) == {None, *rows}
    of_run = said[None]["pxt/summary"]
    assert of_run.startswith("0 of 80 partitions stored; **80 failed**: 0 (1 row), 1 (1 row), ")
    assert "\nno rows stored · 80 requests, " in of_run
    assert "75 more" in failure(result).description.splitlines()[0]


def test_a_trial_of_several_says_nothing_of_what_is_stored(store: ColumnStore, serve: Any) -> None:
    """A trial that fails leaves the checks as they were, too."""
    server = serve(lambda asked: refusal(400, "no") if asked.text == "bad" else chat(asked))
    result = partitions_of(store, server, a={1: "bad"}, b={1: "x"}).run(config={"limit": 1}, fails=True)
    assert not checks(result)


def test_interrupted_partitions_write_side_by_side(
    store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered is journaled, of all at once: one after the other may take longer than the process has."""
    flush, lock, flushing, several = Journal.flush, threading.Lock(), [0], threading.Event()

    def waiting_for_another(journal: Journal) -> None:
        with lock:
            flushing[0] += 1
            if flushing[0] > 1:
                several.set()
        several.wait(5)
        with lock:
            flushing[0] -= 1
        flush(journal)

    monkeypatch.setattr("pxt_assets.compute.cells.journal.FLUSH_SECONDS", 3_600.0)
    answered: list[str] = []
    never = threading.Event()
    limits = dict.fromkeys(("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"), "999")

    def script(asked: Asked) -> Reply:
        if asked.text.startswith("stuck"):
            return chat(asked) if never.wait(SECONDS) else refusal(500)
        with lock:
            answered.append(asked.text)
            last = len(answered) == 60
        if last:
            monkeypatch.setattr(Journal, "flush", waiting_for_another)
            os.kill(os.getpid(), signal.SIGINT)
        return replace(chat(asked), headers=limits)

    rows = {str(i): {1: f"row {i}", 2: f"stuck {i}"} for i in range(60)}
    partitions = partitions_of(store, serve(script), **rows)
    try:
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            partitions.run()
    finally:
        never.set()
    assert several.is_set()
    segments = [path for path in Path(store.base_path).rglob("*.arrow") if not path.name.startswith(".")]
    assert sum(pa.ipc.open_file(segment).read_all().num_rows for segment in segments) == 60


def test_a_fault_of_the_program_in_one_partition_ends_the_run(
    store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is raised as it is, not taken for a failed partition."""

    def bug(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pxt_assets.assets.page.metadata.materialization_metadata", bug)
    result = partitions_of(store, serve(chat), a={1: "x"}, b={1: "y"}).run(fails=True)
    assert "a bug" in message(result)


def test_what_was_paid_for_shows_beside_a_failed_partition(store: ColumnStore, serve: Any) -> None:
    """Its requests, tokens and cost are an observation of it, and in the failure's metadata."""
    server = serve(lambda asked: refusal(400, "no") if asked.text == "bad" else chat(asked))
    partitions = Partitions(
        store,
        resource_of(server, max_in_flight=1),
        {"a": {1: "x", 2: "bad"}, "b": {1: "y"}},  # type: ignore[arg-type]
    )
    result = partitions.run(fails=True)
    seen = observations(result)["a"]
    assert (seen["pxt/requests"], seen["pxt/rows_done"], seen["pxt/rows"]) == (2, 1, 2)
    assert seen["pxt/error"].startswith("tickets/c[a]: 1 of 2 rows failed: ")
    assert seen["pxt/summary"] == "**1 of 2 rows failed**: 1 finished, $0.0000045 spent; nothing stored"
    assert seen["pxt/cost_usd"] > 0
    assert failure(result).metadata["pxt/cost_usd"].value == seen["pxt/cost_usd"]


def test_partitions_share_the_room_for_cells(
    store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many partitions are open, no more cells are on their way than of one."""
    monkeypatch.setattr(in_flight_bound, "_CELLS", 3)
    monkeypatch.setattr(in_flight_bound, "_REQUESTS", 1)
    outstanding: list[int] = []
    start = cell_requester.CellRequester._start

    def noted(self: Any, *cell: Any, **options: Any) -> None:
        start(self, *cell, **options)
        outstanding.append(self._in_flight._cells)

    monkeypatch.setattr(cell_requester.CellRequester, "_start", noted)
    server = serve(chat)
    rows = {str(p): {i: f"{p} {i}" for i in range(3)} for p in range(6)}
    Partitions(store, resource_of(server, max_in_flight=1), rows).run()  # type: ignore[arg-type]
    assert len(server.asked) == len(outstanding) == 18
    assert max(outstanding) == 3


@pytest.mark.parametrize(("bound", "most"), [("_OPEN", 2), ("_ROWS_OPEN", 2), ("_ROWS_OPEN", 1)])
def test_no_more_partitions_are_open_than_may_be(
    bound: str, most: int, store: ColumnStore, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first two one is finished before the third begins, where two may be open, whatever their rows."""
    monkeypatch.setattr(f"pxt_assets.compute.run_partitions.{bound}", most)
    together = threading.Barrier(2, timeout=SECONDS)
    begun: list[str] = []

    def script(asked: Asked) -> Reply:
        begun.append(asked.text)
        if asked.text in "ab":
            together.wait()
            assert "c" not in begun
        return chat(asked)

    partitions_of(store, serve(script), a={1: "a"}, b={1: "b"}, c={1: "c"}).run()
    assert sorted(begun[:2]) == ["a", "b"]


def test_the_run_ends_with_a_summary(store: ColumnStore, serve: Any) -> None:
    """A line about all partitions, and a table of each; the figures of each are one click away."""
    result = partitions_of(store, serve(chat), a={1: "x"}, b={1: "y", 2: "z"}).run()
    said = observations(result)[None]
    first, _, second, _, *table = said["pxt/summary"].splitlines()
    assert first == "2 partitions stored"
    assert second.startswith("3 rows: 3 computed · 3 requests, no 429 · 30 → 15 tokens · **$0.0000135** · ")
    assert table[0] == "| partition | rows | cost |"
    assert table[2:] == ["| a | 1 | $0.0000045 |", "| b | 2 | $0.000009 |"]
    head, _, a, b = said["pxt/partitions"].rstrip().splitlines()
    assert head == "| partition | rows | computed | requests | tokens | cost | time |"
    assert a.startswith("| a | 1 | 1 | 1 | 10 → 5 | $0.0000045 | ")
    assert b.startswith("| b | 2 | 2 | 2 | 20 → 10 | $0.000009 | ")
    of_b = metadata(result, "tickets/c", "b")["pxt/summary"]
    assert of_b.startswith("Partition **b** · 2 rows: 2 computed · 2 requests, ")
    assert of_b.endswith(" · one of 2 partitions of this run")


def _definition(partitions: Partitions) -> dg.PartitionsDefinition[Any]:
    definition = partitions.assets[-1].partitions_def
    assert definition is not None
    return definition
