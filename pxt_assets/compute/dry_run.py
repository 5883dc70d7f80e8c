"""A dry run: estimates from its rows what computing a partition would take, and sends nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.api.estimate import Estimator
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request, Usage
from pxt_assets.api.server_name import SIMULATOR, AskedServer
from pxt_assets.compute.asking.background_ids import requests_in_background
from pxt_assets.compute.cells.digest_index import NO_DIGEST, DigestSet
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.usage_history import observed_usage
from pxt_assets.compute.deferred.on_record import OnRecord
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.plan import DependentCall, calls_in, cell_digest
from pxt_assets.compute.partition.stored_cells import check_other_servers, stored_cells
from pxt_assets.errors import CellError

if TYPE_CHECKING:
    from pxt_assets.compute.cells.digest_index import Digests


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
    """US dollars, without the dependent requests, and without those that have no known price; None where all have none."""
    has_observations: bool
    """Whether the estimate is corrected by what this column's earlier runs used."""
    unpriced: int = 0
    """Rows whose request has no price that is known."""
    processing: Processing = "standard"
    """How its requests would be processed."""
    now_usd: float | None = None
    """What they would cost if they were answered now; None where that is how they are processed, or is not known."""
    paid: int = 0
    """Rows whose answer is kept, or on its way: they are not among those to compute, as nothing more is to pay for them."""
    loads: Mapping[ModelUse, Load] = field(default_factory=dict)
    """What it takes of the limits of each model, as long as requests are answered now."""


@dataclass(frozen=True)
class ModelUse:
    """A model at an endpoint whose answers tell limits, or do not."""

    model: str
    sends_limits: bool


@dataclass(frozen=True)
class Load:
    """What is taken of a model's limits: requests, and tokens of input and output."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(self.requests + other.requests, self.tokens + other.tokens)


def total_estimate(estimates: Collection[Estimate]) -> Estimate:
    """What computing several partitions would take."""
    loads: defaultdict[ModelUse, Load] = defaultdict(Load)
    for one in estimates:
        for use, load in one.loads.items():
            loads[use] += load
    costs = [one.cost_usd for one in estimates]
    known = math.fsum(cost for cost in costs if cost is not None)
    now = [one.cost_usd if one.processing == "standard" else one.now_usd for one in estimates]
    processings = {one.processing for one in estimates}
    is_later = processings != {"standard"}
    return Estimate(
        **{name: sum(getattr(one, name) for one in estimates) for name in _COUNTS},
        cost_usd=None if None in costs and not known else known,
        has_observations=any(one.has_observations for one in estimates),
        processing=processings.pop() if len(processings) == 1 else "standard",
        now_usd=math.fsum(cost for cost in now if cost is not None) if is_later and None not in now else None,
        loads=dict(loads),
    )


_COUNTS = (
    "rows",
    "to_compute",
    "refused",
    "requests",
    "dependent",
    "input_tokens",
    "output_tokens",
    "unpriced",
    "paid",
)
"""The fields of an estimate that add up."""


def dry_run(
    column: Column,
    server: AskedServer | None,
    processing: Processing = "standard",
    on_record: OnRecord | None = None,
) -> Estimate:
    """Estimates one partition of a column. `server` is the one that would be asked, None for a column that asks none.

    `processing` is how its requests would be processed, `on_record` what of the column's answers comes later.

    Raises OtherServerError where the run would.
    """
    column.inputs.check(scratch_folder(column.file))
    missing = _MissingCells(column, server, on_record)
    estimator = Estimator()
    estimator.learn("", observed_usage(column.file))
    used, cost, unpriced = Usage(), 0.0, 0
    now_usd: float | None = None if processing == "standard" else 0.0
    packed: defaultdict[tuple[ModelUse, bytes], _PackedCells] = defaultdict(_PackedCells)
    dependent: defaultdict[ModelUse, int] = defaultdict(int)
    for cell in missing.cells():
        is_priced = True
        for call in calls_in(cell):
            if isinstance(call, DependentCall):
                if not call.function.local:
                    missing.dependent += 1
                    dependent[_use_of(call)] += 1
            elif isinstance(call.request, Request):
                request = call.request
                usage = estimator.usage(request)
                price = estimator.cost_usd(request, processing, usage)
                used += usage
                is_priced = is_priced and price is not None
                cost += price or 0.0
                if now_usd is not None:
                    now = estimator.cost_usd(request, "standard", usage)
                    now_usd = None if now is None else now_usd + now
                model_use = ModelUse(request.model, request.endpoint.sends_limits)
                key = model_use, request.pack_key if request.max_cells > 1 else b""
                packed[key].add(request, usage)
        unpriced += not is_priced
    loads: defaultdict[ModelUse, Load] = defaultdict(Load)
    for (model_use, _), cells in packed.items():
        loads[model_use] += Load(cells.requests, cells.used_tokens)
    for model_use, requests in dependent.items():
        loads[model_use] += Load(requests)
    return Estimate(
        rows=column.total,
        to_compute=missing.rows,
        refused=missing.refused,
        requests=sum(cells.requests for cells in packed.values()) + missing.dependent,
        dependent=missing.dependent,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=None if unpriced and not cost else cost,
        unpriced=unpriced,
        paid=missing.paid,
        has_observations=estimator.has_observations,
        processing=processing,
        now_usd=now_usd,
        loads=dict(loads) if processing == "standard" else {},
    )


def _use_of(call: DependentCall) -> ModelUse:
    """The model that a call asks, "" where a column or an answer names it."""
    model = call.arguments.get("model")
    endpoint = getattr(call.function, "endpoint", None)
    return ModelUse(model if isinstance(model, str) else "", getattr(endpoint, "sends_limits", True))


class _MissingCells:
    """The cells of a column that are not finished, each distinct cell once."""

    def __init__(self, column: Column, server: AskedServer | None, on_record: OnRecord | None) -> None:
        self._server = server
        self._on_record = on_record
        self.rows = self.refused = self.dependent = self.paid = 0
        self._column = column

    def cells(self) -> Iterator[Any]:
        """The prepared cells, in the order of their first rows."""
        import numpy as np

        column = self._column
        is_missing, is_paid = self._missing_lookup(), self._paid_lookup()
        seen = DigestSet(scratch_folder(column.file))
        for rows in column.inputs.batches(column.inputs.batch_rows, column.total):
            prepared = [self._prepare(row) for row in rows]
            digests = np.array([NO_DIGEST if cell is None else cell_digest(cell) for cell in prepared], "S16")
            missing = is_missing(digests) & (digests != np.bytes_(NO_DIGEST))
            if is_paid is not None:
                paid = missing & is_paid(np.array([_request_digest(cell) for cell in prepared], "S16"))
                self.paid += int(paid.sum())
                missing &= ~paid
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

    def _paid_lookup(self) -> Callable[[Digests], Any] | None:
        """A function that says for which requests `S16[n]` nothing more is to pay; None where nothing comes later."""
        import numpy as np

        column, on_record = self._column, self._on_record
        if on_record is None:
            return None
        in_background = np.array([], "S16") if on_record.asks_now else requests_in_background(column.file)

        def is_paid(requests: Digests) -> Any:
            paid = on_record.paid(requests, column.partition_key, refresh=column.options.refresh)
            return paid | np.isin(requests, in_background)

        return is_paid

    def _prepare(self, row: Any) -> Any:
        try:
            return self._column.plan.prepare(row)
        except CellError:
            self.refused += 1
            return None


def _request_digest(cell: Any) -> bytes:
    """The digest of a cell's request, if it has one."""
    requests = (call.request for call in calls_in(cell) if not isinstance(call, DependentCall))
    return next((one.digest for one in requests if isinstance(one, Request)), NO_DIGEST)


@dataclass
class _PackedCells:
    """Cells that share requests."""

    cells: float = 0.0
    """Their number, as a share of the cells that one request can carry."""
    tokens: float = 0.0
    """Their tokens, as a share of the tokens that one request can carry."""
    used_tokens: int = 0
    """Their tokens of input and output, as they are estimated."""

    def add(self, request: Request, usage: Usage) -> None:
        self.cells += 1 / request.max_cells
        self.tokens += request.tokens / request.max_tokens
        self.used_tokens += usage.input_tokens + usage.output_tokens

    @property
    def requests(self) -> int:
        """How many requests they take."""
        return math.ceil(max(self.cells, self.tokens) - 1e-6)
