from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets import Table
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.errors import CellError, RunError, SourceError
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.storage.atomic_file import remove
from pxt_assets.storage.batches import BATCH_BYTES
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.rows import Rows, rows_of
from pxt_assets.values.types import Json

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
        assert empty.key_schema.names == ["id"]
        assert empty.key_reader()(0).num_rows == 0


class TestLongTexts:
    @pytest.mark.parametrize("stored", [False, True], ids=["in memory", "stored"])
    def test_few_long_rows_are_read_at_once(self, tmp_path, stored):
        """What is asked for is a number of rows, but megabytes of them come in several lists."""
        table = pa.table({"id": range(600), "body": [f"{i:03}" * 33_000 for i in range(600)]})
        value = table
        if stored:
            file = ParquetFile(UPath(tmp_path) / "t.parquet")
            file.write(table.schema, [table], {})
            value = file.rows()
        lists = list(inputs(value, TBL.body, TBL.id).batches(4_096, 600))
        assert [row[1] for rows in lists for row in rows] == list(range(600))
        assert max(sum(len(body) for body, _ in rows) for rows in lists) <= BATCH_BYTES

    def test_a_row_that_is_longer_comes_alone(self):
        """And so is asked for all the same."""
        value = [{"id": i, "body": "x" * (BATCH_BYTES + 1 if i == 1 else 1)} for i in range(3)]
        lists = list(inputs(value, TBL.id, TBL.body).batches(4_096, 3))
        assert [[i for i, _ in rows] for rows in lists] == [[0], [1], [2]]


class TestReplaced:
    """The rows of two files, `{id, body}` and `{id, answer}`, that others may replace."""

    @pytest.fixture(params=["local", "memory"])
    def files(self, request, tmp_path):
        folder = UPath(f"memory://{tmp_path.name}") if request.param == "memory" else UPath(tmp_path)
        found = [ParquetFile(folder / f"{name}.parquet") for name in ("tickets", "answers")]
        for file, name in zip(found, ("body", "answer"), strict=True):
            write(file, name, [0, 1, 2, 3])
        return found

    @pytest.mark.parametrize("order", [[3, 2, 1, 0], [0, 1], list(range(6))], ids=["other", "fewer", "more"])
    def test_keys_and_values_are_of_one_version(self, files, order):
        """A file on a local disk is read to the end; of an object the run says that it is another."""
        read = Inputs({TICKETS: files[0].rows(), ANSWERS: files[1].rows()}, ("id",), (TBL.body, ANSWER))
        with read.hold_snapshot():
            read.check()
            write(files[0], "body", order)
            write(files[1], "answer", order)
            if files[0].path.protocol == "memory":
                for reading in (read.check, lambda: list(read.batches(2, 4)), lambda: read.key_reader()(4)):
                    with pytest.raises(
                        RunError, match=r"tickets: .* was materialized meanwhile; materialize again"
                    ):
                        reading()
                return
            rows = [row for rows in read.batches(2, 4) for row in rows]
            assert rows == [(f"body {i}", f"answer {i}") for i in range(4)]
            assert read.key_reader()(4)["id"].to_pylist() == [0, 1, 2, 3]
            assert read.key_texts([3]) == ["id=3"]

    def test_rows_are_those_that_there_are_when_their_turn_comes(self, files):
        """Partitions are loaded all at once, and computed one after the other."""
        loaded = files[0].rows()
        write(files[0], "body", [7, 8])
        read = Inputs({TICKETS: rows_of(loaded)}, ("id",), (TBL.body,))
        with read.hold_snapshot():
            read.check()
            assert list(read.batches(9, 9)) == [[("body 7",), ("body 8",)]]

    def test_a_file_that_is_gone_when_its_turn_comes_is_told(self, files):
        """With its place, and what to do."""
        loaded = files[0].rows()
        remove(files[0].path)
        with pytest.raises(SourceError, match=r"tickets\.parquet is gone; materialize it again"):
            rows_of(loaded)

    def test_no_file_stays_open(self, files):
        """What is held is let go, whatever happened meanwhile."""
        read = Inputs({TICKETS: files[0].rows()}, ("id",), (TBL.body,))
        before = len(list(Path("/proc/self/fd").iterdir()))

        def broken_off():
            with read.hold_snapshot():
                next(read.batches(1, 4))
                raise InterruptedError

        with pytest.raises(InterruptedError):
            broken_off()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    @pytest.mark.parametrize(("said", "there"), [(4, 3), (3, 4), (5_000, 4_200)])
    def test_rows_that_are_not_as_many_as_was_said_are_told(self, said, there):
        """Rows of other storages may change as well: keys would stand beside others' values."""
        table = pa.table({"id": range(there)})
        changed = Rows(table.schema, said, lambda names, size: table.select(names).to_batches(size))
        with pytest.raises(
            RunError, match=r"tickets was materialized meanwhile: it had .*; materialize again"
        ):
            list(inputs(changed, TBL.id).batches(4_096, said))


def write(file, name, order):
    table = pa.table({"id": order, name: [f"{name} {i}" for i in order]})
    parts = [table.slice(i, 1) for i in range(len(order))]
    ParquetFile(file.path).write(table.schema, parts, {})


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
        assert inputs(ids("a", "b")).key_texts([1])[0] == "id='b'"
        assert inputs([{"d": "x", "n": 1}], key=("d", "n")).key_texts([0])[0] == "d='x', n=1"
        assert inputs(ids("a"), key=()).key_texts([0])[0] == "row 0"

    def test_keys_of_several_rows_come_in_their_order(self):
        """Wherever in the partition these are, in whatever order they failed."""
        many = inputs(ids(*range(200_000)))
        assert many.key_texts([199_999, 3, 70_000, 3]) == ["id=199999", "id=3", "id=70000", "id=3"]

    def test_keys_are_read_by_the_number_of_rows(self):
        """From the first on; more than there are cannot be had."""
        for_rows = inputs(ids(*range(100_000))).key_reader()
        assert for_rows(2).to_pylist() == [{"id": 0}, {"id": 1}]
        assert for_rows(99_990)["id"].to_pylist()[-1] == 99_991
        with pytest.raises(RunError, match="tickets was materialized meanwhile"):
            for_rows(9)


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
