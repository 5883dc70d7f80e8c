"""Computes the partitions of a run whose answers come later: in passes, between which it waits for what is on its way.

A pass takes what is answered, counts what is on its way, and gathers what nobody has asked for. What all partitions want
is submitted together. Then nothing runs but a poll now and then; a partition is looked at again once none of its batches
is on its way, and is committed as soon as nothing of it waits. What was waited for too long is asked for now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
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
from pxt_assets.compute.asking.other_servers import refuse_other_servers
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.refusals import RefusedBatchError
from pxt_assets.compute.later_log import LaterLog
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.run_partitions import (
    Partition,
    PartitionsRun,
    RunCallbacks,
    RunEnd,
    compute_partitions,
)
from pxt_assets.compute.what_waits import what_waits
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread

if TYPE_CHECKING:
    from typing import Literal

    from pxt_assets.compute.cells.digest_index import Digests

_FIRST_POLL_S = 2.0
_LONGEST_POLL_S = 60.0
_SHORTEST_SLEEP_S = 0.5
"""Between two polls, though another batch is due."""
_SLOWER = 1.5
"""By how much rounds of fetching get rarer."""
_FETCHES_AT_ONCE = 32
_DAY_S = 86_400.0
_TOO_LATE_S = 900.0
"""What has less time left is not submitted again, but asked for now."""


async def compute_later(
    partitions: Sequence[Partition],
    open_column: Callable[[Partition], Column],
    run_state: RunState,
    callbacks: RunCallbacks,
    deferral: Deferral,
) -> RunEnd:
    """Computes all partitions, as `compute_partitions` does, of a column of one call of the API."""
    if await run_in_thread(deferral.is_plain):
        return await compute_partitions(partitions, open_column, run_state, callbacks)
    await refuse_other_servers(partitions, open_column, run_state)
    async with (
        PartitionsRun(open_column, run_state, callbacks) as run,
        deferral.apis.batch_api() as batches,
        deferral.apis.background_api() as background,
    ):
        return await _LaterRun(run, run_state, deferral, batches, background).compute(partitions)


class _LaterRun:
    """A run of a column by batch, or one that ends its batches."""

    def __init__(
        self,
        run: PartitionsRun,
        run_state: RunState,
        deferral: Deferral,
        api: BatchApi,
        background: BackgroundApi,
    ) -> None:
        self._run = run
        self._run_state = run_state
        self._deferral = deferral
        self._api = api
        self._background = background
        self._processing = processing_of(deferral.within or "24h")
        self._is_known = False
        """Whether batches are on record."""
        self._tallies: defaultdict[Partition, PartitionTally] = defaultdict(PartitionTally)
        self._budget: LaterBudget | None = None
        self._settled: dict[Partition, Digests] = {}
        """Requests whose outcomes are durable, of which the column is to be told while it is held."""
        self._expected: ExpectedCosts | None = None
        self._goes_on = False
        """Whether something was on record for its partitions when it began, so that an earlier run has told what it lacks."""
        self._log = LaterLog(run.log, run_state.name, deferral.clock)

    @property
    def _window(self) -> Window | None:
        """The window in which responses are asked for in the background."""
        within = self._deferral.within
        return None if within == "24h" else within

    async def compute(self, partitions: Sequence[Partition]) -> RunEnd:
        """Makes passes until nothing waits, or once where the run does not wait."""
        self._partitions = {*partitions}
        client = self._run_state.client
        assert client is not None
        await client.is_simulated()  # whose answers are to be marked
        server = await self._run_state.server()
        self._column = DeferredColumn(
            self._deferral.folder,
            self._api,
            label=self._run_state.name,
            submitted_by=self._deferral.run_id,
            within_s=_DAY_S - _TOO_LATE_S,
            server=None if server is None else server.name,
            queue=await run_in_thread(self._deferral.apis.batch_queue),
            clock=self._deferral.clock,
            sleep=self._deferral.sleep,
        )
        self._is_known = await run_in_thread(self._column.exists)
        try:
            if self._deferral.is_trial:
                self._log.trial(self._deferral.within)
                await self._compute_now(partitions)
                self._log.left_out(self._rows_waiting)
            elif self._deferral.within is None:
                await self._compute_now(partitions)
            elif self._window is not None:
                await self._compute_in_background(partitions)
            else:
                try:
                    await self._compute_in_passes(partitions)
                except RefusedBatchError:
                    await self._settle_refused(partitions)
                    raise
        except RunError as e:
            self._run.fail(e)
        records, now = self._column.records(), self._deferral.clock()
        return self._run.end(partitions, what_waits(partitions, self._run.waits, self._tallies, records, now))

    async def _compute_now(self, partitions: Sequence[Partition]) -> None:
        """Ends what is on its way, keeps what of it was answered, and asks for the rest.

        A trial leaves what is on its way, and is without it.
        """
        if self._is_known and await self._compute_held(partitions):
            return
        await self._compute_at_once(partitions)
        if self._is_known and not self._run.is_stopped and (self._run.waits or self._column.has_given):
            async with self._column.hold():
                await self._compute_at_once(list(self._run.waits))  # which other partitions have on their way
                await self._settle()

    async def _compute_held(self, partitions: Sequence[Partition]) -> bool:
        """Does so while the column is held, if anything is on record for the partitions; returns whether it was.

        Another run that waits for what is cancelled would submit it again. Where nothing is, runs of other partitions need not
        wait for this one.
        """
        async with self._column.hold():
            is_on_record = self._column.is_awaited_by(partitions)
            if self._deferral.is_trial:
                await self._past_refusals(self._column.poll)
            elif is_on_record:
                self._log.cancelled(
                    [r for r in self._on_their_way() if self._partitions & {*r.waiting_partitions}]
                )
                await self._past_refusals(partial(self._column.cancel, partitions=partitions))
            if is_on_record:
                await self._compute_at_once(partitions)
                await self._settle()
                await self._column.submit()  # nothing: what waited for room is off the record
        return is_on_record

    async def _past_refusals(self, end_batches: Callable[[], Awaitable[object]]) -> None:
        """Ends batches; of those that were refused only the log tells, as their rows are asked for in another way."""
        while True:
            try:
                await end_batches()
                return
            except RefusedBatchError as e:
                self._run.warn(str(e))

    async def _compute_at_once(self, partitions: Sequence[Partition]) -> None:
        fetching = self._new_round(ends=not self._deferral.is_trial)
        await self._run.compute(partitions, self._pass(rest="ask", fetching=fetching))

    async def _compute_in_background(self, partitions: Sequence[Partition]) -> None:
        """Asks for what is missing in the background, and fetches it in rounds."""
        left, pause = list(partitions), _FIRST_POLL_S
        if self._is_known:
            async with self._column.hold():
                await self._past_refusals(self._column.poll)
        fetching = self._new_round()
        await self._run.compute(left, self._pass(rest="want", fetching=fetching))
        self._goes_on = fetching.knows_any
        while not self._run.is_stopped:
            late = [key for key, wait in self._run.waits.items() if wait.cells.overdue]
            if late:
                await self._run.compute(late, self._pass(rest="leave", fetching=fetching))
            if not self._run.waits or not self._deferral.wait or self._run.is_stopped:
                break
            if not any(wait.cells.on_its_way for wait in self._run.waits.values()):
                self._check_budget()
            self._log.in_background(self._rows_waiting, self._deferral.within)
            await self._deferral.sleep(pause)
            if self._is_known:
                await self._past_refusals(self._column.poll)
            awaited, fetching = fetching.made, self._new_round()
            if awaited and not await fetching.has_news(awaited):
                pause = min(_SLOWER * pause, _LONGEST_POLL_S)
                continue
            fetching = self._new_round()
            for partition in list(self._run.waits):  # in the order in which they were asked for
                await self._run.compute([partition], self._pass(rest="want", fetching=fetching))
                if fetching.is_over or self._run.is_stopped:
                    break
            pause = _FIRST_POLL_S if fetching.fetched else min(_SLOWER * pause, _LONGEST_POLL_S)
        if not self._run.is_stopped:
            self._check_budget_at_end()
        if self._is_known:
            async with self._column.hold():
                await self._settle()

    def _new_round(self, *, ends: bool = False) -> FetchRound:
        most = 1 if (client := self._run_state.client) is None else client.max_in_flight
        return FetchRound(self._background, self._deferral.clock, min(most, _FETCHES_AT_ONCE), ends=ends)

    async def _compute_in_passes(self, partitions: Sequence[Partition]) -> None:
        left, pause = list(partitions), _FIRST_POLL_S
        while left:
            async with self._column.hold():
                self._goes_on = self._column.is_awaited_by(partitions)
                await self._column.poll()
                self._column.check_refused(left)
                await self._run.compute(left, self._pass(rest="want"))
                if self._run.is_stopped:
                    return
                submitted = await self._column.submit()
                late = [key for key, wait in self._run.waits.items() if wait.cells.overdue]
                await self._settle(keep=late)  # not before: since when rows wait goes over to the new batch
                self._log.submitted(submitted)
                if late:  # while the column is held: another run's pass would ask for the same
                    await self._run.compute(late, self._pass(rest="leave"))
                    await self._settle()
            if not self._run.waits or self._run.is_stopped:
                break
            if not self._deferral.wait:
                self._check_budget_at_end()
                break
            pause = _FIRST_POLL_S if submitted.requests else min(2 * pause, _LONGEST_POLL_S)
            self._tell_budget()
            left = await self._until_ready(pause)

    async def _settle_refused(self, partitions: Sequence[Partition]) -> None:
        """Keeps what came nevertheless, and takes what was refused off the record, which the run tells of."""
        async with self._column.hold():
            await self._run.compute(list(self._run.waits or partitions), self._pass(rest="leave"))
            await self._settle()

    async def _until_ready(self, pause: float) -> list[Partition]:
        """Waits until a pass over some partitions has something to do; returns these."""
        waits = self._run.waits
        while (seconds := self._column.seconds_to_poll()) is not None:
            self._log.waiting(self._on_their_way(), self._rows_waiting)
            await self._deferral.sleep(max(seconds, _SHORTEST_SLEEP_S))
            if self._run.is_stopped:
                return []
            news = await self._column.poll()
            touched = {key for record in news for key in record.waiting_partitions}
            with_room = {key for r in news if r.state == "waiting" for key in r.waiting_partitions}
            awaited = {key for r in self._on_their_way() for key in r.waiting_partitions} - with_room
            ready = [key for key in waits if key in touched - awaited]
            if ready:  # what they cost is known then, and leaves room to others
                return ready + [key for key in waits if key not in ready and waits[key].cells.without_budget]
        self._check_budget()
        await self._deferral.sleep(pause)
        return list(waits)

    @property
    def _rows_waiting(self) -> int:
        return sum(wait.rows for wait in self._run.waits.values())

    def _on_their_way(self) -> list[BatchRecord]:
        return [record for record in self._column.records() if record.is_on_its_way]

    def _check_budget(self) -> None:
        """Raises BudgetReachedError where the budget has no room for rows."""
        if self._budget is not None and self._rows_without_budget:
            raise self._budget.error(self._run_state.name, self._rows_without_budget)

    def _check_budget_at_end(self) -> None:
        """The same of a run that does not wait: unless an earlier one has told of it, and answers may yet make room."""
        waits = self._run.waits.values()
        if not (self._goes_on and any(one.cells.on_its_way or one.cells.wanted for one in waits)):
            self._check_budget()
        else:
            self._tell_budget()

    def _tell_budget(self) -> None:
        if self._budget is not None and (rows := self._rows_without_budget):
            self._log.without_budget(self._budget.lacking_text(rows))

    @property
    def _rows_without_budget(self) -> int:
        return sum(one.cells.without_budget for one in self._run.waits.values())

    def _pass(
        self, *, rest: Literal["ask", "want", "leave"], fetching: FetchRound | None = None
    ) -> Callable[[Column], LaterPass]:
        fetching = fetching or self._new_round()
        awaited = {key for record in self._column.records() for key in record.waiting_partitions}

        def later(column: Column) -> LaterPass:
            partition = column.partition_key
            if self._expected is None:
                self._expected = expected_costs(column, self._processing)
            if column.budget is not None and self._budget is None:
                coming = [r for r in self._on_their_way() if self._partitions & {*r.waiting_partitions}]
                self._budget = later_budget(column, self._processing, self._run_state.client, coming)
            way = LaterWay(
                self._column,
                rest,
                asks_overdue=rest == "leave",
                expected_usd=self._expected.of,
                budget=self._budget if rest == "want" else None,
            )
            background = None
            if column.plan.endpoint_path == "/responses":
                ids = BackgroundIds(column.file, column.run_id)
                window = self._window if rest == "want" else None
                background = BackgroundPass(ids, fetching, window, self._deferral.clock)
            return LaterPass(
                partition,
                way,
                self._settled.__setitem__,
                is_awaited=partition in awaited,
                looks_at_all=not self._deferral.is_trial,
                background=background,
                tally=self._tallies[partition],
            )

        return later

    async def _settle(self, keep: Collection[Partition] = ()) -> None:
        """Notes what is durable of partitions, but for some whose rows are to be asked for now: their age is still needed."""
        for partition in [key for key in self._settled if key not in keep]:
            await run_in_thread(self._column.settle, partition, self._settled.pop(partition))
