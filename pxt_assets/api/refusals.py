"""Whether a refusal (402, 403, 404, a page in place of an answer) meets one request, or every request to a model.

A firewall before a gateway, or a moderated model, refuses single prompts with the statuses of a wrong key or an unknown
model. What tells them apart is whether anything else of that model is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pxt_assets.errors import RunError

FIRST_REFUSALS = 5
"""Refusals in a row that are of all requests, while nothing of the model has been answered."""
REFUSALS_IN_A_ROW = 20
"""Refusals in a row that are of all requests, once something of the model has been answered."""
WAIT_SECONDS = 30.0
"""How long refused requests wait for others to be sent, while more rows are still to come."""
SETTLE_SECONDS = 0.1
"""How long they wait where none is known to come: packed requests are gathered for a moment."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused request tells about others."""

    error: RunError
    """What stops the run if all requests are refused."""
    is_news: bool = True
    """Whether the row has not failed in an earlier run, when it was seen to be the row's own failure."""
    counts_alone: bool = True
    """Whether it is of all requests if it is the only one; if not, only as one of several in a row."""
    is_of_server: bool = False
    """Whether it speaks of the server, not of the model: answers of an earlier run tell nothing about that."""


@dataclass(eq=False)
class _Held:
    """A refused request that waits until it is known whether others are answered."""

    refusal: Refusal
    is_own: asyncio.Future[bool]

    def settle(self, *, is_own: bool) -> None:
        if not self.is_own.done():
            self.is_own.set_result(is_own)


@dataclass(eq=False)
class ModelRefusals:
    """The refusals of one model at one endpoint. For one event loop.

    While nothing of the model has been answered, a refused request waits for the others that are under way: if one is
    answered, the refusal is its own; if none is, it is of all. Once something has been answered, a refusal is the
    request's own, until too many come in a row. Then no request is sent before one of those under way is answered; if
    none is, the refusals are of all.
    """

    _registry: Refusals
    answered: bool = False
    """Whether anything of the model has been answered in this run."""
    _answered_before: bool = False
    """Whether anything of the model was answered in an earlier run."""
    _in_row: int = 0
    _under_way: int = 0
    """Requests that were sent and have not ended, those included that are to be sent again."""
    _held: list[_Held] = field(default_factory=list)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _last_error: RunError | None = None
    _timer: asyncio.TimerHandle | None = None

    def turn(self) -> Turn:
        """A request's turn, which it must end: it is queued, sent, and perhaps refused until then."""
        self._registry.senders += 1
        return Turn(self)

    def note_answer(self) -> None:
        """Notes that a request was answered: every refusal up to now was the request's own."""
        self.answered, self._in_row = True, 0
        if self._held or self._waiting:
            self._settle(self._held, is_own=True)

    def note_earlier_answer(self) -> None:
        """Notes that a request was answered in an earlier run."""
        if not self._answered_before:
            self._answered_before = True
            self._settle([one for one in self._held if not one.refusal.is_of_server], is_own=True)

    def decide(self) -> None:
        """Ends the waiting if nothing is under way that could still be answered, or will be soon."""
        if self._under_way > 0:
            return
        if self._too_many:
            self._settle(self._held, is_own=False)
        elif self._held:
            seconds = WAIT_SECONDS if self._registry.senders else SETTLE_SECONDS
            loop = asyncio.get_running_loop()
            if self._timer is not None and self._timer.when() > loop.time() + seconds:
                self._timer.cancel()
                self._timer = None
            self._timer = self._timer or loop.call_later(seconds, self._on_timer)

    @property
    def _too_many(self) -> bool:
        if self._in_row < FIRST_REFUSALS:
            return False
        known = self.answered or self._answered_before
        return self._in_row >= (REFUSALS_IN_A_ROW if known else FIRST_REFUSALS)

    def _is_own(self, refusal: Refusal) -> bool:
        """Whether answers show already that a refusal is the request's own."""
        return self.answered or (self._answered_before and not refusal.is_of_server)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._under_way:
            self._settle_as_alone()

    def _settle_as_alone(self) -> None:
        self._settle([one for one in self._held if one.refusal.counts_alone], is_own=False)
        self._settle(self._held, is_own=True)

    def _settle(self, held: list[_Held], *, is_own: bool) -> None:
        """Lets these refused requests go on with what is known of them, and those that wait to be sent look again."""
        self._held = [one for one in self._held if one not in held]
        for one in held:
            one.settle(is_own=is_own)
        if not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Turn:
    """One request among those of its model."""

    __slots__ = ("model", "under_way")

    def __init__(self, model: ModelRefusals) -> None:
        self.model = model
        self.under_way = False
        """Whether it has been sent."""

    def end(self) -> None:
        """Ends the turn: the request is answered, or given up."""
        model = self.model
        model._registry.senders -= 1
        model._under_way -= self.under_way
        model._registry.decide()

    @property
    def must_wait(self) -> bool:
        """Whether the request may not be sent now, as too many were refused."""
        return not self.under_way and self.model._too_many

    async def wait(self) -> None:
        """Waits until the request may be sent. Raises RunError if all are refused."""
        model = self.model
        while self.must_wait:
            if not model._under_way and model._last_error is not None:
                raise model._last_error
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            model._waiting.append(waiter)
            await waiter

    def start(self) -> bool:
        """Whether the request may be sent now; it is then under way."""
        model = self.model
        if not self.under_way and not model._too_many:
            self.under_way = True
            model._under_way += 1
        return self.under_way

    async def judge(self, refusal: Refusal) -> None:
        """Returns if a refusal is the request's own, once that is known. Raises its error if it is of all requests."""
        if not refusal.is_news:
            return
        model = self.model
        model._last_error = refusal.error
        model._in_row += 1
        if model._is_own(refusal):
            if model._too_many and model._under_way <= 1:
                raise refusal.error
            return
        held = _Held(refusal, asyncio.get_running_loop().create_future())
        model._held.append(held)
        model._under_way -= 1
        model._registry.senders -= 1
        try:
            model._registry.decide()
            if not await held.is_own:
                raise refusal.error
        finally:
            model._under_way += 1
            model._registry.senders += 1
            with suppress(ValueError):
                model._held.remove(held)


class Refusals:
    """The refusals of all models, by endpoint and model."""

    def __init__(self) -> None:
        self.senders = 0
        """What may still send requests, of any model: senders with more to come, and requests that are not held."""
        self._models: dict[tuple[str, str], ModelRefusals] = {}

    def of(self, path: str, model: str) -> ModelRefusals:
        """The refusals of one model at the endpoint with that path."""
        known = self._models.get((path, model))
        if known is None:
            known = self._models[path, model] = ModelRefusals(self)
        return known

    def decide(self) -> None:
        """Ends the waiting of refused requests where nothing could still be answered."""
        for model in self._models.values():
            model.decide()

    @contextmanager
    def expect_requests(self) -> Iterator[None]:
        """Within the block more requests are still to come, so that a lone refusal waits for them."""
        self.senders += 1
        try:
            yield
        finally:
            self.senders -= 1
            self.decide()
