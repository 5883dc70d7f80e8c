"""A day, on the virtual clock, of an account that three processes share with a client outside."""

import asyncio

import pytest

from tests.api.day import CHAT, EMBEDDINGS, HOUR, Day
from tests.virtual_time import run


def test_nearly_all_that_was_possible_in_a_day_is_used():
    """Limits raised and lowered, an outage, a client outside, a ledger lost and found, a clock set: 97 % and more."""
    day = Day()

    async def main() -> None:
        day.at(2 * HOUR, lambda: day.resize(1.5))
        day.at(5 * HOUR, lambda: day.resize(0.4))
        day.at(7 * HOUR, lambda: day.resize(1 / 0.6))
        day.at(8 * HOUR, lambda: day.account.set_down(True))
        day.at(8.4 * HOUR, lambda: day.account.set_down(False))
        outside = asyncio.create_task(day.account.client_outside(0.3, 10 * HOUR, 13 * HOUR))
        day.at(15 * HOUR, lambda: day.set_reachable(False))
        day.at(16 * HOUR, lambda: day.set_reachable(True))
        day.at(18 * HOUR, lambda: day.step_clock(-HOUR))
        day.at(20 * HOUR, lambda: day.step_clock(HOUR))
        await day.play(24 * HOUR)
        outside.cancel()

    run(main())
    assert not day.failed
    assert day.account.meters[CHAT]["requests"].utilization >= 0.97
    assert day.account.meters[EMBEDDINGS]["tokens"].utilization >= 0.97
    # most 429s come while a limit is as small as a few requests, and while the client outside takes its part
    assert day.account.rejections <= 0.04 * day.account.answers


@pytest.mark.parametrize(("says_when", "rejected"), [(True, 0.02), (False, 0.25)])
def test_a_server_that_does_not_say_what_fell_short_teaches_the_cost_all_the_same(says_when, rejected):
    """Of its 429s the only dimension that can have fallen short is known, and with it what a request takes."""
    day = Day()
    day.account.names_the_short, day.account.says_when = False, says_when
    counts = []

    async def main() -> None:
        for hour in (1, 2):
            day.at(hour * HOUR - 1, lambda: counts.append((day.account.answers, day.account.rejections)))
        await day.play(2 * HOUR)

    run(main())
    (answers, rejections), (all_answers, all_rejections) = counts
    assert all_rejections - rejections <= rejected * (all_answers - answers)
