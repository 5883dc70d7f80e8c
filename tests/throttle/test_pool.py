import itertools
import math
import threading

import pytest

from pxt_assets.throttle import Pool, PoolRegistry, Reading, RequestTooLarge, pools
from pxt_assets.throttle.admission import Admission
from pxt_assets.throttle.probe import PROBES, PROBES_PER_SECOND

COSTS = {"requests": 1.0, "tokens": 100.0}


def admit(pool: Pool, now: float = 0.0, costs: dict[str, float] = COSTS, in_flight: int = 0) -> Admission:
    admission = pool.admit(costs, now, in_flight)
    assert isinstance(admission, Admission)
    return admission


def measured(**limits: float) -> Pool:
    """A pool that knows its limits, with nothing taken but one request's cost."""
    pool = Pool()
    readings = {name: Reading(limit, limit - COSTS[name]) for name, limit in limits.items()}
    pool.answered(admit(pool), readings, 0.0)
    return pool


class TestDimensions:
    def test_every_dimension_must_have_room(self):
        """A request waits for the dimension that takes longest."""
        pool = measured(requests=60, tokens=60_000)
        pool.buckets["requests"].take(59, 0.0)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx(1.3)
        pool.buckets["tokens"].take(61_900, 0.0)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx(2.4)

    def test_a_request_that_must_wait_takes_nothing(self):
        """All dimensions are charged, or none."""
        pool = measured(requests=60, tokens=60_000)
        pool.buckets["requests"].take(59, 0.0)
        before = pool.buckets["tokens"].level
        pool.admit(COSTS, 0.0, 0)
        assert pool.buckets["tokens"].level == before

    def test_a_dimension_that_no_answer_names_does_not_limit(self):
        """An endpoint that reports requests only is limited by requests only."""
        pool = measured(requests=60)
        admit(pool, costs={"requests": 1, "tokens": 1e12})

    def test_a_limit_by_the_day_lets_as_much_flow_in_as_its_window_says(self):
        """Where no reset tells, it would fill 1,440 times too fast by the minute."""
        pool = Pool()
        pool.answered(admit(pool), {"requests-day": Reading(8_640, 0, None, 86_400.0)}, 0.0)
        assert pool.buckets["requests-day"].rate == pytest.approx(0.1)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx(10.3)

    @pytest.mark.parametrize("name", ["project-tokens", "tokens_usage_based"])
    def test_another_limit_of_the_same_unit_is_charged_alike(self, name):
        """A token limit under another name takes what a request takes of tokens, from the first answer on."""
        pool = Pool()
        first, second = admit(pool), admit(pool)
        pool.answered(first, {"tokens": Reading(60_000, 59_900), name: Reading(1_000, 900)}, 0.0)
        assert pool.buckets[name].level == 800
        pool.answered(second, {"tokens": Reading(60_000, 59_800), name: Reading(1_000, 700)}, 0.0)
        assert pool.buckets[name].level == 700
        for _ in range(6):
            admit(pool)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx((100 + 5 - 100) / (1_000 / 60))

    def test_a_dimension_of_its_own_is_charged_when_the_request_names_it(self):
        """Images count against the limit of images once a request says how many it has."""
        pool, costs = Pool(), {"requests": 1.0, "input-images": 2.0}
        pool.answered(admit(pool, costs=costs), {"input-images": Reading(10, 0)}, 0.0)
        assert pool.admit(costs, 0.0, 0) == pytest.approx((2 + 0.05) / (10 / 60))
        admit(pool, costs=COSTS)

    def test_what_requests_do_not_name_is_not_limited(self):
        """A reading of a dimension without costs changes nothing, and leaves the pool probing."""
        pool = Pool()
        assert not pool.answered(admit(pool), {"audio-megabytes": Reading(10, 0)}, 0.0)
        assert pool.admit(COSTS, 0.0, PROBES + 2) == pytest.approx(1 / PROBES_PER_SECOND)
        admit(pool, in_flight=PROBES + 1)

    def test_more_than_a_limit_is_believed_too_large(self):
        """The error names the dimension and the numbers, and what to do; given it, the request passes all the same."""
        pool = measured(tokens=60_000)
        costs = {"requests": 1.0, "tokens": 70_000.0}
        with pytest.raises(RequestTooLarge, match=r"70,000 tokens, and the limit is 60,000\. Make") as error:
            pool.admit(costs, 0.0, 0)
        assert (error.value.dimension, error.value.cost, error.value.limit) == ("tokens", 70_000, 60_000)
        assert isinstance(pool.too_large_error(costs), RequestTooLarge)
        assert pool.too_large_error(COSTS) is None
        assert isinstance(pool.admit(costs, 60.0, 0, too_large=error.value), Admission)


class TestProbing:
    def test_few_requests_go_before_the_first_answer(self):
        """With as many under way as may probe, the next waits for an answer, or for more than a second."""
        pool = Pool()
        for under_way in range(PROBES):
            admit(pool, in_flight=under_way)
        assert pool.admit(COSTS, 0.0, PROBES) == pytest.approx(1 / PROBES_PER_SECOND)

    @pytest.mark.parametrize(("seconds", "under_way"), [(1, 36), (2, 72), (3, 144), (9, 9_216)])
    def test_time_without_an_answer_lets_more_go(self, seconds, under_way):
        """Twenty more a second may be under way, and after a second twice as many each second: a 429 would have come."""
        pool = Pool()
        admit(pool)
        admit(pool, now=seconds, in_flight=under_way - 1)
        wait = pool.admit(COSTS, seconds, under_way)
        assert wait == pytest.approx(math.log2((under_way + 1) / under_way))
        admit(pool, now=seconds + wait, in_flight=under_way)

    def test_probing_begins_anew_when_nothing_is_under_way(self):
        """Time in which no request was out tells nothing."""
        pool = Pool()
        admit(pool)
        admit(pool, now=100.0, in_flight=0)
        assert pool.admit(COSTS, 100.0, PROBES) == pytest.approx(1 / PROBES_PER_SECOND)

    def test_answers_without_readings_let_more_go(self):
        """Each adds two."""
        pool = Pool()
        pool.answered(admit(pool), {}, 0.0)
        admit(pool, in_flight=PROBES + 1)
        assert pool.admit(COSTS, 0.0, PROBES + 2) == pytest.approx(1 / PROBES_PER_SECOND)

    def test_an_endpoint_without_readings_is_not_throttled(self):
        """After the first few answers that name no limit, all may go."""
        pool = Pool()
        for _ in range(PROBES):
            pool.answered(admit(pool), {}, 0.0)
        admit(pool, in_flight=100_000)

    def test_a_reading_opens_the_pool(self):
        """From the first reading on the levels decide."""
        admit(measured(requests=60), in_flight=100_000)


class TestRejection:
    def test_the_pool_is_held_until_retry_after(self):
        """Nothing goes before the server's time, whatever the levels."""
        pool = measured(requests=60)
        pool.rejected(admit(pool), {}, 2.0, 10.0)
        assert pool.admit(COSTS, 10.5, 0) == pytest.approx(1.5)
        admit(pool, now=12.0)

    def test_a_shorter_hold_does_not_end_a_longer_one(self):
        """The latest time any rejection named counts."""
        pool = measured(requests=60)
        first, second = admit(pool), admit(pool)
        pool.rejected(first, {}, 5.0, 10.0)
        pool.rejected(second, {}, 1.0, 10.0)
        assert pool.admit(COSTS, 10.0, 0) == pytest.approx(5)

    def test_a_reading_that_explains_it_is_waited_for(self):
        """Without retry-after the wait is that for the level the server measured."""
        pool = measured(requests=60)
        pool.rejected(admit(pool, now=10.0), {"requests": Reading(60, 0)}, None, 10.0)
        assert pool.admit(COSTS, 10.0, 0) == pytest.approx(1.3)

    def test_unexplained_rejections_pause_longer_each_time(self):
        """With no number to go by the pauses double up to a minute, and an answer ends that."""
        pool, now, pauses = measured(tokens=60_000), 0.0, []
        for _ in range(8):
            pool.rejected(admit(pool, now), {}, None, now)
            pause = pool.admit(COSTS, now, 0)
            assert isinstance(pause, float)
            pauses.append(pause)
            now += pause
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
        pool.answered(admit(pool, now), {}, now)
        pool.rejected(admit(pool, now), {}, None, now)
        assert pool.admit(COSTS, now, 0) == 1

    def test_one_rejection_without_numbers_holds_up_nobody_else(self):
        """While others are in flight, a wait that is asked for is that of the rejected request alone."""
        pool = Pool()
        for _ in range(40):
            pool.answered(admit(pool), {}, 1.0)
        assert pool.rejected(admit(pool, 2.0), {}, 1.0, 2.0, in_flight=40).own_wait == 1
        admit(pool, 2.0, in_flight=40)

    def test_rejections_in_a_row_hold_all(self):
        """Where nothing else is let in, the wait that is asked for is that of all."""
        pool = Pool()
        for admission in [admit(pool, in_flight=n) for n in range(3)]:
            rejection = pool.rejected(admission, {}, 1.0, 2.0, in_flight=5)
        assert rejection.own_wait == 0
        assert pool.admit(COSTS, 2.0, 0) == 1

    def test_rejections_in_a_row_narrow_what_is_in_flight(self):
        """As many may be in flight as were, besides the rejected; by time alone few more."""
        pool = Pool()
        for _ in range(40):
            pool.answered(admit(pool), {}, 1.0)
        admissions = [admit(pool, 2.0, in_flight=n) for n in range(100)]
        for left, admission in zip(range(99, 31, -1), reversed(admissions), strict=False):
            pool.rejected(admission, {}, None, 2.01, in_flight=left)
        admit(pool, 2.05, in_flight=31)
        assert pool.admit(COSTS, 2.05, 33) == pytest.approx(0.96)

    def test_a_reading_ends_the_narrowing(self):
        """Once an answer names a limit there is no other to find."""
        pool = Pool()
        for admission in [admit(pool, in_flight=n) for n in range(9)]:
            pool.rejected(admission, {}, None, 0.0, in_flight=1)
        assert isinstance(pool.admit(COSTS, 5.0, 1), float)
        pool.answered(admit(pool, 5.0), {"requests": Reading(600, 599)}, 5.0)
        for in_flight in range(100):
            admit(pool, 5.0, in_flight=in_flight)

    def test_requests_rejected_together_pause_once(self):
        """A hundred rejections of requests that were under way together are one event."""
        pool = Pool()
        for admission in [admit(pool) for _ in range(100)]:
            pool.rejected(admission, {}, None, 1.0)
        assert pool.admit(COSTS, 1.0, 0) == 0.5

    def test_a_rejection_with_room_for_the_request_pauses(self):
        """When the levels say it fits, the reason is one that they do not show."""
        pool = measured(requests=60, tokens=60_000)
        pool.rejected(admit(pool), {"tokens": Reading(60_000, 50_000)}, None, 0.0)
        assert pool.admit(COSTS, 0.0, 0) == 1

    def test_dimensions_without_a_reading_get_back_what_was_taken(self):
        """A rejected request was charged in none."""
        pool = measured(requests=60, tokens=60_000)
        before = pool.buckets["requests"].level
        pool.rejected(admit(pool), {"tokens": Reading(60_000, 50)}, 1.0, 0.0)
        assert pool.buckets["requests"].level == before

    @pytest.mark.parametrize("limit", [math.inf, 60_000.0])
    def test_a_limit_of_zero_is_none(self, limit):
        """Some gateways name it where they know no limit: what was known still holds."""
        pool = measured(tokens=limit) if limit < math.inf else Pool()
        assert not pool.rejected(admit(pool), {"tokens": Reading(0, 0)}, 1.0, 0.0).changed
        assert pool.buckets["tokens"].limit == limit
        assert isinstance(pool.admit(COSTS, 100.0, 0), Admission)


class TestConfiguredRate:
    def test_requests_are_spread_evenly(self):
        """Without headers, requests go at the configured rate from the first on."""
        pool, now, times = Pool(rpm=600), 0.0, []
        while len(times) < 20:
            outcome = pool.admit({"requests": 1.0}, now, len(times))
            if isinstance(outcome, Admission):
                times.append(now)
            else:
                now += outcome
        gaps = [later - earlier for earlier, later in itertools.pairwise(times[2:])]
        assert gaps == pytest.approx([0.1] * len(gaps))

    def test_a_rejection_lowers_the_rate(self):
        """The next request waits twice as long."""
        pool = Pool(rpm=60)
        admission = admit(pool)
        pool.rejected(admission, {}, None, 0.0)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx(1.8, abs=0.05)

    def test_reported_limits_replace_it(self):
        """Once an answer names the limit of requests, that one counts."""
        pool = Pool(rpm=1)
        pool.answered(admit(pool), {"requests": Reading(600, 599)}, 0.0)
        for _ in range(100):
            admit(pool)

    def test_a_limit_of_tokens_does_not_replace_it(self):
        """Both count."""
        pool = Pool(rpm=60)
        pool.answered(admit(pool), {"tokens": Reading(60_000, 59_900)}, 0.0)
        assert pool.admit(COSTS, 0.0, 0) == pytest.approx(0.9)

    def test_an_unsent_request_leaves_its_place(self):
        """What a cancelled request took of the rate goes to the next."""
        pool = Pool(rpm=60)
        pool.cancelled(admit(pool), 0.0)
        admit(pool)


class TestRegistry:
    def test_a_key_has_one_pool(self):
        """The same key gives the same pool, another key another."""
        registry = PoolRegistry()
        assert registry.get(("a", "chat")) is registry.get(("a", "chat"))
        assert registry.get(("a", "chat")) is not registry.get(("b", "chat"))
        assert isinstance(pools, PoolRegistry)

    def test_a_changed_rate_is_taken_over(self):
        """The pool keeps its levels and follows the configuration of now."""
        registry = PoolRegistry()
        pool = registry.get(("a", "images"), rpm=60)
        admit(pool)
        assert registry.get(("a", "images"), rpm=60).admit(COSTS, 0.0, 0) == pytest.approx(0.9)
        assert registry.get(("a", "images"), rpm=600).rpm == 600
        admit(pool)

    def test_threads_get_the_same_pool(self):
        """Many threads that ask at once are given one pool."""
        registry, found, start = PoolRegistry(), [], threading.Barrier(8)

        def ask() -> None:
            start.wait()
            found.append(registry.get(("a", "chat")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(map(id, found))) == 1
