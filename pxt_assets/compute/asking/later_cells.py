"""Cells whose answers come later: what is answered is taken, what is on its way is waited for, the rest is wanted.

This stands in the place of asking: rows are read, compared and counted as ever, but no task and no limiter has to do
with them. It is a plain loop over some thousand rows at a time, in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pxt_assets.api.batches import LineAnswer
from pxt_assets.api.later_budget import LaterBudget
from pxt_assets.api.request import Request
from pxt_assets.compute.asking.later_answers import LaterAnswers, Made, Unfinished
from pxt_assets.compute.asking.row_admission import AdmittedRows
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.asking.row_outcomes import RowOutcomes
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.partition.plan import ReadyCall, calls_in
from pxt_assets.errors import CellError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.provenance import Provenance

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pxt_assets.compute.cells.digest_index import Digests

_BYTES_PENDING = 32 * 2**20
"""Bytes of values that may wait to be written: beyond, they are written before more is taken."""


class AnswersOfColumn(Protocol):
    """What is known of a column's answers that come later, by the digests of requests, `S16[n]`."""

    def kept_mask(self, digests: Digests, partition: str | None, since: float = 0.0) -> npt.NDArray[np.bool_]:
        """Which have an answer that was kept at `since` or later."""

    def take(self, digests: Digests) -> Iterator[LineAnswer]:
        """The kept answers, all of which are there, in that order."""

    def on_its_way(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Of which an answer may still come."""

    def also_waits(self, partition: str | None, digests: Digests) -> None:
        """Notes that a partition waits for what is on its way."""

    def is_overdue(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which are to be asked for now."""

    def want(self, request: Request, partition: str | None, cost_usd: float | None = 0.0) -> None:
        """Has a request submitted. Raises CellError for one that cannot be."""


@dataclass(frozen=True)
class LaterWay:
    """How the missing cells of a pass are dealt with."""

    answers: AnswersOfColumn
    rest: Literal["ask", "want", "leave"]
    """Whether what nobody has asked for is asked for now, is to be submitted, or is left to another pass."""
    asks_overdue: bool
    """Whether what was waited for too long is asked for now; if not, another pass does."""
    expected_usd: Callable[[Request], float | None]
    """What a request is expected to cost in US dollars."""
    budget: LaterBudget | None = None


@dataclass
class LaterCounts:
    """What became of a partition's missing cells in a pass, each cell counted once."""

    taken: int = 0
    """Answered, and in the journal."""
    on_its_way: int = 0
    wanted: int = 0
    """To be submitted."""
    overdue: int = 0
    """To be asked for now, by another pass."""
    left: int = 0
    """Left to another pass, as they are neither answered nor on their way."""
    without_budget: int = 0
    """For which the budget has no room."""
    expected_usd: float | None = 0.0
    """What is expected of those that wait; None where a price is not known."""

    @property
    def waiting(self) -> int:
        """Cells that are neither finished nor asked for now."""
        return self.on_its_way + self.wanted + self.overdue + self.left + self.without_budget


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
        since: float = 0.0,
        folder: str | None = None,
    ) -> None:
        self.counts = LaterCounts()
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

        requests = self._requests[:]
        if not self._waiting:
            return requests
        return requests[~np.isin(requests, np.frombuffer(bytes(self._waiting), "S16"))]

    def _wait(self, rows: AdmittedRows, places: Sequence[int], requests: dict[int, Request]) -> None:
        self._row_counts.wait(rows.digests[i] for i in places)
        for i in places:
            self._waiting += requests[i].digest

    async def take_over(self, rows: AdmittedRows) -> None:
        """Deals with some rows; leaves in `to_ask` those that are to be asked for now."""
        failures, unfinished, rows.to_ask = await run_in_thread(self._sort, rows)
        for i, begun in unfinished:
            made = await self._reading.finish(rows.cells[i], begun)
            if made.error is None:
                self._outcomes.answered(rows.digests[i], made.value, made.provenance)
            else:
                failures.append((i, made))
        for i, made in failures:
            assert made.error is not None
            self._outcomes.failed(rows.first + i, rows.digests[i], made.error, made.provenance)

    def _sort(
        self, rows: AdmittedRows
    ) -> tuple[list[tuple[int, Made]], list[tuple[int, Unfinished]], list[int]]:
        """Takes what is answered; returns what failed, what is to be finished, and what is to be asked for now."""
        import numpy as np

        requests = _requests(rows)
        asks_nothing = [i for i in rows.to_ask if i not in requests]
        places = np.array(list(requests), np.int64)
        digests = np.array([request.digest for request in requests.values()], "S16")
        self._note_requests(rows)
        if not len(places):
            return [], [], asks_nothing
        kept = self._answers.kept_mask(digests, self._partition, self._since)
        taken = places[kept].tolist()
        failures, unfinished = self._take(rows, requests, taken, digests[kept])
        places, digests = places[~kept], digests[~kept]
        on_its_way = self._answers.on_its_way(digests) if len(digests) else kept[:0]
        self._wait_for(rows, requests, places[on_its_way].tolist(), digests[on_its_way])
        places, digests = places[~on_its_way], digests[~on_its_way]
        if self._way.rest == "ask":
            return failures, unfinished, [*asks_nothing, *places.tolist()]
        overdue = self._answers.is_overdue(digests) if len(digests) else on_its_way[:0]
        late, rest = places[overdue].tolist(), places[~overdue].tolist()
        if not self._way.asks_overdue:
            self.counts.overdue += len(late)
            self._wait(rows, late, requests)
            late = []
        if self._way.rest == "want":
            failures += self._want(rows, requests, rest)
        else:
            self.counts.left += len(rest)
            self._wait(rows, rest, requests)
        return failures, unfinished, [*asks_nothing, *late]

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

    def _take(
        self, rows: AdmittedRows, requests: dict[int, Request], places: Sequence[int], digests: Digests
    ) -> tuple[list[tuple[int, Made]], list[tuple[int, Unfinished]]]:
        failures: list[tuple[int, Made]] = []
        unfinished: list[tuple[int, Unfinished]] = []
        if not places:
            return failures, unfinished
        read, answered = self._reading.read, self._outcomes.answered
        for i, answer in zip(places, self._answers.take(digests), strict=True):
            made = read(rows.cells[i], requests[i], answer)
            rows.cells[i] = None if isinstance(made, Made) else rows.cells[i]
            if isinstance(made, Unfinished):
                unfinished.append((i, made))
            elif made.error is not None:
                failures.append((i, made))
            else:
                answered(rows.digests[i], made.value, made.provenance)
                if self._journal.pending_bytes > _BYTES_PENDING:
                    self._journal.flush()
        self.counts.taken += len(places)
        return failures, unfinished

    def _wait_for(
        self, rows: AdmittedRows, requests: dict[int, Request], places: Sequence[int], digests: Digests
    ) -> None:
        if not places:
            return
        self._answers.also_waits(self._partition, digests)
        self.counts.on_its_way += len(places)
        self._wait(rows, places, requests)
        for i in places:
            self._expect(self._way.expected_usd(requests[i]))
            if self._way.budget is not None:
                self._way.budget.note_on_its_way(self._partition, requests[i])

    def _want(
        self, rows: AdmittedRows, requests: dict[int, Request], places: Sequence[int]
    ) -> Iterable[tuple[int, Made]]:
        """Has rows submitted; those that cannot be failed."""
        failures: list[tuple[int, Made]] = []
        way, partition, want, waiting = self._way, self._partition, self._answers.want, []
        for i in places:
            request = requests[i]
            if way.budget is not None and not way.budget.admits(partition, request):
                self.counts.without_budget += 1
            else:
                expected = way.expected_usd(request)
                try:
                    want(request, partition, expected)
                except CellError as e:
                    failures.append((i, Made(None, e, Provenance())))
                    continue
                self.counts.wanted += 1
                self._expect(expected)
            waiting.append(i)
        self._wait(rows, waiting, requests)
        return failures

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
