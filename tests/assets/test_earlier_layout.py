"""A store of an earlier version: what it has beside its columns is found, and moved by the next run of each."""

import fcntl
import json
import os
import uuid
from pathlib import Path

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.storage.layout import journal_folder, lock_path, sidecar_of
from tests.earlier_layout import column_folder, earlier, put_back
from tests.runs import failure
from tests.scripted_server import ScriptedServer, chat, refusal
from tests.tickets import KEY, Tickets, figures, observations

ROWS = {1: "a", 2: "b", 3: "c"}


@pytest.fixture(params=["disk", "memory"])
def tickets(request: pytest.FixtureRequest, tmp_path: Path, openai: OpenAIResource) -> Tickets:
    """A store of an earlier version, with the column of ROWS."""
    base = str(tmp_path / "columns") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    tickets = Tickets(ColumnStore(base_path=base), openai)
    tickets.run(ROWS)
    put_back(tickets.store.file(KEY))
    assert column_folder(tickets.store.file(KEY)) == ["_meta/c.meta.parquet", "c.parquet"]
    return tickets


def crash(tickets: Tickets, server: ScriptedServer) -> None:
    """A run of an earlier version that was refused the answer to `bad`, after it had those to `d` and `e`."""
    server.script = lambda asked: refusal(400) if asked.text == "bad" else chat(asked)
    tickets.run({**ROWS, 4: "d", 5: "e", 6: "bad"}, fails=True)
    put_back(tickets.store.file(KEY))
    assert any(".c.journal/" in name for name in column_folder(tickets.store.file(KEY)))
    server.script = chat
    server.forget()


def test_provenance_is_found(tickets: Tickets) -> None:
    """Before any run has moved it."""
    assert len(tickets.provenance) == 3


def test_a_crashed_run_is_gone_on_with(tickets: Tickets, server: ScriptedServer) -> None:
    """What it has finished is not paid for again, and nothing is left in the column's folder besides the column."""
    crash(tickets, server)
    tickets.run({**ROWS, 4: "d", 5: "e", 6: "f"})
    assert server.texts == ["f"]
    assert len(tickets.provenance) == 6
    assert column_folder(tickets.store.file(KEY)) == ["c.parquet"]


def test_a_run_that_has_nothing_to_do_moves_it_too(tickets: Tickets, server: ScriptedServer) -> None:
    """Readers of the folder are rid of it."""
    before = tickets.provenance
    server.forget()
    tickets.run(ROWS)
    assert server.texts == []
    assert column_folder(tickets.store.file(KEY)) == ["c.parquet"]
    assert tickets.provenance == before


def test_a_dry_run_counts_what_is_finished_and_moves_nothing(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """It only reads."""
    crash(tickets, server)
    before = column_folder(tickets.store.file(KEY))
    said = observations(tickets.run({**ROWS, 4: "d", 6: "f"}, config={"dry_run": True}))[None]
    assert said["pxt/rows_to_compute"] == 1
    assert said["pxt/dry_run"] is True
    assert column_folder(tickets.store.file(KEY)) == before


def test_a_refresh_of_an_earlier_version_goes_on(tickets: Tickets, server: ScriptedServer) -> None:
    """What it has computed anew is not computed a second time."""
    server.script = lambda asked: refusal(400) if asked.text == "b" else chat(asked, "anew")
    tickets.run(ROWS, config={"refresh": True}, fails=True)
    put_back(tickets.store.file(KEY))
    server.script = lambda asked: chat(asked, "anew")
    server.forget()
    tickets.run(ROWS, config={"refresh": True})
    assert server.texts == ["b"]
    with tickets.store.file(KEY).open() as stored:
        assert all("anew" in cell for cell in stored.read(["c"])["c"].to_pylist())


def test_a_move_that_was_broken_off_is_gone_on_with(tickets: Tickets, server: ScriptedServer) -> None:
    """Some of it is at both places then."""
    crash(tickets, server)
    file = tickets.store.file(KEY)
    for source, target in [
        (sidecar_of(earlier(file)).path, sidecar_of(file).path),
        *((path, journal_folder(file) / path.name) for path in journal_folder(earlier(file)).iterdir()),
    ]:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    assert figures(tickets.run({**ROWS, 4: "d", 5: "e", 6: "f"})) == (1, 5, 0)
    assert len(tickets.provenance) == 6
    assert column_folder(file) == ["c.parquet"]


def test_an_earlier_version_that_has_run_since_is_right(tickets: Tickets, server: ScriptedServer) -> None:
    """It has written its own sidecar: what that tells of a cell counts, and nothing that was known is lost."""
    file = tickets.store.file(KEY)
    theirs = sidecar_of(earlier(file)).path.read_bytes()
    tickets.run({4: "d", 1: "a"}, config={"refresh": True})
    ours = {row["digest"]: row["request_id"] for row in tickets.provenance}
    sidecar_of(earlier(file)).path.parent.mkdir(parents=True, exist_ok=True)
    sidecar_of(earlier(file)).path.write_bytes(theirs)
    told = {row["digest"]: row["request_id"] for row in tickets.provenance}
    server.forget()
    tickets.run({4: "d", 1: "a"})
    assert server.texts == []
    merged = {row["digest"]: row["request_id"] for row in tickets.provenance}
    assert merged == {**ours, **told}
    assert len(told) == 3
    assert len(merged) == 4


class TestLocks:
    """On a disk, where a claim is a lock."""

    @pytest.fixture
    def tickets(self, store: ColumnStore, openai: OpenAIResource) -> Tickets:
        return Tickets(store, openai)

    def test_one_that_an_earlier_version_holds_is_respected(
        self, tickets: Tickets, server: ScriptedServer
    ) -> None:
        """Its process computes the partition."""
        path = Path(lock_path(earlier(tickets.store.file(KEY))).path)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"run_id": "run-17", "pid": 7, "host": "there"}))
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            said = failure(tickets.run(ROWS, fails=True)).description
        finally:
            os.close(fd)
        assert "the run run-17 (process 7 on there) computes this partition already" in str(said)
        assert server.texts == []
        assert path.exists()
        assert not Path(lock_path(tickets.store.file(KEY)).path).exists()

    def test_one_of_a_dead_process_is_removed(self, tickets: Tickets) -> None:
        """It locks nothing."""
        path = Path(lock_path(earlier(tickets.store.file(KEY))).path)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"run_id": "run-17"}))
        tickets.run(ROWS)
        assert column_folder(tickets.store.file(KEY)) == ["c.parquet"]
