"""What the UI shows of rows whose answers come later."""

import dagster as dg
import pytest

from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Usage
from pxt_assets.assets.page.waiting import (
    age_text,
    batches_metadata,
    goes_on_text,
    run_waiting_metadata,
    waiting_line,
    waiting_metadata,
    ways_text,
    with_ways,
)
from pxt_assets.compute.deferred.record import BatchView
from pxt_assets.compute.run_partitions import Waiting

BATCH = BatchView("20261130T1-a", "batch_1", "in_progress", 3, 1, 10, 2_040.0, 0.05)
OTHER = BatchView("20261130T2-b", None, "waiting", 0, 0, 5, 60.0, None)


def summary(*waiting: Waiting, goes_on: str = "x") -> list[str]:
    """The lines of the summary of a partition, or of a run of several."""
    if len(waiting) == 1:
        said = waiting_metadata(waiting[0], partition=None, goes_on=goes_on, skipped=[], left_usd=None)
    else:
        of_partitions = {str(i): one for i, one in enumerate(waiting)}
        said = run_waiting_metadata(of_partitions, ["z"], goes_on=goes_on, skipped=[], left_usd=None)
    return str(said["pxt/summary"].value).split("  \n")


def test_a_summary_is_short_lines() -> None:
    """A table of batches makes the page wider than it shows, so that a sentence would not wrap."""
    lines = summary(Waiting(7, [BATCH], 0.05))
    assert lines[0] == "**7 rows wait** for 1 batch"
    assert lines[1].startswith("batch: 4 of 10 answers at ")
    assert lines[2].startswith("asked for 20")
    assert lines[3:] == ["estimated at $0.05", "what is stored stays until then", "x"]


def test_what_dagster_makes_of_it_stands_in_lines_of_its_own() -> None:
    lines = summary(
        Waiting(7, [BATCH], 0.05), goes_on="t_collector collects it; Dagster shows the backfill as failed"
    )
    assert lines[-2:] == ["t_collector collects it", "Dagster shows the backfill as failed"]


def test_batches_of_several_partitions_count_once() -> None:
    lines = summary(Waiting(4, [BATCH], 0.02), Waiting(3, [BATCH, OTHER], 0.03))
    assert lines[:2] == ["2 of 3 partitions of this run wait", "**7 rows wait** for 2 batches"]
    assert lines[2].startswith("batches: 4 of 15 answers at ")


def test_a_price_that_is_not_known_is_none() -> None:
    said = waiting_metadata(
        Waiting(1, [OTHER], None), partition="mon", goes_on="x", skipped=[], left_usd=None
    )
    assert said["pxt/expected_cost_usd"] == "unknown"
    assert "cost unknown" in said["pxt/summary"].value
    assert said["pxt/batches"].records[0].data["expected"] == "unknown"


def test_what_has_no_room_is_told() -> None:
    lines = summary(Waiting(7, [BATCH], 0.05, rows_without_room=2, rows_without_budget=3))
    assert lines[4:6] == ["2 rows: no room in the queue yet", "3 rows: no room in max_cost_usd"]


def test_what_came_meanwhile_is_counted_where_others_wait() -> None:
    """No materialization does: the one that follows counts what its own run took."""
    meter = Meter(requests=5, cost_usd=0.02, rows_unpriced=1)
    said = waiting_metadata(
        Waiting(7, [BATCH], 0.05, computed=4, meter=meter),
        partition=None,
        goes_on="x",
        skipped=[],
        left_usd=None,
    )
    assert (said["pxt/cost_usd"], said["pxt/rows_computed"], said["pxt/rows_unpriced"]) == (0.02, 4, 1)
    assert "4 answers collected by this run, $0.02 and 1 row of unknown price" in said["pxt/summary"].value


@pytest.mark.parametrize("meter", [None, Meter(requests=7)])
def test_a_run_to_which_nothing_came_tells_no_cost(meter: Meter | None) -> None:
    """Not even where it has asked for what is made in the background."""
    waiting = Waiting(7, [], 0.05, meter=meter)
    said = waiting_metadata(waiting, partition=None, goes_on="x", skipped=[], left_usd=None)
    assert "pxt/cost_usd" not in said


def test_what_nobody_goes_on_with_is_not_said_to_wait() -> None:
    lines = summary(Waiting(2, [], 0.0, rows_without_budget=2, comes=False))
    assert lines[:2] == ["**2 rows** are not asked for", "2 rows: no room in max_cost_usd"]
    assert lines[-1] == "materialize again to have them asked for"


def test_without_batches_it_waits_for_answers() -> None:
    """Those that are made in the background."""
    assert summary(Waiting(2, [], 0.01))[:2] == ["**2 rows wait** for answers", "estimated at $0.01"]


@pytest.mark.parametrize(
    ("collector", "is_on", "said"),
    [
        (None, True, "materialize again to collect it"),
        ("evening", True, "evening collects it"),
        ("evening", False, "**evening is off**: switch it on under Automation, or materialize again"),
    ],
)
def test_it_says_who_goes_on(collector: str | None, is_on: bool, said: str) -> None:
    assert goes_on_text(collector, is_on=is_on) == said


def test_a_log_has_one_line_of_it() -> None:
    line = waiting_line(Waiting(1, [BATCH], 0.05), goes_on_text("a_b-c", is_on=False))
    assert line.startswith("1 row waits for 1 batch; batch: 4 of 10 answers at ")
    assert line.endswith("a_b-c is off: switch it on under Automation, or materialize again")


def test_batches_of_what_is_stored_are_behind_a_click() -> None:
    """The UI shows Markdown of less than 1,000 characters at once."""
    said = batches_metadata([BATCH])
    text = str(said["pxt/batches"].value)
    assert "| in&#95;progress | 3 | 1 | 10 |" in text
    assert "| name | expected | state |" in text
    assert len(text) >= 1_000
    assert said["pxt/rows_waiting"] == 0
    assert batches_metadata([]) == {}


def test_what_came_by_batch_says_so() -> None:
    """In the summary of what is stored, and in the log: it is why the run took so long, and cost half."""
    said = with_ways({"pxt/summary": dg.MetadataValue.md("2 rows")}, [BATCH], Meter())
    assert said["pxt/summary"].value == "2 rows · by batch, within 24 h, at half the price"
    assert ways_text([BATCH], Meter()) == "; by batch, within 24 h, at half the price"
    assert ways_text([], Meter()) == ""


def test_what_was_made_in_the_background_says_so() -> None:
    meter = Meter()
    meter.count_answer("gpt-6-luna", Usage(1, 1), None, "background_8h")
    said = with_ways({"pxt/summary": dg.MetadataValue.md("2 rows")}, [], meter)
    assert said["pxt/summary"].value == "2 rows · in the background, within 8 h, at 60 % of the price"
    assert "pxt/batches" not in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (2_040, "34 min"),
        (18_600, "5 h 10 min"),
        (90_000, "25 h"),
        (200_000, "2 days"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
