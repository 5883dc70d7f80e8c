"""Rows whose responses are made in the background: asked for as ever, answered with an id, and fetched by that.

They are fetched in the order in which they were asked for. A round ends after some of them that are still being made, as
those that were asked for later are too, most likely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pxt_assets.api.background_request import BackgroundRequest, Started, Window
from pxt_assets.api.batches import BackgroundApi, LineAnswer, UnknownResponseError
from pxt_assets.api.request import CellRequest
from pxt_assets.compute.asking.asked_row import AskedRow, Asking
from pxt_assets.compute.asking.background_ids import BackgroundId, BackgroundIds
from pxt_assets.compute.asking.in_flight_bound import Held
from pxt_assets.errors import CellError, RunError

_MISSES = 16
"""Responses that are still being made, after which a round ends."""
_GRACE_S = 900.0
"""Seconds after its window until a response that is not there is cancelled, and asked for now."""


@dataclass(frozen=True)
class Fetched:
    """What came of fetching a response."""

    state: Literal["ended", "made", "gone", "late"]
    """`made`: still being made. `gone`: unknown to the server, or cancelled. `late`: not there in time, and cancelled."""
    answer: LineAnswer | None = None


_NOT_FETCHED = Fetched("made")


class FetchRound:
    """One round of fetching responses, over all partitions of a run. `ends` where none is to be waited for."""

    def __init__(
        self, api: BackgroundApi, clock: Callable[[], float], at_once: int, *, ends: bool = False
    ) -> None:
        self.fetched = 0
        """How many were there."""
        self.made: list[BackgroundId] = []
        """Those that are still being made, of those that were asked about."""
        self._api = api
        self._clock = clock
        self._at_once = max(1, at_once)
        self._ends = ends
        self._knows = False
        """Whether the server knew any response."""

    @property
    def knows_any(self) -> bool:
        """Whether the server knew any response that was asked for before."""
        return self._knows

    @property
    def is_over(self) -> bool:
        """Whether no more is fetched in this round."""
        return len(self.made) >= _MISSES

    async def fetch(self, ids: Sequence[BackgroundId]) -> list[Fetched]:
        """Fetches responses, in their order. Raises RunError."""
        found = [_NOT_FETCHED] * len(ids)
        places = iter(range(len(ids)))

        async def work() -> None:
            for i in places:
                if self.is_over:
                    return
                found[i] = await self._fetch(ids[i])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(ids))):
                    group.create_task(work())
        except* RunError as e:
            raise e.exceptions[0] from None
        self._check_key(ids, found)
        return found

    async def has_news(self, awaited: Sequence[BackgroundId]) -> bool:
        """Whether any of the responses is not still being made: else a pass over all rows would find nothing to do.

        Raises RunError.
        """
        return any(one.state != "made" for one in await self.fetch(awaited))

    def _check_key(self, ids: Sequence[BackgroundId], found: Sequence[Fetched]) -> None:
        """Raises RunError where the server knows nothing of what was asked for: with another key all would be paid again."""
        self._knows = self._knows or any(one.state != "gone" and one is not _NOT_FETCHED for one in found)
        for one, what in zip(ids, found, strict=True):
            if what.state == "gone" and not self._knows and self._clock() < one.due:
                msg = (
                    f"the server knows no response {one.id}, nor any other that was asked for in the background, though they are "
                    f"to be made within {one.window}: is the key of another project? Materialize with the key that asked for "
                    "them; to ask and pay for these rows anew, remove the "
                    "folder of this column's partition whose name ends in .background"
                )
                raise RunError(msg)

    async def _fetch(self, one: BackgroundId) -> Fetched:
        try:
            state = await self._api.fetch(one.id)
            is_late = self._clock() > one.due + _GRACE_S
            if not state.is_ended and (self._ends or is_late):
                state = await self._api.cancel(one.id)
        except UnknownResponseError:
            return Fetched("gone")
        if not state.is_ended or state.status in ("cancelled", "canceled", "cancelling", "expired"):
            if self._ends or is_late:
                return Fetched("late")
            if state.is_ended:
                self._knows = True
                return Fetched("gone")
            self.made.append(one)
            return Fetched("made")
        self.fetched += 1
        return Fetched("ended", state.answer)


@dataclass(frozen=True)
class BackgroundPass:
    """What a pass over a partition has to do with responses that are made in the background."""

    ids: BackgroundIds
    round: FetchRound
    window: Window | None
    """The one in which what nobody has asked for is asked for; None where it is asked for otherwise."""
    clock: Callable[[], float]


class BackgroundRow(AskedRow):
    """A row that is asked for in the background; `on_started` is told its id."""

    __slots__ = ("_on_started", "_request")

    def __init__(
        self,
        asking: Asking,
        row: int,
        digest: bytes,
        cell: Any,
        held: Held,
        request: BackgroundRequest,
        on_started: Callable[[bytes, BackgroundRequest, str], None],
        *,
        failed_before: bool,
    ) -> None:
        super().__init__(asking, row, digest, cell, held, failed_before=failed_before)
        self._request = request
        self._on_started = on_started

    async def ask(self) -> None:
        """Sends the row's request, and keeps the id. Raises CancelledError alone."""
        asking, cell = self._asking, self.cell
        task = asyncio.current_task()
        assert task is not None
        asking.tasks.add(task)
        provenance = None
        try:
            value, provenance = await asking.calls.ask(self._request, failed_before=self.failed_before)
            if isinstance(value, Started):
                self._on_started(self.digest, self._request, value.id)
                self.cancel()
                return

            async def answer(asked: CellRequest) -> Any:
                return asked.cell_value(value)

            self._end(await asking.plan.finish(cell, answer), provenance)
        except asyncio.CancelledError:
            self.cancel()
            raise
        except CellError as e:
            if provenance is None:
                self.set_exception(e)
            else:
                self._fail(e, provenance)
        except BaseException as e:
            self.set_exception(e)
        finally:
            asking.tasks.discard(task)
