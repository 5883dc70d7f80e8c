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

    ends = np.cumsum(sizes)
    which = np.searchsorted(ends, positions, side="right")
    parts, targets = [], []
    for i in np.unique(which):
        here = np.flatnonzero(which == i)
        parts.append(_rows_at(read_table(int(i)), positions[here] - (ends[i] - sizes[i])))
        targets.append(here)
    return interleave_rows(parts, targets)


def interleave_rows(parts: Sequence[pa.Table], targets: Sequence[Positions]) -> pa.Table:
    """The tables' rows as one table; `targets[i]` says where each row of `parts[i]` goes."""
    import numpy as np
    import pyarrow as pa

    joined, target = pa.concat_tables(parts), np.concatenate(targets)
    if (target[1:] > target[:-1]).all():  # in order already: a copy of large values is saved
        return joined
    return joined.take(pa.array(np.argsort(target, kind="stable")))


def _rows_at(table: pa.Table, positions: Positions) -> pa.Table:
    """The rows at `int64[n]`, not copied if they follow each other."""
    import pyarrow as pa

    if len(positions) and (positions[1:] == positions[:-1] + 1).all():
        return table.slice(int(positions[0]), len(positions))
    return table.take(pa.array(positions))
