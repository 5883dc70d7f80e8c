"""The latencies of a computation's answers: exact while they are few, then counted by their size."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_KEPT = 8_192
"""Latencies that are kept as they are; more are counted."""
_LEAST = 1e-4
"""Seconds; shorter ones count as this."""
_STEP = math.log(1.01)
"""Each class is this wide, by the logarithm: its middle is at most 0.5 % off."""
_CLASSES = math.ceil(math.log(1e6 / _LEAST) / _STEP)


class Latencies:
    """Seconds from sending a request to its answer, in 84 kB at most, however many there are.

    Iterating gives those that were not counted into classes yet: all of the first 8,192.
    """

    def __init__(self) -> None:
        self._kept = array("d")
        self._counts: npt.NDArray[np.int64] | None = None
        self._counted = 0

    def __len__(self) -> int:
        return self._counted + len(self._kept)

    def __iter__(self) -> Iterator[float]:
        return iter(self._kept)

    def append(self, latency: float) -> None:
        """Adds one, in seconds."""
        self._kept.append(latency)
        if len(self._kept) > _KEPT:
            self._count_kept()

    def extend(self, latencies: Iterable[float]) -> None:
        """Adds several, in seconds."""
        for latency in latencies:
            self.append(latency)

    def quantile(self, share: float) -> float | None:
        """The seconds that `share` (0 to 1) of them do not exceed, None if there are none.

        Exact for up to 8,192 latencies, at most 0.5 % off for more.
        """
        import numpy as np

        if not len(self):
            return None
        at = min(len(self) - 1, int(share * len(self)))
        if self._counts is None:
            return float(np.partition(np.frombuffer(self._kept), at)[at])
        self._count_kept()
        found = int(np.searchsorted(np.cumsum(self._counts), at, side="right"))
        return _LEAST * math.exp((found + 0.5) * _STEP)

    def _count_kept(self) -> None:
        import numpy as np

        if self._counts is None:
            self._counts = np.zeros(_CLASSES, np.int64)
        logs = np.log(np.maximum(np.frombuffer(self._kept), _LEAST) / _LEAST)
        classes = np.minimum(logs / _STEP, _CLASSES - 1).astype(np.int64)
        self._counts += np.bincount(classes, minlength=_CLASSES)
        self._counted += len(self._kept)
        self._kept = array("d")
