import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Pace
from pxt_assets.throttle.pace import RECOVERY_SECONDS


def pass_for(pace: Pace, start: float, seconds: float) -> int:
    """Count the requests that pass one after the other."""
    now, passed = start, 0
    while (now := now + pace.wait(1, now)) < start + seconds:
        pace.take(1, now)
        passed += 1
    return passed


@pytest.mark.parametrize("rpm", [1, 7, 60, 600, 30_000])
def test_requests_pass_evenly_at_the_rate(rpm):
    """Within a minute pass as many as configured, and no more than 0.1 s of them at once."""
    pace = Pace(rpm)
    burst = 1 + rpm / 600
    assert pass_for(pace, 0.0, 60.0) == pytest.approx(rpm, abs=burst + 1)
    idle = Pace(rpm)
    idle.wait(1, 0.0)
    at_once = 0
    while idle.wait(1, 1000.0) == 0:
        idle.take(1, 1000.0)
        at_once += 1
    assert at_once <= burst


def test_a_late_timer_costs_nothing():
    """What a timer that fires a little late has missed is made up for."""
    pace, now, passed = Pace(600), 0.0, 0
    while now < 60:
        now += pace.wait(1, now) + 0.002
        pace.take(1, now)
        passed += 1
    assert passed >= 600


def test_a_rejection_halves_the_rate_once_for_all_under_way():
    """Requests that went out before the rate was halved say nothing about the halved one."""
    pace = Pace(600)
    pace.take(1, 10.0)
    for _ in range(5):
        pace.reject(granted_at=10.0, now=11.0)
    assert pace.rate == pytest.approx(5, rel=0.01)
    pace.reject(granted_at=11.5, now=12.0)
    assert pace.rate == pytest.approx(2.5, rel=0.02)


def test_the_rate_never_reaches_zero():
    """A request a minute goes on passing however often it is rejected."""
    pace = Pace(600)
    for second in range(1, 100):
        pace.reject(granted_at=float(second), now=second + 0.5)
    assert pace.rate >= 1 / 60
    assert pace.wait(1, 100.0) < 60


def test_the_rate_climbs_back_to_the_configured_one():
    """Half the configured rate is regained in half the recovery time, and nothing beyond."""
    pace = Pace(600)
    pace.take(1, 0.0)
    pace.reject(granted_at=0.0, now=1.0)
    pace.advance(1.0 + RECOVERY_SECONDS / 4)
    assert pace.rate == pytest.approx(7.5)
    pace.advance(1.0 + RECOVERY_SECONDS / 2)
    assert pace.rate == pytest.approx(10)
    pace.advance(10_000.0)
    assert pace.rate == 10


@given(
    rpm=st.floats(0.5, 30_000),
    rejections=st.integers(0, 12),
    taken=st.floats(0, 50),
    now=st.floats(0, 1e6),
)
def test_waiting_as_told_is_enough(rpm, rejections, taken, now):
    """The wait is exact while the rate climbs: one of the given time suffices, and most of it does not."""
    pace = Pace(rpm)
    pace.take(taken, now)
    for step in range(1, rejections + 1):
        pace.reject(granted_at=now + step - 0.5, now=now + step)
    now += rejections + 1
    wait = pace.wait(1, now)
    if wait > 0.01:
        assert pace.wait(1, now + wait * 0.99) > 0
    assert pace.wait(1, now + wait) <= 1e-5


def test_what_was_not_sent_is_given_back():
    """A cancelled request leaves its place to the next."""
    pace = Pace(60)
    pace.take(1, 0.0)
    assert pace.wait(1, 0.0) > 0
    pace.give_back(1)
    assert pace.wait(1, 0.0) == 0


@pytest.mark.parametrize("rpm", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rpm):
    """The message says what was got and what to use instead."""
    with pytest.raises(ValueError, match=r"above 0, got .* Use None"):
        Pace(rpm)
