"""The client: the life of a request, sent through the limiter until it is answered or refused for good."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from pxt_assets.api.answer import Answer
from pxt_assets.api.answer_encoding import AnswerEncodings
from pxt_assets.api.exchange import Exchange
from pxt_assets.api.failure import Failure, verdict_of
from pxt_assets.api.meter import Meter
from pxt_assets.api.permits import Permits, settle
from pxt_assets.api.prefix_turns import PrefixTurns
from pxt_assets.api.refusals import Refusal, Refusals, Turn
from pxt_assets.api.request import Request
from pxt_assets.api.request_tracker import RequestTracker
from pxt_assets.api.server_health import ServerHealth
from pxt_assets.api.telemetry import find_telemetry
from pxt_assets.throttle import FailureKind, LimitUtilization, Pool, Verdict, backoff_seconds
from pxt_assets.values.scrubbing import scrub

if TYPE_CHECKING:
    from pxt_assets.api.transport import Transport

_log = logging.getLogger("pxt_assets")


class Client:
    """Sends requests to one account of the API, within one event loop.

    `transport` makes one attempt. `pool_of(request)` gives the limits that the request falls under. `timeout` is the
    seconds for a whole answer, `outage_timeout` those for an outage of the server, which is reported to `say`.
    `retry_unknown` is how often a costly request whose answer was lost is sent again. `secrets` are replaced in what
    error messages quote.
    """

    def __init__(
        self,
        transport: Transport,
        pool_of: Callable[[Request], Pool],
        *,
        max_in_flight: int,
        max_retries: int,
        timeout: float,
        outage_timeout: float,
        retry_unknown: int = 1,
        max_batch: int | None = None,
        say: Callable[[str], None] = _log.warning,
        secrets: tuple[str, ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._permits = Permits(pool_of)
        self.max_in_flight = max_in_flight
        self.max_batch = max_batch
        """How many cells a request may carry at most, None for as many as the endpoint takes."""
        self._random = rng or random.Random()  # noqa: S311  (jitter)
        self._health = ServerHealth(transport.base_url, max_in_flight, outage_timeout, self._random, say)
        self.secrets = secrets
        """What errors must not quote."""
        self.scrub = partial(scrub, secrets=secrets)
        """Takes the client's secrets out of a text."""
        self._exchange = Exchange(transport, self._health, timeout, secrets)
        self._refusals = Refusals()
        self._encodings = AnswerEncodings()
        self._prefixes = PrefixTurns()
        self._send_count = 0
        telemetry = find_telemetry()
        self._telemetry = telemetry if telemetry is not None and telemetry.is_set_up else None
        self._max_retries = max_retries
        self._retry_unknown = retry_unknown

    async def send(self, request: Request, meter: Meter, *, failed_before: bool = False) -> Answer:
        """The answer to a request, of a row that `failed_before`, in an earlier run, or not.

        Raises CellError when this request cannot be answered, FatalApiError when no request can, RunError when the
        server cannot be reached, BudgetReachedError when the budget is spent, CancelledError once the meter is stopped.
        """
        if meter.stopped:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._send_count += 1
        if request.endpoint.encodings:
            request = self._encodings.encoded(request)
        tracker = RequestTracker(request, meter, task, self._send_count, self._telemetry, failed_before)
        turn = self._refusals.of(request.endpoint.path, request.model).turn()
        meter.unsent_tasks.add(task)
        answer: Answer | None = None
        try:
            if request.prefix is not None:
                await self._prefixes.enter(tracker)
            answer = await self._send_until_answered(tracker, turn)
            tracker.answered(answer)
            return answer
        except BaseException as e:
            tracker.failed(e)
            raise
        finally:
            if tracker.refused_before_trial is not None:
                self._encodings.trial_ended(tracker.request, answered=answer is not None)
            turn.end()
            tracker.end()

    async def _send_until_answered(self, tracker: RequestTracker, turn: Turn) -> Answer:
        faults = 0
        while True:
            if turn.must_wait:
                await turn.wait()
            outcome = await self._send_in_turn(tracker, turn)
            if isinstance(outcome, Answer):
                turn.model.note_answer()
                return outcome
            if outcome is None:
                faults = 0
                continue
            if tracker.lead is not None:
                tracker.lead.failed()
            failure, verdict = outcome
            if verdict.kind in (FailureKind.CELL, FailureKind.REFUSED):
                await self._handle_refusal(tracker, turn, failure, verdict.kind)
                faults = 0
                continue
            self._check_lost_answers(tracker, failure)
            self._health.check_trusted(failure)
            if failure.unreadable and not turn.model.answered and not tracker.unreadable:
                tracker.unreadable = True
                tracker.rest()
                await turn.judge(self._refusal(failure, tracker))
            if self._health.is_out:  # an outage is no fault of this request
                faults = 0
                continue
            if faults >= self._most_faults(tracker.request, failure):
                self._health.check_reachable(failure)
                await self._check_outage(tracker, turn, failure)
                if failure.status is None or failure.status < 500:
                    if failure.unreadable:
                        tracker.rejected()
                    raise failure.cell_error(divisible=failure.unreadable is not None)
                await self._handle_refusal(tracker, turn, failure, FailureKind.CELL)
                faults = 0
                continue
            tracker.rest()
            await asyncio.sleep(backoff_seconds(faults, self._random.random, verdict.retry_after))
            if verdict.kind is not FailureKind.RATE_LIMITED:
                faults += 1
                tracker.retried()

    async def _send_in_turn(
        self, tracker: RequestTracker, turn: Turn
    ) -> Answer | tuple[Failure, Verdict] | None:
        """Sends a request when the server is up and the window has room, and as `_send_until_admitted` says."""
        probe = False if self._health.lets_all_go else await self._health.wait_turn()
        window, outcome = self._health.window, None
        try:
            if not window.enter_at_once():
                await window.enter()
            try:
                outcome = await self._send_until_admitted(tracker, turn, probe=probe)
            finally:
                window.leave()
        except BaseException:
            if probe:
                self._health.abandoned()
            raise
        if outcome is None and probe:
            self._health.abandoned()
        return outcome

    def _most_faults(self, request: Request, failure: Failure) -> int:
        """How many faults of a request are retried: some servers answer 500 to more cells than they take."""
        return min(1, self._max_retries) if request.cells > 1 and failure.status == 500 else self._max_retries

    async def _handle_refusal(
        self, tracker: RequestTracker, turn: Turn, failure: Failure, kind: FailureKind
    ) -> None:
        """Returns if the request is to be sent in another form. Raises CellError, or RunError if all are refused."""
        if self._prefixes.is_mark_refused(tracker, failure):
            return
        if kind is FailureKind.CELL and not failure.too_large:
            if await self._encodings.change(tracker, failure, answered=turn.model.answered):
                return
        elif (
            kind is FailureKind.REFUSED and tracker.request.cells == 1
        ):  # of several, single ones are asked for next
            tracker.rest()
            await turn.judge(self._refusal(failure, tracker))
        raise (tracker.refused_before_trial or failure).cell_error(
            divisible=True, refused=kind is FailureKind.REFUSED
        )

    async def _check_outage(self, tracker: RequestTracker, turn: Turn, failure: Failure) -> None:
        """Raises RunError if no request of this run met anything but faults, once those under way have ended."""
        if tracker.request.cells == 1 and not self._health.has_let_in and not failure.unreadable:
            outage = self._health.outage_error(failure)
            tracker.rest()
            await turn.judge(Refusal(outage, is_news=not tracker.failed_before, is_of_server=True))

    def _refusal(self, failure: Failure, tracker: RequestTracker) -> Refusal:
        if failure.unreadable:
            error = failure.wrong_server_error(self._health.api_url)
            return Refusal(error, counts_alone=failure.unreadable == "page", is_of_server=True)
        return Refusal(failure.fatal_error(self._health.api_url), is_news=not tracker.failed_before)

    async def _send_until_admitted(
        self, tracker: RequestTracker, turn: Turn, *, probe: bool
    ) -> Answer | tuple[Failure, Verdict] | None:
        """Sends a request until it is not rejected for the rate.

        Returns its answer; or a failure, and what to do about it; or None if it was not sent because of an outage.
        """
        meter = tracker.meter
        requeued = False
        while True:
            granted = self._permits.acquire_at_once(tracker, requeued=requeued)
            permit = granted or await self._permits.acquire(tracker, requeued=requeued)
            if meter.stopped or (self._health.is_out and not probe) or not turn.start():
                permit.cancel()
                tracker.release_budget()
                if meter.stopped:
                    raise asyncio.CancelledError
                return None
            tracker.sent(self._transport)
            try:
                outcome = await self._exchange.send(tracker, permit)
            finally:
                tracker.release_budget()
            if isinstance(outcome, Answer):
                return outcome
            failure = tracker.judge_size(outcome, permit)
            meter.unsent_tasks.add(tracker.task)
            verdict = verdict_of(failure)
            soon = tracker.may_be_sent_again_soon(failure)
            if settle(permit, failure, verdict.kind, again_soon=soon):
                self._health.note_alive()
            if verdict.kind is FailureKind.FATAL:
                raise failure.fatal_error(self._health.api_url)
            if verdict.kind in (FailureKind.CELL, FailureKind.REFUSED):
                self._health.note_let_in(tracker.request)
                return failure, verdict
            self._health.report_long_wait(verdict.retry_after)
            if verdict.kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
                tracker.rate_limited()
                self._health.note_rejection(tracker.request, failure)
                if not soon:
                    if permit.own_wait:
                        await asyncio.sleep(permit.own_wait)
                    requeued = True
                    continue
            else:
                # what cannot be read may come from another server, not from one in trouble
                known = turn.model.answered or not failure.unreadable
                self._health.note_fault(tracker.number, failure, probe=probe, known=known)
            return failure, verdict

    def expect_requests(self) -> AbstractContextManager[None]:
        """Within the block more requests are still to come: a lone refusal waits for how these are answered."""
        return self._refusals.expect_requests()

    def note_earlier_answer(self, path: str, model: str) -> None:
        """Notes that the model answered in an earlier run, at the endpoint with that path."""
        self._refusals.of(path, model).note_earlier_answer()

    async def download(self, url: str) -> bytes:
        """The content that an answer links to. Raises CellError."""
        return await self._transport.download(url)

    @property
    def simulated(self) -> bool | None:
        """Whether the server is a simulator, None before its first answer."""
        return self._exchange.simulated

    async def is_simulated(self) -> bool:
        """Whether the server is a simulator, as its answers say; asks for the list of models if none came yet."""
        return await self._exchange.is_simulated()

    def silence(self) -> str | None:
        """Why nothing has answered yet, in a few words; None once something has, and before the first fault."""
        return self._health.silence

    def limit_usage(self) -> LimitUtilization:
        """Measures what is used of all limits from now on."""
        return self._permits.limit_usage()

    def _check_lost_answers(self, tracker: RequestTracker, failure: Failure) -> None:
        """Raises CellError for a costly request whose answers were lost too often: each may have been paid for."""
        may_be_paid = tracker.request.endpoint.costly and failure.is_lost
        if not may_be_paid or tracker.lost_answers <= self._retry_unknown:
            return
        self._health.check_reachable(failure)
        raise failure.lost_answers_error(tracker.lost_answers)
