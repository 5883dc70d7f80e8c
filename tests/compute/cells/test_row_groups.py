import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from pxt_assets.compute.cells import row_groups
from pxt_assets.compute.cells.row_groups import RowGroups
from pxt_assets.errors import RunError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import to_arrow, to_python
from pxt_assets.values.types import Json

GROUPS, ROWS = 12, 10


@pytest.fixture(params=["local", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: UPath) -> ParquetFile:
    """Rows numbered in a file of 12 row groups of 10."""
    folder = UPath(f"memory://{tmp_path.name}") if request.param == "memory" else UPath(tmp_path)
    stored = ParquetFile(folder / "c.parquet")
    write(stored)
    return stored


def write(stored: ParquetFile, first: int = 0) -> None:
    numbers = range(first, first + GROUPS * ROWS)
    table = pa.table({"n": numbers, "r": to_arrow([{"n": n} for n in numbers], Json), "other": numbers})
    parts = [table.slice(i * ROWS, ROWS) for i in range(GROUPS)]
    ParquetFile(stored.path).write(table.schema, parts, {})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that are read, as they are."""
    read: list[int] = []
    real = pq.ParquetFile.read_row_group

    def noted(opened: pq.ParquetFile, i: int, **options: object) -> pa.Table:
        read.append(i)
        return real(opened, i, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    return read


def taken(groups: RowGroups, positions: Sequence[int], step: int = 7) -> list[object]:
    """The rows in that order, taken by and by."""
    parts = [groups.take(np.array(positions[i : i + step])) for i in range(0, len(positions), step)]
    assert all(part.column_names == ["r", "n"] for part in parts)
    assert [n for part in parts for n in part["n"].to_pylist()] == list(positions)
    return [value for part in parts for value in to_python(part["r"])]


def shuffled(seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).permutation(GROUPS * ROWS).tolist()


def test_rows_come_in_the_order_asked_for(file: ParquetFile) -> None:
    """Of the columns asked for, in their order."""
    wanted = [3, 119, 3, 40, 0]
    assert taken(RowGroups(file, ["r", "n"]), wanted) == [{"n": n} for n in wanted]


def test_rows_that_lie_in_order_are_read_once(file: ParquetFile, reads: list[int]) -> None:
    """Neighbours want the same row group: it is kept, and nothing is copied."""
    groups = RowGroups(file, ["r", "n"])
    wanted = list(range(5, GROUPS * ROWS))
    with groups.prepare_order(np.array(wanted), threading.Event()):
        assert reads == []
        taken(groups, wanted)
    assert reads == list(range(GROUPS))


@pytest.mark.parametrize("part_bytes", [1, 200, 2**20], ids=["many parts", "some parts", "one part"])
def test_rows_in_another_order_are_read_once(
    file: ParquetFile, reads: list[int], part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the order leaps from group to group, each is read once, but for a look at the first."""
    monkeypatch.setattr(row_groups, "_BYTES_A_PART", part_bytes)
    groups = RowGroups(file, ["r", "n"])
    wanted = shuffled()
    with groups.prepare_order(np.array(wanted), threading.Event()):
        assert taken(groups, wanted) == [{"n": n} for n in wanted]
    assert reads == [0, *range(GROUPS)]


def test_rows_that_are_wanted_again_or_never(file: ParquetFile, reads: list[int]) -> None:
    """Equal cells share a row; groups of which none is wanted are not read."""
    groups = RowGroups(file, ["r", "n"])
    wanted = [n for n in shuffled() if n // ROWS != 5]
    wanted = [row for n in wanted for row in (n, wanted[0])]
    with groups.prepare_order(np.array(wanted), threading.Event()):
        assert taken(groups, wanted) == [{"n": n} for n in wanted]
    assert reads == [0, *(i for i in range(GROUPS) if i != 5)]


def test_afterwards_rows_are_taken_from_the_file(file: ParquetFile) -> None:
    """Also those that were not wanted before."""
    groups = RowGroups(file, ["r", "n"])
    with groups.prepare_order(np.array([n for n in shuffled() if n != 17]), threading.Event()):
        pass
    assert taken(groups, [17, 90]) == [{"n": 17}, {"n": 90}]


def test_an_interrupted_run_does_not_wait_for_the_copy(file: ParquetFile) -> None:
    """Copying breaks off, and leaves nothing behind."""
    interrupted = threading.Event()
    interrupted.set()
    before = sorted(path.name for path in file.path.parent.iterdir())
    with (
        pytest.raises(InterruptedError),
        RowGroups(file, ["n"]).prepare_order(np.array(shuffled()), interrupted),
    ):
        pass
    assert sorted(path.name for path in file.path.parent.iterdir()) == before


def test_another_file_in_its_place_is_told(file: ParquetFile) -> None:
    """Row numbers of one file mean other rows in another."""
    groups = RowGroups(file, ["r", "n"])
    write(file, first=1_000)
    with pytest.raises(RunError, match=r"c\.parquet was materialized meanwhile; materialize again"):
        groups.take(np.array([1]))
