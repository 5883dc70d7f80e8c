"""Cuts the lines of a spool into files: as few as the limits allow, and as even as that allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Sums = npt.NDArray[np.float64]

_HALVINGS = 20
"""Steps in which the evenness is searched: to a millionth."""


class Limits(NamedTuple):
    """What one file may hold. Source: https://platform.openai.com/docs/guides/batch"""

    requests: float = 50_000
    bytes: float = 200 * 10**6
    inputs: float = 50_000
    """Texts to embed."""
    tokens: float = float("inf")
    """Estimated tokens, as the queue counts them."""


def even_parts(sizes: Sequence[Sums], limits: Sequence[float]) -> list[int]:
    """Where parts of `n` things end, by their sizes `float64[n]` in each dimension, of each of which a part may hold so much.

    A thing that is larger than a limit is a part of its own. The last end is `n`; none where there is nothing.
    """
    import numpy as np

    kept = [
        (np.cumsum(size), limit) for size, limit in zip(sizes, limits, strict=True) if limit < float("inf")
    ]
    count = len(sizes[0])
    fewest = _ends(kept, count, 1.0)
    assert fewest is not None
    best, low, high = fewest, 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ends = _ends(kept, count, middle, len(fewest))
        if ends is None:
            low = middle
        else:
            best, high = ends, middle
    return best


def _ends(
    kept: Sequence[tuple[Sums, float]], count: int, share: float, most: int | None = None
) -> list[int] | None:
    """The ends of parts, each as long as that `share` of all limits allows; None if there are more than `most`."""
    import numpy as np

    ends: list[int] = []
    begin = 0
    while begin < count:
        if most is not None and len(ends) == most:
            return None
        end = count
        for sums, limit in kept:
            end = min(end, int(np.searchsorted(sums, _sum(sums, 0, begin) + limit * share, side="right")))
        if end <= begin:
            end = begin + 1
            if share < 1.0 and all(_sum(sums, begin, end) <= limit for sums, limit in kept):
                return None  # it is no larger than a limit, but than that share
        begin = end
        ends.append(end)
    return ends


def _sum(sums: Sums, begin: int, end: int) -> float:
    """The size of some things that follow each other."""
    return float(sums[end - 1]) - (float(sums[begin - 1]) if begin else 0.0) if end else 0.0
