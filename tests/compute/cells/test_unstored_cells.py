"""Which finished cells of a journal its column's file does not hold."""

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.compute.cells.unstored_cells import count_unstored_cells
from pxt_assets.errors import SourceError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media
from pxt_assets.values.types import Array, ColumnType, Image, Json, String


class Partition:
    """A column `c` and its journal, by what they hold."""

    def __init__(self, base: UPath, column_type: type[ColumnType] = String) -> None:
        self.type = column_type
        self.folder = base / ".c.journal"
        self.file = ParquetFile(base / "c.parquet")

    def journal(self, *values: Any, first: int = 0) -> None:
        """Adds a segment of cells with these values, errors being those that are exceptions."""
        journal = Journal(self.folder, self.type)
        for i, value in enumerate(values):
            failed = isinstance(value, Exception)
            journal.append(Cell(_name(first + i), None if failed else value, "E" if failed else None))
        journal.flush()

    def store(self, rows: Mapping[int, Any], arrow_type: pa.DataType | None = None, group: int = 10) -> None:
        """Writes the column's file: values, or errors, by number of the cell, so many rows a row group."""
        failed = [isinstance(value, Exception) for value in rows.values()]
        values = to_arrow([None if isinstance(v, Exception) else v for v in rows.values()], self.type)
        table = pa.table(
            {
                "c": values if arrow_type is None else values.cast(arrow_type),
                "c_errortype": pa.array(["E" if one else None for one in failed], pa.string()),
                "_digest": pa.array([_name(i) for i in rows], pa.binary(16)),
            }
        )
        groups = [table.slice(start, group) for start in range(0, len(rows), group)]
        self.file.write(table.schema, groups, {})

    @property
    def unstored(self) -> int:
        segments = Segments(self.folder)
        try:
            return count_unstored_cells(segments, segments.names(), self.file, "c")
        finally:
            segments.close()


def _name(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture(params=["disk", "object store"])
def partition(tmp_path, request) -> Partition:
    return Partition(UPath(tmp_path) if request.param == "disk" else UPath(f"memory://{uuid.uuid4().hex}"))


def test_cells_with_the_files_values_are_stored(partition):
    """Whatever their order, and however many segments and row groups they are in."""
    partition.journal(*"abc")
    partition.journal(*"defghij", first=3)
    partition.store({i: "abcdefghij"[i] for i in (9, 0, 4, 8, 1, 5, 7, 2, 6, 3)}, group=1)
    assert partition.unstored == 0


def test_cells_that_the_file_lacks_are_not(partition):
    """Each is counted once, however often it was answered."""
    partition.journal(*"abc")
    partition.journal(*"xyz")
    assert partition.unstored == 3
    partition.store({0: "a", 7: "b"})
    assert partition.unstored == 3
    partition.store({0: "x", 1: "y", 2: "z"})
    assert partition.unstored == 3


def test_another_answer_to_a_request_is_not_stored(partition):
    """Its name is in the file, its value is not."""
    partition.journal("a", "anew", None, "d")
    partition.store({0: "a", 1: "b", 2: "c", 3: None})
    assert partition.unstored == 3


def test_an_error_in_the_file_is_no_result(partition):
    """Nor is one in the journal something that is finished."""
    partition.journal("a", ValueError(), None)
    partition.store({0: ValueError(), 1: "b", 2: ValueError()})
    assert partition.unstored == 2


def test_a_null_is_a_result(partition):
    """A cell may have been answered with nothing."""
    partition.journal(None)
    partition.store({0: None})
    assert partition.unstored == 0


@pytest.mark.parametrize(
    ("column_type", "values", "stored_as"),
    [
        (Json, [{"a": [1, None]}, None, "b"], None),
        (Array, [np.array([0.1, 2], np.float32), None], pa.list_(pa.float32(), 2)),
        (Array, [np.array([0.1, 2], np.float32), np.array([], np.float32)], None),
        (Image, [Media(b"\x89PNG"), None], None),
    ],
)
def test_values_are_told_apart_whatever_their_type(tmp_path, column_type, values, stored_as):
    """A file may have fixed the length of its vectors."""
    partition = Partition(UPath(tmp_path), column_type)
    partition.journal(*values)
    partition.store(dict(enumerate(values)), stored_as)
    assert partition.unstored == 0
    partition.store(dict(enumerate([None] * len(values))), stored_as)
    assert partition.unstored == sum(value is not None for value in values)


def test_values_of_another_type_are_not_stored(tmp_path):
    """A column may have become text that was Json."""
    partition = Partition(UPath(tmp_path))
    partition.journal("1")
    partition.type = Json
    partition.store({0: "1"})
    assert partition.unstored == 1


def test_a_file_without_that_column_holds_nothing(tmp_path):
    """Whoever wrote it."""
    partition = Partition(UPath(tmp_path))
    partition.journal("a")
    table = pa.table({"_digest": pa.array([_name(0)], pa.binary(16)), "c": ["a"]})
    partition.file.write(table.schema, [table], {})
    assert partition.unstored == 1


def test_a_segment_that_cannot_be_read_is_an_error(tmp_path):
    """What it holds is not known, and it is named."""
    partition = Partition(UPath(tmp_path))
    partition.journal("a")
    partition.store({0: "a"})
    (path,) = partition.folder.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SourceError, match=path.name):
        _ = partition.unstored


def test_a_segment_of_another_version_is_an_error(tmp_path):
    """It may hold what this one does not look for."""
    partition = Partition(UPath(tmp_path))
    Segments(partition.folder).write("0.arrow", pa.table({"digest": [b"x"]}))
    with pytest.raises(SourceError, match="another version"):
        _ = partition.unstored
