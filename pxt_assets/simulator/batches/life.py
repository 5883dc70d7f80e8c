"""How far a batch is at a time: a function of when it was created and cancelled, and of what it holds."""

import random
from dataclasses import dataclass, field
from typing import Literal

WINDOW_SECONDS = 86_400
"""How long the API takes for a batch at most."""
CANCEL_SECONDS = 600.0
"""How long it takes to cancel one at most."""
_VALIDATED, _ANSWERED = 0.1, 0.9
"""Shares of a batch's time after which it is validated, and after which all is answered."""

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
Fate = Literal["completes", "expires", "fails"]


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of a batch that nobody cancels."""

    seconds: float
    """From its creation to its end."""
    fate: Fate = "completes"
    reach: float = 1.0
    """Share of the requests that are answered before it expires or fails."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A batch at one time."""

    status: Status
    reach: float
    """Share of the requests that are answered."""
    times: dict[str, float] = field(default_factory=dict)
    """When it came to a status, by the names of the API, such as "in_progress_at"."""
    ends: float = 0.0
    """When it ends, or has ended."""

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in ("failed", "completed", "expired", "cancelled")


def draw_course(seed: int, number: int, seconds: float, expiry_rate: float, failure_rate: float) -> Course:
    """The course of the batch of that number, of which there are that many that expire or fail."""
    source = random.Random(f"batch {seed} {number}")  # noqa: S311
    # A sixth of those that expire or fail have answered all before: else a batch of one request would never be answered.
    drawn, reach = source.random(), min(1.0, 1.2 * source.random())
    if drawn < expiry_rate:
        return Course(seconds, "expires", reach)
    if drawn < expiry_rate + failure_rate:
        return Course(seconds, "fails", reach)
    return Course(seconds)


def validated_at(created: float, course: Course) -> float:
    """When a batch's file has been looked through."""
    return created + _VALIDATED * course.seconds


def moment(course: Course, created: float, cancelling: float | None, *, is_valid: bool, now: float) -> Moment:
    """The batch at `now`; `cancelling` is when its end was asked for, which it had not come to."""
    if cancelling is None or cancelling > now:
        return _undisturbed(course, created, is_valid=is_valid, now=now)
    before = _undisturbed(course, created, is_valid=is_valid, now=cancelling)
    cancelled = cancelling + min(CANCEL_SECONDS, _VALIDATED * course.seconds)
    times = {**before.times, "cancelling_at": cancelling}
    if now < cancelled:
        return Moment("cancelling", before.reach, times, cancelled)
    return Moment("cancelled", before.reach, {**times, "cancelled_at": cancelled}, cancelled)


def _undisturbed(course: Course, created: float, *, is_valid: bool, now: float) -> Moment:
    begun = validated_at(created, course)
    answered = created + _ANSWERED * course.seconds
    if not is_valid:
        if now < begun:
            return Moment("validating", 0.0, {}, begun)
        return Moment("failed", 0.0, {"failed_at": begun}, begun)
    completed, expires = created + course.seconds, created + WINDOW_SECONDS
    ends = min(completed, expires)
    if now < begun:
        return Moment("validating", 0.0, {}, ends)
    times = {"in_progress_at": begun}
    last = course.reach if course.fate != "completes" else _share(begun, answered, ends)
    if now >= ends:
        if course.fate == "fails":
            return Moment("failed", last, {**times, "failed_at": ends}, ends)
        if course.fate == "expires" or completed > expires:
            return Moment("expired", last, {**times, "expired_at": ends}, ends)
        return Moment("completed", 1.0, {**times, "finalizing_at": answered, "completed_at": ends}, ends)
    if now >= answered and course.fate == "completes":
        return Moment("finalizing", 1.0, {**times, "finalizing_at": answered}, ends)
    return Moment("in_progress", min(last, _share(begun, answered, now)), times, ends)


def _share(begun: float, answered: float, now: float) -> float:
    return 1.0 if now >= answered else max(0.0, (now - begun) / (answered - begun))
