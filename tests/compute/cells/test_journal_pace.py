"""How long a finished cell waits until it is on disk, on a clock that moves only by waiting and writing."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import FLUSH_SECONDS, Journal
from pxt_assets.compute.cells.waiting_cells import WaitingCells
from pxt_assets.values.types import Json
from tests.compute.cells.journals import name


class Time:
    """A clock, and a condition to wait on; what is to happen at a time happens when the clock comes there."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ahead: list[tuple[float, Callable[[], None]]] = []
        self._notified = False

    def __call__(self) -> float:
        return self.now

    def pass_until(self, end: float, *, wakes: bool = False) -> None:
        """Lets time pass; with `wakes` only until somebody notifies."""
        self._notified = False
        while self.ahead and self.ahead[0][0] <= end and not (wakes and self._notified):
            self.now, happen = self.ahead.pop(0)
            happen()
        if not (wakes and self._notified):
            self.now = end

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def notify(self) -> None:
        self._notified = True

    notify_all = notify

    def wait(self, timeout: float | None) -> None:
        assert timeout is not None or self.ahead, "nothing will ever happen"
        self.pass_until(self.ahead[-1][0] if timeout is None else self.now + timeout, wakes=True)


class Flushes:
    """A journal on such a clock: when cells were appended, when flushes began, and when each cell was on disk."""

    def __init__(self, folder: Any, takes: Callable[[int], float]) -> None:
        self.time = Time()
        waiting = WaitingCells(self.time, self.time)  # type: ignore[arg-type]
        self.journal = Journal(folder, Json, waiting=waiting)
        self.journal._merging.end()  # which has a thread of its own
        self.began: list[float] = []
        self.appended: dict[bytes, float] = {}
        self.on_disk: dict[bytes, float] = {}
        write = self.journal._segments.write

        def taking_time(segment: str, table: Any) -> int:
            self.began.append(round(self.time.now, 3))
            self.time.pass_until(self.time.now + takes(len(self.began)))
            self.on_disk.update(dict.fromkeys(table["digest"].to_pylist(), self.time.now))
            return write(segment, table)

        self.journal._segments.write = taking_time  # type: ignore[method-assign]

    def append(self, at: float, size: int = 0) -> None:
        """Has a cell finish at that time."""
        digest = name(len(self.time.ahead) + 1)

        def finish() -> None:
            self.appended[digest] = self.time.now
            self.journal.append(Cell(digest, "x", size=size))

        self.time.ahead.append((at, finish))

    def run(self, until: float) -> None:
        """Flushes until then."""
        self.time.ahead.append((until, self.journal._waiting.end))
        self.journal._flush_when_due()

    @property
    def longest(self) -> float:
        """Seconds from a cell's end until it was on disk."""
        return max(self.on_disk[cell] - at for cell, at in self.appended.items() if cell in self.on_disk)


@pytest.mark.parametrize("takes", [0.001, 0.01, 0.03, 0.07, 0.1])
def test_every_cell_is_on_disk_within_the_quarter_second(folder, takes):
    """However many come, and also those that come just after a flush began."""
    flushes = Flushes(folder, lambda _: takes)
    for i in range(400):
        flushes.append(i / 100)
    flushes.run(5.0)
    assert flushes.on_disk.keys() == flushes.appended.keys()
    assert flushes.longest <= FLUSH_SECONDS


def test_a_lone_cell_is_on_disk_within_the_quarter_second(folder):
    """Its age counts, not the time of the last flush."""
    flushes = Flushes(folder, lambda _: 0.02)
    for at in (0.0, 3.0, 60.1):
        flushes.append(at)
    flushes.run(70.0)
    assert len(flushes.on_disk) == 3
    assert flushes.longest <= FLUSH_SECONDS


def test_a_disk_that_is_fast_is_not_written_to_more_often_than_needed(folder):
    """Five or six times a second at most."""
    flushes = Flushes(folder, lambda _: 0.005)
    for i in range(2_000):
        flushes.append(i / 200)
    flushes.run(10.0)
    assert 40 <= len(flushes.began) <= 60


def test_nothing_is_written_while_nothing_comes(folder):
    """An idle run wakes nobody."""
    flushes = Flushes(folder, lambda _: 0.01)
    flushes.append(0.0)
    flushes.run(3_600.0)
    assert len(flushes.began) == 1


def test_one_slow_flush_is_followed_by_careful_ones(folder):
    """A disk that was slow once may be so again."""
    flushes = Flushes(folder, lambda number: 0.08 if number % 4 == 1 else 0.01)
    for i in range(800):
        flushes.append(i / 200)
    flushes.run(5.0)
    late = [cell for cell, at in flushes.appended.items() if flushes.on_disk[cell] - at > 0.25]
    assert not late


def test_a_slow_store_is_written_to_as_fast_as_it_takes_it(folder):
    """Whatever came while it wrote is its next segment."""
    flushes = Flushes(folder, lambda _: 1.2)
    for i in range(400):
        flushes.append(i / 100)
    flushes.run(5.5)
    assert flushes.began == [0.05, 1.25, 2.45, 3.65, 4.85]


def test_many_bytes_do_not_wait(folder):
    """They would wait in memory, and take long to write."""
    flushes = Flushes(folder, lambda _: 0.01)
    flushes.append(1.0, size=10)
    flushes.append(1.01, size=3 * 2**20)
    flushes.append(1.02, size=2 * 2**20)
    flushes.run(2.0)
    assert flushes.began == [1.02]
    assert flushes.journal.pending_bytes == 0


def test_large_values_make_several_segments(folder):
    """Each holds some 32 MiB; those that wait are counted until they are written."""
    flushes = Flushes(folder, lambda _: 0.0)
    for _ in range(5):
        flushes.journal.append(Cell(name(1), "x", size=20 * 2**20))
    assert flushes.journal.pending_bytes == 100 * 2**20
    flushes.journal.flush()
    assert len(flushes.began) == 3
    assert flushes.journal.pending_bytes == 0
