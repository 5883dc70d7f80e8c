"""What the passes of a run have in common whose answers come later: how each deals with a partition, and what the budget has room for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from pxt_assets.api.background_request import Window
from pxt_assets.api.batches import BackgroundApi, BatchApi
from pxt_assets.api.later_budget import LaterBudget
from pxt_assets.api.within import processing_of
from pxt_assets.compute.asking.background_cells import BackgroundPass, FetchRound
from pxt_assets.compute.asking.background_ids import BackgroundIds
from pxt_assets.compute.asking.expected_costs import ExpectedCosts, expected_costs, later_budget
from pxt_assets.compute.asking.later_partition import LaterPass, PartitionTally
from pxt_assets.compute.asking.later_way import LaterWay
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.later_log import LaterLog
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.run_partitions import Partition, PartitionsRun
from pxt_assets.local.threads import run_in_thread

if TYPE_CHECKING:
    from typing import Literal

    from pxt_assets.compute.cells.digest_index import Digests

_FETCHES_AT_ONCE = 32


class LaterPasses:
    """What the passes of one run have in common: the column's batches, the budget, and what is durable by now."""

    column: DeferredColumn
    """What is on record of the column; set before the first pass."""
    partitions: Collection[Partition] = ()
    """Those of the run."""

    def __init__(
        self,
        run: PartitionsRun,
        run_state: RunState,
        deferral: Deferral,
        api: BatchApi,
        background: BackgroundApi,
    ) -> None:
        self.run = run
        self.run_state = run_state
        self.deferral = deferral
        self.api = api
        self._background = background
        self._processing = processing_of(deferral.within or "24h")
        self.is_known = False
        """Whether batches are on record."""
        self.tallies: defaultdict[Partition, PartitionTally] = defaultdict(PartitionTally)
        self._budget: LaterBudget | None = None
        self._settled: dict[Partition, Digests] = {}
        """Requests whose outcomes are durable, of which the column is to be told while it is held."""
        self._expected: ExpectedCosts | None = None
        self.goes_on = False
        """Whether something was on record for the partitions when the run began, so that an earlier run has told what it lacks."""
        self.log = LaterLog(run.log, run_state.name, deferral.clock)

    @property
    def window(self) -> Window | None:
        """The window in which responses are asked for in the background."""
        within = self.deferral.within
        return None if within == "24h" else within

    def new_round(self, *, ends: bool = False) -> FetchRound:
        """A round of fetching what was made in the background; `ends` where nothing is to be waited for."""
        most = 1 if (client := self.run_state.client) is None else client.max_in_flight
        return FetchRound(self._background, self.deferral.clock, min(most, _FETCHES_AT_ONCE), ends=ends)

    @property
    def rows_waiting(self) -> int:
        """Rows that wait, of all partitions."""
        return sum(wait.rows for wait in self.run.waits.values())

    def on_their_way(self) -> list[BatchRecord]:
        """The batches of which answers may still come."""
        return [record for record in self.column.records() if record.is_on_its_way]

    def check_budget(self) -> None:
        """Raises BudgetReachedError where the budget has no room for rows."""
        if self._budget is not None and self._rows_without_budget:
            raise self._budget.error(self.run_state.name, self._rows_without_budget)

    def check_budget_at_end(self) -> None:
        """The same of a run that does not wait: unless an earlier one has told of it, and answers may yet make room."""
        waits = self.run.waits.values()
        if not (self.goes_on and any(one.cells.on_its_way or one.cells.wanted for one in waits)):
            self.check_budget()
        else:
            self.tell_budget()

    def tell_budget(self) -> None:
        """Says in the log what the budget has no room for."""
        if self._budget is not None and (rows := self._rows_without_budget):
            self.log.without_budget(self._budget.lacking_text(rows))

    @property
    def _rows_without_budget(self) -> int:
        return sum(one.cells.without_budget for one in self.run.waits.values())

    def later_pass(
        self, *, rest: Literal["ask", "want", "leave"], fetching: FetchRound | None = None
    ) -> Callable[[Column], LaterPass]:
        """How a pass deals with a partition; the `rest`, of which nothing is known, is asked for, wanted, or left."""
        fetching = fetching or self.new_round()
        latest = max((record.latest for record in self.column.records()), default=0.0)
        awaited = {key for record in self.column.records() for key in record.waiting_partitions}

        def later(column: Column) -> LaterPass:
            partition = column.partition_key
            if self._expected is None:
                self._expected = expected_costs(column, self._processing)
            if column.budget is not None and self._budget is None:
                coming = [r for r in self.on_their_way() if {*self.partitions} & {*r.waiting_partitions}]
                self._budget = later_budget(column, self._processing, self.run_state.client, coming)
            way = LaterWay(
                self.column,
                rest,
                asks_overdue=rest == "leave",
                expected_usd=self._expected.of,
                budget=self._budget if rest == "want" else None,
            )
            background = None
            if column.plan.endpoint_path == "/responses":
                ids = BackgroundIds(column.file, column.run_id)
                window = self.window if rest == "want" else None
                background = BackgroundPass(ids, fetching, window, self.deferral.clock)
            return LaterPass(
                partition,
                way,
                self._settled.__setitem__,
                is_awaited=partition in awaited,
                looks_at_all=not self.deferral.is_trial,
                background=background,
                tally=self.tallies[partition],
                latest=latest,
            )

        return later

    async def settle(self, keep: Collection[Partition] = ()) -> None:
        """Notes what is durable of partitions, but for some whose rows are to be asked for now: their age is still needed."""
        for partition in [key for key in self._settled if key not in keep]:
            await run_in_thread(self.column.settle, partition, self._settled.pop(partition))
