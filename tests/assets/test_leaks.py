"""What runs leave behind in the process that made them: nothing, however they end."""

import asyncio
import gc
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, udf
from pxt_assets.api.wire.connection import Connection
from pxt_assets.compute.asking import cell_requester
from pxt_assets.simulator import SimulatorServer
from tests.held import held, held_after
from tests.runs import ask
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of
from tests.tickets import Tickets

ROWS = {i: f"row {i}" for i in range(6)}
Run = Callable[..., dg.ExecuteInProcessResult]


@udf
def upper(text: str) -> str:
    """A function of the user's own, which runs in a thread."""
    return text.upper()


class Watch:
    """The event loops, HTTP sessions and connections made while it watches, and what the process held when it began."""

    def __init__(self, *folders: Path) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.sessions: list[aiohttp.ClientSession] = []
        self.connections: list[Connection] = []
        self._folders = folders
        self._before = held(*folders)

    def assert_nothing_left(self) -> None:
        """Nothing is open or runs that did not before."""
        after = held_after(self._before, *self._folders)
        assert after.threads - self._before.threads == set()
        assert after.open == self._before.open
        assert after.files - self._before.files == set()
        assert self.loops
        assert [loop for loop in self.loops if not loop.is_closed()] == []
        assert [session for session in self.sessions if not session.closed] == []
        assert [connection for connection in self.connections if not connection._is_ended] == []


def computed(tickets: Tickets, **options: Any) -> dg.ExecuteInProcessResult:
    """Materializes a column of calls to the API that begin in a function of the user's own, all of it anew."""
    return tickets.run(ROWS, lambda table: ask(upper(table.body)), {"refresh": True}, **options)


@pytest.fixture(scope="module", autouse=True)
def _first_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave what a process has once, however many runs it makes: modules, Arrow's threads and pipes, the ledger's file."""
    store = ColumnStore(base_path=str(tmp_path_factory.mktemp("columns")))
    with ScriptedServer(chat).running() as server:
        for openai in (resource_of(server), OpenAIResource.simulated()):
            computed(Tickets(store, openai))


@pytest.fixture
def run(store: ColumnStore, openai: OpenAIResource) -> Run:
    """Computes the column in a store of its own."""
    return partial(computed, Tickets(store, openai))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> Iterator[Watch]:
    """Watches what is made and held while the test runs; `server` is there before."""
    watching = Watch(Path(tempfile.gettempdir()))

    def noting(cls: type[Any], made: list[Any]) -> None:
        whole = cls.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            whole(self, *args, **kwargs)

        monkeypatch.setattr(cls, "__init__", init)

    noting(asyncio.SelectorEventLoop, watching.loops)
    noting(aiohttp.ClientSession, watching.sessions)
    noting(Connection, watching.connections)
    yield watching
    watching.assert_nothing_left()


@pytest.mark.parametrize(
    ("script", "fails"),
    [
        (chat, False),
        (lambda _: refusal(400), True),
        (lambda _: refusal(401), True),
        (lambda _: None, True),
    ],
    ids=["success", "rows fail", "all is refused", "answers are lost"],
)
def test_after_a_run(script: Any, fails: bool, run: Run, server: ScriptedServer, watch: Watch) -> None:
    """Threads, sockets, files, loops and sessions of a run end with it, whether it succeeds or fails."""
    server.script = script
    run(fails=fails)
    assert watch.connections


def test_after_an_interrupt(
    run: Run, server: ScriptedServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while requests are on their way leaves nothing either."""
    monkeypatch.setattr(cell_requester, "_GRACE_SECONDS", 0.0)
    released = threading.Event()

    def script(asked: Asked) -> Reply | None:
        if asked.text == "ROW 3":
            os.kill(os.getpid(), signal.SIGINT)
        released.wait()
        return None

    server.script = script
    try:
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            run()
    finally:
        released.set()
        gc.unfreeze()  # which a process that is to end leaves out


@pytest.mark.filterwarnings("ignore:coroutine 'BaseEventLoop.shutdown_asyncgens'")  # of Dagster's own loop
def test_after_several_runs(run: Run, watch: Watch) -> None:
    """Runs in a row, in a thread, and inside a running event loop add up to nothing, and share no loop."""
    run()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()

    async def notebook() -> None:
        run()

    asyncio.run(notebook())
    assert len({id(connection._loop) for connection in watch.connections}) == 3
    assert gc.get_freeze_count() == 0


def test_after_a_simulator(run: Run, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded simulator ends with the run that started it."""
    started: list[SimulatorServer] = []
    start = SimulatorServer.start
    monkeypatch.setattr(SimulatorServer, "start", lambda self: (started.append(self), start(self))[1])
    run(openai=OpenAIResource.simulated())
    assert len(started) == 1
