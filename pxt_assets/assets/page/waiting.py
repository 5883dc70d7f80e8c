"""What the UI shows of rows whose answers come later: the batches they are in, since when, and what they will cost."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from pxt_assets.api.meter import Meter, cost_text, spent_text
from pxt_assets.api.processing import Processing
from pxt_assets.assets.page.figures import rounded
from pxt_assets.assets.page.markdown import behind_a_click, joined, shortened
from pxt_assets.compute.deferred.record import BatchView
from pxt_assets.compute.run_partitions import Waiting
from pxt_assets.values.wording import counted

BATCHES, ROWS_WAITING = "pxt/batches", "pxt/rows_waiting"
BUDGET_LEFT = "pxt/budget_left_usd"
"""What the run had left of its budget, or a partition's part of it; those that collect its answers have no more."""
SKIPPED, FINISHED = "pxt/columns_skipped", "pxt/partitions_finished"
"""What a collector reads: columns that the run did not come to, and partitions of it that were stored already."""
_LINE = "  \n"
"""A line break in Markdown."""
_BY_BATCH = "by batch, within 24 h, at half the price"
_IN_BACKGROUND: Mapping[Processing, str] = {
    "background_8h": "in the background, within 8 h, at 60 % of the price",
    "background_2h": "in the background, within 2 h, at 70 % of the price",
}
_MAX_BATCHES = 500
_MAX_NAME = 40

Partition = str | None


def waiting_metadata(
    waiting: Waiting,
    *,
    partition: Partition,
    goes_on: str,
    skipped: Collection[str],
    left_usd: float | None,
) -> dict[str, Any]:
    """The metadata of a partition that waits; `goes_on` says who goes on with it; `skipped` and `left_usd` are as in SKIPPED and BUDGET_LEFT."""
    name = "" if partition is None else f"Partition **{joined(shortened(partition, _MAX_NAME)) or '?'}**"
    return {
        "pxt/summary": dg.MetadataValue.md(waiting_summary([waiting], goes_on, name)),
        **_figures([waiting]),
        **_spent(waiting),
        **({SKIPPED: list(skipped)} if skipped else {}),
        **({} if left_usd is None else {BUDGET_LEFT: rounded(left_usd)}),
    }


def run_waiting_metadata(
    waiting: Mapping[Partition, Waiting],
    finished: Sequence[Partition],
    *,
    goes_on: str,
    skipped: Collection[str],
    left_usd: float | None,
) -> dict[str, Any]:
    """The metadata of a run of several partitions, of which some wait and the `finished` ones are stored."""
    of = counted(len(waiting) + len(finished), "partition")
    first = f"{len(waiting):,} of {of} of this run wait{'s' if len(waiting) == 1 else ''}"
    return {
        "pxt/summary": dg.MetadataValue.md(waiting_summary([*waiting.values()], goes_on, first)),
        **_figures([*waiting.values()]),
        **({SKIPPED: list(skipped)} if skipped else {}),
        **({} if left_usd is None else {BUDGET_LEFT: rounded(left_usd)}),
        **({FINISHED: [str(one) for one in finished]} if finished else {}),
    }


def skipped_metadata(
    column: str, waiting: Mapping[Partition, Waiting], goes_on: str
) -> dict[str, dg.MetadataValue[Any]]:
    """The metadata of a column that a run did not come to, since `column` waits."""
    rows = counted(sum(one.rows for one in waiting.values()), "row")
    lines = [f"waits for {joined(column)}", f"{rows} on their way", goes_on.replace("; ", _LINE)]
    return {
        "pxt/summary": dg.MetadataValue.md(_LINE.join(lines)),
        "pxt/waits_for": dg.MetadataValue.asset(dg.AssetKey.from_user_string(column)),
    }


def with_ways(metadata: Mapping[str, Any], batches: Sequence[BatchView], meter: Meter) -> dict[str, Any]:
    """The metadata of a partition that is stored, with the ways by which answers came later, and their batches, if any."""
    said = " · ".join([metadata["pxt/summary"].value, *_ways(batches, meter)])
    return {**metadata, "pxt/summary": dg.MetadataValue.md(said), **batches_metadata(batches)}


def ways_text(batches: Sequence[BatchView], meter: Meter) -> str:
    """What follows the line of a log about such a partition; nothing where all was answered at once."""
    return "".join(f"; {way}" for way in _ways(batches, meter))


def _ways(batches: Sequence[BatchView], meter: Meter) -> list[str]:
    in_background = [text for way, text in _IN_BACKGROUND.items() if way in meter.ways]
    return [*([_BY_BATCH] if batches else []), *in_background]


def batches_metadata(batches: Sequence[BatchView]) -> dict[str, Any]:
    """The metadata of the batches that the answers of a partition come from; none for none.

    They are a table behind a click: one in place is so wide that the page shows neither summary nor preview as a whole.
    """
    if not batches:
        return {}
    rows = [batch_row(one) for one in batches[:_MAX_BATCHES]]
    lines = [f"| {' | '.join(rows[0])} |", f"| {' | '.join('---' for _ in rows[0])} |"]
    lines += [f"| {' | '.join(joined(str(cell)) for cell in row.values())} |" for row in rows]
    return {BATCHES: dg.MetadataValue.md(behind_a_click("\n".join(lines))), ROWS_WAITING: 0}


def batches_table(batches: Sequence[BatchView]) -> dg.TableMetadataValue:
    """The batches as a table, the oldest first."""
    ordered = sorted(batches, key=lambda one: (-one.age_s, one.name))[:_MAX_BATCHES]
    return dg.MetadataValue.table([dg.TableRecord(batch_row(one)) for one in ordered])


def batch_row(batch: BatchView) -> dict[str, str | int]:
    """A batch by the names of a table's columns, of which an asset's page shows the first three at once."""
    return {
        "name": batch.name,
        "expected": "unknown" if batch.cost_usd is None else cost_text(batch.cost_usd),
        "state": batch.state,
        "completed": batch.completed,
        "failed": batch.failed,
        "requests": batch.total,
        "age": age_text(batch.age_s).replace(" ", "\N{NO-BREAK SPACE}"),
        "id": batch.id or "",
    }


def age_text(seconds: float) -> str:
    """Seconds as people say an age: `12 s`, `34 min`, `5 h 10 min`, `2 days`."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{minutes // (24 * 60)} days"


def waiting_summary(waiting: Sequence[Waiting], goes_on: str, first: str = "") -> str:
    """Markdown, a short line each, since the table of batches makes the page wider than it shows; it begins with `first`.

    "**1,200 rows wait** for 1 batch", "batch: 400 of 1,200 answers at 19:54 UTC", "estimated at $0.05", ...
    """
    parts = _waiting_parts(waiting, goes_on.replace("; ", _LINE))
    return _LINE.join(filter(None, [first, *parts]))


def _waiting_parts(waiting: Sequence[Waiting], goes_on: str) -> list[str]:
    batches = _batches(waiting)
    rows = sum(one.rows for one in waiting)
    without_room = sum(one.rows_without_room for one in waiting)
    without_budget = sum(one.rows_without_budget for one in waiting)
    came = [one for one in waiting if one.has_cost]
    are_there = sum(one.completed + one.failed for one in batches)
    wait = "waits" if rows == 1 else "wait"
    parts = [f"**{counted(rows, 'row')} {wait}** for {counted(len(batches), 'batch', 'batches')}"]
    if batches:
        of = counted(sum(one.total for one in batches), "answer")
        noun = "batch" if len(batches) == 1 else "batches"
        now = datetime.now(UTC)
        submitted = now - timedelta(seconds=max(one.age_s for one in batches))
        parts.append(f"{noun}: {are_there:,} of {of} at {now:%H:%M} UTC")
        parts.append(f"asked for {submitted:%Y-%m-%d %H:%M} UTC")
    else:
        parts = [f"**{counted(rows, 'row')} {wait}** for answers"]
    if any(one.comes for one in waiting):
        cost = _cost(waiting)
        parts.append(cost_text(cost) if cost is None else f"estimated at {cost_text(cost)}")
    else:
        parts = [f"**{counted(rows, 'row')}** {'is' if rows == 1 else 'are'} not asked for"]
        goes_on = "materialize again to have them asked for"
    if without_room:
        parts.append(f"{counted(without_room, 'row')}: no room in the queue yet")
    if without_budget:
        parts.append(f"{counted(without_budget, 'row')}: no room in max_cost_usd")
    if came:
        spent = spent_text(one.meter for one in came if one.meter is not None)
        parts.append(f"{counted(sum(one.computed for one in came), 'answer')} collected by this run, {spent}")
    return [*parts, "what is stored stays until then", goes_on]


def goes_on_text(collector: str | None, *, is_on: bool) -> str:
    """Who goes on with what waits, as Markdown; `collector` is the name of the sensor that does, if there is one."""
    if collector is None:
        return "materialize again to collect it"
    if is_on:
        return f"{joined(collector)} collects it"
    return f"**{joined(collector)} is off**: switch it on under Automation, or materialize again"


def waiting_line(waiting: Waiting, goes_on: str) -> str:
    """The same as a line for a log."""
    return (
        html.unescape("; ".join(_waiting_parts([waiting], goes_on))).replace("**", "").replace("\u2060", "")
    )


def _figures(waiting: Sequence[Waiting]) -> dict[str, Any]:
    cost = _cost(waiting)
    batches = _batches(waiting)
    return {
        ROWS_WAITING: sum(one.rows for one in waiting),
        **({BATCHES: batches_table(batches)} if batches else {}),
        "pxt/expected_cost_usd": "unknown" if cost is None else rounded(cost),
    }


def _spent(waiting: Waiting) -> dict[str, Any]:
    """What a run took for answers of a partition that waits for others, which no materialization counts."""
    meter = waiting.meter
    if meter is None or not waiting.has_cost:
        return {}
    return {
        "pxt/rows_computed": waiting.computed,
        "pxt/input_tokens": meter.usage.input_tokens,
        "pxt/output_tokens": meter.usage.output_tokens,
        "pxt/cached_tokens": meter.usage.cached_tokens,
        "pxt/cost_usd": "unknown" if meter.cost_usd is None else rounded(meter.cost_usd),
        "pxt/rows_unpriced": meter.rows_unpriced,
    }


def _batches(waiting: Sequence[Waiting]) -> list[BatchView]:
    return list({batch.name: batch for one in waiting for batch in one.batches}.values())


def _cost(waiting: Sequence[Waiting]) -> float | None:
    """What they are expected to cost together; None if that is not known of one."""
    costs = [one.expected_cost_usd for one in waiting]
    return None if None in costs else sum(cost for cost in costs if cost is not None)
