"""Which runs a collector asks for: of which columns and partitions, together or alone, and each once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.assets.columns.due_runs import Asked, Due, due_runs

A, B, BOTH, TEXT = (dg.AssetKey(["tickets", name]) for name in ("a", "b", "both", "text"))
PARENTS = {
    A: frozenset[dg.AssetKey](),
    B: frozenset[dg.AssetKey](),
    TEXT: frozenset({A}),
    BOTH: frozenset({TEXT, B}),
}
OPS = {key: "__".join(key.path) for key in PARENTS}
DAYS = ["mon", "tue", "wed", "thu"]
HOUR = 3_600.0


def runs(
    due: Mapping[dg.AssetKey, Due],
    asked: Asked | None = None,
    *,
    order: Sequence[str | None] = DAYS,
    now: float = 0.0,
    again_after: float = HOUR,
    in_ranges: bool = True,
) -> list[tuple[Any, list[str]]]:
    """(a partition, or the first and last of a range; the names of the columns) of each run."""
    found = due_runs(
        due, PARENTS, order, asked or Asked(), now, ops=OPS, again_after=again_after, in_ranges=in_ranges
    )
    return [
        (
            one.partition_key
            or (
                one.tags.get("dagster/asset_partition_range_start"),
                one.tags.get("dagster/asset_partition_range_end"),
            ),
            [key.path[-1] for key in one.asset_selection or ()],
        )
        for one in found
    ]


def test_a_partition_whose_batches_have_ended_is_asked_for() -> None:
    """Another one still waits."""
    assert runs({A: Due({"tue": "x"}, frozenset({"mon"}))}) == [("tue", ["a"])]


def test_of_a_table_without_partitions_too() -> None:
    assert runs({A: Due({None: "x"})}, order=[None]) == [((None, None), ["a"])]


def test_what_was_skipped_comes_along() -> None:
    assert runs({A: Due({"mon": "x"}, skipped={"mon": frozenset({TEXT})})}) == [("mon", ["a", "text"])]


def test_adjacent_partitions_are_one_run() -> None:
    """Where policies allow it: others are a run each."""
    due = {A: Due({"mon": "x", "tue": "x", "thu": "y"})}
    assert runs(due) == [(("mon", "tue"), ["a"]), ("thu", ["a"])]
    assert runs(due, in_ranges=False) == [("mon", ["a"]), ("tue", ["a"]), ("thu", ["a"])]


def test_columns_that_are_ready_together_are_one_run() -> None:
    """So that what is made of both finds both."""
    skipped = {"mon": frozenset({BOTH})}
    due = {A: Due({"mon": "x"}, skipped=skipped), B: Due({"mon": "y"}, skipped=skipped)}
    assert runs(due) == [("mon", ["a", "b", "both"])]


def test_what_is_made_of_a_column_that_waits_is_left_for_later() -> None:
    """It would fail for want of it; that one brings it along."""
    a_skipped = {"mon": frozenset({TEXT, BOTH})}
    asked = Asked()
    due = {A: Due({"mon": "x"}, skipped=a_skipped), B: Due({}, frozenset({"mon"}))}
    assert runs(due, asked) == [("mon", ["a", "text"])]
    due = {B: Due({"mon": "y"}, skipped={"mon": frozenset({BOTH})})}
    assert runs(due, asked) == [("mon", ["b", "both"])]


def test_partitions_that_the_run_stored_get_what_it_skipped() -> None:
    """A run of two partitions, of which one waits, comes to nothing downstream of either."""
    skipped = {"mon": frozenset({TEXT}), "tue": frozenset({TEXT})}
    due = {A: Due({"tue": "x"}, skipped=skipped, finished={"mon": "x"})}
    assert runs(due) == [("mon", ["text"]), ("tue", ["a", "text"])]


def test_what_was_said_of_the_run_holds_on() -> None:
    """Such as its budget, of which each partition has a part. Partitions of which something else was said are another run."""
    config = {day: {A: {"max_cost_usd": part}, B: {"limit": 3}} for day, part in (("mon", 0.2), ("tue", 0.3))}
    due = {A: Due({"mon": "x", "tue": "x", "wed": "x"}, options=config)}
    found = list(due_runs(due, PARENTS, DAYS, Asked(), 0.0, ops=OPS, again_after=HOUR, in_ranges=True))
    assert [one.run_config for one in found] == [
        {"ops": {"tickets__a": {"config": {"max_cost_usd": 0.5}}}},
        {},
    ]
    assert [len(one.tags) for one in found] == [2, 0]


def test_a_column_knows_its_own_options_best() -> None:
    """The others know those of the run that submitted, not what is left of its budget."""
    ready, own = {"mon": "x"}, {A: {"max_cost_usd": 0.1}, B: {"max_cost_usd": 0.5}}
    due = {A: Due(ready, options={"mon": own}), B: Due(ready, options={"mon": {A: {"max_cost_usd": 0.5}}})}
    (found,) = due_runs(due, PARENTS, DAYS, Asked(), 0.0, ops=OPS, again_after=HOUR, in_ranges=True)
    assert found.run_config["ops"]["tickets__a"]["config"] == {"max_cost_usd": 0.1}


def test_none_is_asked_for_twice() -> None:
    """By the cursor, which outlasts the process of a tick."""
    due = {A: Due({"mon": "x", "wed": "x"})}
    asked = Asked()
    assert len(runs(due, asked)) == 2
    assert runs(due, Asked.of_cursor(asked.cursor), now=60.0) == []


def test_a_cursor_is_short() -> None:
    """The sensor's page shows it as it is, beside each tick."""
    asked = Asked()
    runs({A: Due({"mon": "x"})}, asked, now=60.4)
    assert asked.cursor == '{"asked": [["tickets/a", "mon", "x", 60, 1]]}'
    assert Asked().cursor == "{}"


def test_another_batch_of_the_same_partition_is_asked_for() -> None:
    """As after one that expired, whose rest was submitted again."""
    asked = Asked()
    runs({A: Due({"mon": "x"})}, asked)
    assert runs({A: Due({"mon": "y"})}, asked, now=60.0) == [("mon", ["a"])]


def test_a_run_that_collected_nothing_is_asked_for_again_after_an_hour() -> None:
    """With a key of its own: Dagster begins no run with a key that was there."""
    due, asked = {A: Due({"mon": "x"})}, Asked()
    keys = [
        [
            one.run_key
            for one in due_runs(due, PARENTS, DAYS, asked, now, ops=OPS, again_after=HOUR, in_ranges=True)
        ]
        for now in (0.0, HOUR - 1, HOUR, HOUR + 60)
    ]
    assert [len(one) for one in keys] == [1, 0, 1, 0]
    assert keys[0] != keys[2]


def test_not_while_runs_of_the_sensor_are_under_way() -> None:
    due, asked = {A: Due({"mon": "x"})}, Asked()
    runs(due, asked)
    assert runs(due, asked, now=10 * HOUR, again_after=float("inf")) == []


def test_keys_differ_between_partitions_and_batches() -> None:
    def keys(**ready: str) -> list[str | None]:
        found = due_runs(
            {A: Due(ready)}, PARENTS, DAYS, Asked(), 0.0, ops=OPS, again_after=HOUR, in_ranges=False
        )
        return [one.run_key for one in found]

    every = [*keys(mon="x", tue="x"), *keys(mon="y"), *keys(mon="x")]
    assert len(set(every)) == 3
    assert every[0] == every[3]


def test_what_is_collected_is_forgotten() -> None:
    """The cursor does not grow."""
    asked = Asked()
    runs({A: Due({"mon": "x"}), B: Due({"mon": "y"})}, asked)
    runs({B: Due({"mon": "y"})}, asked)
    assert [json.loads(key)[0] for key in asked.runs] == [B.path]


def test_any_other_cursor_is_no_hindrance() -> None:
    """Of another version, or set by hand."""
    for cursor in (
        None,
        "",
        "17",
        "[]",
        '{"asked": 3}',
        '{"asked": {"x": [1]}}',
        "nonsense",
        '{"asked": {"x": ["a", 1, 2]}}',
        '{"asked": [[1, "mon", "x", 60, 1]]}',
    ):
        assert Asked.of_cursor(cursor).runs == {}
