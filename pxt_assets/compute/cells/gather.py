"""Rows picked out of several tables by position, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Positions = npt.NDArray[np.int64]


def gather_rows(positions: Positions, sizes: Sequence[int], table_of: Callable[[int], pa.Table]) -> pa.Table:
    """The rows at `int64[n]` positions of tables laid end to end, in that order.

    `sizes` are the tables' numbers of rows; `table_of(i)` gives the i-th, and is called for those that are needed.
    """
    import numpy as np
    import pyarrow as pa

    ends = np.cumsum(sizes)
    which = np.searchsorted(ends, positions, side="right")
    parts, places = [], []
    for i in np.unique(which):
        here = np.flatnonzero(which == i)
        parts.append(table_of(int(i)).take(pa.array(positions[here] - (ends[i] - sizes[i]))))
        places.append(here)
    return interleave_rows(parts, places)


def interleave_rows(parts: Sequence[pa.Table], places: Sequence[Positions]) -> pa.Table:
    """The tables' rows as one table; `places[i]` says where each row of `parts[i]` goes."""
    import numpy as np
    import pyarrow as pa

    order = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_tables(parts).take(pa.array(order))
