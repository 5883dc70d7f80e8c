import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Reading, read_rate_limits
from pxt_assets.throttle.dimension import dimension_of, unit_of

NOW = 1_700_000_000.0
DAY = 86_400.0


def read(**headers: str) -> dict[str, Reading]:
    """The readings of headers whose names are written with _ for -."""
    return read_rate_limits({name.replace("_", "-"): text for name, text in headers.items()}, lambda: NOW)


@pytest.mark.parametrize(
    ("name", "dimension", "window"),
    [
        ("requests", "requests", None),
        ("project-tokens", "project-tokens", None),
        ("tokens_usage_based", "tokens_usage_based", None),
        ("req-minute", "requests", 60),
        ("requests-minute", "requests", 60),
        ("tokens-minute", "tokens", 60),
        ("requests-per-minute", "requests", 60),
        ("project-tokens-minute", "project-tokens", 60),
        ("rpm", "requests", 60),
        ("requests-1m", "requests", 60),
        ("requests-60s", "requests", 60),
        ("requests-day", "requests-day", DAY),
        ("req-day", "requests-day", DAY),
        ("tpd", "tokens-day", DAY),
        ("requests-second", "requests-second", 1),
        ("requests-hour", "requests-hour", 3_600),
        ("minute", "", 60),
        ("audio-seconds", "audio-seconds", None),
    ],
)
def test_a_name_tells_what_is_counted_and_in_which_window(name, dimension, window):
    """A limit by the minute is named as OpenAI names it, which has no window in its names."""
    assert dimension_of(name) == (dimension, window)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("project-tokens", "tokens"),
        ("tokens_usage_based", "tokens"),
        ("input-images", "images"),
        ("requests-day", "requests"),
        ("api_key-requests", "requests"),
        ("tokens-prompt", "tokens"),
        ("audio-seconds", "seconds"),
    ],
)
def test_the_unit_is_the_word_that_names_one(name, unit):
    """Wherever it stands."""
    assert unit_of(name) == unit


def test_a_limit_of_requests_in_flight_is_no_rate():
    """A bucket of it would never fill as the server's does."""
    assert unit_of("concurrent-requests") == "concurrent-requests"


@pytest.mark.parametrize("prefix", ["x_ratelimit_", "ratelimit_", "x_rate_limit_"])
@pytest.mark.parametrize("words", ["req_minute", "requests_minute", "minute", "rpm"])
def test_limits_of_requests_a_minute_are_read_under_any_name(prefix, words):
    """The window's rate is right though no reset tells it."""
    got = read(**{f"{prefix}limit_{words}": "600", f"{prefix}remaining_{words}": "599"})
    assert got == {"requests": Reading(600, 599, None, 60)}


def test_a_limit_by_the_day_stands_beside_that_by_the_minute():
    """Each has the rate of its own window, whatever the reset, which may be the time until midnight."""
    got = read(
        x_ratelimit_limit_requests_day="14400",
        x_ratelimit_remaining_requests_day="14399",
        x_ratelimit_reset_requests_day="33011.38",
        x_ratelimit_limit_tokens_minute="60000",
        x_ratelimit_remaining_tokens_minute="59000",
    )
    assert got == {
        "requests-day": Reading(14_400, 14_399, 33_011.38, DAY),
        "tokens": Reading(60_000, 59_000, None, 60),
    }


def test_two_names_for_what_is_called_alike_stay_apart():
    """OpenAI's own name keeps its place."""
    got = read(
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_limit_requests_minute="30",
        x_ratelimit_remaining_requests_minute="9",
    )
    assert got == {"requests": Reading(60, 59), "requests-minute": Reading(30, 9, None, 60)}


def test_the_field_may_stand_last_or_between():
    """As Anthropic and LiteLLM write it."""
    got = read(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2023-11-14T22:13:50Z",
    )
    assert got == {"requests": Reading(50, 49, 30)}
    got = read(x_ratelimit_team_limit_tokens="50", x_ratelimit_team_remaining_tokens="49")
    assert got == {"team-tokens": Reading(50, 49)}


def test_limits_by_size_are_of_tokens():
    """Mistral's own name; that of a month is no rate to send at."""
    got = read(
        x_ratelimitbysize_limit_minute="500000",
        x_ratelimitbysize_remaining_minute="499000",
        x_ratelimitbysize_limit_month="1",
        x_ratelimitbysize_remaining_month="0",
    )
    assert got == {"tokens": Reading(500_000, 499_000, None, 60)}


@pytest.mark.parametrize(
    "reset",
    [
        "30",
        "30s",
        "30000ms",
        "0m30s",
        "1700000030",
        "1700000030000",
        "2023-11-14T22:13:50Z",
        "2023-11-14T23:13:50+01:00",
    ],
)
def test_a_reset_is_a_duration_or_a_time(reset):
    """Since 1970 in seconds or milliseconds, or by the calendar with its zone."""
    got = read(
        x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="59", x_ratelimit_reset_requests=reset
    )
    assert got["requests"].reset == pytest.approx(30)


@pytest.mark.parametrize(
    "reset", ["2023-11-14T22:13:50", "tomorrow", "", "9" * 400, "0001-01-01T00:00:00+23:00"]
)
def test_a_reset_that_tells_no_time_is_none_or_now(reset):
    """It never raises, and never holds anything up."""
    got = read(
        x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="59", x_ratelimit_reset_requests=reset
    )
    assert not got["requests"].reset


def test_a_renewal_period_is_the_window():
    """Azure's word for it."""
    got = read(
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_renewalperiod_requests="10",
    )
    assert got == {"requests": Reading(60, 59, None, 10)}


@pytest.mark.parametrize(
    ("headers", "readings"),
    [
        (
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            {"requests": Reading(100, 50, 30, 60)},
        ),
        (
            {
                "RateLimit": '"burst";r=5;t=3, "daily";r=900;t=86000',
                "RateLimit-Policy": '"burst";q=10;w=1,"daily";q=1000;w=86400;qu="requests"',
            },
            {"requests-1s": Reading(10, 5, 3, 1), "requests-86400s": Reading(1_000, 900, 86_000, DAY)},
        ),
        (
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
            {"requests": Reading(100, 50, 30, 60)},
        ),
        (
            {"ratelimit-limit": "100", "ratelimit-policy": "100;w=60", "ratelimit-remaining": "50"},
            {"requests": Reading(100, 50, None, 60)},
        ),
        ({"ratelimit-limit": "100", "ratelimit-remaining": "50", "ratelimit-reset": "30"}, {}),
        ({"ratelimit": '"default";r=50;t=30'}, {}),
        ({"ratelimit": '"a";r=5;t=3', "ratelimit-policy": '"a";q=10;w=60;qu="content-bytes"'}, {}),
        ({"ratelimit": '"a";r=5', "ratelimit-policy": '"a";q=0;w=60, "b";q=3;w=0'}, {}),
    ],
)
def test_the_fields_of_the_ietf_are_read_where_they_name_a_window(headers, readings):
    """The draft's of today, and those of earlier ones."""
    assert read_rate_limits(headers) == readings


@pytest.mark.parametrize(
    ("limit", "remaining"), [("0", "0"), ("-1", "-1"), ("unlimited", ""), ("", "5"), ("nan", "1")]
)
def test_an_odd_limit_under_another_name_is_not_followed(limit, remaining):
    """Least of all a zero, which would refuse every request."""
    got = read(x_ratelimit_limit_req_minute=limit, x_ratelimit_remaining_req_minute=remaining)
    assert got == {}


@given(st.text(), st.text())
def test_no_field_of_the_ietf_raises(limits, policy):
    """Whatever a server sends, reading it cannot cost a paid answer."""
    read_rate_limits(
        {
            "ratelimit": limits,
            "ratelimit-policy": policy,
            "ratelimit-limit": policy,
            "ratelimit-remaining": limits,
        }
    )
