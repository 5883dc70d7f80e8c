"""When a journal flushes, and when it is removed."""

import asyncio
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from upath import UPath

from pxt_assets.compute.cells import journal as journal_module
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from tests.compute.cells.journals import found, name, open_journal, segments, write
from tests.virtual_time import run


def flushed_at(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, *, until: float, takes: float
) -> list[float]:
    """The times in seconds at which flushes begin, each of which takes so long, on a clock that does not wait."""
    began: list[float] = []

    async def in_thread(flush):
        began.append(round(asyncio.get_running_loop().time(), 3))
        flush()
        await asyncio.sleep(takes)

    async def keep_flushing():
        with suppress(TimeoutError):
            async with asyncio.timeout(until):
                await journal.keep_flushing()

    with monkeypatch.context() as patched:
        patched.setattr("pxt_assets.compute.cells.journal.run_in_thread", in_thread)
        run(keep_flushing())
    return began


class TestLife:
    def test_it_flushes_by_itself(self, folder, monkeypatch):
        """A finished cell is on disk within about a second, though nobody asks."""
        assert journal_module.FLUSH_SECONDS <= 1
        monkeypatch.setattr(journal_module, "FLUSH_SECONDS", 0)
        journal = open_journal(folder)
        flush = journal.flush

        async def run():
            loop, flushed = asyncio.get_running_loop(), asyncio.Event()

            def noted():
                flush()
                loop.call_soon_threadsafe(flushed.set)

            monkeypatch.setattr(journal, "flush", noted)
            journal.append(Cell(name(1), 1))
            flushing = asyncio.create_task(journal.keep_flushing())
            await flushed.wait()
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)

        asyncio.run(run())
        assert found(open_journal(folder), 1) == [1]

    def test_what_comes_in_is_on_disk_within_the_second(self, folder, monkeypatch):
        """A flush begins so early that one which takes as long as the last is over by then."""
        assert flushed_at(open_journal(folder), monkeypatch, until=4.0, takes=0.3) == [
            1.0,
            1.7,
            2.4,
            3.1,
            3.8,
        ]

    def test_flushes_that_take_long_follow_each_other(self, folder, monkeypatch):
        """With a pause, however long they take."""
        assert flushed_at(open_journal(folder), monkeypatch, until=4.0, takes=1.2) == [1.0, 2.25, 3.5]

    def test_many_bytes_do_not_wait_for_the_second(self, folder, monkeypatch):
        """They would wait in memory."""
        journal = open_journal(folder)
        journal.append(Cell(name(1), "small", size=10))
        journal.append(Cell(name(2), "large", size=40 * 2**20))
        assert flushed_at(journal, monkeypatch, until=0.5, takes=0.0) == [0.0]
        assert found(open_journal(folder), 1, 2) == ["small", "large"]

    def test_what_another_run_wrote_since_is_not_removed(self, folder):
        """Only segments that were loaded are removed: they are in the column's file."""
        ours, theirs = open_journal(folder), open_journal(folder)
        write(ours, Cell(name(1), "ours"))
        ours.load(errors=False)
        write(theirs, Cell(name(2), "theirs"))
        ours.remove()
        assert found(open_journal(folder), 1, 2) == ["absent", "theirs"]

    def test_a_removed_journal_is_gone(self, folder):
        """What it held is in the column's file; removing it again is no error."""
        journal = open_journal(folder)
        write(journal, Cell(name(1), 1))
        journal.load(errors=False)
        journal.remove()
        journal.remove()
        assert segments(folder) == []
        assert found(open_journal(folder), 1) == ["absent"]

    def test_fetched_segments_are_removed_when_it_closes(self):
        """An object store's segments are read from a folder that does not outlive the run."""
        journal = open_journal(UPath(f"memory://{uuid.uuid4().hex}/r.journal"))
        write(journal, Cell(name(1), 1))
        journal.load(errors=False)
        fetched = Path(str(journal._segments._copies))
        assert fetched.exists()
        journal.close()
        assert not fetched.exists()
