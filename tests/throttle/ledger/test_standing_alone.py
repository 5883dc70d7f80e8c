"""Processes whose ledger is lost at any time: they go on by what they know, and share again when it is back."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.throttle import Limiter, LimitUtilization, Pool
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.ledger.leased_bucket import LeasedBucket
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from tests.throttle.ledger.virtual import LoopWorker, MemoryLedger, Process, send_shared
from tests.throttle.server import Meter, Outcome, Server, log_normal
from tests.virtual_time import run


def play(
    reachable: dict[float, bool], processes: int, *, latency: float = 0.3, requests: int = 600
) -> tuple[Outcome, str | None]:
    """Send requests at 1,200 a minute, with 120 there at first, while the ledger is reachable or not."""
    ledger = MemoryLedger()
    server = Server({"requests": Meter(1200, 120)}, log_normal(latency, 0.3, random.Random(1)))

    async def main() -> tuple[Outcome, str | None]:
        for when, state in reachable.items():
            asyncio.get_running_loop().call_at(when, lambda state=state: setattr(ledger, "reachable", state))
        started = [Process.start(ledger, str(number)) for number in range(processes)]
        used = LimitUtilization(process.limiter for process in started)
        outcome = await send_shared(started, server, [{"requests": 1.0}] * requests)
        return outcome, used.fault

    return run(main())


@pytest.mark.parametrize("lost", [0.0, 0.003, 0.006, 0.05, 0.2, 0.25, 0.3, 0.35, 0.5, 1.0, 5.0])
def test_a_ledger_that_fails_early_costs_little(lost: float) -> None:
    """Before the first word, before it is told the limit, before it has answered: the ideal 24 s within 5 %."""
    outcome, fault = play({lost: False}, 1)
    assert fault is None
    assert outcome.seconds <= 24 / 0.95
    assert outcome.rejections <= 20


@settings(max_examples=40)
@given(
    changes=st.dictionaries(st.floats(0, 20), st.booleans(), max_size=6),
    processes=st.integers(1, 4),
    latency=st.floats(0.01, 3),
)
def test_no_history_of_a_ledger_is_a_fault(
    changes: dict[float, bool], processes: int, latency: float
) -> None:
    """All requests are answered, soon."""
    outcome, fault = play(changes, processes, latency=latency, requests=300)
    assert fault is None
    assert outcome.seconds <= 9 * processes + 60


@pytest.mark.parametrize(("cut_off", "sharing"), [(1, 1), (1, 3), (3, 1)])
def test_a_ledger_that_some_processes_never_reach(cut_off: int, sharing: int) -> None:
    """All is answered and the whole limit used, with 429s that cost nothing; those that are cut off say so, and they alone."""
    server = Server({"requests": Meter(1200, 120)}, log_normal(0.5, 0.3, random.Random(1)))
    there, elsewhere = MemoryLedger(), MemoryLedger(reachable=False)

    async def main() -> tuple[Outcome, list[tuple[str, ...]]]:
        started = [
            Process.start(ledger, str(number))
            for ledger, count in ((there, sharing), (elsewhere, cut_off))
            for number in range(count)
        ]
        used = [LimitUtilization([process.limiter]) for process in started]
        outcome = await send_shared(started, server, [{"requests": 1.0}] * 1200)
        return outcome, [one.unreached for one in used]

    outcome, unreached = run(main())
    assert outcome.seconds <= 54 / 0.97
    assert outcome.rejections <= 600
    assert unreached == [()] * sharing + [("the ledger (not reachable)",)] * cut_off


def test_that_the_ledger_was_not_reached_is_said_of_the_limiters_of_that_time() -> None:
    """While it lasts and after it, and not to those who come once it is over."""
    ledger = MemoryLedger()

    async def main() -> list[tuple[str, ...]]:
        process = Process.start(ledger, "one")
        used = LimitUtilization([process.limiter])
        said = []
        for reachable in (True, False, True):
            ledger.reachable = reachable
            (await process.limiter.acquire({"requests": 1.0})).answered({})
            await asyncio.sleep(60)
            said.append(used.unreached)
        said.append(LimitUtilization([Limiter(process.pool)]).unreached)
        return said

    lost = ("the ledger (not reachable)",)
    assert run(main()) == [(), lost, lost, ()]


def test_a_process_of_its_own_has_no_ledger_to_reach() -> None:
    """Nothing is said of one."""

    async def main() -> tuple[str, ...]:
        return LimitUtilization([Limiter(Pool())]).unreached

    assert run(main()) == ()


def test_a_limit_that_only_a_reading_told_of_has_its_rate() -> None:
    """The row of the ledger has none yet."""
    bucket = LeasedBucket(lambda _when: None, 0.0, lambda _when: None)
    grant = bucket.take(1.0, 0.0)
    bucket.observe(grant, Reading(600.0, 300.0, 30.0), 0.5)
    bucket.stand_alone(1.0)
    assert bucket.wait(1.0, 1.0) == 0.0
    for _ in range(309):
        bucket.take(1.0, 1.0)
    assert 0 < bucket.wait(1.0, 1.0) < 1.0


def test_a_fault_of_the_exchange_ends_the_sharing_once(caplog: pytest.LogCaptureFixture) -> None:
    """The pool goes on with a plain bucket, and the trace of what happened in the ledger's thread is logged."""
    ledger = MemoryLedger()
    server = Server({"requests": Meter(1200, 120)}, latency=lambda: 0.3)

    async def main() -> tuple[Outcome, str | None]:
        loop = asyncio.get_running_loop()
        worker = LoopWorker(ledger, "one")
        share = LedgerShare("pool", worker)
        process = Process.start(ledger, "other")
        broken = Process(worker, Pool(share=share), process.limiter)
        limiter = type(process.limiter)(broken.pool)
        used = LimitUtilization([limiter])
        loop.call_at(5.0, lambda: share.fault(ValueError("as the ledger's thread met it")))
        outcome = await send_shared(
            [Process(worker, broken.pool, limiter)], server, [{"requests": 1.0}] * 600
        )
        return outcome, used.fault

    outcome, fault = run(main())
    assert outcome.seconds <= 24 / 0.95
    assert fault is not None
    assert fault.startswith("ValueError")
    assert "as the ledger's thread met it" in caplog.text
