import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from pxt_assets import Table
from pxt_assets.compute.inputs import Inputs
from pxt_assets.errors import CellError, RunError
from pxt_assets.expr import ColumnRef
from pxt_assets.rows import Rows, rows_of
from pxt_assets.types import Json

TICKETS = dg.AssetKey("tickets")
ANSWERS = dg.AssetKey(["tickets", "answer"])
TBL = Table("tickets")
ANSWER = ColumnRef(TICKETS, ANSWERS, "answer")


def inputs(value, *columns, key=("id",), answers=None):
    rows = {TICKETS: rows_of(value)}
    if answers is not None:
        rows[ANSWERS] = rows_of(answers)
    return Inputs(rows, key, columns)


def ids(*values):
    return pa.table({"id": pa.array(values)})


class TestBatches:
    def test_rows_come_in_batches_in_the_order_of_the_columns(self):
        """A tuple a row, whatever order the data's columns have."""
        value = [{"id": i, "a": i * 10, "b": str(i)} for i in range(5)]
        got = list(inputs(value, TBL.b, TBL.a).batches(2, 5))
        assert got == [[("0", 0), ("1", 10)], [("2", 20), ("3", 30)], [("4", 40)]]

    @pytest.mark.parametrize(
        ("limit", "sizes"), [(0, []), (1, [1]), (3, [2, 1]), (4, [2, 2]), (99, [2, 2, 1])]
    )
    def test_no_more_than_the_limit(self, limit, sizes):
        """`limit` rows at most, and never more than there are."""
        assert [len(b) for b in inputs(ids(*range(5)), TBL.id).batches(2, limit)] == sizes

    def test_rows_of_two_assets_go_in_step(self):
        """Upstream and computed columns of a row stand in one tuple."""
        value = [{"id": i, "body": f"b{i}"} for i in range(5)]
        answers = [{"id": i, "answer": f"a{i}"} for i in range(5)]
        got = [row for b in inputs(value, ANSWER, TBL.body, answers=answers).batches(2, 5) for row in b]
        assert got == [(f"a{i}", f"b{i}") for i in range(5)]

    def test_without_columns_there_are_rows_all_the_same(self):
        """A call without a column is made for each row."""
        assert list(inputs(ids(1, 2, 3)).batches(2, 3)) == [[(), ()], [()]]

    def test_json_kept_as_text_is_parsed(self):
        """Where the schema says so; a text that is no JSON is its row's error."""
        value = [{"id": 1, "r": '{"a": 1}'}, {"id": 2, "r": "{"}, {"id": 3, "r": None}]
        ((good, bad, null),) = inputs(value, Table("tickets", schema={"r": Json}).r).batches(10, 3)
        assert good == ({"a": 1},)
        assert isinstance(bad[0], CellError)
        assert null == (None,)

    def test_an_empty_partition_has_no_rows(self):
        """An empty list has no columns either, which is no error."""
        empty = inputs([], TBL.body)
        empty.check()
        assert list(empty.batches(2, 0)) == []
        assert empty.keys.column_names == ["id"]
        assert empty.keys.num_rows == 0


class TestColumns:
    def test_a_missing_column_is_named_with_those_there_are(self):
        """The nearest name is offered."""
        with pytest.raises(RunError) as e:
            inputs([{"id": 1, "body": "x"}], TBL.bodi).check()
        assert str(e.value) == "tickets has no column 'bodi'; it has id, body; did you mean 'body'?"

    def test_a_missing_key_is_named(self):
        """The key has to be in every asset that is read."""
        with pytest.raises(RunError, match="tickets has no column 'ident'; it has id"):
            inputs(ids(1), key=("ident",)).check()
        with pytest.raises(RunError, match="tickets/answer has no column 'id'; it has answer"):
            inputs(ids(1), ANSWER, answers=[{"answer": "x"}]).check()

    def test_two_columns_of_one_name_are_refused(self):
        """Which one is meant would be a guess."""
        table = pa.table([pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "x", "x"])
        with pytest.raises(RunError, match="tickets has two columns named 'x'; rename one upstream"):
            inputs(table, TBL.x).check()


class TestKeys:
    @pytest.mark.parametrize(
        "value",
        [
            ids(3, 1, 2),
            ids("a", "b"),
            pd.DataFrame({"id": pd.to_datetime(["2027-03-01", "2027-03-02"])}),
            pd.DataFrame({"id": pd.Categorical(["x", "y"])}),
            ids(),
        ],
    )
    def test_unique_keys_pass(self, value):
        """Numbers, text, dates and categories identify rows."""
        inputs(value).check()

    def test_null_keys_are_named(self):
        """With their number, and where the first one is."""
        with pytest.raises(RunError) as e:
            inputs(ids(1, None, 2, None)).check()
        assert str(e.value) == (
            "tickets: the key column 'id' is null in 2 rows (first in row 1, counted from 0)"
        )

    def test_repeated_keys_are_named(self):
        """The message says what to do."""
        with pytest.raises(RunError) as e:
            inputs(ids("a", "b", "a")).check()
        assert str(e.value) == (
            "tickets: the key id is not unique in this partition: 'a'; "
            "remove the repeated rows upstream or name more key columns"
        )

    def test_few_of_many_repeated_keys_are_shown(self):
        """And how many more there are."""
        with pytest.raises(RunError, match="0; 1; 2; 3; 4 and 45 more;"):
            inputs(ids(*range(50), *range(50))).check()

    def test_keys_of_several_columns_are_unique_together(self):
        """Each column may repeat; a repeated pair is shown as one."""
        value = [{"day": d, "id": i} for d in ("mon", "tue") for i in (1, 2)]
        inputs(value, key=("day", "id")).check()
        with pytest.raises(RunError, match="the key day, id is not unique in this partition: 'tue', 2;"):
            inputs([*value, value[-1]], key=("day", "id")).check()

    def test_repeated_categories_are_found_across_chunks(self):
        """Each chunk may have codes of its own."""
        chunks = pa.chunked_array([pa.array(text).dictionary_encode() for text in (["x"], ["y", "x"])])
        with pytest.raises(RunError, match="not unique in this partition: 'x'"):
            inputs(pa.table({"id": chunks})).check()

    @pytest.mark.parametrize("value", [{"a": 1}, [1, 2]])
    def test_values_that_cannot_be_compared_are_no_keys(self, value):
        """The message says what is allowed."""
        with pytest.raises(
            RunError, match=r"the key id cannot identify rows .*allowed: text, numbers, dates"
        ):
            inputs([{"id": value}]).check()

    def test_without_a_key_nothing_has_to_be_unique(self):
        """Rows are identified by their position."""
        inputs(ids(1, 1, None), key=()).check()

    def test_a_rows_key_is_shown_as_it_is(self):
        """Its columns and values, or its position."""
        assert inputs(ids("a", "b")).key_of(1) == "id='b'"
        assert inputs([{"d": "x", "n": 1}], key=("d", "n")).key_of(0) == "d='x', n=1"
        assert inputs(ids("a"), key=()).key_of(0) == "row 0"


class TestCorrespondence:
    @pytest.mark.parametrize(
        "answers",
        [
            [{"id": 1, "answer": "a"}],
            [{"id": i, "answer": "a"} for i in (1, 2, 4)],
            [{"id": i, "answer": "a"} for i in (2, 1, 3)],
            [{"id": i, "answer": "a"} for i in ("x", "y", "z")],
            [{"id": i, "answer": "a"} for i in (1, 2, 3, 4)],
            [],
        ],
    )
    def test_assets_whose_rows_differ_are_refused(self, answers):
        """The message says which one to materialize."""
        with pytest.raises(
            RunError, match=r"the rows of tickets/answer \(\d\) are not those of tickets \(3\)"
        ) as e:
            inputs(ids(1, 2, 3), ANSWER, answers=answers).check()
        assert "materialize tickets/answer first (rows that did not change cost nothing)" in str(e.value)

    def test_equal_keys_of_another_type_correspond(self):
        """A store may widen a type."""
        answers = pa.table({"id": pa.array([1, 2], pa.int32()), "answer": ["a", "b"]})
        inputs(ids(1, 2), ANSWER, answers=answers).check()

    def test_without_a_key_the_number_of_rows_has_to_agree(self):
        """Positions are all there is to compare."""
        with pytest.raises(RunError, match=r"\(1\) are not those of tickets \(2\)"):
            inputs(ids(1, 2), ANSWER, key=(), answers=[{"answer": "a"}]).check()

    def test_one_simulated_input_makes_all_simulated(self):
        """What a simulator made never passes for a result."""
        table = pa.table({"id": [1], "answer": ["a"]})
        marked = Rows(table.schema, 1, lambda names, _size: table.select(names).to_batches(), simulated=True)
        assert inputs(ids(1), ANSWER, answers=marked).simulated
        assert not inputs(ids(1)).simulated
