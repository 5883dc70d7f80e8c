import gc
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.compute.cells import digest_index, sorted_runs
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


class TestMany:
    @pytest.fixture
    def small(self, monkeypatch):
        """Runs of 64 digests on disk, blocks of 4, and some blocks at once, so that few digests are many."""
        monkeypatch.setattr(digest_index, "_IN_MEMORY", 64)
        monkeypatch.setattr(sorted_runs, "_BLOCK", 4)
        monkeypatch.setattr(sorted_runs, "_BLOCKS_AT_ONCE", 3)

    @pytest.mark.parametrize("kind", ["any", "numbers", "alike", "few"])
    def test_all_are_found_and_nothing_else(self, small, kind):
        """In memory or on disk, merged or not, and where digests share their first half."""
        source = random.Random(kind)
        pool = {
            "any": [source.randbytes(16) for _ in range(2_000)],
            "numbers": [i.to_bytes(8, "little") + bytes(8) for i in range(2_000)],
            "alike": [bytes([i % 7]) * 8 + source.randbytes(7) + b"!" for i in range(300)],
            "few": [source.randbytes(15) + b"!" for _ in range(5)],
        }[kind]
        index, positions, seen, model = DigestIndex(), {}, DigestSet(), set()
        for _ in range(100):
            start = len(index)
            batch = [source.choice(pool[: len(pool) // 2]) for _ in range(source.randrange(30))]
            index.add(array(batch), start + np.arange(len(batch)))
            positions.update(zip(batch, range(start, start + len(batch)), strict=True))
            is_new = [digest not in model and not model.add(digest) for digest in batch]
            assert seen.add(array(batch)).tolist() == is_new
            some = [source.choice(pool) for _ in range(source.choice([0, 0, 10]))]
            assert index.find(array(some)).tolist() == [positions.get(digest, -1) for digest in some]
        assert index.find(array(pool)).tolist() == [positions.get(digest, -1) for digest in pool]
        assert seen.add(array(pool)).sum() == len(set(pool) - model)

    @pytest.mark.parametrize(("cells", "bytes_a_cell"), [("index", 1), ("set", 3)])
    def test_they_take_little_memory(self, monkeypatch, cells, bytes_a_cell):
        """Of a hundred million digests, those themselves would not fit into it."""
        monkeypatch.setattr(digest_index, "_IN_MEMORY", 2_048)
        monkeypatch.setattr(sorted_runs, "_BLOCKS_AT_ONCE", 16)
        rows = 100_000
        many = DigestIndex() if cells == "index" else DigestSet()
        gc.collect()
        tracemalloc.start()
        try:
            for start in range(0, rows, 1_000):
                digests = np.random.default_rng(start).bytes(16_000)
                more = (start + np.arange(1_000),) if cells == "index" else ()
                many.add(np.frombuffer(digests, "S16"), *more)
            if cells == "index":
                many.find(array([bytes(16)]))
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 300_000 + bytes_a_cell * rows
        assert peak < 1_200_000 + bytes_a_cell * rows
