"""What may be in flight before a server that names no limit and queues in silence, on a virtual clock."""

import asyncio
import random

import pytest

from pxt_assets.throttle import Limiter, Pool
from tests.throttle.queueing_server import BatchingServer, QueueingServer, Run, ask, play
from tests.throttle.server import log_normal
from tests.virtual_time import run

LIMIT = {"x-ratelimit-limit-requests": "60000", "x-ratelimit-remaining-requests": "59999"}


def around(seconds: float, sigma: float = 0.5, seed: int = 1) -> log_normal:
    return log_normal(seconds, sigma, random.Random(seed))


@pytest.mark.parametrize(("sigma", "timeout"), [(0.0, 600), (0.0, 4), (0.3, 5), (0.6, 600), (0.6, 10)])
def test_four_slots_are_kept_busy_and_no_answer_times_out(sigma, timeout):
    """400 rows at four slots: 0.95 of the speed that four in flight have, at most one in twenty sent in vain."""
    outcome = play(QueueingServer(4, around(1.0, sigma)), 400, timeout=timeout)
    by_hand = play(QueueingServer(4, around(1.0, sigma)), 400, timeout=timeout, max_in_flight=4)
    assert outcome.seconds <= by_hand.seconds / 0.95
    assert outcome.in_vain <= 0.05
    assert max(number for _, number in outcome.in_flight) <= 32


@pytest.mark.parametrize("slots", [1, 2, 8, 17, 32])
def test_any_number_of_slots_is_found(slots):
    """60 rows a slot take no longer than 60 answers of a slot and an eighth, and what is found is no more than four times as many."""
    pool, server = Pool(from_few=True), QueueingServer(slots, lambda: 1.0)
    outcome = play(server, 60 * slots, pool=pool)
    assert outcome.seconds <= 60 * 1.125
    assert pool.search.found is None or pool.search.found <= 4 * slots


def test_a_server_without_a_queue_is_used_fully_within_seconds():
    """Where answers take 0.3 s however many are in flight, 500 are within two seconds."""
    outcome = play(QueueingServer(10_000, lambda: 0.3), 4_000, max_in_flight=500)
    assert outcome.when(500) <= 2
    assert outcome.seconds <= 4_000 / 500 * 0.3 + 1.5


def test_long_answers_of_different_length_are_no_queue():
    """Where answers take 20 s and now and then minutes, 500 are in flight after eight times as long."""
    outcome = play(QueueingServer(10_000, around(20, 1.0)), 4_000)
    assert outcome.when(500) <= 160


@pytest.mark.parametrize("slowing", [1 / 256, 1 / 64])
def test_a_server_that_gains_slowly_gets_many(slowing):
    """A batch of up to 256, in which each makes the others slower: 0.8 of the speed of the best number, ramp included."""
    outcome = play(BatchingServer(256, around(1.0), slowing, step=0.05), 4_000)
    best = play(BatchingServer(256, around(1.0), slowing, step=0.05), 4_000, max_in_flight=256)
    assert outcome.seconds <= best.seconds / 0.8


def test_few_rows_are_asked_for_at_once():
    """Four rows take as long as one."""
    assert play(QueueingServer(4), 4).seconds == pytest.approx(1.0)


def test_slots_that_become_more_are_found():
    """With four slots that become sixteen after a minute, 1,000 rows take 0.75 of the possible speed at least."""
    server = QueueingServer(4, around(1.0, 0.3))
    outcome = play(server, 1000, events=((60.0, lambda: server.resize(16)),))
    assert outcome.seconds <= 60 + (1000 - 240 / 1.05) * 1.05 / 16 / 0.75


def test_slots_that_become_fewer_are_given_way_to():
    """With sixteen slots of which four are left after half a minute, at most one row in twenty times out at ten seconds."""
    server = QueueingServer(16, around(1.0, 0.3))
    outcome = play(server, 800, timeout=10, events=((30.0, lambda: server.resize(4)),))
    assert outcome.in_vain <= 0.05


def test_slots_that_are_gone_are_not_queued_for():
    """With sixteen slots of which four are left, twenty seconds later no more than eight are in flight on average."""
    server = QueueingServer(16, around(0.2, 0.2))
    outcome = play(server, 2_000, events=((20.0, lambda: server.resize(4)),))
    later = [number for at, number in outcome.in_flight if at > 40]
    assert sum(later) / len(later) <= 8


def test_headers_end_the_search():
    """A server whose answers name a limit is sent what the limit allows, at once."""
    server = QueueingServer(10_000, lambda: 1.0, headers=LIMIT)
    outcome = play(server, 500)
    assert outcome.when(400) <= 2


def test_a_queue_shows_at_a_configured_rate_too():
    """At 600 a minute before four slots for answers of five seconds, no more go once 300 are in flight."""
    outcome = play(QueueingServer(4, lambda: 5.0), 600, pool=Pool(rpm=600))
    assert max(number for _, number in outcome.in_flight) <= 300


def test_a_configured_rate_is_not_ramped():
    """Answers after 30 s delay no request of a configured rate."""
    outcome = play(QueueingServer(10_000, lambda: 30.0), 600, pool=Pool(rpm=600))
    assert outcome.seconds <= 60 + 30 + 1


def test_two_pools_before_one_server_do_not_outbid_each_other():
    """Two models of one server with four slots: both are served, and the queue stays short."""
    server = QueueingServer(4, around(1.0, 0.3))

    async def main() -> list[Run]:
        limiters = [Limiter(Pool(from_few=True)) for _ in range(2)]
        return await asyncio.gather(*(ask(limiter, server, 300, seconds=60) for limiter in limiters))

    first, second = run(main())
    assert max(first.seconds, second.seconds) <= 600 / 4 * 1.05 * 1.1
    assert first.lost + second.lost == 0
    assert server.most_waiting <= 48


def test_limiters_of_one_pool_share_the_number():
    """Two event loops' limiters that draw on one pool have no more in flight than one."""
    server, pool = QueueingServer(4, around(1.0, 0.3)), Pool(from_few=True)

    async def main() -> list[Run]:
        limiters = [Limiter(pool) for _ in range(2)]
        return await asyncio.gather(*(ask(limiter, server, 200) for limiter in limiters))

    first, second = run(main())
    assert max(first.seconds, second.seconds) <= 400 / 4 * 1.05 * 1.1
    assert server.most_waiting <= 32


def test_a_fault_at_once_is_no_sign():
    """Connections that are refused at once narrow nothing."""
    pool = Pool(from_few=True)
    for number in range(100):
        admission = pool.admit({"requests": 1.0}, number / 10, 0)
        pool.lost(admission, number / 10)
    assert pool.search.size == 4
