"""Kills at each step of moving what an earlier version left: nothing is lost, and nothing is paid for twice."""

import signal
from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Attempt, Seen, Step
from tests.crash.forked import Forks
from tests.earlier_layout import column_folder, put_back
from tests.scripted_server import ScriptedServer
from tests.tickets import KEY, Tickets

OLD = {1: "a", 2: "b"}
NEW = {3: "c", 4: "d", **OLD}
LATER = {**NEW, 5: "e"}

MOVE = "pxt_assets.compute.cells.earlier_companions:move_file"
ON_DISK = {
    "nothing moved": Step("pathlib:Path.replace", r"c\.provenance$"),
    "sidecar moved": Step("pathlib:Path.replace", r"c\.provenance$", after=True),
    "one segment moved": Step(MOVE, r"\.arrow", after=True),
    "segments moved": Step(MOVE, r"\.arrow", after=True, nth=2),
    "folder removed": Step(
        "fsspec.implementations.local:LocalFileSystem.rmdir", r"\.c\.journal$", after=True
    ),
}
COPY, REMOVE = "s3fs:S3FileSystem._cp_file", "s3fs:S3FileSystem._rm_file"
ON_S3 = {
    "sidecar copied": Step(COPY, r"c\.provenance", after=True),
    "sidecar moved": Step(REMOVE, r"c\.meta\.parquet$", after=True),
    "one segment copied": Step(COPY, r"\.arrow", after=True),
    "one segment moved": Step(REMOVE, r"\.arrow", after=True),
}


def moved_after_a_kill(
    store: ColumnStore, step: Step, forks: Forks, openai: OpenAIResource, server: ScriptedServer
) -> None:
    tickets, seen = Tickets(store, openai), Seen(store)
    tickets.run(OLD)
    for rows in (1, 2):
        tickets.run(NEW, config={"limit": rows})
    put_back(store.file(KEY))
    old, told = seen.file, store.provenance_of(KEY)
    server.forget()
    options = {"base_path": store.base_path, "storage_options": store.storage_options}
    killed = forks.start(Attempt(options, server.base_url, LATER, step))
    assert killed.wait() == -signal.SIGKILL, forks.errors
    assert seen.file == old
    assert store.provenance_of(KEY).sort_by("digest").equals(told.sort_by("digest"))

    tickets.run(LATER)
    assert server.texts == ["e"]
    assert seen.answered == set(LATER.values())
    assert seen.is_whole()
    assert column_folder(store.file(KEY)) == ["c.parquet"]


@pytest.mark.parametrize("name", ON_DISK)
def test_on_a_disk(
    name: str, forks: Forks, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Each file is renamed."""
    moved_after_a_kill(store, ON_DISK[name], forks, openai, server)


@pytest.mark.parametrize("name", ON_S3)
def test_on_an_object_store(
    name: str, s3: dict[str, Any], forks: Forks, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Each object is copied, then removed."""
    store = ColumnStore(base_path=f"s3://bucket/{name.replace(' ', '-')}", storage_options=s3)
    moved_after_a_kill(store, ON_S3[name], forks, openai, server)
