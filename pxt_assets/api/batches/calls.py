"""Calls of the API that may wait: faults are tried again, and what stays refused is told in the house's words."""

from __future__ import annotations

import asyncio
import logging
import random as random_module
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pxt_assets.api.batches.protocols import QueueFullError
from pxt_assets.api.batches.queue_limit import is_queue_full
from pxt_assets.api.failure import Failure, failure_of, redact, verdict_of
from pxt_assets.api.wire import ApiUrl
from pxt_assets.errors import RunError
from pxt_assets.throttle import FailureKind, backoff_seconds

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")

LONGEST_REJECTION_SECONDS = 3_900.0
"""Time for which a call waits that meets nothing but 429s: batches are limited by the hour."""
_REFUSING = (401, 402, 403)

_log = logging.getLogger("pxt_assets")


class LostAnswerError(RunError):
    """A call whose answer was lost: the server may have done what it was asked."""


class RefusedError(RunError):
    """A call that the server refuses, and would again."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class NotFoundError(RefusedError):
    """A call for something that the server does not know."""


class UnreadableAnswerError(Exception):
    """An answer with status 200 that is not what was asked for: a proxy's page, half a text."""


@dataclass(frozen=True)
class Waiting:
    """How calls wait. `sleep` takes seconds, `clock` gives them, `random` numbers in [0, 1)."""

    max_retries: int = 5
    """How often a fault is tried again at least."""
    outage_seconds: float = 300.0
    """For how long faults are tried again at least."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random_module.random


class Calls:
    """Calls by the official client, to the API at `where`. `secrets` are replaced in all texts."""

    def __init__(
        self,
        client: Callable[[], openai.AsyncOpenAI],
        where: ApiUrl,
        *,
        secrets: tuple[str, ...] = (),
        waiting: Waiting = Waiting(),
        say: Callable[[str], None] = _log.warning,
        azure: bool = False,
    ) -> None:
        self._client, self.where, self._say = client, where, say
        self.secrets, self.waiting, self.is_azure = secrets, waiting, azure

    async def json(
        self,
        what: str,
        send: Callable[[openai.AsyncOpenAI], Awaitable[httpx2.Response]],
        *,
        once: bool = False,
    ) -> object:
        """The JSON of an answer; `what` says what is done, for messages: "upload a file". See `run`."""

        async def attempt(client: openai.AsyncOpenAI) -> object:
            response = await send(client)
            try:
                return response.json()
            except ValueError as e:
                page = " ".join(response.text[:300].split())
                msg = f"the answer is no JSON: {page or 'it is empty'}"
                raise UnreadableAnswerError(msg) from e

        return await self.run(what, attempt, once=once)

    async def run(
        self, what: str, attempt: Callable[[openai.AsyncOpenAI], Awaitable[T]], *, once: bool = False
    ) -> T:
        """What `attempt` returns, which is called again after faults and 429s.

        With `once` it raises LostAnswerError where the server may have done what it was asked, instead of asking again.
        Raises NotFoundError, RefusedError, QueueFullError, FatalApiError where every call would fail, RunError for an outage.
        """
        now, began = self.waiting.clock, self.waiting.clock()
        faults, rejections = 0, 0
        first_fault: float | None = None
        while True:
            try:
                return await attempt(self._client())
            except RunError:
                raise
            except Exception as e:
                failure = self._failure(e)
                if failure is None:
                    raise
            if is_queue_full(failure.code, failure.message):
                raise QueueFullError(self._text(what, failure))
            verdict = verdict_of(failure)
            if verdict.kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
                if now() - began > LONGEST_REJECTION_SECONDS:
                    raise RunError(
                        self._text(what, failure, f"nothing but 429s came for {_time(now() - began)}")
                    )
                pause = backoff_seconds(rejections, self.waiting.random, verdict.retry_after)
                rejections, faults, first_fault = rejections + 1, 0, None
            elif verdict.kind in (FailureKind.TRANSIENT, FailureKind.OVERLOADED) and failure.status != 409:
                if once and _may_be_done(failure):
                    raise LostAnswerError(self._text(what, failure, "the answer was lost"))
                first_fault = now() if first_fault is None else first_fault
                lasted = now() - first_fault
                if faults >= self.waiting.max_retries and lasted >= self.waiting.outage_seconds:
                    raise self._outage(what, failure, faults + 1, lasted)
                pause = backoff_seconds(faults, self.waiting.random, verdict.retry_after)
                faults += 1
            else:
                raise self._refusal(what, failure)
            if pause >= 10 or faults == 3:
                self._say(self._text(what, failure, f"trying again in {pause:.0f} s"))
            await self.waiting.sleep(pause)

    def _failure(self, error: Exception) -> Failure | None:
        if isinstance(error, UnreadableAnswerError):
            return Failure("UnreadableAnswer", redact(str(error), self.secrets), 200, unreadable="page")
        return failure_of(error, self.secrets)

    def _refusal(self, what: str, failure: Failure) -> RunError:
        if failure.status in _REFUSING or verdict_of(failure).kind is FailureKind.FATAL:
            return failure.fatal_error(str(self.where))
        if failure.status == 404:
            hint = (
                "It is gone, or belongs to another project, organization or key, of which the API says the same: check "
                "api_key, project, organization and base_url of the OpenAIResource"
            )
            return NotFoundError(self._text(what, failure, hint), failure)
        return RefusedError(self._text(what, failure), failure)

    def _outage(self, what: str, failure: Failure, attempts: int, lasted: float) -> RunError:
        if failure.unreadable:
            return failure.wrong_server_error(str(self.where))
        if failure.status is None and not failure.maybe_sent:
            return failure.unreachable_error(str(self.where), self.where)
        return RunError(self._text(what, failure, f"it failed {attempts} times in {_time(lasted)}"))

    def _text(self, what: str, failure: Failure, more: str = "") -> str:
        status = "" if failure.status is None else f" {failure.status}"
        request = f" (request {failure.request_id})" if failure.request_id else ""
        said = f"{failure.name}{status}: {failure.message.rstrip('. ')}{request}"
        return f"the API at {self.where} does not {what}: {said}{f'. {more[:1].upper()}{more[1:]}' if more else ''}"


def _may_be_done(failure: Failure) -> bool:
    """Whether the server may have done what it was asked: a gateway's 502 tells nothing of the server behind it."""
    return failure.maybe_sent or failure.status is not None


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
