import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.storage.batches import Cursor, exact_batches, split_by_bytes


def numbers(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(values, pa.int64())})


class TestExactBatches:
    @given(
        lengths=st.lists(st.integers(0, 12), max_size=8),
        size=st.integers(1, 10),
    )
    def test_all_but_the_last_have_the_size(self, lengths, size):
        """However the rows come, they leave in order, in batches of one size."""
        ends = np.cumsum([0, *lengths])
        batches = [
            pa.record_batch({"n": pa.array(range(a, b), pa.int64())}) for a, b in itertools.pairwise(ends)
        ]
        got = [batch["n"].to_pylist() for batch in exact_batches(batches, size)]
        assert [n for batch in got for n in batch] == list(range(sum(lengths)))
        assert all(len(batch) == size for batch in got[:-1])
        assert all(0 < len(batch) <= size for batch in got[-1:])

    def test_no_more_is_read_than_is_asked_for(self):
        """The first batch is given before the second is read."""
        drawn = []

        def source():
            for i in range(3):
                drawn.append(i)
                yield pa.record_batch({"n": [i]})

        next(exact_batches(source(), 1))
        assert drawn == [0]

    def test_chunks_with_other_dictionaries_are_joined(self):
        """Each batch of a categorical column may have codes of its own."""
        batches = [pa.record_batch({"c": pa.array([text]).dictionary_encode()}) for text in "abc"]
        assert [b["c"].to_pylist() for b in exact_batches(batches, 2)] == [["a", "b"], ["c"]]

    def test_long_rows_come_in_fewer_at_once(self):
        """A batch of more than `nbytes` has fewer rows; one row that is larger comes alone."""
        texts = ["x" * n for n in (10, 10, 10, 400, 90, 90, 1, 1, 1, 1, 1)]
        batches = [pa.record_batch({"t": texts[:5]}), pa.record_batch({"t": texts[5:]})]
        got = [batch["t"].to_pylist() for batch in exact_batches(batches, 4, 150)]
        assert [text for batch in got for text in batch] == texts
        assert ["x" * 400] in got
        assert all(len(batch) <= 4 for batch in got)
        assert all(sum(map(len, batch)) <= 150 for batch in got if len(batch) > 1)

    def test_short_rows_are_as_many_as_asked_for(self):
        """The bound in bytes does not show where rows are short."""
        batches = [numbers(*range(3)) for _ in range(4)]
        assert [batch.num_rows for batch in exact_batches(batches, 5, 2**20)] == [5, 5, 2]


@pytest.mark.parametrize("nbytes", [1, 20, 10_000])
def test_pieces_are_the_same_rows(nbytes):
    """In order, as few as the bound allows."""
    table = pa.table({"t": [str(i) * 10 for i in range(9)]})
    got = list(split_by_bytes(table, nbytes))
    assert pa.concat_tables(got).equals(table)
    assert all(piece.nbytes <= nbytes or piece.num_rows == 1 for piece in got)
    assert (len(got) == 1) is (nbytes == 10_000)


class TestCursor:
    def test_rows_are_taken_by_number(self):
        """Across batches, however these come; fewer at the end."""
        cursor = Cursor(iter([numbers(1, 2, 3), numbers(), numbers(4), numbers(5, 6)]))
        taken = [
            [n for part in cursor.take(count) for n in part["n"].to_pylist()] for count in (2, 0, 3, 9, 1)
        ]
        assert taken == [[1, 2], [], [3, 4, 5], [6], []]

    def test_what_is_ready_comes_in_one_batch(self):
        """So many rows can be taken without joining."""
        cursor = Cursor(iter([numbers(1, 2, 3), numbers(4)]))
        cursor.take(1)
        assert cursor.available_rows() == 2
        (batch,) = cursor.take(2)
        assert batch["n"].to_pylist() == [2, 3]
        assert cursor.available_rows() == 1
        cursor.take(1)
        assert cursor.available_rows() == 0
