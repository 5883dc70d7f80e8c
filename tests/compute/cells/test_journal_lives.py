"""Any order of cells, flushes, merges, refreshes and crashes: what was on disk is found, the last cell of a name counts."""

import itertools
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from upath import UPath

from pxt_assets.compute.cells import merging, segments
from pxt_assets.compute.cells.cell import Cell
from tests.compute.cells.journals import Clock, found, name, open_journal

NAMES = range(4)
HOUR_NS = 3_600 * 10**9


class Crash(BaseException):
    """The process is dead."""


class Lives(RuleBasedStateMachine):
    """Attempt after attempt at one journal, on hosts whose clocks differ, each of which may be killed at any step."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(merging, "_PARTS", 3)
        self.patched.setattr(merging, "_PARTS_BEFORE_LARGE", 2)
        self.patched.setattr(merging, "_LARGE_BYTES", 20_000)
        self.steps: int | None = None
        """How many more files are written or removed before the process dies."""
        for step in ("replace_atomically", "remove"):
            self.patched.setattr(segments, step, self.counted(getattr(segments, step)))
        self.patched.setattr("pxt_assets.storage.atomic_file._sync", lambda _: None)  # no power fails here
        self.directory = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.hosts = itertools.cycle([0, -HOUR_NS, HOUR_NS])
        self.numbers = itertools.count()
        self.on_disk: dict[int, Any] = {}
        """The value of each name, by the flushes that have ended."""
        self.since_refresh: dict[int, Any] | None = None
        self.waiting: dict[int, Any] = {}

    def counted(self, original: Any) -> Any:
        """A step, before which the process may die."""

        def step(*args: Any, **kwargs: Any) -> Any:
            if self.steps is not None:
                self.steps -= 1
                if self.steps < 0:
                    raise Crash
            return original(*args, **kwargs)

        return step

    @initialize(local=st.booleans())
    def begin(self, local: bool) -> None:
        """On a local disk or an object store."""
        where = Path(self.directory.name) / "r.journal" if local else f"memory://{uuid.uuid4().hex}/r.journal"
        self.folder = UPath(where)
        self.attempt()

    def attempt(self) -> None:
        """Another attempt, on another host."""
        self.clock.now = 1_800_000_000_000_000_000 + next(self.hosts)
        self.journal = open_journal(self.folder, clock=self.clock)
        self.journal.load(errors=False)
        self.waiting, self.steps = {}, None

    @rule(number=st.sampled_from(NAMES), large=st.integers(0, 5))
    def append(self, number: int, large: int) -> None:
        """A cell is finished, now and then a large one."""
        value = f"{next(self.numbers)}{'x' * 30_000 * (large == 0)}"
        self.journal.append(Cell(name(number), value))
        self.waiting[number] = value

    @rule()
    def flush(self) -> None:
        """What waits is written."""
        self.journal.flush()
        self.note_written()

    @rule(number=st.sampled_from(NAMES), times=st.integers(1, 8))
    def go_on(self, number: int, times: int) -> None:
        """Several flushes of a cell each, and what they make due."""
        for _ in range(times):
            self.append(number, 1)
            self.flush()
        self.journal.merge()

    @rule()
    def merge(self) -> None:
        """Small segments are merged, if there are enough."""
        self.journal.merge()

    @rule(steps=st.integers(0, 8), number=st.sampled_from(NAMES))
    def die_in_a_merge(self, steps: int, number: int) -> None:
        """Before the merged segment is written, after it, or after some of its parts are removed."""
        for _ in range(3):
            self.append(number, 1)
            self.flush()
        self.steps = steps
        try:
            self.journal.merge()
        except Crash:
            pass
        finally:
            self.attempt()

    @rule()
    def die(self) -> None:
        """What was not on disk is lost."""
        self.attempt()

    @rule()
    def refresh(self) -> None:
        """An attempt that begins a refresh, or goes on with the one that was broken off."""
        self.attempt()
        if self.since_refresh is None:
            self.since_refresh = {}
        self.journal.begin_refresh()

    @rule()
    def commit(self) -> None:
        """All is in the column's file."""
        self.journal.flush()
        self.journal.load(errors=False)
        self.journal.remove()
        assert not self.folder.exists() or not list(self.folder.iterdir())
        self.on_disk, self.since_refresh = {}, None
        self.attempt()

    def note_written(self) -> None:
        self.on_disk |= self.waiting
        if self.since_refresh is not None:
            self.since_refresh |= self.waiting
        self.waiting = {}

    @invariant()
    def what_is_on_disk_is_found(self) -> None:
        """By whoever reads it next."""
        if not hasattr(self, "folder"):
            return
        reader = open_journal(self.folder)
        assert found(reader, *NAMES) == [self.on_disk.get(number, "absent") for number in NAMES]
        if self.since_refresh is not None:
            reader.begin_refresh()
            done, _ = reader.load(errors=False, since_refresh=True)
            here = done.find(np.array([name(number) for number in NAMES], "S16")) >= 0
            assert [n for n, is_here in zip(NAMES, here, strict=True) if is_here] == sorted(
                self.since_refresh
            )
        reader.close()

    def teardown(self) -> None:
        self.patched.undo()
        self.directory.cleanup()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
