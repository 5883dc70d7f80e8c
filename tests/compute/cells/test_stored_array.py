import numpy as np
import pytest

from pxt_assets.compute.cells import stored_array
from pxt_assets.compute.cells.stored_array import StoredArray


@pytest.mark.parametrize("tail", [1, 50, 1_000_000])
@pytest.mark.parametrize("dtype", ["S16", "bool", "int64"])
def test_slices_are_those_of_all_values(monkeypatch, tail, dtype):
    """Whether they lie in memory, on disk, or in both."""
    monkeypatch.setattr(stored_array, "_TAIL_BYTES", tail)
    values, array = np.arange(20).astype(dtype), StoredArray(dtype)
    for start in range(0, 20, 3):
        array.append(values[start : start + 3])
    assert len(array) == 20
    for some in (slice(0, 20), slice(0, 0), slice(7, 11), slice(18, 40), slice(15, 3), slice(None)):
        assert array[some].tolist() == values[some].tolist()
    assert b"".join(map(array.bytes_of, range(20))) == values.tobytes()


def test_without_values_there_are_none():
    """A table may have no rows."""
    assert len(StoredArray("S16")) == 0
    assert StoredArray("S16")[0:5].tolist() == []
