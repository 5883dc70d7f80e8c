"""Claims of others, and clocks for claims, which beat and wait in threads of their own."""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from upath import UPath

from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.storage.layout import journal_folder
from pxt_assets.storage.parquet import ParquetFile

ENOUGH = 30
"""Seconds for what comes at once, if it comes."""


class Time:
    """A clock of one claim's; `at` says what happens when it reaches a time. At `end` it stands still."""

    def __init__(self, end: float = 60.0) -> None:
        self.now = 0.0
        self.end = end
        self.at: dict[float, Callable[[], object]] = {}
        self.stands_still = threading.Event()

    def clock(self) -> float:
        return self.now

    def pause(self, stop: threading.Event, seconds: float) -> None:
        if self.now + seconds > self.end:
            self.stands_still.set()
            stop.wait()
            return
        self.now += seconds
        for when in sorted(t for t in self.at if t <= self.now):
            self.at.pop(when)()


class SharedTime:
    """A clock of several claims: it moves on when each of them waits for it."""

    def __init__(self, claims: int) -> None:
        self.now = 0.0
        self._claims = claims
        self._due: dict[int, float] = {}
        self._changed = threading.Condition()

    def clock(self) -> float:
        return self.now

    def pause(self, stop: threading.Event, seconds: float) -> None:
        me = threading.get_ident()
        with self._changed:
            due = self._due[me] = self.now + seconds
            self._move()
            while self.now < due and not stop.is_set():
                self._changed.wait(0.001)  # `stop` tells nobody
            self._due.pop(me, None)

    def reach(self, now: float, at_most: float) -> bool:
        """Waits for that time, for so many real seconds at most."""
        with self._changed:
            return self._changed.wait_for(lambda: self.now >= now, at_most)

    def leave(self) -> None:
        """One claim fewer."""
        with self._changed:
            self._claims -= 1
            self._move()

    def _move(self) -> None:
        if self._due and len(self._due) >= self._claims:
            self.now = min(self._due.values())
            self._due = {who: due for who, due in self._due.items() if due > self.now}
            self._changed.notify_all()


def remote() -> UPath:
    return UPath(f"memory://{uuid.uuid4().hex}/c.parquet")


def claims(file: UPath) -> list[UPath]:
    return sorted(journal_folder(ParquetFile(file)).glob("*.claim"))


def own(file: UPath) -> UPath:
    """The claim that is not `leave`'s."""
    (path,) = [path for path in claims(file) if path.name != "theirs.claim"]
    return path


def beats(file: UPath) -> int:
    try:
        return int(json.loads(own(file).read_text())["beat"])
    except ValueError:  # half-written: a local file is not replaced in one step
        return 0


def leave(file: UPath, beat: int = 1, **owner: object) -> UPath:
    """A claim of another owner's, by default one on another machine."""
    path = journal_folder(ParquetFile(file)) / "theirs.claim"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"run_id": "run-1", "host": "elsewhere", "machine": 1, "pid": 7, "beat": beat, **owner}
    path.write_text(json.dumps(said))
    return path


def claim_of(file: UPath, time: Time | SharedTime, run_id: str = "mine") -> Any:
    return hold_claim(ParquetFile(file), run_id, clock=time.clock, pause=time.pause)
