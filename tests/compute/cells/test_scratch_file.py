import io
import logging
import os
import tempfile
import threading
from pathlib import Path

import pytest
from upath import UPath

from pxt_assets.assets.cleaning.places import place_of
from pxt_assets.compute.cells import scratch_file
from pxt_assets.compute.cells.scratch_file import ScratchFile, scratch_folder
from pxt_assets.errors import RunError
from pxt_assets.storage.layout import companion_folder, stored_file


@pytest.fixture
def made(monkeypatch):
    """The folders in which files are made, as they are."""
    folders, real = [], tempfile.TemporaryFile

    def noted(**options):
        folders.append(options["dir"])
        return real(**options)

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    return folders


def refuse(monkeypatch, *refused):
    """No file can be made in some folders; None stands for the system's, of which there is none then."""
    real = tempfile.TemporaryFile

    def make(**options):
        if options["dir"] in map(str, refused):
            raise PermissionError(13, "Permission denied")
        return real(**options)

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    if None in refused:
        monkeypatch.setattr(tempfile, "gettempdir", none)


def test_what_was_appended_is_read():
    """From any place on, by several threads."""
    file, read = ScratchFile(), []
    assert [file.append(data) for data in (b"abc", memoryview(b"defg"), b"", b"h")] == [0, 3, 7, 7]
    readers = [threading.Thread(target=lambda: read.append(file.read(2, 4))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert read == [b"cdef"] * 4
    assert file.size == 8
    assert file.read(0, 0) == b""


def test_a_file_that_takes_and_gives_little_at_once_is_whole(monkeypatch):
    """A system writes and reads as many bytes as it likes."""

    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(data[:3])

        def read(self, size):
            return super().read(min(size, 2))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Slow())
    file = ScratchFile()
    assert [file.append(b"abcdefgh"), file.append(b"ij")] == [0, 8]
    assert file.read(1, 9) == b"bcdefghij"
    with pytest.raises(RunError, match=r"cannot read a temporary file in .* \(it ends at 10 of 12 bytes\)"):
        file.read(9, 3)


class TestWhere:
    """On the column's own disk, whatever of its folders is there."""

    def test_the_folder_is_looked_for_when_something_is_written(self, made, tmp_path):
        """A first run makes the column's folder after the file was thought of."""
        folder = tmp_path / "cols" / ".pxt_assets" / "t" / "r"
        early, late = ScratchFile(str(folder)), ScratchFile(str(folder))
        early.append(b"a")
        folder.mkdir(parents=True)
        late.append(b"a")
        assert made == [str(tmp_path), str(folder)]

    def test_a_file_in_the_place_of_a_folder_is_passed_over(self, made, tmp_path):
        """Files can be made beside it."""
        (tmp_path / "t").write_text("")
        ScratchFile(str(tmp_path / "t" / "r")).append(b"a")
        assert made == [str(tmp_path)]

    def test_a_relative_folder_is_the_process_s(self, made, tmp_path, monkeypatch):
        """`base_path="cols"` is allowed."""
        monkeypatch.chdir(tmp_path)
        ScratchFile("cols/t").append(b"a")
        assert made == [str(tmp_path)]

    def test_without_one_it_is_the_system_s(self, made):
        """An object store is no place for them."""
        ScratchFile(scratch_folder(stored_file(UPath("memory://cols"), ("t", "r"), "default"))).append(b"a")
        assert made == [tempfile.gettempdir()]

    def test_where_the_column_s_cannot_be_written_it_is_the_system_s(self, monkeypatch, made, tmp_path):
        """A run that only reads a store may not write there."""
        refuse(monkeypatch, tmp_path)
        file = ScratchFile(str(tmp_path))
        file.append(b"abc")
        assert made == [tempfile.gettempdir()]
        assert file.read(1, 2) == b"bc"

    @pytest.mark.parametrize("has_folder", [True, False])
    def test_where_none_can_be_written_it_is_memory(self, monkeypatch, caplog, made, tmp_path, has_folder):
        """As in a container whose disk is read-only; the log says once what was tried and what to do."""
        scratch_file._say_once.cache_clear()
        refuse(monkeypatch, tmp_path, None)
        files = [ScratchFile(str(tmp_path) if has_folder else None) for _ in range(2)]
        with caplog.at_level(logging.WARNING):
            for file in files:
                file.append(b"abc")
                file.append(b"def")
                assert file.read(2, 3) == b"cde"
        assert made == []
        (said,) = [r.getMessage() for r in caplog.records if r.name == "pxt_assets.compute.scratch"]
        assert said.startswith("no folder for temporary files can be written")
        assert (f"({tmp_path}: Permission denied; " in said) == has_folder
        assert "No usable temporary directory found in ['/tmp']" in said
        assert said.endswith("set TMPDIR to a folder with room")


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_disk_without_room_is_said(monkeypatch, tmp_path, has_folder):
    """By the folder that was really written to: what lies there cannot be looked up, so that the run ends."""

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    where = str(tmp_path) if has_folder else tempfile.gettempdir()
    with pytest.raises(RunError) as e:
        ScratchFile(str(tmp_path / "t") if has_folder else None).append(b"a")
    assert str(e.value).startswith(
        f"cannot write a temporary file in {where} ([Errno 28] No space left on device); "
    )
    assert str(e.value).endswith("make room there, and materialize again: what is finished is kept")


class TestNames:
    """A file has none where the system can do so."""

    @pytest.mark.parametrize("has_nameless", [True, False])
    def test_no_file_is_seen(self, monkeypatch, tmp_path, has_nameless):
        """Nor is one left by whatever ends the process."""
        monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", has_nameless)
        file = ScratchFile(str(tmp_path))
        file.append(b"a")
        assert list(tmp_path.iterdir()) == []

    def test_one_that_a_crash_leaves_is_a_broken_off_write(self, monkeypatch, tmp_path):
        """Where files must have a name for a moment, `pxt-assets gc` finds what a crash in it left; no reader of a table does."""
        monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
        monkeypatch.setattr(os, "unlink", lambda _: None)
        column = stored_file(UPath(tmp_path), ("t", "r"), "default")
        companion_folder(column).mkdir(parents=True)
        ScratchFile(scratch_folder(column)).append(b"a")
        (left,) = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
        place = place_of(UPath(tmp_path), UPath(left))
        assert place is not None
        assert place.kind == "staged"
        assert place.column_file.path.parent == column.path.parent
        assert left.parent == Path(companion_folder(column).path)
