"""SIGTERM and Ctrl-C: what is finished is kept, and the process has ended within seconds."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Attempt, Seen, Step, Tell, TellOfCommit, Told
from tests.crash.forked import Forks
from tests.crash.terminated_job import ROWS, execute
from tests.scripted_server import Asked, Reply, ScriptedServer, chat
from tests.tickets import Tickets

SECONDS = 5.0
"""From the signal until all that was answered is in the journal, at most."""
END_SECONDS = 30.0
"""From the signal to the end of the process, however busy the machine is: what hangs never ends."""
QUICK = {body for body in ROWS.values() if body.startswith("row")}
SLOW = set(ROWS.values()) - QUICK


class Slow:
    """Answers any chat, a slow one when it is told to; says when all of ROWS that are sent at once have come in."""

    def __init__(self, expected: int) -> None:
        self.all_asked = threading.Event()
        self.answer = threading.Event()
        self._left = expected
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply | None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.all_asked.set()
        if asked.text in SLOW:
            self.answer.wait()
        return chat(asked)


@pytest.fixture
def slow(server: ScriptedServer) -> Iterator[Slow]:
    """What `server` does: it holds back the slow answers until the end of the test."""
    server.script = slow = Slow(len(ROWS))
    yield slow
    slow.answer.set()


def attempt(store: ColumnStore, server: ScriptedServer, **options: Any) -> Attempt:
    arguments = {"base_path": store.base_path, "storage_options": store.storage_options}
    return Attempt(arguments, server.base_url, ROWS, **{"max_in_flight": len(ROWS), **options})


def goes_on(store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, asked: set[str]) -> bool:
    """Whether the next run asks for just these, and stores the whole column."""
    server.script = chat
    server.forget()
    Tickets(store, openai).run(ROWS)
    return (
        set(server.texts) == asked and Seen(store).answered == set(ROWS.values()) and Seen(store).is_whole()
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_answers_that_never_come(
    number: int, forks: Forks, slow: Slow, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """They hold the process for some seconds only; all that was answered is journaled."""
    process = forks.start(attempt(store, server))
    assert slow.all_asked.wait(60)
    assert process.seconds_until(number, lambda: Seen(store).journaled == QUICK) < SECONDS, forks.errors
    assert process.wait(END_SECONDS) != 0
    assert Seen(store).file is None
    assert not [name for name in Seen(store).names if name.endswith(".lock")]
    assert goes_on(store, openai, server, SLOW)


def test_in_a_process_of_dagsters(
    forks: Forks,
    slow: Slow,
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    tmp_path: Path,
) -> None:
    """A run is terminated with the processes of its steps: it is canceled, and nothing that was answered is lost."""
    Tickets(store, openai).run(ROWS, config={"limit": 1})
    home = tmp_path / "home"
    home.mkdir()
    process = forks.start(execute, home, store.base_path, server.base_url)
    assert slow.all_asked.wait(60)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        (run,) = instance.get_runs()
        instance.report_run_canceling(run)  # as the UI does before the signal
        kept = process.seconds_until(signal.SIGTERM, lambda: Seen(store).journaled == QUICK)
        assert kept < SECONDS, forks.errors
        process.wait(END_SECONDS)  # two processes of Python's and Dagster's end one after the other
        (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert Seen(store).journaled == QUICK
    assert goes_on(store, openai, server, SLOW)


def test_on_an_object_store(
    forks: Forks, slow: Slow, s3: dict[str, Any], openai: OpenAIResource, server: ScriptedServer
) -> None:
    """The last segment is put there, and the claim is given up."""
    store = ColumnStore(base_path="s3://bucket/terminated", storage_options=s3)
    process = forks.start(attempt(store, server))
    assert slow.all_asked.wait(60)
    kept = process.seconds_until(signal.SIGTERM, lambda: Seen(store).journaled == QUICK)
    assert kept < SECONDS, forks.errors
    assert process.wait(END_SECONDS) != 0
    assert not [name for name in Seen(store).names if name.endswith(".claim")]
    assert goes_on(store, openai, server, SLOW)


def test_an_answer_in_time_is_kept(
    forks: Forks, told: Told, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """What was sent is waited for, what was not is not sent any more."""
    server.script = slow = Slow(4)
    rows = {i: f"slow {i}" for i in range(8, 12)} | {i: f"row {i}" for i in range(8)}
    step = Step("pxt_assets.compute.asking.cell_requester:CellRequester._cancel_unsent", after=True)
    process = forks.start(
        Attempt({"base_path": store.base_path}, server.base_url, rows, step, Tell(told.path), max_in_flight=4)
    )
    assert slow.all_asked.wait(60)
    process.send(signal.SIGTERM)
    told.wait()
    slow.answer.set()
    assert process.wait(END_SECONDS) != 0
    assert set(server.texts) == SLOW
    assert Seen(store).journaled == SLOW
    assert goes_on(store, openai, server, QUICK)


def test_a_commit_is_broken_off(
    forks: Forks, told: Told, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """The column is as it was; everything is in the journal for the next run."""
    step = Step("pxt_assets.compute.compute_partition:finished_cell_reader", after=True)
    process = forks.start(attempt(store, server, step=step, act=TellOfCommit(told.path)))
    told.wait()
    process.send(signal.SIGTERM)
    assert process.wait(END_SECONDS) != 0, forks.errors
    assert Seen(store).file is None
    assert Seen(store).journaled == set(ROWS.values())
    assert goes_on(store, openai, server, set())


def test_a_commit_that_hangs(
    forks: Forks,
    told: Told,
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
) -> None:
    """A disk or an upload that stands still does not hold the process."""
    step = Step("pyarrow.parquet:ParquetWriter.write", r"\.c\.parquet")
    process = forks.start(attempt(store, server, step=step, act=Tell(told.path, hang=True)))
    told.wait()
    process.send(signal.SIGTERM)
    assert process.wait(END_SECONDS) != 0, forks.errors
    assert Seen(store).file is None
    assert Seen(store).journaled == set(ROWS.values())
    assert goes_on(store, openai, server, set())


def test_a_second_signal(
    forks: Forks, told: Told, slow: Slow, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """It cuts the waiting short; what was answered is journaled all the same."""
    step = Step("pxt_assets.compute.asking.cell_requester:CellRequester._cancel_unsent", after=True)
    process = forks.start(attempt(store, server, step=step, act=Tell(told.path)))
    assert slow.all_asked.wait(60)
    process.send(signal.SIGINT)
    told.wait()
    process.send(signal.SIGINT)
    assert process.wait(END_SECONDS) != 0, forks.errors
    assert Seen(store).journaled <= QUICK
    assert goes_on(store, openai, server, set(ROWS.values()) - Seen(store).journaled)
