"""A pass over one partition whose answers come later, and what earlier passes of the same run came to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pxt_assets.api.meter import Meter
from pxt_assets.api.server_name import SIMULATOR
from pxt_assets.compute.asking.background_cells import BackgroundPass
from pxt_assets.compute.asking.known_lengths import KnownLengths
from pxt_assets.compute.asking.later_answers import LaterAnswers
from pxt_assets.compute.asking.later_cells import LaterCells
from pxt_assets.compute.asking.later_way import LaterCounts, LaterWay
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_outcomes import RowOutcomes
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.partition.column import CellsFailedError, Column
from pxt_assets.local.threads import await_to_end, run_in_thread

if TYPE_CHECKING:
    from pxt_assets.compute.asking.cell_requester import CellRequester
    from pxt_assets.compute.cells.digest_index import Digests


@dataclass
class PartitionTally:
    """What the passes of this run over a partition came to, until it is stored."""

    started: float = field(default_factory=time.monotonic)
    """When the first of them began, in seconds of `time.monotonic`."""
    meter: Meter | None = None
    computed: int = 0
    """Rows with a value that this run made."""
    segments: frozenset[str] = frozenset()
    """What this run has written of the journal."""


@dataclass(frozen=True)
class CellsWait:
    """A partition that is not stored yet, as answers to some of its rows come later."""

    rows: int
    """Rows that wait."""
    cells: LaterCounts


@dataclass(frozen=True)
class LaterPass:
    """How one pass deals with a partition."""

    partition: str | None
    way: LaterWay
    settle: Callable[[str | None, Digests], None]
    """Is told of a partition's requests whose outcomes are durable, `S16[n]`. Called in a thread."""
    is_awaited: bool = False
    """Whether a batch is on record for the partition, so that its rows are looked at though they are all finished."""
    looks_at_all: bool = True
    """Whether it looks at all rows of the partition; a trial does not."""
    background: BackgroundPass | None = None
    """What is made, or to be made, in the background; None where nothing ever was."""
    tally: PartitionTally = field(default_factory=PartitionTally)
    latest: float = 0.0
    """The latest time on record at which answers of the column were kept: a refresh that begins now is later, whatever this
    host's clock says."""

    def completes_refresh(self, journal: Journal) -> bool:
        """Whether a refresh that has begun goes on here: its answers are on their way, or came. Reads what is on record."""
        is_coming = self.is_awaited or (self.background is not None and self.background.ids.any_known())
        return is_coming and journal.refreshes_since is not None

    def cells(
        self, column: Column, run_state: RunState, journal: Journal, finished: FinishedCells, since: float
    ) -> Callable[[RowOutcomes, RowCounts, Meter], LaterCells]:
        """Makes what deals with the cells that are not `finished`; answers that were kept before `since` are not taken."""
        client = run_state.client
        assert client is not None

        def make(outcomes: RowOutcomes, counts: RowCounts, meter: Meter) -> LaterCells:
            reading = LaterAnswers(
                column.plan,
                meter,
                server=SIMULATOR if client.simulated else run_state.server_name,
                download=client.download,
                budget=column.budget,
                secrets=client.secrets,
            )
            folder = scratch_folder(column.file)
            known = None
            if self.way.budget is not None and self.tally.meter is None:  # what this run took is known to it
                known = KnownLengths(self.way.budget.budget, finished.provenance)
            return LaterCells(
                self.way,
                self.partition,
                reading,
                outcomes,
                counts,
                journal,
                background=self.background,
                known=known,
                since=since,
                folder=folder,
            )

        return make

    async def run(self, requester: CellRequester, journal: Journal) -> None:
        """Makes the pass. Raises what the requester does; what was answered by then is in the journal."""
        later = requester.later
        assert later is not None
        posts = self.background is not None and self.background.window is not None
        requester.meter.budget = (
            None if posts else requester.budget
        )  # these are admitted before they are sent
        try:
            await self._run(requester)
        except CellsFailedError:  # the failed rows are in the journal too
            await run_in_thread(self._settle, later)
            raise
        await run_in_thread(self._settle, later)
        self.tally.meter = requester.meter
        self.tally.computed += requester.counts.computed(requester.rows.digests)
        self.tally.segments |= journal.own_segments

    async def _run(self, requester: CellRequester) -> None:
        if self.background is None:
            await requester.run()
            return
        ids = self.background.ids
        flushing = asyncio.create_task(ids.journal.keep_flushing())
        try:
            await requester.run()
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            await await_to_end(run_in_thread(ids.close))

    def end(self, requester: CellRequester) -> None:
        """Forgets what was made in the background for a partition that is stored; not what rows that are gone wait for."""
        later = requester.later
        if self.background is not None and later is not None:
            self.background.ids.remove_if_fetched(later.settled())

    def _settle(self, later: LaterCells) -> None:
        if later.is_complete and self.looks_at_all:
            self.settle(self.partition, later.settled())

    def waiting(self, requester: CellRequester) -> CellsWait | None:
        """What of the partition waits after the pass, None if nothing does."""
        later = requester.later
        if later is None or not later.counts.waiting:
            return None
        budget = self.way.budget
        later.counts.set_aside_usd = 0.0 if budget is None else budget.set_aside_usd(self.partition)
        return CellsWait(requester.counts.waiting_rows(requester.rows.digests), later.counts)
