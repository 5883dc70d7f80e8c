"""Whatever happens, in whatever order: no exception, no number that is none, no endless wait, no work lost."""

import asyncio

import pytest

from tests.throttle.random_history import History
from tests.virtual_time import run

HISTORIES = 2_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_every_history_ends_in_time_with_all_requests_answered(first):
    """Rates, limits, readings, faults, odd headers, clock steps, lost ledgers: each seed is one history."""
    for seed in range(first, first + CHUNK):
        history = History(seed)
        try:
            seconds = run(asyncio.wait_for(history.play(), 1e7))
            history.check()
            assert seconds <= history.bound_seconds
        except BaseException as error:
            error.add_note(f"in the history of seed {seed}")
            raise
