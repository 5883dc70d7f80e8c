"""A bucket's level: taken, refilled, corrected by readings, given back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import Bucket, Reading
from pxt_assets.throttle.bucket import RESERVE_SECONDS


def full(limit: float = 600.0) -> Bucket:
    return Bucket(limit=limit, level=limit, rate=limit / 60)


def test_level_falls_by_cost_and_refills_up_to_the_limit():
    """What is taken flows back at the rate, and no further than the limit."""
    bucket = full(600)
    assert bucket.take(100, now=0).level == 500
    bucket.advance(4)
    assert bucket.level == 540
    bucket.advance(3600)
    assert bucket.level == 600


def test_wait_is_exact():
    """After exactly the wait, and not before, the cost and the reserve are there."""
    bucket = full(600)
    bucket.take(600, now=0)
    wait = bucket.wait(7, now=0)
    assert wait == pytest.approx((7 + RESERVE_SECONDS * 10) / 10)
    assert bucket.wait(7, now=wait - 0.001) == pytest.approx(0.001)
    assert bucket.wait(7, now=wait) == 0


@given(
    limit=st.floats(1, 1e8),
    share=st.floats(0.001, 1),
    level=st.floats(-1, 1),
    now=st.floats(0, 1e7),
)
def test_waiting_as_told_is_enough(limit, share, level, now):
    """Whatever the numbers, one wait of the given time suffices: no second, tiny one follows."""
    bucket = Bucket(limit=limit, level=level * limit, rate=limit / 60, updated_at=now)
    wait = bucket.wait(share * limit, now)
    assert 0 <= wait <= 120.001
    assert bucket.wait(share * limit, now + wait) == 0


def test_no_reserve_where_there_is_no_room_for_it():
    """A cost up to the whole limit is granted from a full bucket."""
    bucket = full(600)
    assert bucket.wait(600, now=0) == 0
    bucket.take(1, now=0)
    assert bucket.wait(600, now=0) == pytest.approx(0.1)


def test_more_than_the_limit_is_never_there():
    """The wait for a cost above the limit is infinite, and none for nothing at all."""
    assert full(600).wait(600.5, now=0) == math.inf
    assert Bucket(limit=600, level=-100, rate=10).wait(0, now=0) == 0


def test_unknown_limit_lets_all_pass():
    """Until a reading comes, nothing waits."""
    bucket = Bucket()
    assert not bucket.limit_known
    assert bucket.wait(1e9, now=5) == 0


def test_first_reading_counts_what_was_granted_before_and_since():
    """The level after the first reading is what it reported less what was granted after its request."""
    bucket = Bucket()
    grants = [bucket.take(1, now=float(second)) for second in range(3)]
    assert bucket.observe(grants[0], Reading(600, 99, 50.1), now=2.5)
    assert bucket.limit_known
    assert (bucket.limit, bucket.rate, bucket.level) == (600, 10, 97)


def test_in_flight_requests_need_no_correction():
    """Answers that report what was predicted correct nothing, however many requests went out since."""
    bucket = full(600)
    first = bucket.take(1, now=0)
    for second in range(1, 30):
        bucket.take(10, now=float(second))
    level = bucket.level
    assert not bucket.observe(first, Reading(600, 599, 0.1), now=29)
    assert bucket.level == level
    assert bucket.corrections == 0


def test_foreign_traffic_is_a_correction():
    """What others took is missing from the reading, and then from the level."""
    bucket = full(600)
    grant = bucket.take(1, now=0)
    bucket.observe(grant, Reading(600, 499, 10.1), now=1)
    assert bucket.corrections == -100
    assert bucket.level == 500


def test_a_correction_applies_once():
    """Requests granted before a correction was known report the same difference again, to no effect."""
    bucket = Bucket(limit=600, level=300, rate=10)
    first = bucket.take(1, now=0)
    second = bucket.take(1, now=1)
    bucket.observe(first, Reading(600, 199, 40.1), now=2)
    level = bucket.level
    bucket.observe(second, Reading(600, 208, 39.2), now=2)
    assert bucket.level == pytest.approx(level, abs=1)


def test_answers_out_of_order_are_ignored():
    """The reading of an earlier request says nothing that a later one has not said."""
    bucket = full(600)
    early, late = bucket.take(1, now=0), bucket.take(1, now=5)
    bucket.observe(late, Reading(600, 400, 20.0), now=6)
    level = bucket.level
    assert not bucket.observe(early, Reading(1200, 1199, 0.05), now=6)
    assert (bucket.level, bucket.limit) == (level, 600)


def test_the_limit_is_taken_over():
    """A changed limit changes the rate with it, and the level comes down with the reading."""
    bucket = full(600)
    grant = bucket.take(1, now=0)
    bucket.take(50, now=1)
    assert bucket.observe(grant, Reading(300, 299, 0.2), now=1)
    assert (bucket.limit, bucket.rate) == (300, 5)
    assert bucket.level == pytest.approx(249, abs=2)


def test_a_request_let_in_under_no_limit_says_nothing():
    """A limit of zero on an answer is no limit; on a rejection it is an account without quota."""
    bucket = full(600)
    grant = bucket.take(1, now=0)
    assert not bucket.observe(grant, Reading(0, 0, 0.0), now=1)
    assert bucket.limit == 600
    assert bucket.observe(grant, Reading(0, 0, 0.0), now=1, charged=False)
    assert bucket.wait(1, now=1) == math.inf


def test_more_remaining_than_the_limit_is_a_full_bucket():
    """The level never exceeds the limit."""
    bucket = full(600)
    bucket.observe(bucket.take(1, now=0), Reading(600, 10_000, 0.0), now=1)
    assert bucket.level == 600


class TestBursts:
    """Requests granted at the same time arrive in any order, and their readings with them."""

    @given(st.permutations(range(12)), st.permutations(range(12)), st.integers(0, 400))
    def test_order_of_arrival_corrects_nothing(self, arrivals, answers, level):
        """When the copy is right, no order of arriving and answering moves it."""
        bucket = Bucket(limit=600, level=level, rate=10)
        grants = [bucket.take(1, now=0) for _ in range(12)]
        remaining = {request: max(0, level - place - 1) for place, request in enumerate(arrivals)}
        if level >= 12:
            for request in answers:
                bucket.observe(grants[request], Reading(600, remaining[request]), now=0)
            assert bucket.level == level - 12

    @given(st.permutations(range(12)), st.permutations(range(12)), st.integers(-100, 100))
    def test_the_level_is_never_overestimated_beyond_the_copy(self, arrivals, answers, foreign):
        """After all answers of a burst the copy is not above the server, if it was not before."""
        server = 300 + foreign
        bucket = Bucket(limit=600, level=300, rate=10)
        grants = [bucket.take(1, now=0) for _ in range(12)]
        remaining = {request: server - place - 1 for place, request in enumerate(arrivals)}
        for request in answers:
            bucket.observe(grants[request], Reading(600, remaining[request]), now=0)
        assert min(0, foreign) - 11 <= bucket.level - 288 <= max(0, foreign)

    @given(st.permutations(range(12)), st.integers(-100, 100))
    def test_the_first_and_last_of_a_burst_tell_the_level(self, answers, foreign):
        """In the order of granting, all answers together correct the level by exactly the difference."""
        bucket = Bucket(limit=600, level=300, rate=10)
        grants = [bucket.take(1, now=0) for _ in range(12)]
        for request in answers:
            bucket.observe(grants[request], Reading(600, 300 + foreign - request - 1), now=0)
        assert bucket.level == 288 + foreign

    def test_a_later_burst_supersedes(self):
        """Once a later burst is measured, the rest of an earlier one is ignored."""
        bucket = full(600)
        early = [bucket.take(1, now=0) for _ in range(2)]
        late = bucket.take(1, now=1)
        bucket.observe(late, Reading(600, 400), now=2)
        assert not bucket.observe(early[1], Reading(1200, 1199), now=2)
        assert bucket.limit == 600


class TestRejection:
    """A 429 measures the level without the request, which was not charged."""

    def test_the_cost_is_given_back(self):
        """The level after a rejection is what it reported as remaining."""
        bucket = full(600)
        grant = bucket.take(50, now=0)
        bucket.observe(grant, Reading(600, 20, 58.0), now=0, charged=False)
        assert bucket.level == 20
        assert bucket.taken == 0

    def test_grants_made_since_are_raised(self):
        """A request granted after a rejected one finds what that one gave back, and corrects nothing."""
        bucket = full(600)
        rejected, later = bucket.take(50, now=0), bucket.take(5, now=1)
        bucket.observe(rejected, Reading(600, 20), now=2, charged=False)
        bucket.observe(later, Reading(600, 25), now=2)
        assert bucket.level == pytest.approx(35)

    def test_nothing_is_given_back_twice(self):
        """A rejection that is older than a measured answer was in that measurement."""
        bucket = full(600)
        rejected, later = bucket.take(50, now=0), bucket.take(5, now=1)
        bucket.observe(later, Reading(600, 595), now=2)
        level = bucket.level
        bucket.observe(rejected, Reading(600, 20), now=2, charged=False)
        assert bucket.level == level
        assert bucket.taken == 5


class TestGivingBack:
    """What was taken for a request that was never sent is returned."""

    def test_cost_is_returned(self):
        """The level is as if nothing had been taken, and earlier answers correct nothing."""
        bucket = full(600)
        first = bucket.take(10, now=0)
        unsent = bucket.take(50, now=1)
        bucket.give_back(unsent, now=1)
        assert bucket.level == 600
        bucket.observe(first, Reading(600, 590, 1.0), now=1)
        assert bucket.level == 600

    def test_grants_made_since_are_raised(self):
        """A request granted after it finds what it gave back."""
        bucket = full(600)
        unsent, later = bucket.take(50, now=0), bucket.take(5, now=0.5)
        bucket.give_back(unsent, now=0.5)
        bucket.observe(later, Reading(600, 595), now=0.5)
        assert bucket.level == 595

    def test_nothing_is_returned_twice(self):
        """What a later answer has measured as not taken is not returned again."""
        bucket = full(600)
        unsent, later = bucket.take(50, now=0), bucket.take(5, now=0.5)
        bucket.observe(later, Reading(600, 595), now=0.5)
        bucket.give_back(unsent, now=0.5)
        assert bucket.level == 595


@given(
    steps=st.lists(
        st.tuples(st.floats(0.2, 5), st.integers(1, 60), st.integers(0, 40), st.booleans()), max_size=30
    ),
    level=st.integers(0, 600),
)
def test_the_copy_follows_the_server(steps, level):
    """With answers in order the copy is within a unit of the server after each, whatever others take."""
    server, bucket, now = Bucket(limit=600, level=level, rate=10), Bucket(), 0.0
    for pause, cost, foreign, answered in steps:
        now += pause
        server.take(foreign, now)
        server.level = max(0.0, server.level)
        grant = bucket.take(cost, now)
        charged = server.level >= cost
        if charged:
            server.take(cost, now)
        if answered:
            reading = Reading(600, math.floor(server.level), None)
            bucket.observe(grant, reading, now, charged=charged)
            assert server.level - 1 - 1e-6 <= bucket.level <= server.level + 1e-6


def test_a_smaller_limit_leaves_a_share_of_it_whatever_others_took():
    """What others took of a larger limit never brings a smaller one to a stop."""
    bucket = Bucket()
    for second in range(60):
        grant = bucket.take(1, now=second)
        bucket.observe(grant, Reading(600, 300), now=second)
    assert bucket.drain == 5
    bucket.observe(bucket.take(1, now=60), Reading(60, 0), now=60)
    assert 0 < bucket.wait(1, now=60) < 6
