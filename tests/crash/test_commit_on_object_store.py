"""Kills at each step of a commit on an object store, where files come and go as whole objects."""

import signal
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Attempt, Seen, Step, Tell, Told
from tests.crash.forked import Forks
from tests.scripted_server import ScriptedServer, chat, resource_of
from tests.tickets import Tickets

OLD = {1: "a", 2: "b", 3: "c"}
NEW = {3: "c", 1: "a, changed", 2: "b, changed", 4: "d"}
TRIED = 2
ASKED = ["b, changed", "d"]

PUT, RM = "s3fs:S3FileSystem._put_file", "s3fs:S3FileSystem._rm_file"
UNWRITTEN = {
    "segment not put": Step(PUT, r"\.arrow$"),
}
UNCOMMITTED = {
    "segment put": Step(PUT, r"\.arrow$", after=True),
    "sidecar not put": Step(PUT, r"c\.provenance$"),
    "sidecar put": Step(PUT, r"c\.provenance$", after=True),
    "column not put": Step(PUT, r"/c\.parquet$"),
}
COMMITTED = {
    "column put": Step(PUT, r"/c\.parquet$", after=True),
    "journal half removed": Step(RM, r"\.arrow$", after=True),
    "journal removed": Step("pxt_assets.compute.cells.journal:Journal.remove", after=True),
    "claim removed": Step(RM, r"\.claim$", after=True),
}
STEPS = {**UNWRITTEN, **UNCOMMITTED, **COMMITTED}


class Start(NamedTuple):
    """What the killed runs start from: the column of OLD, and a trial of NEW."""

    options: Mapping[str, Any]
    """Of the store's server."""
    path: str
    undisturbed: pa.Table

    def store(self, name: str) -> ColumnStore:
        return ColumnStore(base_path=f"s3://bucket/{name}", storage_options=self.options)


@pytest.fixture(scope="module")
def start(s3: dict[str, Any]) -> Start:
    start = Start(s3, "start", pa.table({}))
    with ScriptedServer(chat).running() as server:
        tickets = Tickets(start.store("start"), resource_of(server))
        tickets.run(OLD)
        tickets.run(NEW, config={"limit": TRIED})
        undisturbed = start.store("undisturbed")
        Tickets(undisturbed, resource_of(server)).run(NEW)
    return start._replace(undisturbed=Seen(undisturbed).column)


@pytest.mark.parametrize("name", STEPS)
def test_a_kill_at_a_step_of_commit(
    name: str, start: Start, forks: Forks, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Readers find the old column as it was, or the new one complete; the next run pays for nothing journaled."""
    store = start.store(name.replace(" ", "-"))
    seen = Seen(store)
    seen.fs.copy(f"bucket/{start.path}/", f"{store.base_path.removeprefix('s3://')}/", recursive=True)
    old = seen.file
    assert old is not None
    killed = forks.start(
        Attempt(
            {"base_path": store.base_path, "storage_options": start.options},
            server.base_url,
            NEW,
            STEPS[name],
        )
    )
    assert killed.wait() == -signal.SIGKILL, forks.errors
    assert server.texts == ASKED
    if name in COMMITTED:
        assert seen.column.equals(start.undisturbed)
    else:
        assert seen.file == old
    assert set(ASKED).issubset(seen.journaled | seen.answered) == (name not in UNWRITTEN)

    server.forget()
    Tickets(store, openai).run(NEW)
    assert server.texts == (ASKED if name in UNWRITTEN else [])
    assert seen.column.equals(start.undisturbed)
    assert seen.is_whole()


def test_a_run_killed_on_the_way_is_gone_on_with(
    s3: dict[str, Any], forks: Forks, told: Told, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Its process is gone, so its claim is taken over at once, and only what its journal lacks is asked for."""
    store = ColumnStore(base_path="s3://bucket/on-the-way", storage_options=s3)
    seen = Seen(store)
    rows = {i: str(i) for i in range(40)}
    go_on = threading.Event()
    server.script = lambda asked: chat(asked) if int(asked.text) < 20 or go_on.wait(60) else None
    killed = forks.start(
        Attempt(
            {"base_path": store.base_path, "storage_options": s3},
            server.base_url,
            rows,
            Step("pxt_assets.compute.cells.segments:Segments.write", after=True),
            Tell(told.path, hang=True),
        )
    )
    told.wait()
    killed.send(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    go_on.set()
    kept = seen.journaled
    assert 0 < len(kept) < 40
    assert [name for name in seen.names if name.endswith(".claim")]

    server.script = chat
    server.forget()
    Tickets(store, openai).run(rows)
    assert sorted(server.texts) == sorted(set(rows.values()) - kept)
    assert seen.column["id"].to_pylist() == list(rows)
    assert seen.is_whole()
