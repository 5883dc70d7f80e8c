"""A dry run: what computing a partition would take, estimated from its rows, without asking for anything."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pxt_assets.api.estimate import Estimator
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage
from pxt_assets.compute.cells.digest_index import NO_DIGEST, DigestSet
from pxt_assets.compute.cells.finished_cells import Cells, EarlierFile
from pxt_assets.compute.cells.journal import Journal, journal_of
from pxt_assets.compute.cells.usage_history import observed
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.plan import Later, asks_in, cell_digest
from pxt_assets.errors import CellError


@dataclass(frozen=True)
class Estimate:
    """What computing a partition would take. Tokens and costs are estimates."""

    rows: int
    to_compute: int
    """Rows whose cell is not finished yet."""
    refused: int
    """Rows of which no request can be made."""
    requests: int
    dependent: int
    """Requests of which nothing but the number is known, since they are made of other requests' answers."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """US dollars, without the dependent requests; None where a price is unknown."""
    has_observations: bool
    """Whether the estimate is corrected by what this column's earlier runs used."""


def dry_run(column: Column, *, simulated: bool) -> Estimate:
    """Estimates one partition of a column. `simulated` says whether a simulator's answers would be reused."""
    column.inputs.check()
    missing = _Missing(column, simulated=simulated)
    estimator = Estimator()
    estimator.learn("", observed(column.file, journal_of(column.file.path)))
    used, cost = Usage(), 0.0
    is_priced = True
    packed: defaultdict[bytes, _Packed] = defaultdict(_Packed)
    for cell in missing.cells():
        for asked in asks_in(cell):
            if isinstance(asked, Later):
                missing.dependent += not asked.function.local
            elif isinstance(asked.asked, Request):
                request = asked.asked
                usage = estimator.usage(request)
                price = cost_usd(request.model, usage)
                used += usage
                is_priced = is_priced and price is not None
                cost += price or 0.0
                packed[request.pack_key if request.max_cells > 1 else b""].add(request)
    return Estimate(
        rows=column.total,
        to_compute=missing.rows,
        refused=missing.refused,
        requests=sum(one.requests for one in packed.values()) + missing.dependent,
        dependent=missing.dependent,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=cost if is_priced else None,
        has_observations=estimator.has_observations,
    )


class _Missing:
    """The cells of a column that are not finished, once each."""

    def __init__(self, column: Column, *, simulated: bool) -> None:
        self.rows = self.refused = self.dependent = 0
        self._column = column
        self._simulated = simulated

    def cells(self) -> Iterator[Any]:
        """The prepared cells, in the order of their first rows."""
        import numpy as np

        column = self._column
        finished = self._finished()
        seen = DigestSet()
        for rows in column.inputs.batches(column.inputs.batch_rows, column.total):
            prepared = [self._prepared(row) for row in rows]
            names = np.array([NO_DIGEST if cell is None else cell_digest(cell) for cell in prepared], "S16")
            missing = finished(names) & (names != np.bytes_(NO_DIGEST))
            self.rows += int(missing.sum())
            wanted = np.flatnonzero(missing)
            for i in wanted[seen.add(names[wanted])]:
                yield prepared[i]

    def _finished(self) -> Any:
        column = self._column
        if column.column_type is None or column.options.refresh:
            return lambda names: names == names  # noqa: PLR0124  (all of them)
        journal = Journal(journal_of(column.file.path), column.column_type)
        try:
            earlier = partial(EarlierFile, column.file, column.name, column.column_type)
            retry_errors = column.options.retry_errors or column.options.on_error == "abort"
            cells = Cells(earlier, journal, retry_errors=retry_errors)  # which notes what the journal holds
        finally:
            journal.close()
        cells.simulated = self._simulated and cells.any_simulated
        return cells.missing

    def _prepared(self, row: Any) -> Any:
        try:
            return self._column.plan.prepare(row)
        except CellError:
            self.refused += 1
            return None


@dataclass
class _Packed:
    """Cells that travel together."""

    cells: float = 0.0
    """As a share of what one request can carry."""
    tokens: float = 0.0

    def add(self, request: Request) -> None:
        self.cells += 1 / request.max_cells
        self.tokens += request.tokens / request.max_tokens

    @property
    def requests(self) -> int:
        return math.ceil(max(self.cells, self.tokens) - 1e-6)
