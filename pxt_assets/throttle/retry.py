"""What to do about a failed request.

The codes are those of OpenAI's error guide (https://platform.openai.com/docs/guides/error-codes):
`insufficient_quota` and its like are 429s that no waiting cures.
"""

import random as random_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from pxt_assets.throttle.headers import retry_after
from pxt_assets.throttle.hold import LONGEST_HOLD_SECONDS

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_LONGEST_SECONDS = 30.0

BILLING_CODES = frozenset(
    {
        "account_deactivated",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "credit_balance_exhausted",
        "exceeded_current_quota_error",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Codes (or types) of errors that stand until somebody pays or lifts a limit, whatever their status."""

RATE_LIMIT_CODE = "rate_limit_exceeded"
SLOW_DOWN_CODE = "slow_down"
OVERLOAD_CODES = frozenset({"server_is_overloaded", "service_unavailable_error"})


class FailureKind(Enum):
    """What a failure means for the request and for the run."""

    RATE_LIMITED = "rate limited"
    """The rate was too high: send the request again as soon as the limit allows. Uses no retry."""
    SLOW_DOWN = "slow down"
    """The rate grew too fast, though within the limits: the same, and the rate is cut."""
    OVERLOADED = "overloaded"
    """The server is overloaded: a transient fault, and several of them cut the rate."""
    TRANSIENT = "transient"
    """A fault that may pass: send the request again after a backoff, a limited number of times."""
    FATAL = "fatal"
    """Every request would fail the same way: stop the run."""
    REFUSED = "refused"
    """Every request would fail the same way, or this one alone: what else of the model is answered tells."""
    CELL = "cell"
    """This request fails, and would again: the error of its row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `classify_failure` says of a failure."""

    kind: FailureKind
    retry_after: float | None = None
    """Seconds the server asks to wait before the next try, where it is to be tried again."""


def classify_failure(
    status: int | None, error_type: str | None, code: str | None, headers: Mapping[str, str]
) -> Verdict:
    """Return what to do about a failed request.

    `status` is the HTTP status, None for a timeout or a connection that failed; `error_type` and `code`
    are those of the body's `error` object. `x-should-retry` overrules the status either way, as it does
    in OpenAI's own client, except for errors that would meet every request, and for a plain rate limit,
    which is no failure of the request.
    """
    kind = _kind(status, error_type, code)
    if kind in (FailureKind.FATAL, FailureKind.REFUSED):
        return Verdict(kind)
    match _should_retry(headers):
        case False if not (kind is FailureKind.SLOW_DOWN or code == RATE_LIMIT_CODE):
            return Verdict(FailureKind.CELL)
        case True if kind is FailureKind.CELL:
            kind = FailureKind.TRANSIENT
    return Verdict(kind) if kind is FailureKind.CELL else Verdict(kind, retry_after(headers))


def backoff_seconds(
    attempt: int, random: Callable[[], float] = random_module.random, retry_after: float | None = None
) -> float:
    """Return the seconds to wait before a retry: doubled each time, jittered, never under `retry_after`.

    Of `retry_after` a minute counts: a server that asks for an hour may be well long before.
    `attempt` is 0 for the first retry; `random` gives a number in [0, 1), which picks the delay from the
    upper half of 0.5 s, 1 s, 2 s, … 30 s.
    """
    doubled = BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16)
    delay = min(BACKOFF_LONGEST_SECONDS, doubled) * (1 + random()) / 2
    return delay if retry_after is None else max(delay, min(retry_after, LONGEST_HOLD_SECONDS))


def _kind(status: int | None, error_type: str | None, code: str | None) -> FailureKind:
    if code in BILLING_CODES or error_type in BILLING_CODES:
        return FailureKind.FATAL
    match status:
        case None | 408 | 409:
            return FailureKind.TRANSIENT
        case 429 | 503 if SLOW_DOWN_CODE in (code, error_type):
            return FailureKind.SLOW_DOWN
        case 429:
            return FailureKind.RATE_LIMITED
        case 503 if code in OVERLOAD_CODES or error_type in OVERLOAD_CODES:
            return FailureKind.OVERLOADED
        case 401:
            return FailureKind.FATAL
        case 402 | 403 | 404:
            return FailureKind.REFUSED
        case 400 if code == "model_not_found":  # so says /responses; other endpoints answer 404
            return FailureKind.REFUSED
    return FailureKind.TRANSIENT if status >= 500 else FailureKind.CELL


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    for name, value in headers.items():
        if name.lower() == "x-should-retry":
            return {"true": True, "false": False}.get(value.strip().lower())
    return None
