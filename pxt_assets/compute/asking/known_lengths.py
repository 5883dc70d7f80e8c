"""How long the answers are that rows of a partition have already: by these a budget bounds what it sets aside for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pxt_assets.compute.asking.row_admission import AdmittedRows
from pxt_assets.compute.cells.usage_history import answer_lengths
from pxt_assets.compute.partition.plan import models_asked

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.api.budget import Budget
    from pxt_assets.compute.cells.digest_index import Digests

_MOST_ROWS = 1_000
"""Rows whose answers are looked up."""


class KnownLengths:
    """Teaches a budget. `provenance` says where finished cells `S16[n]` come from."""

    def __init__(self, budget: Budget, provenance: Callable[[Digests], pa.Table]) -> None:
        self._budget = budget
        self._provenance = provenance
        self._left = _MOST_ROWS

    def learn(self, rows: AdmittedRows) -> None:
        """Learns from those of the rows that are finished: these were asked for as the others would be now."""
        import numpy as np

        if not self._left:
            return
        finished = ~rows.missing & ~rows.failed_before
        places = [i for i in np.flatnonzero(finished).tolist() if rows.cells[i] is not None][: self._left]
        if not places:
            return
        self._left -= len(places)
        found = answer_lengths(self._provenance(np.array([rows.digests[i] for i in places], "S16")))
        asked = {model for i in places for _, model in models_asked(rows.cells[i])}
        for answered_by, (
            answers,
            longest,
        ) in found.items():  # which may go by another name than it was asked by
            self._budget.note_earlier(next(iter(asked)) if len(asked) == 1 else answered_by, answers, longest)
