"""Parquet and Arrow files as rows: their own types, a few MB at a time."""

import tracemalloc

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pxt_assets.errors import SourceError
from pxt_assets.files import read_files
from pxt_assets.values.types import Float, Image, Int, String

ROWS = pa.table(
    {
        "id": [1, 2],
        "t": pa.array(["a", None]).dictionary_encode(),
        "v": pa.array([[1.0], None], pa.list_(pa.float32())),
        "picture": pa.array([b"\x89PNG", None]),
    }
)


def write(table, path):
    if path.suffix in {".parquet", ".pq"}:
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    elif path.suffix == ".ipc":
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table)
    else:
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table)
    return path


def refusal(pattern, **options):
    with pytest.raises(SourceError) as refused:
        read_files(str(pattern), **options).read_all()
    return str(refused.value)


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".arrow", ".feather", ".ipc"])
def test_rows_and_types_are_those_of_the_file(tmp_path, suffix):
    """Parquet, Arrow's file and stream formats, and Feather 2; media stay bytes."""
    path = write(ROWS, tmp_path / f"rows{suffix}")
    got = read_files(str(path), schema={"picture": Image}).read_all()
    assert got.to_pylist() == ROWS.to_pylist()
    assert got.schema.types == ROWS.schema.types


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".ipc"])
def test_a_file_without_rows_is_a_table_without_rows(tmp_path, suffix):
    """With the columns that it has."""
    got = read_files(str(write(ROWS.slice(0, 0), tmp_path / f"rows{suffix}"))).read_all()
    assert (got.num_rows, got.column_names) == (0, ROWS.column_names)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".ipc"])
@pytest.mark.parametrize("content", [b"", b"abc", b"ARROW1\0\0garbage" * 9, b"PAR1garbagePAR1", b"FEA1 old"])
def test_a_corrupt_file_is_named(tmp_path, suffix, content):
    """Whatever is wrong with it."""
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".ipc"])
def test_a_file_that_is_cut_off_is_named(tmp_path, suffix):
    """Also when its beginning is readable."""
    path = write(pa.table({"x": list(range(100_000))}), tmp_path / f"rows{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(path) in refusal(path)


def test_a_declared_simple_type_is_cast_to(tmp_path):
    """String, Int, Float and Bool; a value that would be lost is an error that names the column."""
    path = write(pa.table({"a": [1, 2], "b": ["1", "x"]}), tmp_path / "rows.parquet")
    got = read_files(str(path), schema={"a": Float}).read_all()
    assert got.schema.field("a").type == pa.float64()
    message = refusal(path, schema={"b": Int})
    assert f"{path}, column 'b': is string, but declared Int" in message


def test_declared_columns_must_be_there(tmp_path):
    """The message lists those that are."""
    path = write(ROWS, tmp_path / "rows.parquet")
    assert "lacks the columns ['x'] of the schema; it has ['id', 't'" in refusal(path, schema={"x": String})


def test_files_of_one_glob_are_cast_to_the_first(tmp_path):
    """Columns in any order; a column of nothing but nulls takes the type of the next file that has one."""
    write(pa.table({"a": [1.5], "b": pa.array([None], pa.null())}), tmp_path / "1.parquet")
    write(pa.table({"b": ["x"], "a": [2]}), tmp_path / "2.parquet")
    got = read_files(str(tmp_path / "*.parquet")).read_all()
    assert got.to_pydict() == {"a": [1.5, 2.0], "b": [None, "x"]}


def test_files_of_one_glob_that_do_not_fit_are_named(tmp_path):
    """By file and column where a value would be lost, by both files where columns differ."""
    write(pa.table({"a": [1]}), tmp_path / "1.arrow")
    write(pa.table({"a": [1.5]}), tmp_path / "2.arrow")
    assert "2.arrow, column 'a': is double, but int64 in the files before" in refusal(tmp_path / "*.arrow")
    write(pa.table({"b": [1]}), tmp_path / "2.arrow")
    message = refusal(tmp_path / "*.arrow")
    assert "2.arrow and " in message
    assert "lacks ['a'] and has ['b']" in message


def test_a_column_name_that_comes_twice_is_refused(tmp_path):
    """Rows have one value a name."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert "['a'] more than once" in refusal(write(table, tmp_path / "rows.arrow"))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_batches_hold_a_few_mb_however_the_file_was_written(tmp_path, suffix):
    """Wide rows come in small batches, one huge batch or row group in slices."""
    table = pa.table({"x": [bytes([i % 256]) * 1_000_000 for i in range(24)]}).combine_chunks()
    batches = list(read_files(str(write(table, tmp_path / f"rows{suffix}"))))
    assert sum(batch.num_rows for batch in batches) == 24
    assert max(batch.nbytes for batch in batches) <= 4_000_000


def test_a_row_group_is_not_read_whole(tmp_path):
    """Memory does not grow with the rows of a row group."""
    path = tmp_path / "rows.parquet"
    texts = [f"{i:09}" * 100 for i in range(40_000)]
    pq.write_table(
        pa.table({"x": texts}), path, row_group_size=10**9, compression="none", use_dictionary=False
    )
    del texts
    tracemalloc.start()  # the bytes of files are Python's, those of batches Arrow's
    arrow, rows = 0, 0
    for batch in read_files(str(path)):
        rows += batch.num_rows
        arrow = max(arrow, pa.total_allocated_bytes())
    _, python = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 40_000
    assert arrow < 20_000_000
    assert python < 10_000_000
