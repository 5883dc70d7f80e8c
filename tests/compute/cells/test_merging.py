"""Small segments become larger ones while a journal grows: which, in what order, and what a crash leaves of it."""

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upath import UPath

from pxt_assets.compute.cells import journal as journal_module
from pxt_assets.compute.cells import merging
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.errors import PartitionError
from tests.compute.cells.journals import Clock, found, name, open_journal, segments, write

LARGE = "x" * 2**20


def write_each(journal: Journal, numbers: range) -> None:
    """A segment a cell, merged as soon as it is due."""
    for number in numbers:
        write(journal, Cell(name(number), number))
        journal.merge()


class TestWhatIsMerged:
    def test_an_hour_of_small_flushes_leaves_few_segments(self, folder):
        """One holds nearly all of them; each cell is found once."""
        journal = open_journal(folder)
        write_each(journal, range(200))
        assert len(segments(folder)) <= 16
        assert found(open_journal(folder), *range(200)) == [*range(200)]
        done, _ = journal.load(errors=False)
        assert len(done) == 200

    def test_a_merged_segment_is_one_batch(self, folder):
        """It is read as fast as one that was written at once."""
        journal = open_journal(folder)
        write_each(journal, range(16))
        (merged,) = segments(folder)
        assert journal._segments.read(merged)["digest"].num_chunks == 1

    def test_large_segments_stay_as_they_are(self, folder):
        """They are not copied once more."""
        journal = open_journal(folder)
        for number in range(20):
            write(journal, Cell(name(number), LARGE))
            journal.merge()
        assert len(segments(folder)) == 20

    def test_small_ones_before_a_large_one_are_merged(self, folder):
        """No others will join them: an answer now and then that is an image leaves no thousands of files."""
        journal = open_journal(folder)
        for number in range(60):
            write(journal, Cell(name(number), LARGE if number % 6 == 5 else number))
            journal.merge()
        assert len(segments(folder)) == 20
        assert found(open_journal(folder), *range(5), 54) == [0, 1, 2, 3, 4, 54]

    def test_few_are_not_merged(self, folder):
        """A short run writes each cell once."""
        journal = open_journal(folder)
        write_each(journal, range(15))
        assert len(segments(folder)) == 15

    def test_others_segments_stay(self, folder):
        """Those of earlier attempts, and of runs that write at the same time."""
        clock = Clock()
        earlier = open_journal(folder, clock=clock)
        for number in range(3):
            write(earlier, Cell(name(number), None, "Early", "m"))
        theirs = segments(folder)
        clock.now += 100
        journal = open_journal(folder, clock=clock)
        write_each(journal, range(3, 35))
        assert set(theirs) <= set(segments(folder))
        assert found(journal, 0, 3) == ["absent", 3]


class TestOrder:
    def test_the_last_cell_of_a_name_counts(self, folder):
        """Whether it is in the merged segment or in one before or after it."""
        journal = open_journal(folder)
        for text in [f"v{i}" for i in range(40)]:
            write(journal, Cell(name(1), text))
            journal.merge()
            assert found(open_journal(folder), 1) == [text]

    def test_cells_of_large_segments_keep_their_place(self, folder):
        """What is merged does not pass them."""
        journal = open_journal(folder)
        write(journal, Cell(name(1), "old"))
        write(journal, Cell(name(1), LARGE))
        for number in range(2, 40):
            write(journal, Cell(name(number), number))
            journal.merge()
        assert found(open_journal(folder), 1) == [LARGE]

    def test_this_attempts_failures_still_count(self, folder):
        """A merged segment is this attempt's own, and another attempt's in the next."""
        journal = open_journal(folder)
        for number in range(20):
            write(journal, Cell(name(number), None, "Late", "m"))
            journal.merge()
        assert found(journal, 0, 19) == ["Late", "Late"]
        assert found(open_journal(folder), 0, 19) == ["absent", "absent"]

    def test_a_refresh_goes_on_from_merged_segments(self, folder):
        """What it computed counts, what was computed before it does not."""
        clock = Clock()
        write_each(open_journal(folder, clock=clock), range(20))
        clock.now += 10**9
        refresh = open_journal(folder, clock=clock)
        refresh.begin_refresh()
        write_each(refresh, range(100, 120))
        again = open_journal(folder)
        again.begin_refresh()
        done, _ = again.load(errors=False, since_refresh=True)
        assert len(done) == 20

    def test_a_removed_journal_leaves_nothing(self, folder):
        """Merged or not."""
        journal = open_journal(folder)
        write_each(journal, range(20))
        journal.load(errors=False)
        journal.remove()
        journal.close()
        assert segments(folder) == []


class TestFaults:
    @pytest.mark.parametrize("removed", range(17))
    def test_a_crash_between_the_merged_segment_and_its_parts(self, folder, monkeypatch, removed):
        """Cells that are there twice count once, the last one of a name."""
        journal = open_journal(folder)
        with monkeypatch.context() as crash:
            left = iter(range(removed))

            def remove(path: Any) -> None:
                if next(left, None) is None:
                    raise OSError("killed")
                path.unlink()

            crash.setattr("pxt_assets.compute.cells.segments.remove", remove)
            for number in range(16):
                write(journal, Cell(name(number // 2), number))
            journal.merge()
        assert len(segments(folder)) == 17 - removed
        assert found(open_journal(folder), *range(8)) == [1, 3, 5, 7, 9, 11, 13, 15]

    def test_a_merge_that_fails_costs_nothing(self, folder, monkeypatch, caplog):
        """It is not tried for ever; the cells are where they were, and flushes go on."""
        journal = open_journal(folder)
        for number in range(16):
            write(journal, Cell(name(number), number))

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        with (
            monkeypatch.context() as broken,
            caplog.at_level(logging.WARNING, "pxt_assets"),
        ):
            broken.setattr("pxt_assets.compute.cells.segments.replace_atomically", full)
            journal.merge()
        assert "No space left" in caplog.text
        write_each(journal, range(16, 40))
        assert len(segments(folder)) == 40
        assert found(open_journal(folder), *range(40)) == [*range(40)]

    def test_a_reader_beside_it_looks_again(self, folder, monkeypatch):
        """A dry run reads the journal of a run that goes on."""
        journal = open_journal(folder)
        for number in range(16):
            write(journal, Cell(name(number), number))
        reader = open_journal(folder)
        fetch = reader._segments.fetch

        def too_late(names: list[str]) -> None:
            journal.merge()
            fetch(names)

        monkeypatch.setattr(reader._segments, "fetch", too_late)
        assert found(reader, 0, 15) == [0, 15]

    def test_a_reader_whose_segments_go_says_so(self, tmp_path):
        """It names the cause, and that nothing is lost."""
        folder = UPath(tmp_path / "r.journal")
        journal = open_journal(folder)
        for number in range(16):
            write(journal, Cell(name(number), number))
        reader = open_journal(folder)
        done, _ = reader.load(errors=False)
        reader._segments._open.clear()
        journal.merge()
        with pytest.raises(PartitionError, match="another run computes this partition"):
            reader.take(done.find(np.array([name(3)], "S16")))


class TestThread:
    def test_it_merges_by_itself(self, folder, monkeypatch):
        """Beside the flushes, in a thread of its own; loading waits for it."""
        monkeypatch.setattr(journal_module, "FLUSH_SECONDS", 0)
        monkeypatch.setattr(merging, "_PARTS", 2)
        journal = open_journal(folder)
        merged, threads = threading.Event(), []
        merge = journal._segments.merge

        def noted(names: list[str], target: str) -> int:
            threads.append(threading.current_thread())
            size = merge(names, target)
            merged.set()
            return size

        monkeypatch.setattr(journal._segments, "merge", noted)
        flusher = threading.Thread(target=journal._flush_when_due)
        flusher.start()
        number = 0
        while not merged.wait(0.01):
            number += 1
            assert number < 3_000
            journal.append(Cell(name(number), number))
        journal._merging.end()
        journal._waiting.end()
        flusher.join(30)
        journal.flush()
        assert flusher not in threads
        numbers = range(1, number + 1)
        assert found(journal, *numbers) == [*numbers]

    def test_nothing_is_merged_after_its_end(self, folder):
        """Whoever has loaded the journal finds each segment where it was."""
        journal = open_journal(folder)
        for number in range(16):
            write(journal, Cell(name(number), number))
        journal._merging.end()
        journal.merge()
        assert len(segments(folder)) == 16


def test_local_copies_of_parts_are_removed(folder):
    """An object store's segments have copies, which take room for as long as the run lasts."""
    journal = open_journal(folder)
    write_each(journal, range(32))
    copies: Path | None = journal._segments._copies
    if copies is not None:
        assert sorted(path.name for path in copies.iterdir()) == segments(folder)
    journal.close()
