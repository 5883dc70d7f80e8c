"""Several processes before a server that names no limit and queues in silence: one number in flight for all of them."""

import asyncio
import random

import pytest

from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.in_flight_row import IN_FLIGHT
from pxt_assets.throttle.ledger.messages import ExchangeRequest, InFlightReport
from pxt_assets.throttle.ledger.pool_rows import PoolRows
from pxt_assets.throttle.ledger.report import report
from tests.throttle.ledger.virtual import MemoryLedger, Process
from tests.throttle.queueing_server import QueueingServer, ask
from tests.throttle.server import log_normal
from tests.virtual_time import run


def tell(
    pool: PoolRows, process: str, now: float, *, size: float = 4.0, wanted: float = 100.0, leads: bool = False
):
    answer = exchange(pool, process, ExchangeRequest((), in_flight=InFlightReport(size, wanted, leads)), now)
    assert answer.in_flight is not None
    assert IN_FLIGHT not in answer.row_states
    return answer.in_flight


def test_each_process_has_its_part_and_one_searches():
    """Of twelve, two that want more have six each; the first of them searches."""
    pool = PoolRows()
    assert tell(pool, "a", 1.0, size=12) == (12, 12, True)
    assert tell(pool, "b", 1.1) == (12, 6, False)
    assert tell(pool, "a", 1.2, size=12).part == 6


def test_what_one_does_not_want_another_has():
    """Who wants two of twelve leaves ten."""
    pool = PoolRows()
    tell(pool, "a", 1.0, size=12, wanted=2)
    assert tell(pool, "b", 1.1) == (12, 10, True)


def test_only_the_one_that_searches_changes_the_number():
    """A follower's number is none."""
    pool = PoolRows()
    tell(pool, "a", 1.0, size=12)
    assert tell(pool, "b", 1.1, size=99, leads=True).size == 12
    assert tell(pool, "a", 1.2, size=16, leads=True).size == 16


def test_the_part_of_a_process_that_is_gone_is_free():
    """Two seconds after its last exchange."""
    pool = PoolRows()
    tell(pool, "a", 1.0, size=12)
    tell(pool, "b", 1.1)
    assert tell(pool, "b", 4.0) == (12, 12, True)


def test_it_is_sought_anew_after_a_minute():
    """Nobody knows which server it is by then."""
    pool = PoolRows()
    tell(pool, "a", 1.0, size=256)
    assert tell(pool, "b", 62.0).size == 4


def test_it_is_reported():
    """As what it is: no rate."""
    pool = PoolRows()
    tell(pool, "a", 1.0, size=12, wanted=3)
    (line,) = report(("k", "m"), pool, 1.0)
    assert (line.dimension, line.limit, line.limit_per_minute, line.remaining) == (IN_FLIGHT, 12, None, 9)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_keep_four_slots_busy(processes):
    """600 rows: 0.9 of the speed of the slots, and the queue stays as short as with one process."""
    server, ledger = QueueingServer(4, log_normal(1.0, 0.3, random.Random(1))), MemoryLedger()

    async def main() -> float:
        started = [Process.start(ledger, str(number), from_few=True) for number in range(processes)]
        rows = 600 // processes
        await asyncio.gather(*(ask(one.limiter, server, rows, seconds=30) for one in started))
        return asyncio.get_running_loop().time()

    assert run(main()) <= 600 / 4 * 1.05 / 0.9
    assert server.most_waiting <= 40


def test_the_number_does_not_grow_from_run_to_run():
    """Five runs of 400 rows before four slots each begin with what the one before has left: six at most, and as fast."""
    server, ledger = QueueingServer(4, log_normal(0.4, 0.2, random.Random(1))), MemoryLedger()

    async def main() -> float:
        seconds = 0.0
        for number in range(5):
            process = Process.start(ledger, str(number), from_few=True)
            seconds += (await ask(process.limiter, server, 400)).seconds
            process.worker.alive = False
            await asyncio.sleep(5)
            assert ledger.pool.buckets[IN_FLIGHT].limit <= 6
        return seconds

    assert run(main()) <= 5 * 400 / 4 * 0.41 / 0.92
