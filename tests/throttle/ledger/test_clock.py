"""The ledger's clock is set back or forward: by a step of NTP, a restored machine, another server that takes over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.throttle.ledger import tables
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.pool_rows import LONGEST_HOLD_SECONDS, PoolRows
from pxt_assets.throttle.ledger.sql import SqlLedger
from tests.throttle.ledger.virtual import MemoryLedger, Process, send_shared
from tests.throttle.server import Meter, Outcome, Server
from tests.virtual_time import run

OPENING = Measurement(600.0, 10.0, age=0.0, low=300.0, high=300.0, limit_unknown=True)


@dataclass
class SteppedLedger(MemoryLedger):
    """A ledger whose clock is wrong by `step` seconds."""

    step: float = 0.0

    def exchange(self, process: str, request: ExchangeRequest) -> ExchangeAnswer:
        self.exchanges += 1
        return exchange(self.pool, process, request, 1e6 + self.step + asyncio.get_running_loop().time())


def play(steps: dict[float, float], processes: int, requests: int = 1200) -> Outcome:
    """Send requests while the clock is set by `steps`, by the time at which each is made."""
    ledger = SteppedLedger()
    server = Server({"requests": Meter(1200, 120)}, latency=lambda: 0.3)

    async def main() -> Outcome:
        for when, step in steps.items():
            asyncio.get_running_loop().call_at(when, lambda step=step: setattr(ledger, "step", step))
        started = [Process.start(ledger, str(number)) for number in range(processes)]
        return await send_shared(started, server, [{"requests": 1.0}] * requests)

    return run(main())


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize(
    "steps",
    [
        {20.0: -3600.0},
        {20.0: 3600.0},
        {10.0: -3600.0, 30.0: 0.0},
        {10.0: 3600.0, 30.0: 0.0},
        {10.0: -1.0, 20.0: 0.5, 30.0: -86_400.0, 40.0: 86_400.0},
    ],
    ids=["back", "forward", "back and right again", "forward and right again", "to and fro"],
)
def test_the_limit_is_used_whatever_the_clock_does(steps: dict[float, float], processes: int) -> None:
    """The ideal 54 s within 5 %, and hardly a 429."""
    outcome = play(steps, processes)
    assert outcome.seconds <= 54 / 0.95
    assert outcome.rejections <= 40


@settings(max_examples=30)
@given(
    steps=st.dictionaries(
        st.floats(1, 40), st.sampled_from([-1e9, -3600.0, -7.0, -0.5, 0.0, 3.0, 3600.0, 1e8]), max_size=5
    ),
    processes=st.integers(1, 5),
)
def test_no_history_of_a_clock_stops_anybody(steps: dict[float, float], processes: int) -> None:
    """Work is done at most a few seconds late for each step."""
    outcome = play(steps, processes, 600)
    assert outcome.seconds <= 24 + 6 * (1 + len(steps))


def ask(spent: float = 0.0, hold: float = 0.0, measurement: Measurement | None = None) -> ExchangeRequest:
    return ExchangeRequest((LeaseRequest("requests", spent, 0.0, 1.0, 5.0, measurement),), hold_seconds=hold)


@pytest.mark.parametrize("back", [10.0, 3600.0, 1e9])
def test_a_hold_is_a_duration(back: float) -> None:
    """However far the clock is set back, a hold lasts no longer than the longest."""
    rows = PoolRows()
    assert exchange(rows, "one", ask(hold=30.0), 1e9 + 1_000).hold_seconds == 30
    told = exchange(rows, "other", ask(), 1e9 + 1_000 - back).hold_seconds
    assert told <= LONGEST_HOLD_SECONDS
    assert exchange(rows, "other", ask(), 1e9 + 1_061 - back).hold_seconds == 0


def test_leases_of_a_dead_process_expire_after_the_clock_was_set_back() -> None:
    """They would be held until the clock is where it was."""
    rows = PoolRows()
    exchange(rows, "dead", ask(measurement=OPENING), 10_000.0)
    held = exchange(rows, "dead", ask(), 10_000.1).row_states["requests"].lease
    assert held > 0
    exchange(rows, "alive", ask(), 6_400.0)
    assert rows.outstanding("requests") >= held
    state = exchange(rows, "alive", ask(), 6_400.0 + 10).row_states["requests"]
    assert state.held_by_others == 0
    assert state.level > 300


def test_a_real_ledger_follows_its_clock(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch, step_clock: Callable[[float], None]
) -> None:
    """Units flow in again at once after the clock was set back an hour, and what is held is bounded."""
    ledger = SqlLedger(ledger_url)
    pool = f"clock {ledger_url[:6]}"
    ledger.exchange(pool, ask(measurement=OPENING, hold=20.0))
    before = ledger.exchange(pool, ask()).row_states["requests"]
    step_clock(-3600.0)
    answer = ledger.exchange(pool, ask(spent=before.lease))
    assert 0 < answer.hold_seconds <= LONGEST_HOLD_SECONDS
    assert ledger.exchange(pool, ask()).row_states["requests"].level >= answer.row_states["requests"].level
    (line,) = [line for line in ledger.pools() if line.key == (pool,)]
    assert 0 < line.held_seconds <= LONGEST_HOLD_SECONDS
    assert line.processes == 1


@pytest.fixture
def step_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of both kinds of databases."""

    def step(seconds: float) -> None:
        monkeypatch.setattr(
            tables, "CLOCK", {name: f"{statement} + ({seconds})" for name, statement in tables.CLOCK.items()}
        )

    return step
