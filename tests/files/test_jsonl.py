"""JSON Lines files as rows: keys are columns, nested values stay exact."""

import gzip
import json
import uuid

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.errors import SourceError
from pxt_assets.files import read_files
from pxt_assets.values.conversion import to_python
from pxt_assets.values.types import Array, Bool, Float, Image, Int, Json, String, is_json


@pytest.fixture
def table(tmp_path):
    def read(data, name="rows.jsonl", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_files(str(tmp_path / name), **options).read_all()

    return read


@pytest.fixture
def refusal(table):
    def read(data, **options):
        with pytest.raises(SourceError) as refused:
            table(data, **options)
        assert "rows.jsonl" in str(refused.value)
        return str(refused.value)

    return read


def lines(*values):
    return "\n".join(json.dumps({"x": value}) for value in values)


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        (["a", None, ""], pa.string()),
        ([1, None, -(2**63)], pa.int64()),
        ([1.5, 2, None], pa.float64()),
        ([True, None], pa.bool_()),
        ([None, None], pa.string()),
    ],
)
def test_values_of_one_type_are_a_column_of_that_type(table, values, arrow_type):
    """Text, integers, floats (also with integers among them) and booleans."""
    got = table(lines(*values))
    assert got.schema.field("x").type == arrow_type
    assert got["x"].to_pylist() == values


@pytest.mark.parametrize(
    "values",
    [
        [{"b": 1, "a": [None, {"c": "ü"}]}, {"a": 2}, {}, None],
        [[1, "a"], []],
        [1, "a"],
        [True, 1],
        [2**63],
        [2**53 + 1, 0.5],
    ],
)
def test_nested_and_mixed_values_are_json(table, values):
    """No key is added, no number rounded."""
    got = table(lines(*values))
    assert is_json(got.schema.field("x").type)
    assert to_python(got["x"]) == values


def test_missing_keys_are_null_and_late_keys_are_columns(table):
    """A key of the last line alone is a column, and a type that comes late counts from the first row on."""
    rows = [{"id": i, "pad": "x" * 1000} for i in range(5000)] + [{"id": 0.5, "late": True}]
    got = table("\n".join(map(json.dumps, rows)))
    assert got.column_names == ["id", "pad", "late"]
    assert got.schema.field("id").type == pa.float64()
    assert got["late"].to_pylist() == [None] * 5000 + [True]
    assert got["pad"].null_count == 1


def test_blank_lines_are_left_out_and_counted(table, refusal):
    """Any line ending, with a byte order mark or without; U+2028 ends no line."""
    assert table(b'\xef\xbb\xbf{"x": "a\xe2\x80\xa8b"}\r\n\n  \n{"x": "c"}')["x"].to_pylist() == [
        "a\u2028b",
        "c",
    ]
    assert "line 3" in refusal('{"x": 1}\n\n{"x": \n')


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"x": 1', "is not JSON (column 8: Expecting ',' delimiter): '{\"x\": 1'"),
        ('{"x": 1} {}', "Extra data"),
        ('{"x": NaN}', "NaN is no JSON value"),
        ("[1]", "got list '[1]'; every line must be an object"),
        ('"x"', "got str"),
        ('{"x": ' + "[" * 100_000 + "}", "is not JSON"),
        ('{"": 1}', "got the key ''"),
        ('{"x": 1e999}', "column 'x': cannot be stored"),
        ('{"x": {"y": 1e999}}', "column 'x': cannot be stored"),
    ],
)
def test_a_line_that_is_no_row_is_named(refusal, line, says):
    """Invalid JSON, what is not an object, and what no column can hold."""
    message = refusal('{"x": 1}\n' + line + '\n{"x": 2}')
    assert "line 2" in message
    assert says in message


def test_objects_without_keys_are_no_table(refusal):
    """Rows need a column."""
    assert "without keys" in refusal("{}\n{}")


def test_an_empty_file_is_a_table_without_rows(table):
    """Its columns are those of the schema."""
    assert table("").column_names == []
    declared = {"a": Int, "j": Json, "v": Array[(3,)], "i": Image}
    empty = table("\n", schema=declared)
    assert (empty.num_rows, empty.column_names) == (0, ["a", "j", "v", "i"])
    assert empty.schema.field("a").type == pa.int64()
    assert is_json(empty.schema.field("j").type)


def test_declared_types_are_kept_to(table):
    """A declared Json is Json for text too; a declared String takes any value as its JSON text."""
    row = '{"j": "a", "s": [1, 2], "f": 1, "v": [1, 2.5], "i": "cat.png"}'
    schema = {"j": Json, "s": String, "f": Float, "v": Array[(2,)], "i": Image}
    got = table(row, schema=schema)
    assert to_python(got["j"]) == ["a"]
    assert got.drop_columns("j").to_pylist() == [{"s": "[1,2]", "f": 1.0, "v": [1.0, 2.5], "i": "cat.png"}]
    assert got.schema.field("v").type == pa.list_(pa.float32(), 2)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        ("1", Int),
        (1.0, Int),
        (True, Int),
        (2**63, Int),
        ("a", Float),
        (1, Bool),
        ([1], Array[(2,)]),
        (["a"], Array),
    ],
)
def test_a_value_that_does_not_fit_its_declared_type_is_named(refusal, value, declared):
    """With file, line and column, and what to write."""
    message = refusal('{"x": null}\n' + lines(value), schema={"x": declared})
    assert "line 2, column 'x': got" in message
    assert 'schema={"x": Json}' in message


def test_declared_columns_must_be_there(refusal):
    """A key that no line has is taken for a mistake in the schema."""
    assert "lacks the columns ['y'] of the schema in every line; it has ['x']" in refusal(
        lines(1), schema={"y": Int}
    )


def test_encodings_are_those_of_text_files(table, refusal):
    """A bad byte is named with its line; other encodings are read when named; gzip goes by the suffix."""
    assert "line 2: the byte 0xe9" in refusal(b'{"x": 1}\n{"x": "\xe9"}')
    assert table('{"x": "é"}\n'.encode("utf-16"), encoding="utf-16")["x"].to_pylist() == ["é"]
    assert table(gzip.compress(b'{"x": 1}'), "rows.ndjson.gz")["x"].to_pylist() == [1]


def test_a_lone_surrogate_becomes_a_replacement_character(table):
    """UTF-8 cannot hold it, and one such value must not fail the file."""
    assert table('{"x": "a\\ud800"}')["x"].to_pylist() == ["a\ufffd"]


def test_files_of_one_glob_share_their_keys(tmp_path):
    """The columns are those of all files, the types suit all of them."""
    (tmp_path / "a.jsonl").write_text('{"x": 1}')
    (tmp_path / "b.jsonl").write_text('{"x": 0.5, "y": "b"}\n')
    got = read_files(str(tmp_path / "*.jsonl")).read_all()
    assert got.to_pydict() == {"x": [1.0, 0.5], "y": [None, "b"]}


def test_rows_come_in_batches_of_a_few_mb(tmp_path):
    """However many rows there are."""
    (tmp_path / "a.jsonl").write_text((json.dumps({"x": "y" * 1000}) + "\n") * 10_000)
    sizes = [batch.nbytes for batch in read_files(str(tmp_path / "a.jsonl"))]
    assert len(sizes) > 3
    assert max(sizes) < 4_000_000


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
)
text = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    scalars | text, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=8
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b"]), values, min_size=1), min_size=1, max_size=8),
    st.booleans(),
)
def test_any_values_are_read_back(rows, ascii_only):
    """Equal in value and in type, apart from integers that stand in a column of floats."""
    path = f"/{uuid.uuid4().hex}.jsonl"
    memory = fsspec.filesystem("memory")
    memory.pipe(path, "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode())
    got = read_files(f"memory:/{path}").read_all()
    memory.rm(path)
    for name in got.column_names:
        assert to_python(got[name]) == [row.get(name) for row in rows]
