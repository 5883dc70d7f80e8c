"""A dry run: estimates from its rows what computing a partition would take, and sends nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pxt_assets.api.estimate import Estimator
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage
from pxt_assets.api.server_name import SIMULATOR, AskedServer
from pxt_assets.compute.cells.digest_index import NO_DIGEST, DigestSet
from pxt_assets.compute.cells.usage_history import observed_usage
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.plan import DependentCall, calls_in, cell_digest
from pxt_assets.compute.partition.stored_cells import check_other_servers, stored_cells
from pxt_assets.errors import CellError


@dataclass(frozen=True)
class Estimate:
    """What computing a partition would take. Tokens and costs are estimates."""

    rows: int
    to_compute: int
    """Rows whose cell is not finished yet."""
    refused: int
    """Rows from which no request can be made."""
    requests: int
    dependent: int
    """Requests made of other requests' answers: only their number is known."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """US dollars, without the dependent requests; None where a price is unknown."""
    has_observations: bool
    """Whether the estimate is corrected by what this column's earlier runs used."""


def dry_run(column: Column, server: AskedServer | None) -> Estimate:
    """Estimates one partition of a column. `server` is the one that would be asked, None for a column that asks none.

    Raises OtherServerError where the run would.
    """
    column.inputs.check()
    missing = _MissingCells(column, server)
    estimator = Estimator()
    estimator.learn("", observed_usage(column.file))
    used, cost = Usage(), 0.0
    is_priced = True
    packed: defaultdict[bytes, _PackedCells] = defaultdict(_PackedCells)
    for cell in missing.cells():
        for call in calls_in(cell):
            if isinstance(call, DependentCall):
                missing.dependent += not call.function.local
            elif isinstance(call.request, Request):
                request = call.request
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
        requests=sum(cells.requests for cells in packed.values()) + missing.dependent,
        dependent=missing.dependent,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=cost if is_priced else None,
        has_observations=estimator.has_observations,
    )


class _MissingCells:
    """The cells of a column that are not finished, each distinct cell once."""

    def __init__(self, column: Column, server: AskedServer | None) -> None:
        self._server = server
        self.rows = self.refused = self.dependent = 0
        self._column = column

    def cells(self) -> Iterator[Any]:
        """The prepared cells, in the order of their first rows."""
        import numpy as np

        column = self._column
        is_missing = self._missing_lookup()
        seen = DigestSet()
        for rows in column.inputs.batches(column.inputs.batch_rows, column.total):
            prepared = [self._prepare(row) for row in rows]
            digests = np.array([NO_DIGEST if cell is None else cell_digest(cell) for cell in prepared], "S16")
            missing = is_missing(digests) & (digests != np.bytes_(NO_DIGEST))
            self.rows += int(missing.sum())
            rows_missing = np.flatnonzero(missing)
            for i in rows_missing[seen.add(digests[rows_missing])]:
                yield prepared[i]

    def _missing_lookup(self) -> Any:
        """A function that says which of some digests `S16[n]` are not finished, as `FinishedCells.missing_mask`."""
        column = self._column
        if column.column_type is None or column.options.refresh:
            return lambda digests: digests == digests  # noqa: PLR0124  (all of them)
        server = self._server
        with stored_cells(column) as cells:
            if server is not None and any(map(server.is_other, cells.servers)):
                if server.on_other_server == "fail":
                    check_other_servers(column, cells, server)
                if server.on_other_server == "recompute":
                    cells.leave_out(server.is_other)
        cells.simulated = server is not None and server.name == SIMULATOR and cells.any_simulated
        return cells.missing_mask

    def _prepare(self, row: Any) -> Any:
        try:
            return self._column.plan.prepare(row)
        except CellError:
            self.refused += 1
            return None


@dataclass
class _PackedCells:
    """Cells that share requests."""

    cells: float = 0.0
    """Their number, as a share of the cells that one request can carry."""
    tokens: float = 0.0
    """Their tokens, as a share of the tokens that one request can carry."""

    def add(self, request: Request) -> None:
        self.cells += 1 / request.max_cells
        self.tokens += request.tokens / request.max_tokens

    @property
    def requests(self) -> int:
        """How many requests they take."""
        return math.ceil(max(self.cells, self.tokens) - 1e-6)
