"""Arrow's numbers as numpy's: the same values, without pandas."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pxt_assets.values.numpy_views import arrow_of, numpy_of, valid_flags, zero

ARRAYS = [
    pa.array([1, 2, 3, 4], pa.int8()).slice(1, 2),
    pa.array([2**64 - 1, 0], pa.uint64()),
    pa.array([1.5, float("nan")], pa.float64()),
    pa.array([1.5, None, 2.0], pa.float32()),
    pa.array([1, None], pa.int64()),
    pa.array([True, False, False] * 9, pa.bool_()).slice(7, 11),
    pa.array([True, None], pa.bool_()),
    pa.array([], pa.int32()),
    pa.array([], pa.bool_()),
    pa.array(["a", None]),
    pa.chunked_array([[1, 2], [3]]),
    pa.chunked_array([], pa.int64()),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_values_are_those_that_arrow_gives(array):
    """Of any numbers, sliced, null or none at all."""
    kwargs = {} if isinstance(array, pa.ChunkedArray) else {"zero_copy_only": False}
    expected, found = array.to_numpy(**kwargs), numpy_of(array)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_numbers_return_to_arrow():
    """With their type, also from memory with gaps."""
    numbers = np.arange(10, dtype=np.int16)[::2]
    assert arrow_of(numbers).equals(pa.array([0, 2, 4, 6, 8], pa.int16()))
    assert zero(pa.int32()).equals(pa.scalar(0, pa.int32()))


def test_pandas_is_not_imported():
    """Neither by way of Arrow."""
    program = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from pxt_assets.values.numpy_views import arrow_of, numpy_of, valid_flags, zero\n"
        "numbers = arrow_of(np.array([1, 2]))\n"
        "numpy_of(numbers); numpy_of(numbers.cast(pa.bool_())); valid_flags(numbers); zero(numbers.type)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)


def test_nulls_are_told_from_values():
    """As flags, a value each."""
    assert valid_flags(pa.array(["a", None, ""])).tolist() == [True, False, True]
