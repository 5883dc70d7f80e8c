"""CSV and TSV files as rows: exact values, and errors that name the line."""

import csv
import gzip
import io
import uuid

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.files import read_files
from pxt_assets.values.types import Bool, Float, Image, Int, Json, String


@pytest.fixture
def table(tmp_path):
    def read(data, name="rows.csv", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_files(str(tmp_path / name), **options).read_all()

    return read


@pytest.fixture
def refusal(table):
    def read(data, name="rows.csv", **options):
        with pytest.raises(SourceError) as refused:
            table(data, name, **options)
        assert name in str(refused.value)
        return str(refused.value)

    return read


def types(table):
    return {field.name: str(field.type) for field in table.schema}


@pytest.mark.parametrize(
    ("values", "arrow_type", "read"),
    [
        (["1", "-3", "", "0"], "int64", [1, -3, None, 0]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808"], "string", ["9223372036854775808"]),
        (["007", "1"], "string", ["007", "1"]),
        (["+1"], "string", ["+1"]),
        (["-0.5", "1e3", "2", ".5", ""], "double", [-0.5, 1000.0, 2.0, 0.5, None]),
        (["1.5", "nan"], "string", ["1.5", "nan"]),
        (["inf"], "string", ["inf"]),
        (["1e999"], "string", ["1e999"]),
        (["007.5"], "string", ["007.5"]),
        (["1.5", "12345678901234567890"], "string", ["1.5", "12345678901234567890"]),
        (["true", "FALSE", "True", ""], "bool", [True, False, True, None]),
        (["true", "1"], "string", ["true", "1"]),
        (["2027-03-01", "2027-03-02"], "string", ["2027-03-01", "2027-03-02"]),
        (["1,5"], "string", ["1,5"]),
        ([" 1"], "string", [" 1"]),
        (["", ""], "string", ["", ""]),
        (["NA", "null", ""], "string", ["NA", "null", ""]),
    ],
)
def test_a_column_has_a_type_only_if_every_value_is_kept_exactly(table, values, arrow_type, read):
    """Int, Float or Bool if all values say so, text otherwise; empty is null in typed columns, text in text."""
    got = table("k,x\n" + "".join(f'r,"{v}"\n' for v in values))
    assert types(got)["x"] == arrow_type
    assert got["x"].to_pylist() == read


def test_a_declared_type_is_not_inferred(table):
    """`schema` decides, and then leading zeros and a plus are read as numbers."""
    got = table("a,b,c,d\n007,+007,1,true\n", schema={"a": String, "b": Int, "c": Float, "d": Bool})
    assert got.to_pylist() == [{"a": "007", "b": 7, "c": 1.0, "d": True}]
    assert types(got) == {"a": "string", "b": "int64", "c": "double", "d": "bool"}


def test_types_that_csv_does_not_have_stay_text(table):
    """A declared Json or Image column is text here, to be cast by whoever uses it."""
    got = table('a,b\n"{""x"": 1}",cat.png\n', schema={"a": Json, "b": Image})
    assert got.to_pylist() == [{"a": '{"x": 1}', "b": "cat.png"}]


def test_a_late_value_that_does_not_fit_is_named_with_its_line(refusal):
    """File, line, column, value and what to write; the line counts newlines inside values."""
    rows = "".join(f'{i},"two\nlines"\n' for i in range(200_000))
    message = refusal(f"id,text\n{rows}n/a,x\n")
    assert "line 400002, column 'id': got 'n/a'" in message
    assert 'schema={"id": String}' in message


@pytest.mark.parametrize(
    ("value", "declared"),
    [("x", Int), ("1.5", Int), ("9223372036854775808", Int), ("1e999", Float), ("nan", Float), ("1", Bool)],
)
def test_a_value_that_does_not_fit_its_declared_type_is_named(refusal, value, declared):
    """Nothing is rounded, cut or made null."""
    message = refusal(f"a\n\n{value}\n", schema={"a": declared})
    assert f"line 3, column 'a': got '{value}', but the column is declared {declared.__name__}" in message


def test_quotes_newlines_and_delimiters_inside_values_are_kept(table):
    """RFC 4180 quoting, header included."""
    got = table('"a\nb",c\n"x, ""y""\n z",1\n')
    assert got.to_pylist() == [{"a\nb": 'x, "y"\n z', "c": 1}]


def test_a_tsv_file_is_delimited_by_tabs(table):
    """Commas are text there."""
    assert table("a\tb\n1,2\tx\n", "rows.tsv").to_pylist() == [{"a": "1,2", "b": "x"}]


def test_a_gzipped_file_is_read_by_its_suffix(table, refusal):
    """`.csv.gz`; a file that is not what it says, or is cut off, is named."""
    packed = gzip.compress(b"a\n1\n")
    assert table(packed, "rows.csv.gz").to_pylist() == [{"a": 1}]
    assert "gzip" in refusal(b"a\n1\n", "rows.csv.gz")
    assert "ended" in refusal(packed[:-6], "rows.csv.gz")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_ending_will_do_and_blank_lines_are_left_out(table, end):
    """The last line needs none."""
    assert table(end.join(["", "a,b", "1,x", "", "2,y"])).to_pylist() == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_utf_8_is_read_with_a_byte_order_mark_and_without(table):
    """The mark is not part of the first column's name."""
    assert table(b"\xef\xbb\xbfid\n1\n").column_names == ["id"]
    assert table("id\nüñ日本🎒\n")["id"].to_pylist() == ["üñ日本🎒"]


@pytest.mark.parametrize(
    "encoding", ["cp1252", "latin-1", "utf-16", "utf-16-le", "shift_jis", "UTF8", "utf-8-sig"]
)
def test_other_encodings_are_read_when_named(table, encoding):
    """Any text encoding of Python."""
    text = "カタ" if encoding == "shift_jis" else "né"
    assert table(f'id,t\n1,"{text}\n"\n'.encode(encoding), encoding=encoding).to_pylist() == [
        {"id": 1, "t": f"{text}\n"}
    ]


def test_a_byte_that_is_not_utf_8_is_named_with_its_line(refusal):
    """The line of the first bad byte, however late, and the encoding to try."""
    assert "line 1: the byte 0xe9" in refusal(b"caf\xe9,b\n1,2\n")
    message = refusal(b"a\n" + b'"x\r\ny"\r\n' * 300_000 + b"caf\xe9\n")
    assert "line 600002: the byte 0xe9 cannot be read as utf-8; write encoding='cp1252'" in message


def test_a_byte_that_the_named_encoding_lacks_is_named_with_its_line(refusal):
    """Not only UTF-8 can fail."""
    assert "line 2: the byte 0x81 cannot be read as cp1252" in refusal(b"a\n\x81\n", encoding="cp1252")


def test_utf_16_is_recognized(refusal):
    """By its byte order mark, and without one by its NUL bytes."""
    assert "UTF-16, but was to be read as utf-8; write encoding='utf-16'" in refusal(
        "a\n1\n".encode("utf-16")
    )
    assert "encoding='utf-16-le'" in refusal("a\n1\n".encode("utf-16-le"))
    assert "write encoding='utf-8'" in refusal(b"\xef\xbb\xbfa\n1\n", encoding="cp1252")


def test_an_unknown_encoding_is_a_mistake_in_the_definition(table):
    """Codecs that are not for text are unknown, too."""
    for encoding in ("klingon", "base64"):
        with pytest.raises(DefinitionError, match=encoding):
            table("a\n1\n", encoding=encoding)


def test_a_nul_byte_inside_a_value_is_a_character_like_any_other(table):
    """Nothing is cut off at it."""
    assert table(b"a,b\nx\0y,1\n")["a"].to_pylist() == ["x\0y"]


def test_a_ragged_line_is_named_with_both_numbers_of_columns(refusal):
    """Line of the file, not number of the row."""
    assert "line 5: expected 2 columns, as in the header, got 3" in refusal('a,b\n1,"x\ny"\n\n1,2,3\n')
    assert "line 3: expected 2 columns, as in the header, got 1" in refusal("a,b\n1,2\n3\n")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ('a,b\n1,x\n2,"y\n3,z\n', 3),
        ('a,b\n1,"x', 2),
        ('"a,b\n1,2\n', 1),
        ('a,b\n1,"x\n"', 2),
        ('a,b\n1,"', 2),
    ],
)
def test_a_quote_that_is_never_closed_is_named_where_it_begins(refusal, table, data, line):
    """Instead of taking the rest of the file for one value; the same file with the quote closed is fine."""
    if data.endswith('\n"'):
        assert table(data)["b"].to_pylist() == ["x\n"]
    else:
        assert f"line {line}: a quoted value that begins here has no closing" in refusal(data)
        table(data + '"' + ("" if line > 1 else ",c"))


@pytest.mark.parametrize(
    "data",
    [
        'a,b\n1,"say ""hi""\nthere ""x"""',
        'a,b\n1,""',
        "a,b\n1,",
        'a,b\n1,5" pipe',
        'a\n"x"',
        'a\n"x\ny"\n\n',
        "a\nx",
    ],
)
def test_a_file_that_ends_in_quotes_is_not_mistaken_for_an_open_one(table, data):
    """What Python's csv module reads is read alike."""
    rows = [row for row in csv.reader(io.StringIO(data, newline="")) if row]
    got = table(data, schema=dict.fromkeys(rows[0], String))
    assert [[v or "" for v in row.values()] for row in got.to_pylist()] == rows[1:]


def test_nothing_is_null_and_quotes_around_nothing_are_an_empty_text(table):
    """An empty cell is no value, so that it is no key and no prompt; `""` says that there is a text, an empty one."""
    assert table('a,b\nx,\n,y\nz,""\n').to_pylist() == [
        {"a": "x", "b": None},
        {"a": None, "b": "y"},
        {"a": "z", "b": ""},
    ]


def test_an_empty_file_is_a_table_without_rows_if_its_columns_are_known(table, refusal):
    """0 bytes need a schema, a header alone does not."""
    assert "has no header line" in refusal("")
    assert "has no header line" in refusal("\n\n")
    empty = table("", schema={"a": Int, "b": Json})
    assert (empty.num_rows, types(empty)) == (0, {"a": "int64", "b": "string"})
    for data in ("a,b", "a,b\n", "a,b\n\n"):
        assert (table(data).num_rows, types(table(data))) == (0, {"a": "string", "b": "string"})
        assert types(table(data, schema={"a": Float})) == {"a": "double", "b": "string"}


def test_a_header_must_name_every_column_once(refusal):
    """Neither duplicates nor nameless columns."""
    assert "names the columns ['a'] more than once" in refusal("a,b,a\n1,2,3\n")
    assert "has no name for column 2" in refusal("a,,c\n1,2,3\n")


def test_declared_columns_must_be_there(refusal):
    """A misspelt name in the schema is an error that lists what the file has."""
    message = refusal("id,body\n1,x\n", schema={"bdy": String})
    assert "lacks the columns ['bdy'] of the schema; it has ['id', 'body']" in message


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_an_enormous_value_is_read(table, size):
    """Values larger than a block are read with a larger block, and no row is lost or doubled for it."""
    rows = "".join(f"{i},x\n" for i in range(400_000))
    got = table(f'id,t\n{rows}-1,"{"y" * size}"\n-2,z\n')
    assert got.num_rows == 400_002
    assert got["id"].to_pylist()[399_999:] == [399_999, -1, -2]
    assert len(got["t"][400_000].as_py()) == size


def test_files_of_one_glob_are_one_table(tmp_path):
    """Same columns in any order; the first file with rows decides the types."""
    (tmp_path / "a.csv").write_text("id,t\n")
    (tmp_path / "b.csv").write_text("t,id\nx,1\n")
    (tmp_path / "c.csv").write_text("id,t\n2,007\n")
    got = read_files(str(tmp_path / "*.csv")).read_all()
    assert got.to_pydict() == {"id": [1, 2], "t": ["x", "007"]}
    assert types(got) == {"id": "int64", "t": "string"}


def test_files_of_one_glob_that_differ_are_both_named(tmp_path):
    """With what the one lacks and has more."""
    (tmp_path / "a.csv").write_text("id,t\n1,x\n")
    (tmp_path / "b.csv").write_text("id,u\n1,x\n")
    with pytest.raises(SourceError, match=r"b\.csv and .*a\.csv must .* lacks \['t'\] and has \['u'\]"):
        read_files(str(tmp_path / "*.csv")).read_all()


def test_a_later_file_whose_values_do_not_fit_is_named(tmp_path):
    """Types do not change from file to file."""
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.csv").write_text("id\n2\nx\n")
    with pytest.raises(SourceError, match=r"b\.csv, line 3, column 'id': got 'x'"):
        read_files(str(tmp_path / "*.csv")).read_all()


def test_memory_does_not_grow_with_rows(tmp_path):
    """A file of 40 MB is held a few MB at a time."""
    (tmp_path / "a.csv").write_text("id,t\n" + f"1,{'x' * 1000}\n" * 40_000)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in read_files(str(tmp_path / "a.csv")):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 40_000
    assert most < 20_000_000


def test_a_reader_that_is_abandoned_closes_its_file(tmp_path):
    """Reading on after the first batch is not an obligation."""
    (tmp_path / "a.csv").write_text("id,t\n" + f"1,{'x' * 1000}\n" * 10_000)
    reader = read_files(str(tmp_path / "a.csv"))
    assert reader.read_next_batch().num_rows
    del reader  # an unclosed file would be a ResourceWarning, which the test configuration makes an error


texts = st.text(st.characters(codec="utf-8") | st.sampled_from(',"\n\r \t;'), max_size=20)


@given(st.lists(st.tuples(texts, texts), max_size=20))
def test_any_text_that_csv_can_hold_is_read_back(rows):
    """Whatever Python's csv module writes, quotes, newlines and delimiters included."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = f"/{uuid.uuid4().hex}.csv"
    memory = fsspec.filesystem("memory")
    memory.pipe(path, out.getvalue().encode())
    got = read_files(f"memory:/{path}", schema={"a": String, "b": String}).read_all()
    memory.rm(path)
    assert [tuple(row.values()) for row in got.to_pylist()] == rows
