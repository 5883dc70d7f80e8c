"""Kills at each step of a commit, on a local disk: readers find the old column or the new one, and nothing is lost."""

import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Attempt, Seen, Step
from tests.crash.forked import Forks
from tests.runs import metadata
from tests.scripted_server import ScriptedServer, chat, resource_of
from tests.tickets import Tickets

OLD = {1: "a", 2: "b", 3: "c", 4: "d"}
NEW = {4: "d", 1: "a", 2: "b, changed", 5: "e", 3: "c, changed"}
TRIED = 3
"""Rows of NEW that a trial journaled before, so that the journal has two segments."""
ASKED = ["c, changed", "e"]
"""What the run asks that is killed."""

UNWRITTEN = {
    "segment staged": Step("pathlib:Path.replace", r"\.arrow$"),
}
UNCOMMITTED = {
    "segment renamed": Step("pathlib:Path.replace", r"\.arrow$", after=True),
    "segment written": Step("pxt_assets.compute.cells.segments:Segments.write", after=True),
    "sidecar begun": Step("pxt_assets.compute.cells.sidecar:Sidecar.write"),
    "sidecar half written": Step("pyarrow.parquet:ParquetWriter.write", r"\.c\.provenance", after=True),
    "sidecar staged": Step("pathlib:Path.replace", r"/c\.provenance$"),
    "sidecar renamed": Step("pathlib:Path.replace", r"/c\.provenance$", after=True),
    "sidecar written": Step("pxt_assets.compute.cells.sidecar:Sidecar.write", after=True),
    "first row group": Step("pyarrow.parquet:ParquetWriter.write", r"\.c\.parquet", after=True),
    "column staged": Step("pathlib:Path.replace", r"/c\.parquet$"),
}
COMMITTED = {
    "column renamed": Step("pathlib:Path.replace", r"/c\.parquet$", after=True),
    "column written": Step("pxt_assets.compute.compute_partition:assemble", after=True),
    "journal half removed": Step("pxt_assets.compute.cells.segments:remove", r"\.arrow$", after=True),
    "segments removed": Step("fsspec.implementations.local:LocalFileSystem.rmdir", r"/c\.journal$"),
    "journal removed": Step("pxt_assets.compute.cells.journal:Journal.remove", after=True),
    "lock removed": Step("pathlib:Path.unlink", r"/c\.lock$", after=True),
    "Dagster not told": Step("pxt_assets.assets.page.metadata:materialization_metadata"),
}
STEPS = {**UNWRITTEN, **UNCOMMITTED, **COMMITTED}


class Start(NamedTuple):
    """What the killed runs start from."""

    folders: dict[str, Path]
    """Stores: `first` without an earlier column, `again` with the column of OLD."""
    undisturbed: pa.Table
    """The column of NEW when nothing comes in between."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("first", "again", "undisturbed")}
    with ScriptedServer(chat).running() as server:
        tickets = {
            name: Tickets(ColumnStore(base_path=str(folder)), resource_of(server))
            for name, folder in folders.items()
        }
        tickets["again"].run(OLD)
        for name in ("first", "again"):
            tickets[name].run(NEW, config={"limit": TRIED})
        tickets["undisturbed"].run(NEW)
    return Start(folders, tickets["undisturbed"].table)


@pytest.mark.parametrize("earlier", ["first", "again"])
@pytest.mark.parametrize("name", STEPS)
def test_a_kill_at_a_step_of_commit(
    name: str,
    earlier: str,
    start: Start,
    forks: Forks,
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
) -> None:
    """Readers find the old column as it was, or the new one complete; the next run pays for nothing journaled."""
    shutil.copytree(start.folders[earlier], store.base_path)
    seen = Seen(store)
    old = seen.file
    killed = forks.start(Attempt({"base_path": store.base_path}, server.base_url, NEW, STEPS[name]))
    assert killed.wait() == -signal.SIGKILL, forks.errors
    assert server.texts == ASKED
    if name in COMMITTED:
        assert seen.column.equals(start.undisturbed)
    else:
        assert seen.file == old
    assert set(ASKED).issubset(seen.journaled | seen.answered) == (name not in UNWRITTEN)

    server.forget()
    result = Tickets(store, openai).run(NEW)
    assert server.texts == (ASKED if name in UNWRITTEN else [])
    assert seen.column.equals(start.undisturbed)
    assert seen.is_whole()
    said = metadata(result, "tickets/c")
    assert said["pxt/rows_computed"] + said["pxt/rows_reused"] == len(NEW)
