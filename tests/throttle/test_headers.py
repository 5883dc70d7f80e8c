from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Reading, parse_duration, read_rate_limits, retry_after
from tests.throttle.server import go_duration


def limits(dimension: str, limit: object, remaining: object, reset: object = None) -> dict[str, str]:
    fields = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{f}-{dimension}": str(value) for f, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("2ms", 0.002),
        ("12ms", 0.012),
        ("1s", 1),
        ("58.891s", 58.891),
        ("6m0s", 360),
        ("16m17.764s", 977.764),
        ("83h10m39.057s", 299439.057),
        ("1h2m", 3720),
        ("1m500ms", 60.5),
        ("150µs", 150e-6),
        ("150μs", 150e-6),
        ("150us", 150e-6),
        ("7ns", 7e-9),
        ("60", 60),
        ("0.5", 0.5),
        (" 6m0s ", 360),
    ],
)
def test_durations_are_read_as_go_prints_them(text, seconds):
    """Units add up to seconds, and a plain number is seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "ms", "-1", "-1s", "-6m0s", "1d", "6m 0s", "soon", "nan", "nans", "infs", "1e999", "1.2.3s"],
)
def test_what_is_no_duration_is_none(text):
    """Malformed, negative and infinite durations are absent, never an error."""
    assert parse_duration(text) is None


@given(st.integers(0, 400 * 3600 * 1000))
def test_durations_survive_printing(milliseconds):
    """Every duration in whole milliseconds is read back as it was printed."""
    assert parse_duration(go_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=0.0011)


def test_every_dimension_is_read():
    """Any name after the field is a dimension, whether it was ever heard of or not."""
    headers = (
        {"content-type": "application/json", "x-request-id": "req_1"}
        | limits("requests", 10000, 9994, "46.001s")
        | limits("tokens", 30000, 554, "58.891s")
        | limits("project-tokens", 2000000, 1999832, "5ms")
        | limits("input-images", 50000, 49999, "1ms")
    )
    assert read_rate_limits(headers) == {
        "requests": Reading(10000, 9994, 46.001),
        "tokens": Reading(30000, 554, 58.891),
        "project-tokens": Reading(2000000, 1999832, 0.005),
        "input-images": Reading(50000, 49999, 0.001),
    }


def test_names_are_in_any_case():
    """Servers and clients differ in how they spell the names of headers."""
    headers = {"X-RateLimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "59"}
    assert read_rate_limits(headers) == {"requests": Reading(60, 59, None)}


@pytest.mark.parametrize("reset", [None, "-1", "soon", ""])
def test_reset_is_optional(reset):
    """Limit and remaining make a reading; a reset that is absent or malformed is none."""
    assert read_rate_limits(limits("tokens", 60, 59, reset)) == {"tokens": Reading(60, 59, None)}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        limits("tokens", 60, None, "1s"),
        limits("tokens", None, 59, "1s"),
        limits("tokens", -1, -1, "0"),
        limits("tokens", 60, -1, "0"),
        limits("tokens", "many", 59),
        limits("tokens", "nan", "inf"),
        limits("tokens", "100, 100", "99, 99"),
        {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59"},
        {"x-ratelimit-limit-": "60", "x-ratelimit-remaining-": "59"},
        {"x-ratelimit-used-tokens": "60"},
    ],
)
def test_what_is_no_reading_is_left_out(headers):
    """Partial, malformed and negative numbers (-1 is Azure's "not known") give no reading and no error."""
    assert read_rate_limits(headers) == {}


def test_numbers_are_returned_as_they_came():
    """A limit of zero and more remaining than the limit are readings; what they mean is decided elsewhere."""
    assert read_rate_limits(limits("tokens", 0, 0, "0s")) == {"tokens": Reading(0, 0, 0)}
    assert read_rate_limits(limits("tokens", 60, 61)) == {"tokens": Reading(60, 61, None)}


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text(), st.text())
def test_no_header_raises(headers, limit, remaining, reset):
    """Whatever a server sends, reading it cannot cost a paid answer."""
    read_rate_limits(headers | limits("tokens", limit, remaining, reset))
    retry_after(headers | {"retry-after": limit})
    retry_after(headers | {"retry-after-ms": limit, "retry-after": reset})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after-ms": "534", "retry-after": "1"}, 0.534),
        ({"Retry-After-Ms": "534"}, 0.534),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after-ms": "-5", "retry-after": "1"}, 1),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(1_700_000_030, usegmt=True)}, 30),
        ({"retry-after": formatdate(1_600_000_000, usegmt=True)}, 0),
    ],
)
def test_retry_after(headers, seconds):
    """Exact milliseconds go before whole seconds, which may be an HTTP date, and one in the past is now."""
    assert retry_after(headers, now=lambda: 1_700_000_000.0) == seconds


def test_an_astronomical_limit_is_none():
    """Numbers that no account has say that there is no limit, and none is followed."""
    headers = {"x-ratelimit-limit-requests": "1e308", "x-ratelimit-remaining-requests": "1e308"}
    assert read_rate_limits(headers) == {}
