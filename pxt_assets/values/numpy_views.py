"""Arrow's numbers as numpy's, and back, over the same memory.

Arrow's own conversions (`to_numpy`, `pa.array`, `np.asarray`) import pandas, if it is installed, to see whether it is
wanted: a third of a second of CPU, which a step whose tables are none of pandas' is spared by these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def numpy_of(array: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Arrow's values as numpy has them, as `to_numpy(zero_copy_only=False)` gives them."""
    import numpy as np
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks == 1:
            return numpy_of(array.chunk(0))
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, array.type)
    kind = array.type
    is_bool = pa.types.is_boolean(kind)
    if array.null_count or not (is_bool or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return values
    _, data = array.buffers()
    start, count = array.offset, len(array)
    if not count:
        return np.empty(0, kind.to_pandas_dtype())
    if is_bool:
        first = start // 8
        stored = np.frombuffer(data, np.uint8, (start + count + 7) // 8 - first, first)
        return np.unpackbits(stored, bitorder="little")[start % 8 :][:count].view(np.bool_)
    dtype = np.dtype(kind.to_pandas_dtype())
    return np.frombuffer(data, dtype, count, start * dtype.itemsize)


def valid_flags(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values of an array are not null."""
    return numpy_of(array.is_valid())


def arrow_of(numbers: npt.NDArray[Any]) -> pa.Array:
    """Integers or floating-point numbers as an Arrow array of the same type."""
    import numpy as np
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(numbers))
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, data])


def zero(kind: pa.DataType) -> pa.Scalar:
    """The number 0 as Arrow's value of a type of numbers."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(8))])[0]
