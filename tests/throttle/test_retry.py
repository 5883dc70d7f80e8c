import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import FailureKind, Verdict, backoff_seconds, classify_failure


@pytest.mark.parametrize(
    ("status", "error_type", "code", "kind"),
    [
        (429, "tokens", "rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (429, "requests", "rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (429, "input-images", "rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (429, "rate_limit_error", "slow_down", FailureKind.SLOW_DOWN),
        (429, None, None, FailureKind.RATE_LIMITED),
        (429, "insufficient_quota", None, FailureKind.FATAL),
        (429, "insufficient_quota", "insufficient_quota", FailureKind.FATAL),
        (429, "insufficient_quota", "credit_balance_exhausted", FailureKind.FATAL),
        (429, None, "organization_usage_limit_exceeded", FailureKind.FATAL),
        (429, None, "organization_spend_limit_exceeded", FailureKind.FATAL),
        (429, None, "project_spend_limit_exceeded", FailureKind.FATAL),
        (400, "image_generation_user_error", "billing_hard_limit_reached", FailureKind.FATAL),
        (401, "invalid_request_error", "invalid_api_key", FailureKind.FATAL),
        (402, None, None, FailureKind.REFUSED),
        (403, "invalid_request_error", "unsupported_country_region_territory", FailureKind.REFUSED),
        (404, "invalid_request_error", "model_not_found", FailureKind.REFUSED),
        (404, None, None, FailureKind.REFUSED),
        (400, "invalid_request_error", "model_not_found", FailureKind.REFUSED),
        (400, "invalid_request_error", "context_length_exceeded", FailureKind.CELL),
        (400, "invalid_request_error", "invalid_image_url", FailureKind.CELL),
        (400, None, None, FailureKind.CELL),
        (413, None, None, FailureKind.CELL),
        (422, None, None, FailureKind.CELL),
        (408, None, None, FailureKind.TRANSIENT),
        (409, None, None, FailureKind.TRANSIENT),
        (500, "server_error", None, FailureKind.TRANSIENT),
        (502, None, None, FailureKind.TRANSIENT),
        (503, "service_unavailable_error", "server_is_overloaded", FailureKind.OVERLOADED),
        (503, None, "slow_down", FailureKind.SLOW_DOWN),
        (503, None, None, FailureKind.TRANSIENT),
        (504, None, None, FailureKind.TRANSIENT),
        (None, None, None, FailureKind.TRANSIENT),
    ],
)
def test_failures_are_told_apart(status, error_type, code, kind):
    """Rates are waited for, faults retried, errors of a row kept, and what meets every row stops the run."""
    assert classify_failure(status, error_type, code, {}).kind is kind


def test_the_server_may_forbid_a_retry():
    """`x-should-retry: false` makes a fault, or a 429 without a cause, the error of its row; a limit is waited for."""
    assert classify_failure(500, None, None, {"X-Should-Retry": "false"}) == Verdict(FailureKind.CELL)
    assert classify_failure(429, None, None, {"x-should-retry": "false"}) == Verdict(FailureKind.CELL)
    limited = classify_failure(429, "tokens", "rate_limit_exceeded", {"x-should-retry": "false"})
    assert limited == Verdict(FailureKind.RATE_LIMITED)


def test_the_server_may_ask_for_a_retry():
    """`x-should-retry: true` makes the error of a row a fault to retry, and never revives a dead account."""
    assert classify_failure(400, None, None, {"x-should-retry": "true"}).kind is FailureKind.TRANSIENT
    assert (
        classify_failure(429, "insufficient_quota", None, {"x-should-retry": "true"}).kind
        is FailureKind.FATAL
    )


def test_retry_after_goes_with_what_is_tried_again():
    """The wait a server asks for is part of the verdict wherever the request is sent again."""
    headers = {"retry-after": "3"}
    assert classify_failure(503, None, None, headers) == Verdict(FailureKind.TRANSIENT, 3.0)
    assert classify_failure(429, None, None, headers) == Verdict(FailureKind.RATE_LIMITED, 3.0)
    assert classify_failure(400, None, None, headers) == Verdict(FailureKind.CELL)


def test_backoff_doubles_up_to_a_longest():
    """Without jitter the delays are 0.5, 1, 2, … and end at 30 s."""
    delays = [backoff_seconds(attempt, random=lambda: 1.0) for attempt in range(8)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff_seconds(100_000, random=lambda: 1.0) == 30


@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True))
def test_backoff_is_jittered_by_half(attempt, chance):
    """The random source picks from the upper half of the delay."""
    longest = backoff_seconds(attempt, random=lambda: 1.0)
    assert longest / 2 <= backoff_seconds(attempt, random=lambda: chance) <= longest


def test_backoff_respects_the_server():
    """A longer wait the server asked for is kept, a shorter one does not shorten the backoff."""
    assert backoff_seconds(0, random=lambda: 0.0, retry_after=7.0) == 7.0
    assert backoff_seconds(5, random=lambda: 1.0, retry_after=0.1) == 16.0
