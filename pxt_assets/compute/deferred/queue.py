"""The queue's budget of tokens, as submissions ask for it: how large a batch may be, and when there is room for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pxt_assets.api.batches import TOKEN_LIMIT_CODE
from pxt_assets.compute.deferred.record import BatchRecord

_SHARE = 2
"""A queue of known size takes so many of the largest batches at once: the next one is worked on when one has ended."""
_SMALLEST_SHARE = 16
"""Parts do not get smaller than this part of a known limit: others fill the queue then."""
_REMEMBERED = 3_600.0
"""Seconds for which a refusal says something of the queue."""
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 600.0
"""Seconds to wait after the second refusal in that time, and after many."""


class Queue(Protocol):
    """The tokens that an account may have on their way, for each model. Calls may block: they are made in threads."""

    def limit(self, model: str) -> float:
        """The tokens that may be on their way at once; infinite where that is not known."""

    def room(self, model: str) -> float:
        """How many of them are free."""

    def enqueue(self, name: str, model: str, tokens: float) -> bool:
        """Claims room for a batch, before it is submitted; whether there is enough."""

    def submitted(self, name: str) -> None:
        """Notes that a batch was submitted."""

    def release(self, name: str) -> None:
        """Makes room again: the batch has ended, or was never submitted."""

    def learn(self, model: str, message: str) -> float | None:
        """Takes over the limit that a refusal states; None if it states none."""


class NoQueue:
    """A queue without a limit."""

    def limit(self, model: str) -> float:  # noqa: ARG002
        """As Queue says."""
        return float("inf")

    def room(self, model: str) -> float:  # noqa: ARG002
        """As Queue says."""
        return float("inf")

    def enqueue(self, name: str, model: str, tokens: float) -> bool:  # noqa: ARG002
        """As Queue says."""
        return True

    def submitted(self, name: str) -> None:
        """As Queue says."""

    def release(self, name: str) -> None:
        """As Queue says."""

    def learn(self, model: str, message: str) -> float | None:  # noqa: ARG002
        """As Queue says."""
        return None


def most_tokens(limit: float, refused: Iterable[BatchRecord]) -> float:
    """The estimated tokens that the next batch of a model may have, as its limit and what was refused lately tell.

    Estimates may be too low, a limit may not be stated, and others use the queue too: what was refused is halved.
    """
    halves = min((record.tokens // 2 for record in refused), default=float("inf"))
    least = limit / _SMALLEST_SHARE if limit < float("inf") else 1.0
    return max(min(limit / _SHARE, halves), least, 1.0)


def submits_again_at(refused: Iterable[BatchRecord]) -> float:
    """When the next batch of a model may be submitted, in seconds since 1970: at once after a first refusal, which tells the limit."""
    times = sorted(record.ended_at or 0.0 for record in refused)
    if len(times) < 2:
        return 0.0
    return times[-1] + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (len(times) - 2))


def refused_lately(records: Iterable[BatchRecord], model: str, now: float) -> list[BatchRecord]:
    """The batches of a model that the queue had no room for."""
    return [
        record
        for record in records
        if record.model == model
        and TOKEN_LIMIT_CODE in record.unanswered
        and (record.ended_at or 0.0) > now - _REMEMBERED
    ]


def next_part(queue: Queue, model: str, records: Iterable[BatchRecord], now: float) -> tuple[float, bool]:
    """The estimated tokens that the next batch of a model may have, and whether it may be submitted now. May block."""
    refused = refused_lately(records, model, now)
    return most_tokens(queue.limit(model), refused), submits_again_at(refused) <= now


def has_room(queue: Queue, waiting: BatchRecord, records: Iterable[BatchRecord], now: float) -> bool:
    """Whether a queue has room for the first part of what waits for it. May block."""
    most, may_submit = next_part(queue, waiting.model, records, now)
    return may_submit and min(waiting.tokens, most) <= queue.room(waiting.model)
