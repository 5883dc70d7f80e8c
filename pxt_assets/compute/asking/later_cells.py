"""Cells whose answers come later: what is answered is taken, what is on its way is waited for, the rest is wanted.

This stands in the place of asking: rows are read, compared and counted as ever, but no task and no limiter has to do
with them. It is a plain loop over some thousand rows at a time, in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.api.background_request import BackgroundRequest, background_request
from pxt_assets.api.processing import Processing
from pxt_assets.api.request import Request
from pxt_assets.compute.asking.asked_row import Asking
from pxt_assets.compute.asking.background_cells import BackgroundPass, BackgroundRow
from pxt_assets.compute.asking.background_ids import BackgroundId
from pxt_assets.compute.asking.in_flight_bound import Held
from pxt_assets.compute.asking.known_lengths import KnownLengths
from pxt_assets.compute.asking.later_answers import LaterAnswers, Made, Unfinished
from pxt_assets.compute.asking.later_way import LaterCounts, LaterWay
from pxt_assets.compute.asking.row_admission import AdmittedRows
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_outcomes import RowOutcomes
from pxt_assets.compute.cells.digest_index import are_among, lookup_batches, sorted_digests
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.partition.plan import ReadyCall, calls_in
from pxt_assets.errors import CellError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.provenance import Provenance

if TYPE_CHECKING:
    from pxt_assets.compute.cells.digest_index import Digests

_BYTES_PENDING = 32 * 2**20
"""Bytes of values that may wait to be written: beyond, they are written before more is taken."""


@dataclass
class _Sorted:
    """What is to be done about some rows, by their places."""

    requests: dict[int, Request]
    to_ask: list[int]
    failures: list[tuple[int, Made]] = field(default_factory=list)
    unfinished: list[tuple[int, Unfinished]] = field(default_factory=list)
    fetched: list[tuple[int, BackgroundId]] = field(default_factory=list)
    """What is made in the background, to be fetched."""
    late: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    """What is neither answered nor on its way, some of it for too long: it is dealt with once all that is on its way is known."""


class LaterCells:
    """Deals with the missing cells of one partition in one pass. Answers kept before `since` are not taken."""

    def __init__(
        self,
        way: LaterWay,
        partition: str | None,
        reading: LaterAnswers,
        outcomes: RowOutcomes,
        row_counts: RowCounts,
        journal: Journal,
        *,
        background: BackgroundPass | None = None,
        known: KnownLengths | None = None,
        since: float = 0.0,
        folder: str | None = None,
    ) -> None:
        self.counts = LaterCounts()
        self._background = background
        self._known = known
        self._posted: dict[bytes, Request] = {}
        """The requests that are to be sent for the background, by the digests of their cells."""
        self.is_complete = False
        """Whether all rows were dealt with."""
        self._requests = StoredArray("S16", folder)
        """The digests of all rows' requests, `S16[n]`: of rows that have one."""
        self._waiting = bytearray()
        """The digests of requests that have no answer yet."""
        self._way = way
        self._answers = way.answers
        self._partition = partition
        self._reading = reading
        self._outcomes = outcomes
        self._row_counts = row_counts
        self._journal = journal
        self._since = since
        if way.budget is not None:
            way.budget.begin(partition)

    def settled(self) -> Digests:
        """The requests of all rows but those that wait, `S16[n]`."""
        import numpy as np

        if not self._waiting:
            return self._requests[:]
        waiting = sorted_digests(self._waiting)
        return np.concatenate([some[~are_among(some, waiting)] for some in lookup_batches(self._requests)])

    def _wait(self, rows: AdmittedRows, places: Sequence[int], requests: dict[int, Request]) -> None:
        self._row_counts.wait(rows.digests[i] for i in places)
        for i in places:
            self._waiting += requests[i].digest

    async def take_over(self, rows: AdmittedRows) -> None:
        """Deals with some rows; leaves in `to_ask` those that are to be asked for, in the background or now."""
        sorted_rows = await run_in_thread(self._sort, rows)
        if sorted_rows.fetched:
            await self._fetch(rows, sorted_rows)
        for i, begun in sorted_rows.unfinished:
            made = await self._reading.finish(rows.cells[i], begun)
            if made.error is None:
                self._outcomes.answered(rows.digests[i], made.value, made.provenance)
            else:
                sorted_rows.failures.append((i, made))
        for i, made in sorted_rows.failures:
            assert made.error is not None
            self._outcomes.failed(rows.first + i, rows.digests[i], made.error, made.provenance)
        rows.to_ask = sorted_rows.to_ask

    async def _fetch(self, rows: AdmittedRows, found: _Sorted) -> None:
        """Fetches the responses that were made in the background, as far as this round goes."""
        background = self._way_of_background
        fetched = await background.round.fetch([one for _, one in found.fetched])
        again: list[int] = []
        late: list[int] = []
        waiting: list[int] = []
        for (i, one), what in zip(found.fetched, fetched, strict=True):
            request = found.requests[i]
            if what.answer is not None:
                processing: Processing = "background_2h" if one.window == "2h" else "background_8h"
                self._note_made(
                    rows, i, self._reading.read(rows.cells[i], request, what.answer, processing), found
                )
                self.counts.taken += 1
            elif what.state == "made":
                waiting.append(i)
            elif what.state == "late":  # whose id says so to the pass that asks for it now
                late.append(i)
            else:
                background.ids.forget(request.digest)
                again.append(i)
        for i, _ in found.failures:
            if i in found.requests:
                background.ids.forget(found.requests[i].digest)
        self._wait_for(rows, found.requests, waiting)
        found.late, found.rest = late + found.late, again + found.rest
        await run_in_thread(self._deal_with_rest, rows, found)

    @property
    def _way_of_background(self) -> BackgroundPass:
        assert self._background is not None
        return self._background

    def _sort(self, rows: AdmittedRows) -> _Sorted:
        """Takes what is answered, and says what is to be done about the others. Called in a thread."""
        import numpy as np

        requests = _requests(rows)
        found = _Sorted(requests, [i for i in rows.to_ask if i not in requests])
        places = np.array(list(requests), np.int64)
        digests = np.array([request.digest for request in requests.values()], "S16")
        self._note_requests(rows)
        kept = self._answers.kept_mask(digests, self._partition, self._since)  # which notes the pass as well
        if not len(places):
            return found
        self._take(rows, found, places[kept].tolist(), digests[kept])
        if self._known is not None:
            self._known.learn(rows)
        places, digests = places[~kept], digests[~kept]
        if self._background is not None and len(places):
            ids = self._background.ids.of(digests)
            in_background = np.array([one is not None for one in ids], bool)
            found.fetched = [
                (i, one)
                for i, one, is_there in zip(places.tolist(), ids, in_background.tolist(), strict=True)
                if is_there and one is not None
            ]
            places, digests = places[~in_background], digests[~in_background]
        if not len(places):
            return found
        on_its_way = self._answers.on_its_way(digests)
        if on_its_way.any():
            self._answers.also_waits(self._partition, digests[on_its_way])
        self._wait_for(rows, requests, places[on_its_way].tolist())
        places, digests = places[~on_its_way], digests[~on_its_way]
        overdue = self._answers.is_overdue(digests) if len(digests) else on_its_way[:0]
        found.late, found.rest = places[overdue].tolist(), places[~overdue].tolist()
        if not found.fetched:
            self._deal_with_rest(rows, found)
        return found

    def _deal_with_rest(self, rows: AdmittedRows, found: _Sorted) -> None:
        way, late, rest = self._way, found.late, found.rest
        if way.rest == "ask":
            found.to_ask += [*late, *rest]
            return
        if way.asks_overdue:
            found.to_ask += late
        else:
            self.counts.overdue += len(late)
            self._wait(rows, late, found.requests)
        if way.rest == "want":
            self._want(rows, found, rest)
        else:
            self.counts.left += len(rest)
            self._wait(rows, rest, found.requests)

    def _note_requests(self, rows: AdmittedRows) -> None:
        import numpy as np

        joined = bytearray()
        for cell, digest in zip(rows.cells, rows.digests, strict=True):
            if isinstance(cell, ReadyCall):
                joined += digest
            elif cell is not None:
                for request in _requests_in(cell):
                    joined += request.digest
        self._requests.append(np.frombuffer(bytes(joined), "S16"))

    def _take(self, rows: AdmittedRows, found: _Sorted, places: Sequence[int], digests: Digests) -> None:
        """Makes cells of the answers that are kept."""
        if not places:
            return
        read, requests, cells = self._reading.read, found.requests, rows.cells
        answers = self._answers.take(digests, self._partition, self._since)
        for i, (answer, counts) in zip(places, answers, strict=True):
            self._note_made(rows, i, read(cells[i], requests[i], answer, counts=counts), found)
        self.counts.taken += len(places)

    def _note_made(self, rows: AdmittedRows, i: int, made: Made | Unfinished, found: _Sorted) -> None:
        if isinstance(made, Unfinished):
            found.unfinished.append((i, made))
            return
        rows.cells[i] = None
        if made.error is not None:
            found.failures.append((i, made))
            return
        self._outcomes.answered(rows.digests[i], made.value, made.provenance)
        if self._journal.pending_bytes > _BYTES_PENDING:
            self._journal.flush()

    def _wait_for(self, rows: AdmittedRows, requests: dict[int, Request], places: Sequence[int]) -> None:
        """Counts what is on its way."""
        self.counts.on_its_way += len(places)
        self._wait(rows, places, requests)
        for i in places:
            self._expect(self._way.expected_usd(requests[i]))
            if self._way.budget is not None:
                self._way.budget.note_on_its_way(self._partition, requests[i])

    def _want(self, rows: AdmittedRows, found: _Sorted, places: Sequence[int]) -> None:
        """Has rows submitted, or asked for in the background; those that cannot be failed."""
        way, partition, want, waiting = self._way, self._partition, self._answers.want, list[int]()
        for i in places:
            request = found.requests[i]
            if request.prefix is not None and rows.failed_before[i]:
                request = request.unmarked()  # for whose mark it may have been refused
            if way.budget is not None and not way.budget.admits(partition, request):
                self.counts.without_budget += 1
                waiting.append(i)
                continue
            expected = way.expected_usd(request)
            if self._background is not None and self._background.window is not None:
                self._posted[rows.digests[i]] = request
                found.to_ask.append(i)
                continue
            try:
                want(request, partition, expected)
            except CellError as e:
                found.failures.append((i, Made(None, e, Provenance())))
                continue
            self.counts.wanted += 1
            self._expect(expected)
            waiting.append(i)
        self._wait(rows, waiting, found.requests)

    def background_row(
        self, asking: Asking, row: int, digest: bytes, cell: Any, held: Held, *, failed_before: bool
    ) -> BackgroundRow | None:
        """The row, if it is to be asked for in the background."""
        request = self._posted.pop(digest, None)
        if request is None:
            return None
        window = self._way_of_background.window
        assert window is not None
        posted = background_request(request, window)
        return BackgroundRow(
            asking, row, digest, cell, held, posted, self._note_started, failed_before=failed_before
        )

    def _note_started(self, digest: bytes, request: BackgroundRequest, response_id: str) -> None:
        background = self._way_of_background
        background.ids.add(request.digest, BackgroundId(response_id, request.window, background.clock()))
        self.counts.on_its_way += 1
        self._row_counts.wait([digest])
        self._waiting += request.digest
        self._expect(self._way.expected_usd(request))

    def _expect(self, cost_usd: float | None) -> None:
        known = self.counts.expected_usd
        self.counts.expected_usd = None if known is None or cost_usd is None else known + cost_usd


def _requests(rows: AdmittedRows) -> dict[int, Request]:
    """The requests of the rows that are to be asked for, by their places; not of a cell that needs none."""
    found: dict[int, Request] = {}
    for i in rows.to_ask:
        cell = rows.cells[i]
        if isinstance(cell, ReadyCall):
            if isinstance(cell.request, Request):
                found[i] = cell.request
        else:
            found.update((i, request) for request in _requests_in(cell))
    return found


def _requests_in(cell: Any) -> Iterator[Request]:
    """The requests in a cell: one, where its answer comes later."""
    for call in calls_in(cell):
        if isinstance(call, ReadyCall) and isinstance(call.request, Request):
            yield call.request
