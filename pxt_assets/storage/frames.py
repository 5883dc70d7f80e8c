"""The columns of a pandas DataFrame, those of its index included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxt_assets.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3


def column_series(frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """The columns by name, first those of a named index. An index that only counts the rows is none.

    Raises SourceError for two of one name, and for an index without a name that says more than the rows' positions.
    """
    found: dict[str, pd.Series[Any]] = {}
    for i, level in enumerate(_index_levels(frame)):
        name = str(level.name)
        if name in found:
            msg = f"the DataFrame's index has two levels named {name!r}; rename one, or drop the index with reset_index(drop=True)"
            raise SourceError(msg)
        found[name] = frame.index.get_level_values(i).to_series().reset_index(drop=True)
    of_index = set(found)
    for i, column in enumerate(frame.columns):
        name = str(column)
        if name in of_index:
            msg = (
                f"the DataFrame has an index and a column named {name!r}, and both would be columns; rename one, or drop the "
                "index with reset_index(drop=True)"
            )
            raise SourceError(msg)
        if name in found:
            msg = f"the DataFrame has two columns named {column!r}; rename one"
            raise SourceError(msg)
        found[name] = frame.iloc[:, i]
    return found


def _index_levels(frame: pd.DataFrame) -> list[pd.Index[Any]]:
    """The levels of the index that are columns. Raises SourceError for one without a name that would be lost."""
    index = frame.index
    levels = [index.get_level_values(i) for i in range(index.nlevels)]
    if all(level.name is not None for level in levels):
        return levels
    if index.nlevels == 1 and _counts_rows(index):
        return []
    unnamed = ", ".join(str(i) for i, level in enumerate(levels) if level.name is None)
    which = (
        "an index without a name" if index.nlevels == 1 else f"an index whose levels {unnamed} have no name"
    )
    shown = ", ".join(repr(value) for value in index[:_SHOWN].tolist())
    msg = (
        f"the DataFrame has {which} ({shown}{', ...' if len(index) > _SHOWN else ''}), which a table cannot hold: "
        'name it, to have it as a column (rename_axis("id")), or drop it (reset_index(drop=True))'
    )
    raise SourceError(msg)


def _counts_rows(index: pd.Index[Any]) -> bool:
    """Whether an index says nothing but the rows' positions, as the default one does.

    What a filter or a slice leaves of that tells which rows they were. That it is sometimes a range again depends on
    the rows, so it makes no difference.
    """
    import numpy as np

    return not len(index) or (
        index.dtype.kind in "iu" and bool(np.array_equal(np.asarray(index), np.arange(len(index))))
    )
