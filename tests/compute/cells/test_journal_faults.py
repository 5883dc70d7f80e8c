"""What a journal does with torn segments, foreign files and cells that cannot be written."""

import logging

import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets.compute.cells import segments as segments_module
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.errors import RunError
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.types import Json, String
from tests.compute.cells.journals import Clock, found, name, open_journal, segments, write


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
            m.setattr(segments_module, "replace_atomically", full)
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

    def test_a_segment_that_may_not_be_read_is_not_taken_for_torn(self, folder, monkeypatch):
        """Its cells are paid for: the run stops and says so, and whoever may read it finds them."""

        def forbidden(path, *_args, **_kwargs):
            raise PermissionError(13, "Permission denied", path)

        write(open_journal(folder), Cell(name(1), 1))
        with monkeypatch.context() as m:
            m.setattr(pa, "memory_map", forbidden)
            with pytest.raises(
                RunError, match=r"cannot read .*\.arrow, where finished cells .*let this process"
            ):
                found(open_journal(folder), 1)
        assert len(segments(folder)) == 1
        assert found(open_journal(folder), 1) == [1]

    def test_a_segment_of_another_release_is_left_to_it(self, folder, caplog):
        """It is paid for: whoever can read it finds it after this release has stored the column."""
        journal = open_journal(folder)
        write(journal, Cell(name(1), 1))
        (ours,) = segments(folder)
        table = pa.ipc.open_file((folder / ours).read_bytes()).read_all()
        with (folder / f"0{ours}").open("wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        theirs = table.rename_columns(["key" if one == "digest" else one for one in table.column_names])
        with (folder / ours).open("wb") as sink, pa.ipc.new_file(sink, theirs.schema) as writer:
            writer.write_table(theirs)
        reading = open_journal(folder)
        with caplog.at_level(logging.WARNING, "pxt_assets"):
            assert found(reading, 1) == [1]
        assert f"{ours} as it is: another release" in caplog.text
        reading.remove()
        assert segments(folder) == [ours]

    def test_what_a_later_release_adds_to_a_segment_does_no_harm(self, folder):
        """Columns that this one does not know are passed over."""
        write(open_journal(folder), Cell(name(1), 1))
        (ours,) = segments(folder)
        table = pa.ipc.open_file((folder / ours).read_bytes()).read_all()
        more = table.append_column("region", pa.array(["eu"]))
        with (folder / ours).open("wb") as sink, pa.ipc.new_file(sink, more.schema) as writer:
            writer.write_table(more)
        assert found(open_journal(folder), 1) == [1]
