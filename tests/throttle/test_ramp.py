import math

import pytest

from pxt_assets.throttle.ramp import LOWEST_RATE, Growth, Ramp


def running(per_second: float = 20.0, seconds: float = 60.0) -> tuple[Ramp, float]:
    """A ramp after some time at a rate, and the time."""
    ramp = Ramp()
    for number in range(int(per_second * seconds)):
        ramp.take(1, number / per_second)
    return ramp, seconds


def passed(ramp: Ramp, start: float, seconds: float) -> int:
    """How many requests pass if one always waits."""
    now, count = start, 0
    while True:
        now += ramp.wait(1, now)
        if now > start + seconds:
            return count
        if ramp.rate == math.inf:
            return count
        ramp.take(1, now)
        count += 1


def test_nothing_is_held_back_before_a_cut():
    """Until the server asks for less, there is no rate."""
    ramp, now = running()
    assert ramp.wait(1_000, now) == 0


def test_a_cut_halves_the_rate_at_once():
    """In the minute after the cut half as many pass as before it."""
    ramp, now = running(20)
    ramp.cut(now, now, Growth.SLOW_DOWN)
    assert passed(ramp, now, 60) == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize(("growth", "seconds"), [(Growth.SLOW_DOWN, 3_077), (Growth.OVERLOADED, 120)])
def test_it_grows_until_it_holds_nothing_back(growth, seconds):
    """The rate grows by half in 15 minutes, or doubles each minute, to twice what it was, and then ends."""
    ramp, now = running(20)
    ramp.cut(now, now, growth)
    ramp.wait(1, now + seconds - 10)
    assert 35 < ramp.rate < 40
    ramp.wait(1, now + seconds + 10)
    assert ramp.rate == math.inf


def test_requests_under_way_at_a_cut_cut_no_more():
    """A volley of complaints is one; a complaint of a request granted since is another."""
    ramp, now = running(20)
    ramp.cut(now, now, Growth.SLOW_DOWN)
    rate = ramp.rate
    ramp.cut(now - 1, now + 1, Growth.SLOW_DOWN)
    assert ramp.rate == rate
    ramp.cut(now + 1, now + 2, Growth.SLOW_DOWN)
    assert ramp.rate < rate


def test_something_always_passes():
    """However often it is cut, a request passes every ten seconds, and time without any changes nothing."""
    ramp, now = running(1)
    for step in range(50):
        ramp.cut(now + step, now + step, Growth.SLOW_DOWN)
    assert ramp.rate == LOWEST_RATE
    assert ramp.wait(1, now + 60) <= 10
    assert ramp.wait(1, 1e9) == 0
