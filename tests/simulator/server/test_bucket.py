import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.simulator.server.bucket import Bucket, format_duration


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.002, "2ms"),
        (0.534, "534ms"),
        (1, "1s"),
        (58.891, "58.891s"),
        (58.5, "58.5s"),
        (360, "6m0s"),
        (977.764, "16m17.764s"),
        (299439.057, "83h10m39.057s"),
    ],
)
def test_a_duration_is_written_as_the_api_writes_it(seconds, written):
    """Milliseconds alone below a second; hours, minutes and seconds above, floored to milliseconds."""
    assert format_duration(seconds) == written


def test_the_waits_of_a_recorded_answer_are_reproduced():
    """Limit 30000, Used 29446, Requested 821: 534 ms to wait, 58.891 s until the bucket is full."""
    bucket = Bucket(30_000, level=30_000 - 29_446, now=0)
    assert bucket.wait(821, 0) == pytest.approx(0.534)
    assert math.floor(bucket.seconds_to_full(0) * 1000) == 58_892


def test_a_bucket_refills_all_the_time_and_no_further_than_its_limit():
    """Half a minute gives half of the limit, an hour gives the whole of it."""
    bucket = Bucket(600, level=0, now=0)
    assert bucket.remaining(30) == 300
    assert bucket.remaining(3600) == 600


def test_more_than_the_limit_is_never_there():
    """Waiting for more than the bucket holds would be waiting for ever."""
    assert Bucket(600, level=600, now=0).wait(601, 0) == math.inf


def test_a_limit_below_one_a_minute_still_lets_requests_in():
    """Half a request a minute is one request every two minutes."""
    bucket = Bucket(0.5, level=0.5, now=0)
    assert bucket.wait(1, 0) == 0
    bucket.take(1, 0)
    assert bucket.wait(1, 0) == 60


def test_a_lower_limit_takes_away_what_it_does_not_hold():
    """A bucket of 600 that is full holds 300 once its limit is halved, and refills half as fast."""
    bucket = Bucket(600, level=600, now=0)
    bucket.change_limit(300, 0)
    assert bucket.remaining(0) == 300
    bucket.take(300, 0)
    assert bucket.remaining(6) == 30


@given(
    limit=st.floats(1, 2e8),
    share=st.floats(0, 1),
    part=st.floats(0.001, 1),
    now=st.floats(0, 1e7),
)
def test_who_waits_as_long_as_told_is_let_in(limit, share, part, now):
    """The wait is enough, whatever floats do, and half of it is not."""
    bucket = Bucket(limit, level=limit * share, now=now)
    amount = limit * part
    wait = bucket.wait(amount, now)
    if wait > 0.01:
        assert bucket.wait(amount, now + wait / 2) > 0
    assert bucket.wait(amount, now + wait) == 0
