"""Rows gathered from several tables by position, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Positions = npt.NDArray[np.int64]


def gather_rows(
    positions: Positions, sizes: Sequence[int], read_table: Callable[[int], pa.Table]
) -> pa.Table:
    """The rows at `int64[n]` positions of the concatenated tables, in that order.

    `sizes` are the tables' numbers of rows; `read_table(i)` gives the i-th, and is called only for those needed.
    """
    import numpy as np
    import pyarrow as pa

    ends = np.cumsum(sizes)
    which = np.searchsorted(ends, positions, side="right")
    parts, targets = [], []
    for i in np.unique(which):
        here = np.flatnonzero(which == i)
        parts.append(read_table(int(i)).take(pa.array(positions[here] - (ends[i] - sizes[i]))))
        targets.append(here)
    return interleave_rows(parts, targets)


def interleave_rows(parts: Sequence[pa.Table], targets: Sequence[Positions]) -> pa.Table:
    """The tables' rows as one table; `targets[i]` says where each row of `parts[i]` goes."""
    import numpy as np
    import pyarrow as pa

    order = np.argsort(np.concatenate(targets), kind="stable")
    return pa.concat_tables(parts).take(pa.array(order))
