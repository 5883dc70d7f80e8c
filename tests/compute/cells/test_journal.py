"""What was flushed to a journal is found by another attempt."""

import numpy as np

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.values.conversion import to_python
from pxt_assets.values.types import Array, String
from tests.compute.cells.journals import Clock, found, name, open_journal, segments, write


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
        assert table.column_names == ["digest", "value", "errortype", "errormsg", "server"]
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
