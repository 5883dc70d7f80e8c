import os

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.compute.cells.digest_index import DigestIndex, DigestSet, digests_of

DIGESTS = st.binary(min_size=16, max_size=16) | st.sampled_from(
    [bytes(16), b"\0" * 15 + b"\1", b"\1" + b"\0" * 15, b"ab" + b"\0" * 14, b"\xff" * 16]
)


def array(digests):
    return np.array(digests, "S16")


@given(st.lists(st.lists(DIGESTS, max_size=6), max_size=5), st.lists(DIGESTS, max_size=6))
def test_a_digest_is_found_where_it_was_added_last(batches, wanted):
    """The index is a dict of digests, -1 where there is none."""
    index, model, position = DigestIndex(), {}, 0
    for batch in batches:
        positions = np.arange(position, position + len(batch), dtype=np.int64)
        index.add(array(batch), positions)
        model.update(zip(batch, positions.tolist(), strict=True))
        position += len(batch)
    asked = wanted + [d for batch in batches for d in batch]
    assert index.find(array(asked)).tolist() == [model.get(d, -1) for d in asked]
    assert len(index) == position


@given(st.lists(DIGESTS, max_size=10), st.integers(0, 10), st.integers(0, 10))
def test_columns_are_read_as_bytes(digests, start, length):
    """Slices and chunks of an Arrow column give their own digests."""
    column = pa.array(digests, pa.binary(16))
    part = digests[start : start + length]
    for form in (
        column.slice(start, length),
        pa.chunked_array([column.slice(start, length)]),
        pa.chunked_array([column.slice(start, length)[:1], column.slice(start, length)[1:]]),
    ):
        assert digests_of(form).tolist() == array(part).tolist()


def test_no_digests_are_an_empty_array():
    """A column without rows, or without chunks, holds none."""
    assert digests_of(pa.array([], pa.binary(16))).shape == (0,)
    assert digests_of(pa.chunked_array([], pa.binary(16))).shape == (0,)


def test_an_index_takes_20_bytes_a_cell():
    """A hundred million rows have to fit into memory."""
    index = DigestIndex()
    digests = array([os.urandom(16) for _ in range(1_000)])
    index.add(digests, np.arange(1_000))
    index.find(digests)
    held = (index._first, index._second, index._positions)
    assert sum(part.nbytes for part in held) == 20_000


@given(st.lists(st.lists(DIGESTS, max_size=8), max_size=8))
def test_a_digest_is_new_once(batches):
    """A set says of each digest whether it was there before, in its own batch or an earlier one."""
    seen, model = DigestSet(), set()
    for batch in batches:
        fresh = []
        for digest in batch:
            fresh.append(digest not in model)
            model.add(digest)
        assert seen.add(array(batch)).tolist() == fresh


def test_a_set_takes_16_bytes_a_digest():
    """However many batches they come in."""
    seen = DigestSet()
    for _ in range(50):
        seen.add(array([os.urandom(16) for _ in range(20)]))
    assert sum(run.nbytes for run in seen._runs) == 16_000
    assert len(seen._runs) <= 11
