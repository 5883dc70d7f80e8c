"""`kill -9` of a run, at whatever moment, and the run that goes on from there."""

import random
import signal
import threading
import time
from collections.abc import Callable

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Attempt, Seen, Step, asked_of
from tests.crash.forked import Forks, Process
from tests.scripted_server import Asked, Reply, ScriptedServer, chat
from tests.tickets import Tickets

ROWS = {i: f"row {i}" for i in range(300)}
KILLS = 6
IN_FLIGHT = 4
FLUSH_SECONDS = 0.05
"""Short, so that a run of some hundred rows takes many intervals."""


def until(is_so: Callable[[], bool]) -> None:
    """Returns as soon as it is so; gives up after half a minute."""
    given_up = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < given_up
        time.sleep(0.005)


class Killer:
    """Answers any chat, notes when, and kills a process in the middle of its nth request, once `may_kill` says so."""

    def __init__(self, nth: int, may_kill: Callable[[], bool] = lambda: True) -> None:
        self.started = threading.Event()
        self.process: Process | None = None
        self.answered: dict[str, int] = {}
        """When, in nanoseconds since the epoch, each was answered."""
        self._nth = nth
        self._may_kill = may_kill
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply | None:
        self.started.wait()
        with self._lock:
            self._nth -= 1
            if self._nth == 0 and self.process is not None:
                until(self._may_kill)
                self.process.send(signal.SIGKILL)
            if self._nth <= 0:
                return None
            self.answered[asked.text] = time.time_ns()
        return chat(asked)


@pytest.mark.parametrize("seed", [1, 3])
def test_kills_at_random_moments(
    seed: int, forks: Forks, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """After each, what is journaled is never asked for again; in the end no row is lost.

    An answer is lost only if it was in flight, or came after the last segment was begun.
    """
    moments, seen = random.Random(seed), Seen(store)
    kept: set[str] = set()
    for kill in range(KILLS):
        nth = moments.randint(1, len(ROWS) // KILLS)
        is_last = kill == KILLS - 1  # by then, however fast a machine is, something shall be journaled
        killer = Killer(2 * IN_FLIGHT + nth, lambda: bool(seen.segments)) if is_last else Killer(nth)
        server.script = killer
        server.forget()
        attempt = Attempt(
            {"base_path": store.base_path},
            server.base_url,
            ROWS,
            max_in_flight=IN_FLIGHT,
            flush_seconds=FLUSH_SECONDS,
        )
        before = seen.segments
        killer.process = forks.start(attempt)
        killer.started.set()
        assert killer.process.wait() == -signal.SIGKILL, forks.errors
        assert kept.isdisjoint(server.texts)
        assert seen.file is None
        written = sorted(set(seen.segments) - set(before))
        begun = int(written[-1].partition("-")[0]) if written else 0
        kept = seen.journaled
        lost = [text for text, when in killer.answered.items() if when < begun and text not in kept]
        assert len(lost) <= IN_FLIGHT
    assert kept

    server.script = chat
    server.forget()
    Tickets(store, openai).run(ROWS)
    assert set(server.texts) == set(ROWS.values()) - kept
    assert seen.column["id"].to_pylist() == list(ROWS)
    assert [asked_of(cell) for cell in seen.column["c"].to_pylist()] == list(ROWS.values())
    assert seen.is_whole()


REFRESH = {"refresh": True}


@pytest.mark.parametrize(
    "step",
    [
        Step("pathlib:Path.replace", r"\.arrow$", after=True, nth=3),
        Step("pxt_assets.compute.cells.sidecar:Sidecar.write"),
        Step("pathlib:Path.replace", r"/c\.parquet$"),
    ],
    ids=["while it asks", "before the sidecar", "column staged"],
)
def test_a_killed_refresh_is_gone_on_with(
    step: Step, forks: Forks, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Until its commit the earlier results stand; the next refresh asks for what this one had not computed anew."""
    rows = {i: f"row {i}" for i in range(60)}
    tickets, seen = Tickets(store, openai), Seen(store)
    tickets.run(rows)
    old = seen.file
    server.script = lambda asked: chat(asked, f"again: {asked.text}")
    refresh = Attempt(
        {"base_path": store.base_path}, server.base_url, rows, step, config=REFRESH, flush_seconds=0
    )
    assert forks.start(refresh).wait() == -signal.SIGKILL, forks.errors
    kept = {text.removeprefix("again: ") for text in seen.journaled}
    assert kept
    assert seen.file == old

    server.forget()
    tickets.run(rows, config=REFRESH)
    assert set(server.texts) == set(rows.values()) - kept
    assert seen.answered == {f"again: {body}" for body in rows.values()}
    assert seen.is_whole()


def test_what_a_killed_refresh_computed_counts_in_a_plain_run(
    forks: Forks, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """It asks for nothing: a row has its new answer where the refresh came to it, and its earlier one elsewhere."""
    rows = {i: f"row {i}" for i in range(60)}
    tickets, seen = Tickets(store, openai), Seen(store)
    tickets.run(rows)
    server.script = lambda asked: chat(asked, f"again: {asked.text}")
    step = Step("pathlib:Path.replace", r"\.arrow$", after=True, nth=3)
    refresh = Attempt(
        {"base_path": store.base_path}, server.base_url, rows, step, config=REFRESH, flush_seconds=0
    )
    assert forks.start(refresh).wait() == -signal.SIGKILL, forks.errors
    anew = seen.journaled

    server.forget()
    tickets.run(rows)
    assert server.texts == []
    earlier = {body for body in rows.values() if f"again: {body}" not in anew}
    assert seen.answered == anew | earlier
    assert seen.is_whole()
    tickets.run(rows, config=REFRESH)
    assert len(server.texts) == len(rows)
