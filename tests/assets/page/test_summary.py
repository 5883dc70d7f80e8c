"""What a run did, in sentences."""

import asyncio
from collections import Counter

import pyarrow as pa
import pytest

from pxt_assets.api.budget import BudgetReachedError
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Usage
from pxt_assets.assets.page.summary import (
    outcome_summary,
    partitions_metadata,
    partitions_summary,
    unfinished_summary,
)
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import StoppedError
from pxt_assets.compute.partition.column import CellsFailedError, Outcome
from pxt_assets.compute.partition.findings import Findings
from pxt_assets.errors import CellError, FatalApiError, PartitionError
from tests.assets.page.shown_text import shown, table_cells


def meter(requests=47, tokens=(1356, 783), cost_usd: float | None = 0.000527, used=0.55, **more) -> Meter:
    usage = Usage(input_tokens=tokens[0], output_tokens=tokens[1])
    return Meter(requests=requests, usage=usage, cost_usd=cost_usd, limit_utilization=used, **more)


def outcome(**changes) -> Outcome:
    """Of 60 rows of a model's answers, six of which are null."""
    of = {
        "rows": 60,
        "computed": 54,
        "reused": 0,
        "nulls": 6,
        "failed": 0,
        "findings": Findings(),
        "seconds": 1.7,
        "meter": meter(),
        "simulated": False,
        "schema": pa.schema([]),
        "sample": pa.table({}),
        "data_version": "",
        "trial": False,
        "answered_by": {"https://api.openai.com/v1": 54},
    }
    return Outcome(**{**of, **changes})


def cells_failed(rows: int, of: int = 60) -> CellsFailedError:
    return CellsFailedError("…", [("id=1", CellError("ValueError", "no"))], Counter({"ValueError": rows}), of)


def days(*numbers: int) -> list[str]:
    return [f"2026-11-{number}" for number in numbers]


class TestOnePartition:
    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            (
                {},
                "60 rows: 54 computed, 6 null · 47 requests, no 429 · 1,356 → 783 tokens · **$0.000527** · 1.7 s · "
                "55 % of the limit",
            ),
            (
                {"computed": 50, "failed": 4},
                "60 rows: 50 computed, 6 null, **4 failed** · 47 requests, no 429 · 1,356 → 783 tokens · **$0.000527** · "
                "1.7 s · 55 % of the limit",
            ),
            (
                {"computed": 0, "reused": 54, "meter": Meter()},
                "60 rows: 54 reused, 6 null · no requests · **$0.00** in this run · 1.7 s",
            ),
            (
                {"computed": 4, "reused": 50, "meter": meter(4, (12, 3), 0.0002, None)},
                "60 rows: 4 computed, 50 reused, 6 null · 4 requests, no 429 · 12 → 3 tokens · **$0.0002** in this run · 1.7 s",
            ),
            (
                {"computed": 0, "reused": 54, "meter": Meter(), "answered_by": None},
                "60 rows: 54 reused, 6 null · 1.7 s",
            ),
            (
                {
                    "rows": 1,
                    "computed": 1,
                    "nulls": 0,
                    "meter": meter(1, (12, 0), 2.4e-7, None, rate_limited=1),
                },
                "1 row: 1 computed · 1 request, 1 429 · 12 tokens · **$0.00000024** · 1.7 s",
            ),
            (
                {"meter": meter(3, (0, 0), None, 0.001, rate_limited=2, requests_unknown=1), "seconds": 150},
                "60 rows: 54 computed, 6 null · 3 requests, 2 429s · **1 answer was lost and may have been paid "
                "for** · **cost unknown** · 2 min 30 s · under 1 % of the limit",
            ),
            (
                {"meter": meter(54, (10, 5), 0.0002, None, rows_unpriced=1)},
                "60 rows: 54 computed, 6 null · 54 requests, no 429 · 10 → 5 tokens · "
                "**$0.0002 and 1 row of unknown price** · 1.7 s",
            ),
            ({"answered_by": None, "meter": Meter()}, "60 rows: 54 computed, 6 null · 1.7 s"),
            ({"answered_by": None, "meter": Meter(), "rows": 0}, "no rows · 1.7 s"),
            (
                {"answered_by": None, "meter": Meter(), "simulated": True, "trial": True, "seconds": 0.004},
                "60 rows: 54 computed, 6 null · 0.01 s · **simulated** · **trial, nothing stored**",
            ),
            (
                {"meter": meter(1_200, (1_356_000, 783_000), 12.3456, 1.08)},
                "60 rows: 54 computed, 6 null · 1,200 requests, no 429 · 1,356,000 → 783,000 tokens · **$12.35** · 1.7 s · "
                "108 % of the limit",
            ),
        ],
    )
    def test_it_says_what_there_is_to_say(self, changes, text):
        """Nothing of what is zero, unless that says something; what matters is bold."""
        assert outcome_summary(outcome(**changes)) == text


class TestUnfinished:
    @pytest.mark.parametrize(
        ("error", "done", "said"),
        [
            (
                BudgetReachedError(0.0001, 0.0001044),
                8,
                "**stopped by its budget**: 8 of 16 rows finished, $0.000527 spent; nothing stored",
            ),
            (cells_failed(2, 16), 8, "**2 of 16 rows failed**: 6 finished, $0.000527 spent; nothing stored"),
            (
                StoppedError("…"),
                8,
                "**not finished, since the run ended**: 8 of 16 rows finished, $0.000527 spent; nothing stored",
            ),
            (
                FatalApiError("no such key"),
                8,
                "**ended by an error**: 8 of 16 rows finished, $0.000527 spent; nothing stored",
            ),
            (
                asyncio.CancelledError(),
                8,
                "**interrupted**: 8 of 16 rows finished, $0.000527 spent; nothing stored",
            ),
            (cells_failed(1, 2), None, "**1 of 2 rows failed**: nothing stored"),
            (PartitionError("no column body."), None, "**failed**: no column body; nothing stored"),
        ],
    )
    def test_it_says_why_and_what_is_finished(self, error, done, said):
        """In one sentence."""
        failed = 2 if isinstance(error, CellsFailedError) else 0
        progress = None if done is None else Progress("…", done, 16, 1.0, meter(), failed)
        assert unfinished_summary(progress, error) == said

    def test_text_of_others_is_shown_as_it_is(self):
        """Errors may quote rows."""
        said = unfinished_summary(None, PartitionError("[a](http://b) <img>" + "x" * 2_000))
        assert "](" not in said
        assert "<img" not in said
        assert len(said) < 1_000


class TestOneOfSeveralPartitions:
    def test_it_begins_with_the_partition(self):
        """The overview shows the newest one's, whichever that is: its name does not wrap at its hyphens."""
        summary = outcome_summary(outcome(), "2026-03-06")
        assert summary.startswith(
            "Partition **2026&#45;\u206003&#45;\u206006** · 60 rows: 54 computed, 6 null · 47 "
        )
        assert summary.endswith(" · 55 % of the limit")

    def test_it_ends_with_how_many_the_run_had(self):
        """Where it had several, and the asset is partitioned."""
        of_five = outcome_summary(outcome(), "2026-03-06", of=5)
        assert of_five == f"{outcome_summary(outcome(), '2026-03-06')} · one of 5 partitions of this run"
        assert outcome_summary(outcome(), of=1) == outcome_summary(outcome())

    @pytest.mark.parametrize("name", ["p" * 500, "a|b `c` **d** <d> [e](http://f)", "\u202e", "日本" * 90])
    def test_its_name_is_no_markup(self, name):
        """And is shortened."""
        summary = outcome_summary(outcome(), name, of=3_000)
        assert len(summary.encode("utf-16-le")) // 2 < 1_000
        assert not set("|`<[]") & set(summary)
        assert summary.count("*") == 8
        assert len(shown(summary)) < 215
        assert summary.endswith("one of 3,000 partitions of this run")


class TestPartitions:
    def test_all_stored(self):
        """A line about all, with the time that all took together, and a table of each."""
        summary = partitions_summary(dict.fromkeys(days(26, 27), outcome()), {}, {}, of=2, seconds=2.1)
        first, _, second, _, *table = summary.splitlines()
        assert first == "2 partitions stored"
        assert second == (
            "120 rows: 108 computed, 12 null · 94 requests, no 429 · 2,712 → 1,566 tokens · **$0.00105** · 2.1 s · "
            "55 % of the limit"
        )
        assert table_cells("\n".join(table)) == [
            ["partition", "rows", "cost"],
            ["2026-11-26", "60", "$0.000527"],
            ["2026-11-27", "60", "$0.000527"],
        ]

    def test_failed_ones_are_named_and_come_first(self):
        """With how many of their rows failed, and what they took."""
        stored = dict.fromkeys(days(*range(20, 26), 28, 29), outcome())
        failures = dict(zip(days(26, 27), [cells_failed(1), PartitionError("no column 'body'")], strict=True))
        took = {"2026-11-26": Progress("…", 59, 60, 1.0, meter())}
        first, _, second, _, *table = partitions_summary(
            stored, failures, took, of=10, seconds=9
        ).splitlines()
        assert shown(first) == "8 of 10 partitions stored; **2 failed**: 2026-11-26 (1 row), 2026-11-27"
        assert second.startswith("480 rows stored: 432 computed, 48 null · 423 requests, no 429 · ")
        assert table_cells("\n".join(table))[:4] == [
            ["partition", "rows", "failed"],
            ["2026-11-26", "", "**1 of 60**"],
            ["2026-11-27", "", "**⚠**"],
            ["2026-11-20", "60", ""],
        ]

    def test_what_was_not_finished_and_not_begun(self):
        """As after a budget that ended the run."""
        took = {"b": Progress("…", 7, 60, 1.0, meter())}
        first, _, second, _, *table = partitions_summary(
            {"a": outcome()}, {}, took, of=5, seconds=9
        ).splitlines()
        assert first == "1 of 5 partitions stored; **1 not finished**: b; 3 not begun"
        assert second.startswith("60 rows stored: 54 computed, 6 null · 94 requests, ")
        assert [row[:2] for row in table_cells("\n".join(table))] == [
            ["partition", "rows"],
            ["b", "7 of 60"],
            ["a", "60"],
        ]
        assert partitions_summary({}, {}, took, of=1, seconds=9).startswith("0 of 1 partition stored; ")

    def test_a_trial_stores_nothing(self):
        """Which is said."""
        trial = outcome(trial=True)
        summary = partitions_summary({"a": trial, "b": trial}, {}, {}, of=2, seconds=9)
        assert summary.startswith("2 partitions tried, nothing stored\n")

    def test_all_figures_of_each_are_one_click_away(self):
        """With the columns that say something of any."""
        stored = {"a": outcome(), "b": outcome(computed=0, reused=54, meter=Meter(), seconds=0.04)}
        said = partitions_metadata(stored, {"c": cells_failed(2)}, {}, of=3, seconds=2.1)
        table = str(said["pxt/partitions"].md_str)
        assert len(table) == 1_000
        assert table_cells(table) == [
            [
                "partition",
                "state",
                "rows",
                "computed",
                "reused",
                "null",
                "failed",
                "requests",
                "tokens",
                "cost",
                "limit",
                "time",
            ],
            ["c", "**failed**", "", "", "", "", "**2 of 60**", "", "", "", "", ""],
            ["a", "", "60", "54", "", "6", "", "47", "1,356 → 783", "$0.000527", "55 %", "1.7 s"],
            ["b", "", "60", "", "54", "6", "", "", "", "", "", "0.04 s"],
        ]

    @pytest.mark.parametrize(
        "name", ["2026-11-26", "p" * 500, "a|b `c` <d> [e](http://f)", "\u202e", "日本" * 90]
    )
    @pytest.mark.parametrize("count", [1, 40, 3_000])
    def test_it_is_shown_at_once_whatever_there_is(self, name, count):
        """Rows give way."""
        names = [f"{name}{i}" for i in range(count)]
        failures = dict.fromkeys(names[::2], cells_failed(1_000_000))
        summary = partitions_summary(
            dict.fromkeys(names[1::2], outcome()), failures, {}, of=count, seconds=1e6
        )
        assert len(summary.encode("utf-16-le")) // 2 < 1_000
        assert "failed" in summary
        assert count < 40 or "more" in summary
        assert "](" not in summary
