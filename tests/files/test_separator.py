"""What separates the columns of a CSV file, and the numbers of those who write a decimal comma."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pytest

from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.files import read_files
from pxt_assets.values.types import Float, Int, String


@pytest.fixture
def table(tmp_path):
    def read(data, name="rows.csv", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_files(str(tmp_path / name), **options).read_all()

    return read


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("id;body\n1;a, b\n2;c\n", [[1, "a, b"], [2, "c"]]),
        ("id\tbody\n1\ta, b; c\n", [[1, "a, b; c"]]),
        ("id|body\n1|a, b; c\n", [[1, "a, b; c"]]),
        ("id,body\n1,a; b|c\n", [[1, "a; b|c"]]),
        ("\ufeffid;body\r\n1;x", [[1, "x"]]),
        ("id;body\r1;x\r", [[1, "x"]]),
        ('id;"the, body"\n1;"a;b"\n', [[1, "a;b"]]),
        ("id;first, last\n1;Ann\n2;Bo\n", [[1, "Ann"], [2, "Bo"]]),
        ('id;body\n1;"two, lines\nof; text"\n2;x\n', [[1, "two, lines\nof; text"], [2, "x"]]),
        ("sep=;\nid;body\n1;a, b\n", [[1, "a, b"]]),
        ("sep=|\r\nid|body\r\n1|x\r\n", [[1, "x"]]),
    ],
)
def test_it_is_found_out_where_it_is_a_comma_a_semicolon_a_tab_or_a_bar(table, data, rows):
    """Quoted values may hold any of them; a first line `sep=;` says it."""
    assert [list(row.values()) for row in table(data).to_pylist()] == rows


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        ("text\nhello; world\nyes; and no; more\n", ["text"]),
        ("text; notes\nhello\nworld\n", ["text; notes"]),
        ('text\n"a, b"\n', ["text"]),
        ('"a;b"\n"1;2"\n', ["a;b"]),
        ("a,b;c\n1,2;3\n", ["a", "b;c"]),
        ("a,b|c\n", ["a", "b|c"]),
        ("a;b\n", ["a", "b"]),
        ("a\tb", ["a", "b"]),
        ("a;b\tc\td\n", ["a;b", "c", "d"]),
    ],
)
def test_text_in_one_column_and_what_commas_divide_stay_as_they_are(table, data, columns):
    """Another separator must divide the rows as it does the header; of a header alone, there is nothing else to go by."""
    assert table(data).column_names == columns


def test_only_the_head_of_a_file_is_looked_at(table):
    """However long it is; a record that the head cuts off says nothing."""
    rows = "".join(f'{i};"{"x, y" * (i % 90)}\n"\n' for i in range(20_000))
    got = table(f"id;body\n{rows}")
    assert (got.num_rows, got.column_names) == (20_000, ["id", "body"])


def test_a_row_that_does_not_fit_is_named_as_its_separator_divides_it(table):
    """Not as commas would, and with what to write if it is another one; lines before the header count."""
    with pytest.raises(
        SourceError, match=r"line 4: expected 2 columns, as in the header, got 3; .*separator="
    ):
        table("sep=;\nid;body\n1;x\n2;y;z\n3;k\n")
    with pytest.raises(SourceError, match=r"line 2: expected 2 columns, as in the header, got 3"):
        table("id;body\n1;x;\n2;y;\n")


@pytest.mark.parametrize("separator", ["#", " ", ";", "tab", "\\t", "\t"])
def test_it_may_be_given(table, separator):
    """Any ASCII character, and a tab by its name."""
    between = "\t" if separator in {"tab", "\\t"} else separator
    data = f"a,x{between}b\n1,5{between}2\n"
    assert table(data, separator=separator).column_names == ["a,x", "b"]
    assert table(data, "rows.tsv", separator=separator).column_names == ["a,x", "b"]


def test_a_tsv_file_has_tabs_unless_another_is_given(table):
    """Its suffix says so, and its numbers have no decimal comma."""
    assert table("a;b\n1;2\n", "rows.tsv").column_names == ["a;b"]
    assert table("a\tb\n1,5\t2\n", "rows.tsv")["a"].to_pylist() == ["1,5"]


@pytest.mark.parametrize("separator", ["", ";;", "é", '"', "\n", 5])
def test_what_cannot_separate_columns_is_refused(table, separator):
    """With what is allowed."""
    with pytest.raises(DefinitionError, match="allowed is one ASCII character"):
        table("a\n", separator=separator)


def test_only_csv_files_have_one(table):
    """Of others it would be ignored."""
    with pytest.raises(DefinitionError, match="only CSV files have a separator"):
        table("{}", "rows.jsonl", separator=";")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1,5", "-0,25", "", "3"], [1.5, -0.25, None, 3.0]),
        (["1.234,56", "1.234", "12.345.678,9"], [1234.56, 1234.0, 12345678.9]),
        (["1,5", "1.5"], ["1,5", "1.5"]),
        (["1,5", "1.234"], ["1,5", "1.234"]),
        (["1,5", "n/a"], ["1,5", "n/a"]),
        (["1,234", "2,500"], ["1,234", "2,500"]),
        (["1.234", "2.500"], ["1.234", "2.500"]),
        (["1,234", "0,500"], [1.234, 0.5]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["1.234.567", "1"], ["1.234.567", "1"]),
        (["1.23,4"], ["1.23,4"]),
        (["007,5"], ["007,5"]),
        (["1,2,3"], ["1,2,3"]),
        (["1 234,5"], ["1 234,5"]),
        (["1234567890123456,5"], ["1234567890123456,5"]),
        (["1", "2"], [1, 2]),
    ],
)
def test_where_semicolons_separate_numbers_may_have_a_decimal_comma(table, values, read):
    """With points between thousands; a mix of signs, and what may be thousands in every row, stays text."""
    got = table("k;x\n" + "".join(f"r;{value}\n" for value in values))["x"].to_pylist()
    assert got == read
    assert list(map(type, got)) == list(map(type, read))


def test_a_declared_number_may_have_one_too(table):
    """And whole numbers points between their thousands; a value of the other sign is named with its line."""
    got = table("a;b;c\n1.234;1.234;1,5\n2;0,5;2\n", schema={"a": Int, "b": Float, "c": String})
    assert got.to_pylist() == [{"a": 1234, "b": 1234.0, "c": "1,5"}, {"a": 2, "b": 0.5, "c": "2"}]
    assert table("a;b\n1.234;x\n", schema={"a": Float})["a"].to_pylist() == [1.234]
    with pytest.raises(SourceError, match=r"line 3, column 'a': got '1\.5', .* Float with a decimal comma"):
        table("a;b\n1,5;x\n1.5;y\n", schema={"a": Float})


def test_each_file_of_a_glob_is_looked_at(tmp_path):
    """Their separators may differ, and so may the sign of decimals."""
    (tmp_path / "a.csv").write_text("id;p\n1;1,5\n")
    (tmp_path / "b.CSV").write_text("id,p\n2,2.5\n")
    got = read_files(str(tmp_path / "*.[cC][sS][vV]")).read_all()
    assert got.to_pylist() == [{"id": 1, "p": 1.5}, {"id": 2, "p": 2.5}]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".GZ", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
    ],
)
def test_text_files_may_be_compressed(table, suffix, compress):
    """CSV and JSON Lines; one that is cut off is named."""
    packed = compress(b"id;body\n1;x\n" * 50)
    assert table(packed, f"rows.csv{suffix}", schema={"id": String}).num_rows == 99
    assert table(compress(b'{"id": 1}\n'), f"rows.ndjson{suffix}").to_pylist() == [{"id": 1}]
    with pytest.raises(SourceError, match=r"rows\.csv"):
        table(packed[:-6], f"rows.csv{suffix}", schema={"id": String})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04\x14\x00", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "old Excel workbook"),
        (gzip.compress(b"a\n", mtime=0), "let its name end in .gz"),
    ],
)
def test_a_file_that_is_something_else_by_its_content_is_told(table, data, says):
    """Rather than which of its bytes is no text."""
    with pytest.raises(SourceError, match=says):
        table(data)


def test_where_only_spreadsheets_lie_the_remedy_is_told(tmp_path):
    """With what the folder holds."""
    (tmp_path / "tickets.xlsx").write_bytes(b"PK")
    with pytest.raises(
        SourceError, match=r"holds tickets\.xlsx; spreadsheets are not read, save each sheet as CSV"
    ):
        read_files(str(tmp_path / "*.csv"))
