"""That a journal flushes by itself, and when it is removed."""

import asyncio
import threading
import uuid
from pathlib import Path
from unittest import mock

import pytest
from upath import UPath

from pxt_assets.compute.cells import journal as journal_module
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.errors import RunError
from tests.compute.cells.journals import found, name, open_journal, segments, write


class TestLife:
    def test_it_flushes_by_itself(self, folder, monkeypatch):
        """A finished cell is on disk within a quarter of a second, though nobody asks and the event loop stands still."""
        assert journal_module.FLUSH_SECONDS <= 0.25
        monkeypatch.setattr(journal_module, "FLUSH_SECONDS", 0)
        journal = open_journal(folder)
        flushed = threading.Event()
        flush = journal.flush

        def noted():
            flush()
            flushed.set()

        async def run():
            monkeypatch.setattr(journal, "flush", noted)
            flushing = asyncio.create_task(journal.keep_flushing())
            await asyncio.sleep(0)
            journal.append(Cell(name(1), 1))
            assert flushed.wait(30)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)

        asyncio.run(run())
        assert found(open_journal(folder), 1) == [1]

    def test_a_disk_that_fails_ends_it(self, folder, monkeypatch):
        """The run that waits for it is told, and the cells still wait."""
        monkeypatch.setattr(journal_module, "FLUSH_SECONDS", 0)
        journal = open_journal(folder)
        with monkeypatch.context() as broken:
            broken.setattr(journal._segments, "write", mock.Mock(side_effect=OSError(28, "No space left")))
            journal.append(Cell(name(1), 1))
            with pytest.raises(RunError, match="1 finished cells are not on disk"):
                asyncio.run(journal.keep_flushing())
        journal.flush()
        assert found(open_journal(folder), 1) == [1]

    def test_its_threads_end_with_it(self, folder):
        """A process that computes thousands of partitions keeps none."""
        journal = open_journal(folder)
        before = set(threading.enumerate())
        started: list[threading.Thread] = []

        async def run():
            flushing = asyncio.create_task(journal.keep_flushing())
            await asyncio.sleep(0)
            started.extend(set(threading.enumerate()) - before)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)

        asyncio.run(run())
        assert started
        for thread in started:
            thread.join(30)
            assert not thread.is_alive()

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
