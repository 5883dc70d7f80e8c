"""Lines of progress: what they say of one partition, and of several."""

import asyncio
from typing import Any

import pytest

from pxt_assets.api.meter import Meter
from pxt_assets.compute.asking import progress as progress_module
from pxt_assets.compute.asking.progress import Progress, ProgressDisplay, observe_progress
from pxt_assets.throttle import HoldReport, LimitUtilization
from tests.virtual_time import run


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress_module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def at(label: str, done: int, total: int, **used: Any) -> Progress:
    return Progress(label, done, total, 10.0, Meter(**used))


def test_a_partition_in_one_line(clock: Clock) -> None:
    """Rows, rows a second since the last line, cost, 429s, and how long it will take at that rate."""
    board = ProgressDisplay()
    done = 0
    with board.track("t/c[a]", lambda: at("t/c[a]", done, 4_000, cost_usd=0.5, rate_limited=1)):
        done, clock.now = 1_000, clock.now + 10
        assert (
            board.log_line() == "t/c[a]: 1,000 of 4,000 rows (25%), 100 rows/s, $0.50, 1 429, about 30 s left"
        )
        done, clock.now = 1_050, clock.now + 10
        assert board.log_line() == (
            "t/c[a]: 1,050 of 4,000 rows (26%), 5.0 rows/s, $0.50, 1 429, about 10 min left"
        )


def test_rows_that_were_there_before_make_no_rate(clock: Clock) -> None:
    """They come at once: the time that is left is that of the rows that are asked for."""
    board = ProgressDisplay()
    with board.track("t/c", lambda: Progress("t/c", 240, 400, 10.0, Meter(), found=140)):
        clock.now += 10
        assert board.log_line() == "t/c: 240 of 400 rows (60%), 10 rows/s, $0.00, no 429s, about 16 s left"


class _Held:
    """A limiter whose server asked for an hour."""

    def totals(self) -> dict[str, tuple[float, float]]:
        return {}

    def utilization(self, _since: object) -> None:
        return None

    def hold(self) -> HoldReport:
        return HoldReport(42.0, 3600.0)


def test_a_wait_that_the_server_asked_for_is_told(clock: Clock) -> None:
    """How long it holds yet, and what was asked for."""
    board, usage = ProgressDisplay(), LimitUtilization([_Held()])
    with board.track("t/c[a]", lambda: at("t/c[a]", 0, 40, rate_limited=1, limit_usage=usage)):
        assert (
            "held by the server for 42 s more at most (Retry-After 3,600 s; single requests try meanwhile), "
            in board.log_line()
        )


def test_why_nothing_answers_is_told(clock: Clock) -> None:
    """As long as there is something to tell."""
    reasons: list[str | None] = ["the name llama.lan cannot be resolved", None]
    board = ProgressDisplay(silence=lambda: reasons.pop(0))
    with board.track("t/c", lambda: at("t/c", 0, 40)):
        told = "t/c: 0 of 40 rows (0%), no answer yet: the name llama.lan cannot be resolved, 0.0 rows/s"
        assert board.log_line().startswith(told)
        assert "no answer yet" not in board.log_line()


class _Alone(LimitUtilization):
    """Of limits whose ledger is not reached."""

    unreached = ("the ledger at sqlite:///a (disk I/O error)",)


def test_a_ledger_that_is_not_reached_is_warned_of_while_the_run_goes_on() -> None:
    """Within a second, not with the next line."""

    async def main(warnings: list[str]) -> None:
        board = ProgressDisplay()
        with board.track("a", lambda: at("a", 0, 40, limit_usage=_Alone())):
            reporting = asyncio.create_task(board.keep_reporting(lambda _line: None, warnings.append))
            await asyncio.sleep(1)
            reporting.cancel()

    warnings: list[str] = []
    run(main(warnings))
    assert len(warnings) == 1


def test_a_ledger_that_is_not_reached_is_warned_of_once() -> None:
    """Whatever partitions meet it, also where they ended before anybody looked."""
    board, warnings = ProgressDisplay(), list[str]()
    for label in ("t/c[a]", "t/c[b]"):
        with board.track(label, lambda label=label: at(label, 0, 40, limit_usage=_Alone())):
            pass
        board.warn_of_unreached(warnings.append)
    assert warnings == [
        "not reached: the ledger at sqlite:///a (disk I/O error); until it is, this process goes on with its part "
        "of the rate limits by itself"
    ]


def test_partitions_in_one_line(clock: Clock) -> None:
    """Those that have ended count; how many rows the others have is guessed by those that were opened."""
    board = ProgressDisplay("t/c", 4)
    with board.track("a", lambda: at("a", 100, 100, cost_usd=1.0)):
        pass
    with board.track("b", lambda: at("b", 50, 100, cost_usd=1.5, rate_limited=2)):
        clock.now += 10
        assert board.log_line() == (
            "t/c: 1 of 4 partitions: 150 of about 400 rows (38%), 15 rows/s, $2.50, 2 429s, about 17 s left"
        )


def test_an_unknown_cost_is_told_beside_the_known_one(clock: Clock) -> None:
    """It would not be a cost if it were 0."""
    board = ProgressDisplay("t/c", 2)
    with (
        board.track("a", lambda: at("a", 1, 2, cost_usd=1.0)),
        board.track("b", lambda: at("b", 1, 2, cost_usd=None, rows_unpriced=1)),
    ):
        assert "$1.00 and 1 row of unknown price" in board.log_line()


def test_the_share_of_the_limit_is_that_since_the_last_line(clock: Clock) -> None:
    """A line tells what is in use now, not what was on average; the first one what was since the first request."""

    class Half(LimitUtilization):
        utilization = 0.5

    class Most(LimitUtilization):
        utilization = 0.98

    board = ProgressDisplay(used=Half)
    with board.track("a", lambda: at("a", 1, 9, limit_usage=Most())):
        assert "98% of the limit in use" in board.log_line()
        assert "50% of the limit in use" in board.log_line()


def test_observers_see_the_end_of_each(clock: Clock) -> None:
    """Whoever draws a bar is told when it is full."""
    seen: list[tuple[str, int]] = []
    with observe_progress(lambda p: seen.append((p.label, p.done))):
        board = ProgressDisplay()
        with board.track("a", lambda: at("a", 3, 3)):
            pass
    assert seen == [("a", 3)]
    last = board.last_progress("a")
    assert last is not None
    assert last.done == 3
    assert board.last_progress("b") is None


def test_the_number_in_flight_that_was_found_is_said(clock: Clock) -> None:
    """Where the server names no limit, and queues."""

    class Four(LimitUtilization):
        in_flight = 4

    board = ProgressDisplay()
    with board.track("a", lambda: at("a", 1, 9, limit_usage=Four())):
        assert "4 in flight at once, as the server's latency tells" in board.log_line()
