from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.finished_cells import EarlierFile, FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.errors import RunError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import to_arrow, to_python
from pxt_assets.values.digest import simulated_digest
from pxt_assets.values.types import Array, ColumnType, Json


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def names(*numbers: int) -> np.ndarray:
    return np.array([name(n) for n in numbers], "S16")


class Bench:
    """A column's file and journal in one folder."""

    def __init__(self, folder: UPath) -> None:
        self.file = ParquetFile(folder / "r.parquet")
        self._folder = folder / "r.journal"

    def store(
        self, *groups: list[Cell], column_type: type[ColumnType] = Json, simulated: bool = False
    ) -> None:
        """Writes the column's file, one row group each."""
        tables = [
            pa.table(
                {
                    "id": pa.array(range(len(cells)), pa.int64()),
                    "r": to_arrow([c.value for c in cells], column_type),
                    "r_errortype": pa.array([c.errortype for c in cells], pa.string()),
                    "r_errormsg": pa.array([c.errormsg for c in cells], pa.string()),
                    "_digest": pa.array([c.digest or None for c in cells], pa.binary(16)),
                }
            )
            for cells in groups
        ]
        self.file.write(tables[0].schema, tables, {"simulated": simulated})

    def journal(self, *cells: Cell, column_type: type[ColumnType] = Json) -> Journal:
        journal = Journal(self._folder, column_type)
        for cell in cells:
            journal.append(cell)
        journal.flush()
        return Journal(self._folder, column_type)

    def cells(self, column_type: type[ColumnType] = Json, **options: bool) -> FinishedCells:
        earlier = partial(EarlierFile, self.file, "r", column_type)
        return FinishedCells(earlier, self.journal(column_type=column_type), **options)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(UPath(tmp_path))


def values(cells: FinishedCells, *numbers: int) -> list[object]:
    table = cells.take(names(*numbers))
    assert table.column_names == ["digest", "value", "errortype", "errormsg", "server"]
    return to_python(table["value"])


def test_cells_are_found_wherever_they_are(bench):
    """In any row group of the file or in the journal, in the order asked for, as often as asked for."""
    bench.store([Cell(name(1), "a"), Cell(name(2), "b")], [Cell(name(3), "c")])
    bench.journal(Cell(name(4), "d"))
    cells = bench.cells()
    assert cells.missing_mask(names(1, 2, 3, 4, 5)).tolist() == [False, False, False, False, True]
    assert values(cells, 4, 3, 1, 4, 2) == ["d", "c", "a", "d", "b"]


def test_the_journal_counts_before_the_file(bench):
    """It was written later."""
    bench.store([Cell(name(1), "old")])
    bench.journal(Cell(name(1), "new"))
    assert values(bench.cells(), 1) == ["new"]


def test_a_result_counts_before_a_failure(bench):
    """A refresh that failed leaves the earlier result."""
    bench.store([Cell(name(1), "good")])
    bench.journal(Cell(name(1), None, "E", "m"))
    assert values(bench.cells(retry_errors=False), 1) == ["good"]


@pytest.mark.parametrize("where", ["file", "journal"])
def test_failures_are_missing_unless_they_are_kept(bench, where):
    """`retry_errors` asks for them again."""
    failed = Cell(name(1), None, "BadRequestError", "too long")
    bench.store([failed] if where == "file" else [Cell(name(2), "x")])
    if where == "journal":
        bench.journal(failed)
    assert bench.cells().missing_mask(names(1)).tolist() == [True]
    kept = bench.cells(retry_errors=False)
    assert kept.missing_mask(names(1)).tolist() == [False]
    assert kept.take(names(1))["errormsg"].to_pylist() == ["too long"]


def test_a_refresh_finds_nothing_until_it_reloads(bench):
    """Every row is asked for anew; what this attempt journaled is taken in afterwards."""
    bench.store([Cell(name(1), "old"), Cell(name(2), "old")])
    journal = Journal(bench.file.path.with_name("r.journal"), Json)
    cells = FinishedCells(partial(EarlierFile, bench.file, "r", Json), journal, refresh=True)
    assert cells.missing_mask(names(1, 2)).all()
    journal.append(Cell(name(1), "new"))
    journal.flush()
    cells.reload()
    assert values(cells, 1, 2) == ["new", "old"]


def test_rows_without_a_digest_are_no_cells(bench):
    """A null row makes no request and has no name."""
    bench.store([Cell(b"", None), Cell(name(1), "a")])
    assert values(bench.cells(), 1) == ["a"]
    assert bench.cells().missing_mask(names(0)).tolist() == [True]


def test_vectors_of_a_fixed_length_are_joined_with_others(bench):
    """The file may have fixed the length that its vectors shared."""
    bench.store([Cell(name(1), [1.0, 2.0])], column_type=Array[(2,), "float32"])
    bench.journal(Cell(name(2), [3.0]), column_type=Array)
    assert values(bench.cells(Array), 2, 1) == [[3.0], [1.0, 2.0]]


@pytest.mark.parametrize("column_type", [Array, Json])
def test_a_file_of_another_type_is_not_used(bench, column_type):
    """A column that has become another is computed anew."""
    bench.store(
        [Cell(name(1), "x" if column_type is Array else [1.0])],
        column_type=Json if column_type is Array else Array,
    )
    assert bench.cells(column_type).missing_mask(names(1)).tolist() == [True]


class TestSimulated:
    @pytest.fixture
    def rehearsed(self, bench):
        """Cell 1 is the API's, cell 2 a simulator's."""
        bench.store([Cell(name(1), "real"), Cell(simulated_digest(name(2)), "rehearsed")], simulated=True)
        return bench.cells()

    def test_what_was_rehearsed_is_no_result(self, rehearsed):
        """Towards the API, a simulator's answers are missing."""
        assert rehearsed.any_simulated
        assert rehearsed.missing_mask(names(1, 2)).tolist() == [False, True]
        assert not rehearsed.used_simulated

    def test_a_simulator_finds_both(self, rehearsed):
        """What was paid for always counts; what was rehearsed marks the column."""
        rehearsed.simulated = True
        assert values(rehearsed, 1) == ["real"]
        assert not rehearsed.used_simulated
        assert rehearsed.missing_mask(names(1, 2, 3)).tolist() == [False, False, True]
        assert values(rehearsed, 2, 1) == ["rehearsed", "real"]
        assert rehearsed.used_simulated

    def test_names_that_end_in_zero_bytes_are_found(self, bench):
        """numpy shows such bytes without their end."""
        digest = b"\1" + b"\0" * 15
        bench.store([Cell(simulated_digest(digest), "rehearsed")], simulated=True)
        cells = bench.cells()
        cells.simulated = True
        assert to_python(cells.take(np.array([digest], "S16"))["value"]) == ["rehearsed"]


def test_a_file_that_another_run_stored_meanwhile_is_taken_in(bench):
    """After asking, the column's file is looked at as it is then."""
    cells = bench.cells()
    assert cells.missing_mask(names(1)).all()
    bench.store([Cell(name(1), "stored meanwhile")])
    cells.reload()
    assert values(cells, 1) == ["stored meanwhile"]


def test_a_cell_that_is_gone_is_told(bench):
    """Cells that another run took over are not guessed at: the run fails and says why."""
    cells = bench.cells()
    with pytest.raises(RunError, match="another run computes this partition"):
        cells.take(names(1))
