import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Kind, Verdict, backoff, classify


@pytest.mark.parametrize(
    ("status", "error_type", "code", "kind"),
    [
        (429, "tokens", "rate_limit_exceeded", Kind.RATE_LIMITED),
        (429, "requests", "rate_limit_exceeded", Kind.RATE_LIMITED),
        (429, "input-images", "rate_limit_exceeded", Kind.RATE_LIMITED),
        (429, "rate_limit_error", "slow_down", Kind.SLOW_DOWN),
        (429, None, None, Kind.RATE_LIMITED),
        (429, "insufficient_quota", None, Kind.FATAL),
        (429, "insufficient_quota", "insufficient_quota", Kind.FATAL),
        (429, "insufficient_quota", "credit_balance_exhausted", Kind.FATAL),
        (429, None, "organization_usage_limit_exceeded", Kind.FATAL),
        (429, None, "organization_spend_limit_exceeded", Kind.FATAL),
        (429, None, "project_spend_limit_exceeded", Kind.FATAL),
        (400, "image_generation_user_error", "billing_hard_limit_reached", Kind.FATAL),
        (401, "invalid_request_error", "invalid_api_key", Kind.FATAL),
        (402, None, None, Kind.FATAL),
        (403, "invalid_request_error", "unsupported_country_region_territory", Kind.FATAL),
        (404, "invalid_request_error", "model_not_found", Kind.FATAL),
        (404, None, None, Kind.FATAL),
        (400, "invalid_request_error", "model_not_found", Kind.FATAL),
        (400, "invalid_request_error", "context_length_exceeded", Kind.CELL),
        (400, "invalid_request_error", "invalid_image_url", Kind.CELL),
        (400, None, None, Kind.CELL),
        (413, None, None, Kind.CELL),
        (422, None, None, Kind.CELL),
        (408, None, None, Kind.TRANSIENT),
        (409, None, None, Kind.TRANSIENT),
        (500, "server_error", None, Kind.TRANSIENT),
        (502, None, None, Kind.TRANSIENT),
        (503, "service_unavailable_error", "server_is_overloaded", Kind.OVERLOADED),
        (503, None, "slow_down", Kind.SLOW_DOWN),
        (503, None, None, Kind.TRANSIENT),
        (504, None, None, Kind.TRANSIENT),
        (None, None, None, Kind.TRANSIENT),
    ],
)
def test_failures_are_told_apart(status, error_type, code, kind):
    """Rates are waited for, faults retried, errors of a row kept, and what meets every row stops the run."""
    assert classify(status, error_type, code, {}).kind is kind


def test_the_server_may_forbid_a_retry():
    """`x-should-retry: false` makes a fault, or a 429 without a cause, the error of its row; a limit is waited for."""
    assert classify(500, None, None, {"X-Should-Retry": "false"}) == Verdict(Kind.CELL)
    assert classify(429, None, None, {"x-should-retry": "false"}) == Verdict(Kind.CELL)
    limited = classify(429, "tokens", "rate_limit_exceeded", {"x-should-retry": "false"})
    assert limited == Verdict(Kind.RATE_LIMITED)


def test_the_server_may_ask_for_a_retry():
    """`x-should-retry: true` makes the error of a row a fault to retry, and never revives a dead account."""
    assert classify(400, None, None, {"x-should-retry": "true"}).kind is Kind.TRANSIENT
    assert classify(429, "insufficient_quota", None, {"x-should-retry": "true"}).kind is Kind.FATAL


def test_retry_after_goes_with_what_is_tried_again():
    """The wait a server asks for is part of the verdict wherever the request is sent again."""
    headers = {"retry-after": "3"}
    assert classify(503, None, None, headers) == Verdict(Kind.TRANSIENT, 3.0)
    assert classify(429, None, None, headers) == Verdict(Kind.RATE_LIMITED, 3.0)
    assert classify(400, None, None, headers) == Verdict(Kind.CELL)


def test_backoff_doubles_up_to_a_longest():
    """Without jitter the delays are 0.5, 1, 2, … and end at 30 s."""
    delays = [backoff(attempt, random=lambda: 1.0) for attempt in range(8)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff(100_000, random=lambda: 1.0) == 30


@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True))
def test_backoff_is_jittered_by_half(attempt, chance):
    """The random source picks from the upper half of the delay."""
    longest = backoff(attempt, random=lambda: 1.0)
    assert longest / 2 <= backoff(attempt, random=lambda: chance) <= longest


def test_backoff_respects_the_server():
    """A longer wait the server asked for is kept, a shorter one does not shorten the backoff."""
    assert backoff(0, random=lambda: 0.0, retry_after=7.0) == 7.0
    assert backoff(5, random=lambda: 1.0, retry_after=0.1) == 16.0
