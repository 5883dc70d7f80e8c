import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets.errors import SourceError
from pxt_assets.storage.rows import Rows, concat_rows, rows_of, table_of
from pxt_assets.values.conversion import to_arrow, to_python
from pxt_assets.values.types import Json


def values(table: pa.Table) -> dict[str, list[Any]]:
    return {name: to_python(table[name]) for name in table.column_names}


def read(rows: Rows) -> dict[str, list[Any]]:
    return values(rows.table(rows.schema.names))


NOON = datetime.datetime.fromisoformat("2027-01-01T12:00:00")


class Stream:
    """Exports an Arrow stream, as polars and duckdb do."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class TestTables:
    TABLE = pa.table({"id": [1, 2, 3], "body": ["a", None, "c"]})

    @pytest.mark.parametrize(
        "value",
        [
            TABLE,
            TABLE.to_batches()[0],
            TABLE.to_reader(),
            TABLE.to_pylist(),
            tuple(TABLE.to_pylist()),
            TABLE.to_pandas(),
            ds.dataset(TABLE),
            Stream(TABLE),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_every_form_gives_the_same_rows(self, value):
        """A table is a table, whatever library it comes from, and can be read again."""
        rows = rows_of(value)
        assert rows.num_rows == 3
        assert read(rows) == read(rows) == {"id": [1, 2, 3], "body": ["a", None, "c"]}
        assert [b.num_rows for b in rows.batches(["id"], 2)] == [2, 1]

    def test_rows_are_rows(self):
        """What was opened before is taken as it is."""
        rows = rows_of(self.TABLE)
        assert rows_of(rows) is rows

    def test_columns_come_in_the_order_asked_for(self, tmp_path):
        """Columns are told apart by their position in the request."""
        ds.write_dataset(self.TABLE, tmp_path, format="parquet")
        for value in (self.TABLE, ds.dataset(tmp_path)):
            (batch,) = rows_of(value).batches(["body", "id"], 10)
            assert batch.schema.names == ["body", "id"]
            assert batch.columns[1].to_pylist() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (42, "got int, allowed: pa.Table, pandas.DataFrame, list of dicts, or an Arrow stream"),
            (None, "got NoneType, allowed"),
            ("data.csv", "got str, allowed"),
            ({"a": [1, 2]}, "got dict, allowed"),
            ({"2027-03-01": {"a": 1}}, "got a dict of dicts, allowed"),
            ([{"a": 1}, "b"], "row 1: got str, allowed: a dict of column values"),
        ],
    )
    def test_what_is_no_table_is_refused(self, value, message):
        """The message says what was got and what is allowed."""
        with pytest.raises(SourceError, match=message):
            rows_of(value)


class TestDicts:
    def test_a_key_that_a_row_lacks_is_null(self):
        """Columns are all keys of all rows, in the order in which they are met."""
        table = table_of([{"a": 1}, {"b": "x", "a": 2}, {}])
        assert values(table) == {"a": [1, 2, None], "b": [None, "x", None]}

    def test_dicts_and_lists_stay_what_they_are(self):
        """Arrow's own inference would add to each object the keys of all others."""
        table = table_of(
            [{"m": {"a": 1}, "l": ["x", 1]}, {"m": {"b": [None]}, "l": []}, {"m": None, "l": None}]
        )
        assert table.schema.field("m").type == Json.arrow()
        assert values(table) == {"m": [{"a": 1}, {"b": [None]}, None], "l": [["x", 1], [], None]}

    def test_lists_of_numbers_are_vectors(self):
        """An embedding is no Json."""
        table = table_of([{"v": [0.5, 1.5]}, {"v": np.array([2.5])}])
        assert values(table) == {"v": [[0.5, 1.5], [2.5]]}
        assert table.schema.field("v").type == pa.list_(pa.float64())

    def test_names_that_are_no_text_keep_their_values(self):
        """Columns are named by the text of their key."""
        assert values(table_of([{1: "a"}, {1: "b"}])) == {"1": ["a", "b"]}

    def test_names_that_read_the_same_are_refused(self):
        """Neither of two columns is dropped silently."""
        with pytest.raises(SourceError, match="two columns named '1'"):
            table_of([{1: "a", "1": "b"}])

    def test_no_rows_are_a_table_without_columns(self):
        """An empty list is an empty partition."""
        assert rows_of([]).num_rows == 0
        assert read(rows_of([])) == {}

    @pytest.mark.parametrize(
        ("mixed", "kinds"),
        [
            ([1, "a"], "int and str"),
            (["a", 2.5], "float and str"),
            ([datetime.date(2027, 1, 1), 3], "date and int"),
            ([datetime.date(2027, 1, 1), NOON], "date and datetime"),
            ([NOON.replace(tzinfo=datetime.UTC), NOON], "datetime"),
            ([b"a", "a"], "bytes and str"),
            ([0.5, True], "bool and float"),
            ([10**30, 1], "int"),
            ([{"a": 1}, {1, 2}], "dict and set"),
            ([{"a": float("nan")}, None], "dict"),
        ],
    )
    def test_values_of_no_one_type_are_refused_by_column(self, mixed, kinds):
        """The message names the column and what it holds."""
        with pytest.raises(SourceError, match=f"column 'x' holds {kinds}, which make no one column"):
            table_of([{"x": value} for value in mixed])


class TestFrames:
    def test_nullable_types_keep_their_nulls(self):
        """NA, NaN, NaT and None are null; integers stay integers."""
        frame = pd.DataFrame(
            {
                "i": pd.array([1, None], "Int64"),
                "b": pd.array([True, None], "boolean"),
                "f": [0.5, float("nan")],
                "t": pd.to_datetime(["2027-03-01", None]),
                "s": ["x", None],
            }
        )
        table = table_of(frame)
        assert [table[name].null_count for name in table.column_names] == [1] * 5
        assert values(table)["i"] == [1, None]
        assert pa.types.is_integer(table.schema.field("i").type)

    def test_objects_become_json(self):
        """Dicts and lists in a column are Json, its None and NaN null."""
        frame = pd.DataFrame(
            {"o": pd.Series([{"a": 1}, ["x"], None, float("nan"), pd.NA, "text"], dtype=object)}
        )
        assert values(table_of(frame)) == {"o": [{"a": 1}, ["x"], None, None, None, "text"]}

    def test_two_columns_of_one_name_are_refused(self):
        """Which one is meant would be a guess."""
        frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
        with pytest.raises(SourceError, match="two columns named 'a'; rename one"):
            table_of(frame)

    def test_mixed_objects_are_refused_by_column(self):
        """The message names the column."""
        frame = pd.DataFrame({"x": pd.Series([1, "a"], dtype=object)})
        with pytest.raises(SourceError, match="column 'x' holds int and str"):
            table_of(frame)

    def test_types_that_arrow_lacks_are_refused_by_column(self):
        """The message names the column and the type."""
        with pytest.raises(SourceError, match="column 'z' is of the type complex128"):
            table_of(pd.DataFrame({"z": [1j]}))

    def test_a_frame_without_columns_is_empty(self):
        """Nothing to name is no error."""
        assert table_of(pd.DataFrame()).num_columns == 0


class TestChained:
    def part(self, rows: list[Mapping[str, Any]]) -> Rows:
        return rows_of(rows)

    def test_partitions_follow_each_other(self):
        """Rows keep the order of the partitions and their own."""
        rows = concat_rows([self.part([{"a": 1}, {"a": 2}]), self.part([{"a": 3}])])
        assert rows.num_rows == 3
        assert read(rows) == {"a": [1, 2, 3]}
        assert [b.num_rows for b in rows.batches(["a"], 2)] == [2, 1]

    def test_no_partitions_are_no_rows(self):
        """A mapping may lead to nothing."""
        assert concat_rows([]).num_rows == 0

    @pytest.mark.parametrize(
        ("first", "second"),
        [(None, "x"), ("x", None), (1, 2.5), (2.5, 1), ({"a": 1}, None), (None, [{"a": 1}])],
    )
    def test_types_are_made_equal(self, first, second):
        """A partition whose values are all null, or all whole, is of the others' type."""
        rows = concat_rows([self.part([{"v": first}]), self.part([{"v": second}])])
        assert read(rows) == {"v": [first, second]}

    def test_vectors_of_different_length_are_chained(self):
        """Each partition's file may have fixed another length."""
        parts = [
            rows_of(pa.table({"v": pa.array([v], pa.list_(pa.float32(), len(v)))}))
            for v in ([1.0], [2.0, 3.0])
        ]
        assert read(concat_rows(parts)) == {"v": [[1.0], [2.0, 3.0]]}

    def test_categories_and_text_are_chained(self):
        """How a partition encodes its text is its own affair."""
        text = pa.array(["a", "b"])
        parts = [rows_of(pa.table({"c": text.dictionary_encode()})), rows_of(pa.table({"c": text}))]
        assert read(concat_rows(parts)) == {"c": ["a", "b", "a", "b"]}

    def test_columns_in_another_order_are_the_same_columns(self):
        """Columns are found by name."""
        rows = concat_rows([self.part([{"a": 1, "b": 2}]), self.part([{"b": 4, "a": 3}])])
        assert read(rows) == {"a": [1, 3], "b": [2, 4]}

    def test_a_column_that_a_partition_lacks_is_null_in_its_rows(self):
        """Columns are added upstream, and taken away, while partitions stay as they are."""
        parts = [self.part([{"a": 1}]), self.part([{"b": "x", "a": 2}]), self.part([{"b": "y"}, {"b": "z"}])]
        rows = concat_rows(parts)
        assert read(rows) == {"a": [1, 2, None, None], "b": [None, "x", "y", "z"]}
        assert read(rows) == {name: rows.table([name])[name].to_pylist() for name in ("a", "b")}
        assert [batch.num_rows for batch in rows.batches(["b"], 3)] == [3, 1]

    @pytest.mark.parametrize(("other", "kind"), [("x", "string"), ({"a": 1}, "json"), (True, "bool")])
    def test_types_with_nothing_in_common_are_refused_where_they_are_read(self, other, kind):
        """The message names the column, its types, and the partitions; other columns can be read."""
        parts = [self.part([{"a": 1, "b": 1}]), self.part([{"a": other, "b": 2}])]
        rows = concat_rows(parts, ["mon", "tue"])
        assert rows.table(["b"])["b"].to_pylist() == [1, 2]
        for names in (["a"], ["b", "a"]):
            with pytest.raises(
                SourceError, match=f"the column 'a' is int64 in mon, {kind} in tue, which have nothing"
            ):
                rows.table(names)

    def test_many_partitions_are_named_by_their_types(self):
        """Some of them, and how many more."""
        parts = [self.part([{"a": 1}])] * 5 + [self.part([{"a": "x"}])]
        with pytest.raises(SourceError, match="int64 in d0, d1, d2 and 2 more, string in d5"):
            concat_rows(parts, [f"d{i}" for i in range(6)]).table(["a"])

    def test_one_simulated_partition_makes_all_simulated(self):
        """What a simulator made never passes for a result."""
        table = pa.table({"a": to_arrow([1], Json)})
        marked = Rows(table.schema, 1, lambda names, _size: table.select(names).to_batches(), simulated=True)
        assert concat_rows([rows_of(table), marked]).simulated
        assert not concat_rows([rows_of(table), rows_of(table)]).simulated


def test_a_partition_without_rows_has_no_say_in_types():
    """An empty DataFrame's columns are of no type; large integers of the others stay what they are."""
    empty = rows_of(pa.table({"id": pa.array([], pa.float64()), "t": pa.array([], pa.null())}))
    full = rows_of(pa.table({"id": [2**53 + 1], "t": ["a"]}))
    for parts in ([empty, full], [full, empty]):
        assert concat_rows(parts).table(["id", "t"]).to_pylist() == [{"id": 2**53 + 1, "t": "a"}]


def test_values_that_no_common_type_holds_are_told():
    """An integer too large for a float beside floats is an error of this package, not a rounded number."""
    parts = [rows_of(pa.table({"id": [2**53 + 1]})), rows_of(pa.table({"id": [0.5]}))]
    with pytest.raises(
        SourceError, match="differ in types: the column 'id' is int64 in mon, with a value that does not fit"
    ):
        concat_rows(parts, ["mon", "tue"]).table(["id"])
