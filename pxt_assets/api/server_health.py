"""How the server is: whether it was ever reached, whether it is down, and how much may be in flight."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from pxt_assets.api.failure import Failure
from pxt_assets.api.rejections import Rejections
from pxt_assets.api.request import Request
from pxt_assets.api.unreached import is_untrusted, short_cause
from pxt_assets.errors import RunError
from pxt_assets.throttle import CircuitBreaker, InFlightWindow, OutageError
from pxt_assets.throttle.hold import LONGEST_HOLD_SECONDS

if TYPE_CHECKING:
    from pxt_assets.api.wire import ApiUrl

_LONG_WAIT_SECONDS = 60.0
"""Waits that a server asks for are logged from this on."""


class ServerHealth:
    """What the outcomes of requests tell of the server at `base_url`, within one event loop.

    `window` bounds what is in flight, `outage_timeout` is the seconds for an outage, which is reported to `say`.
    """

    def __init__(
        self,
        base_url: ApiUrl,
        max_in_flight: int,
        outage_timeout: float,
        rng: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._base_url = base_url
        self._say = say
        self._breaker = CircuitBreaker(outage_timeout, rng.random, say)
        self._rejections = Rejections(outage_timeout, say)
        self._wait_reported_until = -math.inf
        self._last_fault: Failure | None = None
        self.window = InFlightWindow(max_in_flight)
        self.has_answered = False
        """Whether the server ever answered anything, an error included."""
        self.has_let_in = False
        """Whether it ever took a request, though it may have refused it: anything but faults and 429s."""

    @property
    def api_url(self) -> str:
        """The server's URL as messages name it, without credentials."""
        url = self._base_url
        return f"{url.scheme}://{url.netloc.decode().rpartition('@')[2]}{url.path}"

    @property
    def is_out(self) -> bool:
        """Whether requests are held back, since the server answers nothing but faults."""
        return self._breaker.open

    @property
    def lets_all_go(self) -> bool:
        """Whether any request may be sent at once, without waiting for its turn."""
        return self._breaker.lets_all_go

    async def wait_turn(self) -> bool:
        """Waits until a request may be sent; returns whether it is a probe. Raises RunError after a long outage.

        A probe that is not sent must be `abandoned`.
        """
        try:
            return await self._breaker.wait_turn()
        except OutageError as e:
            msg = (
                f"the API at {self.api_url} {e}. Finished cells are kept; materialize again when it answers, to go on with "
                "the rest. outage_timeout of the OpenAIResource says how long an outage is waited for."
            )
            raise RunError(msg) from e

    def abandoned(self) -> None:
        """Lets another probe go in place of one that was not sent."""
        self._breaker.abandoned()

    def note_alive(self) -> None:
        """Notes an outcome that is no fault of the server's."""
        self.window.answered()
        self._breaker.answered()

    def note_let_in(self, request: Request) -> None:
        """Notes that the server took a request, though it may have refused it."""
        self.has_let_in = True
        self._rejections.note_other(request.endpoint.path, request.model)

    def note_rejection(self, request: Request, failure: Failure) -> None:
        """Notes a 429. Raises RunError if the model has answered nothing else for too long."""
        now = asyncio.get_running_loop().time()
        self._rejections.note(request.endpoint.path, request.model, failure, request.size, now, self.api_url)

    def note_fault(self, number: int, failure: Failure, *, probe: bool, known: bool) -> None:
        """Notes a fault, met by the request of that number.

        `known` is false for what may as well come from another server than one in trouble.
        """
        self.window.failed()
        self._last_fault = failure
        if self.has_answered and (known or probe):  # else nobody knows that there is such a server at all
            self._breaker.failed(number, f"{failure.name}: {failure.message}", probe=probe)

    def report_long_wait(self, seconds: float | None) -> None:
        """Says that the server asks to wait, if it is for long and not said yet."""
        now = asyncio.get_running_loop().time()
        if seconds is not None and seconds > _LONG_WAIT_SECONDS and now > self._wait_reported_until:
            self._wait_reported_until = now + seconds
            self._say(
                f"the API at {self.api_url} asks to wait {seconds:.0f} s before the next request; a single one tries "
                f"again in {LONGEST_HOLD_SECONDS:.0f} s at the latest"
            )

    def outage_error(self, failure: Failure) -> RunError:
        """The error if every request met a fault, the last of them this one."""
        return RunError(
            f"the API at {self.api_url} has answered nothing but faults to all requests; it last said: {failure.name}: "
            f"{failure.message.rstrip('.')}. Finished cells are kept; materialize again when it answers."
        )

    def check_reachable(self, failure: Failure) -> None:
        """Raises RunError if the server never answered, which is no row's fault."""
        if failure.status is None and not self.has_answered:
            raise failure.unreachable_error(self.api_url, self._base_url)

    def check_trusted(self, failure: Failure) -> None:
        """Raises RunError if the server never answered and its certificate is refused: trying again mends nothing."""
        if is_untrusted(failure.message):
            self.check_reachable(failure)

    @property
    def silence(self) -> str | None:
        """Why nothing has answered yet, in a few words; None once something has, and before the first fault."""
        if self.has_answered or self._last_fault is None:
            return None
        return short_cause(self._last_fault.message, self._base_url)
