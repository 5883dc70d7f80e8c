"""Computes the partitions of a run whose answers come later: in passes, between which it waits for what is on its way.

A pass takes what is answered, counts what is on its way, and gathers what nobody has asked for. What all partitions want
is submitted together. Then nothing runs but a poll now and then; a partition is looked at again once none of its batches
is on its way, and is committed as soon as nothing of it waits. What was waited for too long is asked for now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from pxt_assets.compute.asking.other_servers import refuse_other_servers
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.compute.deferred.refusals import RefusedBatchError
from pxt_assets.compute.later_passes import LaterPasses
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

_FIRST_POLL_S = 2.0
_LONGEST_POLL_S = 60.0
_SHORTEST_SLEEP_S = 0.5
"""Between two polls, though another batch is due."""
_SLOWER = 1.5
"""By how much rounds of fetching get rarer."""
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


class _LaterRun(LaterPasses):
    """A run of a column by batch, or one that ends its batches."""

    async def compute(self, partitions: Sequence[Partition]) -> RunEnd:
        """Makes passes until nothing waits, or once where the run does not wait."""
        self.partitions = partitions
        client = self.run_state.client
        assert client is not None
        await client.is_simulated()  # whose answers are to be marked
        server = await self.run_state.server()
        self.column = DeferredColumn(
            self.deferral.folder,
            self.api,
            label=self.run_state.name,
            submitted_by=self.deferral.run_id,
            within_s=_DAY_S - _TOO_LATE_S,
            server=None if server is None else server.name,
            queue=await run_in_thread(self.deferral.apis.batch_queue),
            clock=self.deferral.clock,
            sleep=self.deferral.sleep,
        )
        self.is_known = await run_in_thread(self.column.exists)
        try:
            if self.deferral.is_trial:
                self.log.trial(self.deferral.within)
                await self._compute_now(partitions)
                self.log.left_out(self.rows_waiting)
            elif self.deferral.within is None:
                await self._compute_now(partitions)
            elif self.window is not None:
                await self._compute_in_background(partitions)
            else:
                try:
                    await self._compute_in_passes(partitions)
                except RefusedBatchError:
                    await self._settle_refused(partitions)
                    raise
        except RunError as e:
            self.run.fail(e)
        records, now = self.column.records(), self.deferral.clock()
        return self.run.end(partitions, what_waits(partitions, self.run.waits, self.tallies, records, now))

    async def _compute_now(self, partitions: Sequence[Partition]) -> None:
        """Ends what is on its way, keeps what of it was answered, and asks for the rest.

        A trial leaves what is on its way, and is without it.
        """
        if self.is_known and await self._compute_held(partitions):
            return
        await self._compute_at_once(partitions)
        if self.is_known and not self.run.is_stopped and (self.run.waits or self.column.has_given):
            async with self.column.hold():
                await self._compute_at_once(list(self.run.waits))  # which other partitions have on their way
                await self.settle()

    async def _compute_held(self, partitions: Sequence[Partition]) -> bool:
        """Does so while the column is held, if anything is on record for the partitions; returns whether it was.

        Another run that waits for what is cancelled would submit it again. Where nothing is, runs of other partitions need not
        wait for this one.
        """
        async with self.column.hold():
            is_on_record = self.column.is_awaited_by(partitions)
            if self.deferral.is_trial:
                await self._past_refusals(self.column.poll)
            elif is_on_record:
                self.log.cancelled(
                    [r for r in self.on_their_way() if {*partitions} & {*r.waiting_partitions}]
                )
                await self._past_refusals(partial(self.column.cancel, partitions=partitions))
            if is_on_record:
                await self._compute_at_once(partitions)
                await self.settle()
                await self.column.submit()  # nothing: what waited for room is off the record
        return is_on_record

    async def _past_refusals(self, end_batches: Callable[[], Awaitable[object]]) -> None:
        """Ends batches; of those that were refused only the log tells, as their rows are asked for in another way."""
        while True:
            try:
                await end_batches()
                return
            except RefusedBatchError as e:
                self.run.warn(str(e))

    async def _compute_at_once(self, partitions: Sequence[Partition]) -> None:
        fetching = self.new_round(ends=not self.deferral.is_trial)
        await self.run.compute(partitions, self.later_pass(rest="ask", fetching=fetching))

    async def _compute_in_background(self, partitions: Sequence[Partition]) -> None:
        """Asks for what is missing in the background, and fetches it in rounds."""
        left, pause = list(partitions), _FIRST_POLL_S
        if self.is_known:
            async with self.column.hold():
                await self._past_refusals(self.column.poll)
        fetching = self.new_round()
        await self.run.compute(left, self.later_pass(rest="want", fetching=fetching))
        self.goes_on = fetching.knows_any
        while not self.run.is_stopped:
            late = [key for key, wait in self.run.waits.items() if wait.cells.overdue]
            if late:
                await self.run.compute(late, self.later_pass(rest="leave", fetching=fetching))
            if not self.run.waits or not self.deferral.wait or self.run.is_stopped:
                break
            if not any(wait.cells.on_its_way for wait in self.run.waits.values()):
                self.check_budget()
            self.log.in_background(self.rows_waiting, self.deferral.within)
            await self.deferral.sleep(pause)
            if self.is_known:
                await self._past_refusals(self.column.poll)
            awaited, fetching = fetching.made, self.new_round()
            if awaited and not await fetching.has_news(awaited):
                pause = min(_SLOWER * pause, _LONGEST_POLL_S)
                continue
            fetching = self.new_round()
            for partition in list(self.run.waits):  # in the order in which they were asked for
                await self.run.compute([partition], self.later_pass(rest="want", fetching=fetching))
                if fetching.is_over or self.run.is_stopped:
                    break
            pause = _FIRST_POLL_S if fetching.fetched else min(_SLOWER * pause, _LONGEST_POLL_S)
        if not self.run.is_stopped:
            self.check_budget_at_end()
        if self.is_known:
            async with self.column.hold():
                await self.settle()

    async def _compute_in_passes(self, partitions: Sequence[Partition]) -> None:
        left, pause = list(partitions), _FIRST_POLL_S
        while left:
            async with self.column.hold():
                self.goes_on = self.column.is_awaited_by(partitions)
                await self.column.poll()
                self.column.check_refused(left)
                await self.run.compute(left, self.later_pass(rest="want"))
                if self.run.is_stopped:
                    return
                submitted = await self.column.submit()
                late = [key for key, wait in self.run.waits.items() if wait.cells.overdue]
                await self.settle(keep=late)  # not before: since when rows wait goes over to the new batch
                self.log.submitted(submitted)
                if late:  # while the column is held: another run's pass would ask for the same
                    await self.run.compute(late, self.later_pass(rest="leave"))
                    await self.settle()
            if not self.run.waits or self.run.is_stopped:
                break
            if not self.deferral.wait:
                self.check_budget_at_end()
                break
            pause = _FIRST_POLL_S if submitted.requests else min(2 * pause, _LONGEST_POLL_S)
            self.tell_budget()
            left = await self._until_ready(pause)

    async def _settle_refused(self, partitions: Sequence[Partition]) -> None:
        """Keeps what came nevertheless, and takes what was refused off the record, which the run tells of."""
        async with self.column.hold():
            await self.run.compute(list(self.run.waits or partitions), self.later_pass(rest="leave"))
            await self.settle()

    async def _until_ready(self, pause: float) -> list[Partition]:
        """Waits until a pass over some partitions has something to do; returns these."""
        waits = self.run.waits
        while (seconds := self.column.seconds_to_poll()) is not None:
            self.log.waiting(self.on_their_way(), self.rows_waiting)
            await self.deferral.sleep(max(seconds, _SHORTEST_SLEEP_S))
            if self.run.is_stopped:
                return []
            news = await self.column.poll()
            touched = {key for record in news for key in record.waiting_partitions}
            with_room = {key for r in news if r.state == "waiting" for key in r.waiting_partitions}
            awaited = {key for r in self.on_their_way() for key in r.waiting_partitions} - with_room
            ready = [key for key in waits if key in touched - awaited]
            if ready:  # what they cost is known then, and leaves room to others
                return ready + [key for key in waits if key not in ready and waits[key].cells.without_budget]
        self.check_budget()
        await self.deferral.sleep(pause)
        return list(waits)
