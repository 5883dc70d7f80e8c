"""Runs whose partition another one takes over: they stop, keep what is finished, and store nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.compute import compute_partition as run_module
from pxt_assets.compute.asking import cell_requester as ask_module
from pxt_assets.compute.claims import claim as claim_module
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.storage.layout import journal_folder
from tests.runs import failure
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, resource_of
from tests.tickets import KEY, Tickets

OLD = {1: "a", 2: "b"}
NEW = {1: "a", 2: "b, changed", 3: "c", 4: "last"}
ASKED = ["b, changed", "c", "last"]


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a claim on the local disk is an object, as on an object store."""
    monkeypatch.setattr(claim_module, "can_lock", lambda: False)


@pytest.fixture
def openai(server: ScriptedServer) -> OpenAIResource:
    """A resource that asks for one cell after the other."""
    return resource_of(server, max_in_flight=1)


class Successor:
    """Another run: it takes the partition over when `last` is asked for, which is answered when it says so."""

    def __init__(self, store: ColumnStore) -> None:
        self._folder = journal_folder(store.file(KEY))
        self.answer = threading.Event()
        self.beat = threading.Event()
        self._has_beaten = threading.Event()

    def pause(self, stop: threading.Event, _: float) -> None:
        """After its first beat the owner stands still until it is told to beat, or ends."""
        self._has_beaten.set()
        self.beat.wait()
        self.beat.clear()

    def script(self, asked: Asked) -> Reply | None:
        if asked.text == "last":
            assert self._has_beaten.wait(30)
            self._take_over()
            self.answer.wait(60)
        return chat(asked)

    def _take_over(self) -> None:
        for path in self._folder.glob("*.claim"):
            path.unlink()
        theirs = {"run_id": "run-17", "host": "elsewhere", "pid": 7, "beat": 9, "held": True}
        (self._folder / "theirs.claim").write_text(json.dumps(theirs))
        self.taken_over()

    def taken_over(self) -> None:
        """What happens next."""

    def end(self) -> None:
        (self._folder / "theirs.claim").unlink()


@pytest.fixture
def successor(
    store: ColumnStore, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Successor]]:
    """Begins when it is called."""
    begun: list[Successor] = []

    def begin() -> Successor:
        successor = Successor(store)
        begun.append(successor)
        monkeypatch.setattr(run_module, "hold_claim", partial(hold_claim, pause=successor.pause))
        server.script = successor.script
        server.forget()
        return successor

    yield begin
    for successor in begun:
        successor.answer.set()
        successor.beat.set()


def test_a_run_that_is_taken_over_stops_asking(
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    successor: Callable[[], Successor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails at its next beat and says why; the next run pays for nothing that was finished."""
    monkeypatch.setattr(ask_module, "_GRACE_SECONDS", 0.0)
    tickets = Tickets(store, openai)
    tickets.run(OLD)
    before, provenance = tickets.path.read_bytes(), tickets.provenance
    other = successor()
    other.taken_over = other.beat.set  # type: ignore[method-assign]
    failed = tickets.run(NEW, fails=True)
    assert "tickets/c: the run run-17 (process 7 on elsewhere) has taken over" in failure(failed).description
    assert tickets.path.read_bytes() == before
    assert tickets.provenance == provenance
    assert server.texts == ASKED

    other.answer.set()
    other.end()
    monkeypatch.setattr(run_module, "hold_claim", hold_claim)
    server.script = chat
    server.forget()
    tickets.run(NEW)
    assert server.texts == ["last"]
    assert tickets.table["id"].to_pylist() == list(NEW)
    assert not journal_folder(store.file(KEY)).exists()


@pytest.mark.parametrize("provenance", [True, False])
def test_a_run_that_is_taken_over_commits_nothing(
    provenance: bool,
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    successor: Callable[[], Successor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though no beat has told it yet; the next run asks for nothing."""
    store = ColumnStore(base_path=store.base_path, provenance=provenance)
    tickets = Tickets(store, openai)
    tickets.run(OLD)
    before = tickets.path.read_bytes()
    sidecar = tickets.provenance if provenance else None
    other = successor()
    other.taken_over = other.answer.set  # type: ignore[method-assign]
    monkeypatch.setattr(claim_module, "_GRACE_SECONDS", 0.0)  # the owner stands still at its end, too
    failed = tickets.run(NEW, fails=True)
    assert "the run run-17 (process 7 on elsewhere) has taken over" in failure(failed).description
    assert tickets.path.read_bytes() == before
    assert sidecar is None or tickets.provenance == sidecar

    other.end()
    monkeypatch.setattr(run_module, "hold_claim", hold_claim)
    server.forget()
    server.script = chat
    tickets.run(NEW)
    assert server.texts == []
    assert tickets.table["id"].to_pylist() == list(NEW)
