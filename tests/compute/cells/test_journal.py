import asyncio
import logging
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets.compute.cells import journal as journal_module
from pxt_assets.compute.cells import segments as segments_module
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.errors import RunError
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.conversion import to_python
from pxt_assets.values.types import Array, ColumnType, Json, String
from tests.virtual_time import run


class Clock:
    """A wall clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> UPath:
    if request.param == "memory":
        return UPath(f"memory://{uuid.uuid4().hex}/r.journal")
    return UPath(tmp_path / "r.journal")


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def open_journal(folder: UPath, column_type: type[ColumnType] = Json, clock: Clock | None = None) -> Journal:
    return Journal(folder, column_type, clock_ns=clock or Clock())


def write(journal: Journal, *cells: Cell) -> None:
    for cell in cells:
        journal.append(cell)
    journal.flush()


def found(journal: Journal, *numbers: int, errors: bool = False) -> list[object]:
    """The cells' values, the error's type for those that failed, "absent" for those that are not there."""
    done, failed = journal.load(errors=errors)
    names = np.array([name(n) for n in numbers], "S16")
    at = np.where(done.find(names) < 0, failed.find(names), done.find(names))
    got: list[object] = ["absent"] * len(numbers)
    here = np.flatnonzero(at >= 0)
    if len(here):
        table = journal.take(at[here])
        values, types = to_python(table["value"]), table["errortype"].to_pylist()
        for i, value, errortype in zip(here, values, types, strict=True):
            got[i] = errortype or value
    return got


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


def segments(folder: UPath) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


class TestRoundTrip:
    def test_what_was_flushed_is_found_by_another_attempt(self, folder):
        """Values, nulls and errors of several segments, in whatever order they are asked for."""
        first = open_journal(folder)
        write(first, Cell(name(1), {"a": [1, None, "é😀"]}), Cell(name(2), None))
        write(first, Cell(name(3), "x"))
        second = open_journal(folder)
        assert found(second, 3, 1, 2, 4, 1) == [
            "x",
            {"a": [1, None, "é😀"]},
            None,
            "absent",
            {"a": [1, None, "é😀"]},
        ]

    def test_cells_are_taken_whole(self, folder):
        """Digest, value, error type and message stand in a row."""
        write(open_journal(folder), Cell(name(1), "x"), Cell(name(2), None, "BadRequestError", "too long"))
        journal = open_journal(folder)
        done, failed = journal.load(errors=True)
        at = [int(done.find(np.array([name(1)], "S16"))[0]), int(failed.find(np.array([name(2)], "S16"))[0])]
        table = journal.take(np.array(at[::-1]))
        assert table.column_names == ["digest", "value", "errortype", "errormsg"]
        assert table["digest"].to_pylist() == [name(2), name(1)]
        assert table["errortype"].to_pylist() == ["BadRequestError", None]
        assert table["errormsg"].to_pylist() == ["too long", None]

    def test_what_was_appended_is_on_disk_after_a_flush_only(self, folder):
        """One segment a flush; a flush of nothing writes nothing."""
        journal = open_journal(folder)
        journal.append(Cell(name(1), 1))
        assert segments(folder) == []
        journal.flush()
        journal.flush()
        assert len(segments(folder)) == 1

    def test_the_last_cell_of_a_name_counts(self, folder):
        """Within a segment, and from segment to segment, though the clock stood still."""
        journal = open_journal(folder)
        write(journal, Cell(name(1), "a"), Cell(name(1), "b"))
        assert found(journal, 1) == ["b"]
        for text in "cdefgh":
            write(journal, Cell(name(1), text))
        assert found(journal, 1) == found(open_journal(folder), 1) == ["h"]

    def test_a_later_attempt_counts_before_an_earlier_one(self, folder):
        """Segments sort by the time at which they were written."""
        clock = Clock()
        write(open_journal(folder, clock=clock), Cell(name(1), "early"))
        clock.now += 1
        write(open_journal(folder, clock=clock), Cell(name(1), "late"))
        assert found(open_journal(folder), 1) == ["late"]

    def test_an_empty_journal_holds_nothing(self, folder):
        """The first attempt finds no folder."""
        journal = open_journal(folder)
        assert found(journal, 1) == ["absent"]
        assert not journal.simulated
        assert segments(folder) == []

    def test_vectors_may_differ_in_length(self, folder):
        """Two models' vectors, nulls between them, float32 bit for bit."""
        journal = open_journal(folder, Array[(2,), "float32"])
        write(journal, Cell(name(1), np.array([0.1, 2], np.float32)), Cell(name(2), None))
        write(journal, Cell(name(3), np.array([1, 2, 3], np.float32)))
        assert found(open_journal(folder, Array), 3, 2, 1) == [[1, 2, 3], None, [float(np.float32(0.1)), 2]]

    def test_a_simulators_cell_marks_the_journal(self, folder):
        """What was rehearsed is known as such."""
        write(open_journal(folder), Cell(name(1), 1), Cell(name(2), 2, simulated=True))
        journal = open_journal(folder)
        journal.load(errors=False)
        assert journal.simulated

    def test_text_that_utf8_cannot_hold_is_stored(self, folder):
        """Neither an answer nor an error's message keeps the others from being written."""
        journal = open_journal(folder, String)
        write(journal, Cell(name(1), "a\ud800"), Cell(name(2), None, "E", "b\ud800"), Cell(name(3), "c"))
        assert found(journal, 1, 2, 3) == ["a\ufffd", "E", "c"]


class TestFailures:
    def test_earlier_failures_are_left_out(self, folder):
        """They are tried again, unless the run was told to keep them."""
        write(open_journal(folder), Cell(name(1), None, "RateLimitError", "m"), Cell(name(2), 2))
        assert found(open_journal(folder), 1, 2) == ["absent", 2]
        assert found(open_journal(folder), 1, 2, errors=True) == ["RateLimitError", 2]

    def test_this_attempts_failures_count(self, folder):
        """Having been tried again, they are what is stored."""
        write(open_journal(folder), Cell(name(1), None, "Early", "m"), Cell(name(2), None, "Early", "m"))
        journal = open_journal(folder)
        write(journal, Cell(name(1), None, "Late", "m"))
        assert found(journal, 1, 2) == ["Late", "absent"]

    def test_results_and_failures_are_told_apart(self, folder):
        """A failure never hides the result of the same cell."""
        journal = open_journal(folder)
        write(journal, Cell(name(1), "good"))
        write(journal, Cell(name(1), None, "E", "m"))
        done, failed = journal.load(errors=True)
        assert (len(done), len(failed)) == (1, 1)
        assert to_python(journal.take(done.find(np.array([name(1)], "S16")))["value"]) == ["good"]


class TestFaults:
    @pytest.mark.parametrize("torn", ["empty", "half", "garbage"])
    def test_a_torn_segment_is_dropped_with_a_warning(self, folder, caplog, torn):
        """Its cells are computed anew; all others are kept."""
        clock = Clock()
        journal = open_journal(folder, clock=clock)
        for number in (1, 2, 3):
            clock.now += 1
            write(journal, Cell(name(number), number))
        path = folder / segments(folder)[1]
        whole = path.read_bytes()
        path.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "garbage": b"?" * 500,
            }[torn]
        )
        with caplog.at_level(logging.WARNING, "pxt_assets"):
            assert found(open_journal(folder), 1, 2, 3) == [1, "absent", 3]
        assert path.name in caplog.text

    def test_other_files_are_left_alone(self, tmp_path):
        """A file being written beside the segments is none of them."""
        folder = UPath(tmp_path / "r.journal")
        write(open_journal(folder), Cell(name(1), 1))
        (tmp_path / "r.journal" / ".0-x.arrow.abc.tmp").write_bytes(b"half")
        (tmp_path / "r.journal" / "notes.txt").write_bytes(b"x")
        assert found(open_journal(folder), 1) == [1]

    def test_cells_of_another_type_are_not_used(self, folder):
        """A column may have become text that was Json."""
        write(open_journal(folder, Json), Cell(name(1), {"a": 1}))
        assert found(open_journal(folder, String), 1) == ["absent"]

    def test_cells_stay_pending_if_writing_fails(self, folder, monkeypatch):
        """A full disk loses nothing that the next flush can write."""

        def full(_path, **_):
            raise OSError(28, "No space left on device")

        journal = open_journal(folder)
        journal.append(Cell(name(1), 1))
        with monkeypatch.context() as m:
            m.setattr(segments_module, "replacing", full)
            with pytest.raises(RunError, match="No space left"):
                journal.flush()
        journal.append(Cell(name(2), 2))
        journal.flush()
        assert found(journal, 1, 2) == [1, 2]

    def test_a_cell_that_cannot_be_stored_costs_no_other_its_place(self, folder):
        """All others are on disk; that one is named as what it is, and is not tried again for ever."""
        journal = open_journal(folder)
        for i in range(5):
            journal.append(Cell(name(i), f"text {i}" if i != 3 else object()))
        with pytest.raises(RunError, match="cannot be stored as Json"):
            journal.flush()
        journal.flush()
        assert found(open_journal(folder), *range(5)) == ["text 0", "text 1", "text 2", "absent", "text 4"]

    def test_an_odd_bill_costs_no_cell_its_place(self, folder):
        """Only where it comes from is lost."""
        journal = open_journal(folder)
        write(journal, Cell(name(0), "a"), Cell(name(1), "b", provenance=Provenance(input_tokens=2**70)))
        assert found(open_journal(folder), 0, 1) == ["a", "b"]

    def test_nothing_of_a_failed_segment_is_left(self, folder, monkeypatch):
        """A segment is there whole or not at all."""

        def broken(*_args, **_kwargs):
            raise OSError("broken")

        journal = open_journal(folder)
        journal.append(Cell(name(1), 1))
        with monkeypatch.context() as m:
            m.setattr(pa.ipc, "new_file", broken)
            with pytest.raises(RunError, match=r"cannot write the journal at .* OSError: broken"):
                journal.flush()
        assert segments(folder) == []


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
