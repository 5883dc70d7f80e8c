"""The window of a limit, as readings of a server tell it to a bucket."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Bucket, Reading
from pxt_assets.throttle.bucket import level_of, window_of

DAY, MONTH = 86_400.0, 2_592_000.0


class TestWindow:
    """A limit is of a minute, a day or 30 days; the reset tells which, when it can."""

    @pytest.mark.parametrize(
        ("reading", "window"),
        [
            (Reading(10_000, 9_994, 46.001), DAY),
            (Reading(10_000, 9_999, 8.64), DAY),
            (Reading(10_000, 5_000, 43_200.5), DAY),
            (Reading(30_000, 554, 58.891), 60),
            (Reading(500, 499, 0.12), 60),
            (Reading(50, 49, 1.2), 60),
            (Reading(100_000, 99_968, 829.44), MONTH),
            (Reading(100_000, 0, MONTH), MONTH),
        ],
    )
    def test_it_is_told_by_the_reset(self, reading, window):
        """Numbers that the API has sent give the window they were made with."""
        assert window_of(reading) == window

    @pytest.mark.parametrize(
        "reading",
        [
            Reading(30_000, 30_000, 0.0),
            Reading(30_000, 29_999, 0.002),
            Reading(150_000_000, 149_999_990, 0.001),
            Reading(50_000, 49_999, 0.001),
            Reading(100_000, 99_990, 1.0),
            Reading(600, 599, None),
            Reading(600, 700, 5.0),
            Reading(600, 300, 0.5),
            Reading(600, 300, 5.0),
            Reading(600, 599, 1.7e9),
        ],
    )
    def test_it_is_a_minute_when_it_cannot_be_told(self, reading):
        """Rounded resets near a full bucket, shorter windows and nonsense leave the rate as it is."""
        assert window_of(reading) == 60

    def test_the_present_window_is_kept_when_it_cannot_be_told(self):
        """A full bucket does not make a daily limit one of a minute; an unmistakable reading does."""
        assert window_of(Reading(10_000, 10_000, 0.0), present=DAY) == DAY
        assert window_of(Reading(10_000, 9_000, 6.0), present=DAY) == 60

    def test_other_windows_are_what_the_numbers_give(self):
        """A server that counts by the hour refills in an hour."""
        assert window_of(Reading(1_000, 500, 1800.5)) == pytest.approx(3600, rel=0.01)

    @given(
        limit=st.integers(1, 150_000_000),
        share=st.floats(0, 1),
        window=st.sampled_from([60.0, DAY, MONTH]),
    )
    def test_it_is_right_whenever_it_matters(self, limit, share, window):
        """From two units below full on, every consistent reading tells its window, or one that fits it."""
        level = limit * share
        reset = math.floor((limit - level) / limit * window * 1000) / 1000
        reading = Reading(limit, math.floor(level), reset)
        found = window_of(reading)
        if limit - level > 0.2 * limit and limit > 10:
            assert found == window
        assert found in {60.0, DAY, MONTH}

    @given(limit=st.integers(1, 5000), share=st.floats(0, 1), window=st.sampled_from([60.0, DAY]))
    def test_the_fraction_of_a_unit_is_read_from_the_reset(self, limit, share, window):
        """The level is never overestimated, and where units are scarce it is exact."""
        level = limit * share
        reset = math.floor((limit - level) / limit * window * 1000) / 1000
        found = level_of(Reading(limit, math.floor(level), reset), window)
        assert math.floor(level) <= found <= level + 1e-9
        if not reset.is_integer():
            assert level - found <= 0.011 * limit / window + 1e-9

    def test_daily_limits_refill_by_the_day(self):
        """The rate follows the window."""
        bucket = Bucket()
        bucket.observe(bucket.take(1, now=0), Reading(10_000, 9_994, 46.001), now=1)
        assert bucket.rate == pytest.approx(10_000 / DAY)


def test_a_limit_that_turns_out_much_smaller_is_no_debt():
    """The server's bucket is never below zero: what was taken of the larger limit is not waited for."""
    bucket = Bucket(60_000.0, 60_000.0, 1.0, 0.0)
    grant = bucket.take(1_000.0, 0.0)
    for second in range(1, 10):
        bucket.take(1_000.0, float(second))
    bucket.observe(grant, Reading(1.0, 0.0, window=60.0), 20.0)
    assert bucket.wait(1.0, 20.0) <= 60.0
